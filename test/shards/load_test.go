package shards_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/shards"
)

var (
	movesFlag = flag.Int("moves", 20, "changes of the shard map under load")
	seedFlag  = flag.Uint64("seed", 0, "seed of the changes; 0 takes the clock")
)

const (
	// accounts are spread over the shards; what they hold together never changes.
	accounts, deposit = 24, 100
	// calmPuts are measured before the map changes, to compare with.
	calmPuts = 1500
	// compactEvery is how many changes lie between two compactions, which stay
	// compactLag revisions behind.
	compactEvery, compactLag = 5, 400
)

func account(i int) string { return fmt.Sprintf("acct/%02d", i) }

// TestChangesUnderLoad: while ranges split, move and merge, no call fails, no list is
// of two revisions, and no watch loses or repeats an event.
func TestChangesUnderLoad(t *testing.T) {
	t.Parallel()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("the changes of -seed %d", seed)
	c := cluster.Start(t, cluster.Options{Frontends: 3, Servers: 2, Databases: 2, Args: []string{"--balance=false"}})
	shards.Spread(t, c, account(6), account(12), account(18), "log/3")
	l := &mixed{T: t, c: c}
	l.begin()
	l.phase.Store(&l.calm)
	cluster.Await(t, settleBound, "puts are measured without changes", func() error { return l.enough(&l.calm, calmPuts) })
	l.phase.Store(&l.changing)
	changer := &shards.Changer{Rand: rand.New(rand.NewPCG(seed, 0)), Cluster: c, Ranges: 6}
	changer.Key = func() []byte { return []byte(account(changer.IntN(accounts))) }
	made := make(map[string]int)
	for n := 0; n < *movesFlag && !t.Failed(); {
		what, err := changer.Change(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if what == "" {
			continue
		}
		kind, _, _ := strings.Cut(what, " ")
		made[kind]++
		if n++; n%compactEvery == 0 {
			l.compact()
		}
	}
	l.end()
	t.Logf("%v; %d events each to %d watches; %d transfers, %d lists", made, l.last-1, len(l.watches), l.transfers.Load(), l.lists.Load())
	t.Logf("puts without changes: %v; with changes: %v", &l.calm, &l.changing)
}

// mixed is a load of puts, transfers, lists and watches.
type mixed struct {
	*testing.T
	c       *cluster.Cluster
	stop    context.CancelFunc
	running sync.WaitGroup

	phase            atomic.Pointer[latencies]
	calm, changing   latencies
	transfers, lists atomic.Int64
	watches          []*watch
	last             int64
}

// latencies are those of puts.
type latencies struct {
	mu   sync.Mutex
	took []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, d)
}

func (l *latencies) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.took) == 0 {
		return "none"
	}
	slices.Sort(l.took)
	at := func(p int) time.Duration { return l.took[(len(l.took)-1)*p/1000].Round(10 * time.Microsecond) }
	return fmt.Sprintf("%d, p50 %v, p99 %v, p99.9 %v, worst %v", len(l.took), at(500), at(990), at(999), at(1000))
}

func (m *mixed) enough(l *latencies, n int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.took) < n {
		return fmt.Errorf("%d of %d", len(l.took), n)
	}
	return nil
}

// begin fills the accounts and starts everything.
func (m *mixed) begin() {
	client := m.c.Client()
	for i := range accounts {
		if _, err := client.Put(m.Context(), account(i), strconv.Itoa(deposit)); err != nil {
			m.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(m.Context())
	m.stop = cancel
	m.Cleanup(func() { cancel(); m.running.Wait() })
	m.phase.Store(&m.calm)
	for _, f := range m.c.Frontends {
		w := &watch{frontend: f}
		m.watches = append(m.watches, w)
		w.begin(m.T)
		writer, mover, lister := f.Client(), f.Client(), f.Client()
		m.running.Go(func() { m.put(ctx, writer, f.Name()) })
		m.running.Go(func() { m.transfer(ctx, mover) })
		m.running.Go(func() { m.list(ctx, lister) })
	}
}

// end stops the load, and waits until every watch was told of everything.
func (m *mixed) end() {
	m.stop()
	m.running.Wait()
	now, err := m.c.Client().Get(m.Context(), "any")
	if err != nil {
		m.Fatal(err)
	}
	m.last = now.Header.Revision
	for _, w := range m.watches {
		cluster.Await(m, settleBound, "the watch on "+w.frontend.Name()+" was told of everything", func() error {
			if at := w.at.Load(); at < m.last && !m.Failed() {
				return fmt.Errorf("it is at revision %d of %d", at, m.last)
			}
			return nil
		})
		w.end()
		if w.sum != m.watches[0].sum {
			m.Errorf("%s and %s have told of different events", w.frontend.Name(), m.watches[0].frontend.Name())
		}
	}
}

// put writes keys of its own, on several shards in turns.
func (m *mixed) put(ctx context.Context, client *clientv3.Client, name string) {
	for n := 0; ctx.Err() == nil; n++ {
		began := time.Now()
		_, err := client.Put(m.Context(), fmt.Sprintf("log/%d/%s", n%6, name), strconv.Itoa(n))
		if m.failed("put", err) {
			return
		}
		m.phase.Load().add(time.Since(began))
		pause(ctx)
	}
}

// transfer takes one from an account and adds it to another, if neither has changed.
func (m *mixed) transfer(ctx context.Context, client *clientv3.Client) {
	for ctx.Err() == nil {
		from, to := account(rand.IntN(accounts)), account(rand.IntN(accounts))
		if from == to {
			continue
		}
		read, err := client.Txn(m.Context()).Then(clientv3.OpGet(from), clientv3.OpGet(to)).Commit()
		if m.failed("read two accounts", err) {
			return
		}
		a, b := read.Responses[0].GetResponseRange().Kvs[0], read.Responses[1].GetResponseRange().Kvs[0]
		held, errA := strconv.Atoi(string(a.Value))
		other, errB := strconv.Atoi(string(b.Value))
		if errA != nil || errB != nil {
			m.Errorf("%s holds %q, %s %q", from, a.Value, to, b.Value)
			return
		}
		done, err := client.Txn(m.Context()).
			If(clientv3.Compare(clientv3.ModRevision(from), "=", a.ModRevision), clientv3.Compare(clientv3.ModRevision(to), "=", b.ModRevision)).
			Then(clientv3.OpPut(from, strconv.Itoa(held-1)), clientv3.OpPut(to, strconv.Itoa(other+1))).Commit()
		if m.failed("transfer", err) {
			return
		}
		if done.Succeeded {
			m.transfers.Add(1)
		}
		pause(ctx)
	}
}

// list adds up all accounts, now and a little before.
func (m *mixed) list(ctx context.Context, client *clientv3.Client) {
	for ctx.Err() == nil {
		now, err := client.Get(m.Context(), "acct/", clientv3.WithPrefix())
		if m.failed("list", err) || !m.whole(now) {
			return
		}
		past, err := client.Get(m.Context(), "acct/", clientv3.WithPrefix(), clientv3.WithRev(max(now.Header.Revision-rand.Int64N(50), accounts+1)))
		if m.failed("list at a revision", err) || !m.whole(past) {
			return
		}
		m.lists.Add(2)
		pause(ctx)
	}
}

func (m *mixed) whole(all *clientv3.GetResponse) bool {
	sum := 0
	for _, kv := range all.Kvs {
		n, err := strconv.Atoi(string(kv.Value))
		if err != nil {
			m.Errorf("%s holds %q", kv.Key, kv.Value)
		}
		sum += n
	}
	if sum != accounts*deposit || len(all.Kvs) != accounts || all.Count != accounts {
		m.Errorf("%d accounts (count %d) hold %d, want %d with %d", len(all.Kvs), all.Count, sum, accounts, accounts*deposit)
		return false
	}
	return true
}

func (m *mixed) failed(what string, err error) bool {
	if err == nil {
		return false
	}
	if m.Context().Err() == nil {
		m.Errorf("%s: %v", what, err)
	}
	return true
}

// compact drops what is older than anyone asks for.
func (m *mixed) compact() {
	at := m.watches[0].at.Load() - compactLag
	for _, w := range m.watches {
		at = min(at, w.at.Load()-compactLag)
	}
	if at <= accounts+1 {
		return
	}
	if _, err := m.c.Client().Compact(m.Context(), at, clientv3.WithCompactPhysical()); err != nil {
		m.Errorf("compact at %d: %v", at, err)
	}
}
