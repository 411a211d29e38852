package endpoint

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/tierd/tierd/router"
)

const (
	probeIntervalDefault = time.Second
	// probeTimeout bounds one probe of the hot tier.
	probeTimeout = 2 * time.Second
	// probesMissedMax is how many probes in a row may fail before clients that
	// require a leader are cut off. As in etcd, ending streams is done late:
	// connecting again costs more than waiting.
	probesMissedMax = 3
)

// prober is the part of router.API that the pulse needs.
type prober interface {
	CurrentRevision(ctx context.Context) (current, compacted router.Revision, err error)
}

// pulse watches whether the hot tier answers this frontend. Its being there is
// what "having a leader" is to an etcd member: a client that requires one (the
// metadata hasleader) is refused while it is gone, and a stream with that
// requirement ends, so that the client looks for a frontend which still has it.
type pulse struct {
	api      prober
	logger   *slog.Logger
	health   *health.Server
	interval time.Duration

	mu struct {
		sync.Mutex
		// beating ends when the hot tier is lost; a new one begins when it is
		// back.
		beating context.Context
		lose    context.CancelFunc
		missed  int
	}
}

func newPulse(api prober, logger *slog.Logger, health *health.Server, interval time.Duration) *pulse {
	p := &pulse{api: api, logger: logger, health: health, interval: interval}
	p.mu.beating, p.mu.lose = context.WithCancel(context.Background())
	return p
}

// run probes until ctx ends.
func (p *pulse) run(ctx context.Context) {
	ticker := time.NewTicker(p.interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.probe(ctx)
		}
	}
}

func (p *pulse) probe(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	_, _, err := p.api.CurrentRevision(bounded)
	if ctx.Err() == nil {
		p.observe(err)
	}
}

// observe counts one probe.
func (p *pulse) observe(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lost := p.mu.beating.Err() != nil
	if err == nil {
		p.mu.missed = 0
		if lost {
			p.mu.beating, p.mu.lose = context.WithCancel(context.Background())
			p.logger.Info("hot tier is back")
			p.health.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
		}
		return
	}
	p.mu.missed++
	if !lost && p.mu.missed >= probesMissedMax {
		p.mu.lose()
		p.logger.Error("hot tier is out of reach; ending the streams that require a leader",
			"probes", p.mu.missed, "error", err)
		p.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	}
}

// context ends when the hot tier is lost; it has ended already if it is gone.
func (p *pulse) context() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.beating
}

// lost says whether the hot tier is gone.
func (p *pulse) lost() bool { return p.context().Err() != nil }
