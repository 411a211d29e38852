package limits

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tierd/tierd/test/cluster"
)

const (
	// overloadFactor is how many times the peak is offered.
	overloadFactor = 4
	// callTimeout is how long a client of the overload waits for one call.
	callTimeout = 2 * time.Second
	// overloadRounds is how often peak and overload take turns.
	overloadRounds = 5
	// overloadConnections carry all calls.
	overloadConnections = 20
)

// load is what some clients did.
type load struct {
	conns []*grpc.ClientConn
	// done counts what was acknowledged, refused what was refused as too much, late what had
	// no answer in time, shed what the generator could not send, failed the rest.
	done, refused, late, shed, failed atomic.Int64

	mu sync.Mutex
	// acknowledged is the revision at which each put was acknowledged, by its key's number, took
	// how long those of the current load took.
	acknowledged map[uint64]int64
	took         []time.Duration
	failure      error
}

func newLoad(t *testing.T, address string) *load {
	t.Helper()
	l := &load{acknowledged: make(map[uint64]int64)}
	for range overloadConnections {
		conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		l.conns = append(l.conns, conn)
	}
	return l
}

func keyOf(number uint64) []byte { return binary.BigEndian.AppendUint64([]byte("load/"), number) }

func (l *load) acknowledge(number uint64, revision int64, took time.Duration) {
	l.done.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acknowledged[number] = revision
	l.took = append(l.took, took)
}

func (l *load) fail(err error) {
	l.failed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure = err
}

// latencies tells how long the acknowledged calls took since the last time.
func (l *load) latencies() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := quantiles(l.took)
	l.took = nil
	return text
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

// TestOverload: the peak is what is served of a load that is a little more than that; then
// four times as much is offered, by clients who give up after two seconds. What was acknowledged is
// there; how much that was is reported.
func TestOverload(t *testing.T) {
	if *overloadFlag == 0 {
		t.Skip("set -overload, or run make overload")
	}
	t.Run("all calls come", func(t *testing.T) { overload(t) })
	t.Run("clients wait", func(t *testing.T) { overload(t, "--max-concurrent-streams", "100") })
}

func overload(t *testing.T, args ...string) {
	frontend := cluster.StartFrontend(t, cluster.FrontendOptions{Args: append([]string{"--object-tier", "none"}, args...)})
	apart(t, frontend.PID(), frontend.LocalRedisPID())
	address := frontend.Endpoint()[len("http://"):]
	l := newLoad(t, address)
	var last atomic.Uint64
	next := func() uint64 { return last.Add(1) }
	at := func(what string, perSecond float64) float64 {
		frontendBefore, redisBefore := cpu(frontend.PID()), cpu(frontend.LocalRedisPID())
		refused, late, shed := l.refused.Load(), l.late.Load(), l.shed.Load()
		offered, goodput := l.offer(t, address, perSecond, *overloadFlag, next)
		t.Logf("%-22s %6.0f offered per second, %6.0f acknowledged, %6d refused, %6d late, %6d not sent; took %v of the frontend's processor and %v of Redis'; %s",
			what, offered, goodput, l.refused.Load()-refused, l.late.Load()-late, l.shed.Load()-shed,
			cpu(frontend.PID())-frontendBefore, cpu(frontend.LocalRedisPID())-redisBefore, l.latencies())
		return goodput
	}
	at("warm-up", 1000)
	peak, rate := 0.0, 1500.0
	for goodput := rate; goodput > 0.9*rate; { // until more offered is no more done
		rate *= 1.5
		goodput = at("looking for the peak", rate)
		peak = max(peak, goodput)
	}
	// In turns, so that what else happens on the machine happens to both.
	var parts []float64
	for range overloadRounds {
		served := at("a little above it", 1.25*peak)
		overloaded := at("four times the peak", overloadFactor*peak)
		parts = append(parts, 100*overloaded/served)
	}
	slices.Sort(parts)
	t.Logf("goodput at four times the peak, in percent of what is served just above it: median %.0f, of %.0f", parts[overloadRounds/2], parts)
	at("afterwards, half of it", peak/2)
	for line := range strings.Lines(frontend.Log()) {
		if strings.Contains(line, `"level":"WARN"`) && !strings.Contains(line, "slow call") {
			t.Log(strings.TrimSpace(line))
		}
	}
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d calls failed otherwise, the last with %v", n, l.failure)
	}
	l.check(t)
}

// cpu is the processor time that a process has used, where the system tells.
func cpu(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	const ticksPerSecond, user, system = 100, 11, 12 // after the name in parentheses
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) <= system {
		return 0
	}
	var ticks time.Duration
	for _, field := range fields[user : system+1] {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0
		}
		ticks += time.Duration(n)
	}
	return ticks * time.Second / ticksPerSecond
}

// apart gives the servers one core and this process another, where there are two: so that
// clients who offer too much do not do so by taking the servers' processor.
func apart(t *testing.T, servers ...int) {
	t.Helper()
	if runtime.NumCPU() != 2 {
		return
	}
	for _, pin := range append([][2]int{{os.Getpid(), 1}}, [2]int{servers[0], 0}, [2]int{servers[1], 0}) {
		if out, err := exec.CommandContext(t.Context(), "taskset", "-a", "-p", "-c", fmt.Sprint(pin[1]), fmt.Sprint(pin[0])).CombinedOutput(); err != nil {
			t.Logf("the servers share their cores with the clients: %v: %s", err, out)
			return
		}
	}
}
