package limits

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/test/cluster"
)

const (
	// overloadFactor is how many times the peak is offered.
	overloadFactor = 4
	// callTimeout is how long a client of the overload waits for one call.
	callTimeout = 2 * time.Second
	// overloadConnections carry all calls.
	overloadConnections = 20
	// outstandingMax bounds what the generator has open at once: beyond it clients have
	// given up before they begin.
	outstandingMax = 60_000
)

// load is what some clients did.
type load struct {
	conns []*grpc.ClientConn
	// done counts what was acknowledged, refused what was refused as too much, late what had
	// no answer in time, shed what the generator itself could not send, failed the rest.
	done, refused, late, shed, failed atomic.Int64

	mu sync.Mutex
	// acknowledged is the revision at which each put was acknowledged, by its key's number.
	acknowledged map[uint64]int64
	failure      error
}

func newLoad(t *testing.T, endpoint string) *load {
	t.Helper()
	l := &load{acknowledged: make(map[uint64]int64)}
	for range overloadConnections {
		conn, err := grpc.NewClient("passthrough:///"+endpoint[len("http://"):], grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		l.conns = append(l.conns, conn)
	}
	return l
}

func keyOf(number uint64) []byte { return binary.BigEndian.AppendUint64([]byte("load/"), number) }

// put puts one key that nobody else does, with its number as the value.
func (l *load) put(ctx context.Context, number uint64) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := pb.NewKVClient(l.conns[number%overloadConnections]).Put(ctx, &pb.PutRequest{Key: keyOf(number), Value: fmt.Append(nil, number)})
	switch code := status.Code(err); {
	case err == nil:
		l.done.Add(1)
		l.mu.Lock()
		l.acknowledged[number] = resp.Header.Revision
		l.mu.Unlock()
	case code == codes.ResourceExhausted:
		l.refused.Add(1)
	case code == codes.DeadlineExceeded, code == codes.Canceled, errors.Is(err, context.DeadlineExceeded):
		l.late.Add(1)
	default:
		l.failed.Add(1)
		l.mu.Lock()
		l.failure = err
		l.mu.Unlock()
	}
}

// closed keeps clients busy for a time, each with the next call when the last one has
// ended, and gives the acknowledged calls per second.
func (l *load) closed(ctx context.Context, clients int, duration time.Duration, next *atomic.Uint64) float64 {
	begin, before := time.Now(), l.done.Load()
	var working sync.WaitGroup
	for range clients {
		working.Go(func() {
			for time.Since(begin) < duration {
				l.put(ctx, next.Add(1))
			}
		})
	}
	working.Wait()
	return float64(l.done.Load()-before) / time.Since(begin).Seconds()
}

// open offers calls at a rate, whatever becomes of them.
func (l *load) open(ctx context.Context, perSecond float64, duration time.Duration, next *atomic.Uint64) (offered, goodput float64) {
	const tick = 5 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	begin, before, sent := time.Now(), l.done.Load(), 0
	places := make(chan struct{}, outstandingMax)
	var calling sync.WaitGroup
	for elapsed := time.Duration(0); elapsed < duration; elapsed = time.Since(begin) {
		for due := int(elapsed.Seconds() * perSecond); sent < due; sent++ {
			select {
			case places <- struct{}{}:
				calling.Go(func() {
					defer func() { <-places }()
					l.put(ctx, next.Add(1))
				})
			default:
				l.shed.Add(1)
			}
		}
		<-ticker.C
	}
	elapsed := time.Since(begin)
	goodput = float64(l.done.Load()-before) / elapsed.Seconds()
	calling.Wait()
	return float64(sent) / elapsed.Seconds(), goodput
}

// check finds everything that was acknowledged, at the revision that was told.
func (l *load) check(t *testing.T) {
	t.Helper()
	found := make(map[uint64]int64)
	from := []byte("load/")
	kv := pb.NewKVClient(l.conns[0])
	for more := true; more; {
		resp, err := kv.Range(t.Context(), &pb.RangeRequest{Key: from, RangeEnd: []byte("load0"), Limit: 5000})
		if err != nil {
			t.Fatal(err)
		}
		for _, pair := range resp.Kvs {
			number := binary.BigEndian.Uint64(pair.Key[len("load/"):])
			if string(pair.Value) != fmt.Sprint(number) || pair.Version != 1 {
				t.Fatalf("key %d has value %s, version %d", number, pair.Value, pair.Version)
			}
			found[number] = pair.ModRevision
			from = append(pair.Key, 0)
		}
		more = resp.More
	}
	for number, revision := range l.acknowledged {
		if found[number] != revision {
			t.Fatalf("the put of %d was acknowledged at revision %d, and is there at %d", number, revision, found[number])
		}
	}
	t.Logf("all %d acknowledged puts are there, and %d whose clients had given up", len(l.acknowledged), len(found)-len(l.acknowledged))
}

// TestOverload: first the peak is found, then four times as much is offered. What was
// acknowledged is there; how much that was is reported.
func TestOverload(t *testing.T) {
	if *overloadFlag == 0 {
		t.Skip("set -overload, or run make overload")
	}
	frontend := cluster.StartFrontend(t, cluster.FrontendOptions{Args: []string{"--object-tier", "none"}})
	l := newLoad(t, frontend.Endpoint())
	var next atomic.Uint64
	l.closed(t.Context(), *clientsFlag, *overloadFlag/4, &next) // warm up
	peak := l.closed(t.Context(), *clientsFlag, *overloadFlag, &next)
	t.Logf("peak: %.0f puts per second by %d clients", peak, *clientsFlag)
	for _, factor := range []float64{1, 2, overloadFactor} {
		refused, late, shed := l.refused.Load(), l.late.Load(), l.shed.Load()
		offered, goodput := l.open(t.Context(), factor*peak, *overloadFlag, &next)
		t.Logf("%.0f times that: %.0f per second offered; goodput %.0f per second, %.0f%% of peak; %d refused, %d late, %d not sent by the generator",
			factor, offered, goodput, 100*goodput/peak, l.refused.Load()-refused, l.late.Load()-late, l.shed.Load()-shed)
	}
	after := l.closed(t.Context(), *clientsFlag, *overloadFlag, &next)
	t.Logf("afterwards: %.0f puts per second", after)
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d calls failed otherwise, the last with %v", n, l.failure)
	}
	l.check(t)
}
