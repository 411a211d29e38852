package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

// healthTimeout bounds one health check.
const healthTimeout = 5 * time.Second

// healthKey is read by the checks; whether it exists does not matter.
const healthKey = "health"

// healthSource is the part of router.API that the checks need.
type healthSource interface {
	Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error)
	Alarms(ctx context.Context) ([]router.Alarm, error)
}

// healthChecks answers etcd's three kinds of health questions, with its paths,
// query options, bodies and metrics: /health in JSON, /livez and /readyz as
// lists of named checks.
type healthChecks struct {
	api      healthSource
	logger   *slog.Logger
	series   *series
	pulse    *pulse
	draining <-chan struct{}
	failures *rate.Sometimes
}

func newHealthChecks(api healthSource, logger *slog.Logger, m *series, p *pulse, draining <-chan struct{}) *healthChecks {
	return &healthChecks{
		api: api, logger: logger, series: m, pulse: p, draining: draining,
		failures: &rate.Sometimes{Interval: noteInterval},
	}
}

// check is one named check of /livez or /readyz.
type check struct {
	name string
	run  func(context.Context) error
}

func (h *healthChecks) install(mux *http.ServeMux) {
	mux.HandleFunc("/health", h.serveHealth)
	h.installKind(mux, "livez", h.alive())
	h.installKind(mux, "readyz", h.noCorruption(), h.serializableRead(), h.linearizableRead(),
		// There are no learners; the check exists because tools ask for it.
		check{"non_learner", func(context.Context) error { return nil }})
}

// installKind serves a list of checks at /kind, and each at /kind/name.
func (h *healthChecks) installKind(mux *http.ServeMux, kind string, checks ...check) {
	mux.HandleFunc("/"+kind, func(w http.ResponseWriter, r *http.Request) {
		excluded := r.URL.Query()["exclude"]
		chosen := slices.DeleteFunc(slices.Clone(checks), func(c check) bool { return slices.Contains(excluded, c.name) })
		if kind == "readyz" && h.isDraining() {
			chosen = append([]check{draining()}, chosen...)
		}
		h.serveChecks(w, r, kind, chosen)
	})
	for _, c := range checks {
		mux.HandleFunc("/"+kind+"/"+c.name, func(w http.ResponseWriter, r *http.Request) {
			h.serveChecks(w, r, kind, []check{c})
		})
	}
}

// serveChecks runs checks in order and writes their results; without the query
// option verbose only those of failed ones.
func (h *healthChecks) serveChecks(w http.ResponseWriter, r *http.Request, kind string, checks []check) {
	if !isGet(w, r) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	var report strings.Builder
	healthy := true
	for _, c := range checks {
		err := c.run(ctx)
		h.record(kind, c.name, err)
		if err != nil {
			healthy = false
			fmt.Fprintf(&report, "[-]%s failed: %s\n", c.name, text(err))
			continue
		}
		fmt.Fprintf(&report, "[+]%s ok\n", c.name)
	}
	if !healthy {
		h.note("/"+kind, report.String())
		http.Error(w, report.String(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	body := "ok\n"
	if r.URL.Query().Has("verbose") {
		body = report.String() + body
	}
	_, _ = w.Write([]byte(body)) // the client has gone; there is nobody to tell
}

// serveHealth answers /health.
func (h *healthChecks) serveHealth(w http.ResponseWriter, r *http.Request) {
	if !isGet(w, r) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	answer := struct {
		Health string `json:"health"`
		Reason string `json:"reason"`
	}{Health: "true"}
	if reason := h.unhealthy(ctx, r); reason != "" {
		answer.Health, answer.Reason = "false", reason
		h.series.healthFailure.Inc()
		h.note("/health", reason)
		body, _ := json.Marshal(answer) // two strings always marshal
		http.Error(w, string(body), http.StatusServiceUnavailable)
		return
	}
	h.series.healthSuccesses.Inc()
	writeJSON(w, answer)
}

// unhealthy says why /health fails, or nothing.
func (h *healthChecks) unhealthy(ctx context.Context, r *http.Request) string {
	serializable := r.URL.Query().Get("serializable") == "true"
	excluded := r.URL.Query()["exclude"]
	if h.isDraining() {
		return "DRAINING"
	}
	alarms, err := h.api.Alarms(ctx)
	for _, a := range alarms {
		if !slices.Contains(excluded, a.Type.String()) {
			return "ALARM " + a.Type.String()
		}
	}
	if !serializable && h.pulse.lost() {
		return "RAFT NO LEADER"
	}
	if err == nil {
		err = h.read(ctx, serializable)
	}
	if err != nil {
		return "RANGE ERROR:" + text(err)
	}
	return ""
}

func (h *healthChecks) noCorruption() check {
	return check{"data_corruption", func(ctx context.Context) error {
		alarms, err := h.api.Alarms(ctx)
		if err != nil {
			return fmt.Errorf("read alarms: %w", err)
		}
		for _, a := range alarms {
			if a.Type == pb.AlarmType_CORRUPT {
				return finding("alarm activated: " + a.Type.String())
			}
		}
		return nil
	}}
}

func (h *healthChecks) serializableRead() check {
	return check{"serializable_read", func(ctx context.Context) error { return h.read(ctx, true) }}
}

// alive is /livez' serializable_read. It passes when the frontend answers, even
// if the answer is that the hot tier cannot be read: etcd reads its own disk
// here, and whoever restarts a frontend on this check would not bring Redis back.
func (h *healthChecks) alive() check {
	return check{"serializable_read", func(ctx context.Context) error {
		err := h.read(ctx, true)
		if errors.Is(err, router.ErrUnavailable) || errors.Is(err, router.ErrCorrupt) {
			return nil
		}
		return err
	}}
}

func (h *healthChecks) linearizableRead() check {
	return check{"linearizable_read", func(ctx context.Context) error { return h.read(ctx, false) }}
}

// draining is a check that only exists, and fails, while the frontend drains.
func draining() check {
	return check{"shutdown", func(context.Context) error { return finding("frontend is draining") }}
}

func (h *healthChecks) read(ctx context.Context, serializable bool) error {
	_, err := h.api.Range(ctx, &pb.RangeRequest{Key: []byte(healthKey), KeysOnly: true, Limit: 1, Serializable: serializable})
	return err
}

func (h *healthChecks) isDraining() bool {
	select {
	case <-h.draining:
		return true
	default:
		return false
	}
}

// record counts one result as etcd does.
func (h *healthChecks) record(kind, name string, err error) {
	result, value := "success", 1.0
	if err != nil {
		result, value = "error", 0
	}
	h.series.healthCheck.WithLabelValues(kind, name).Set(value)
	h.series.healthChecks.WithLabelValues(kind, name, result).Inc()
}

// note logs a failed answer, not more often than there is news.
func (h *healthChecks) note(path, reason string) {
	h.failures.Do(func() { h.logger.Warn("health check failed", "path", path, "reason", reason) })
}

// finding is a check's own reason to fail.
type finding string

func (f finding) Error() string { return string(f) }

// text is a check's own reason, or an error in the words a gRPC client would
// get: etcd's for what router classifies.
func text(err error) string {
	var own finding
	if errors.As(err, &own) {
		return string(own)
	}
	return status.Convert(wire.Error(err)).Message()
}
