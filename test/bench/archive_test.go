//go:build bench

package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/test/cluster"
)

// archiveName selects this part of the benchmarks.
const archiveName = "archive"

const (
	archiveClients = 100
	archiveKeys    = 10_000
	archiveValue   = 512
	// archiveRoundMin is the least length of a round: several blocks, so that the one that is written when it is over
	// does not count. archiveWarm is the load before it, after which blocks are written as all the time.
	archiveRoundMin = 6 * time.Second
	archiveWarm     = 1500 * time.Millisecond
	// archivedBound is how long the archive may take for what is left after a round.
	archivedBound = time.Minute

	// Targets: the part of the throughput that the archive may cost, and how old an acknowledged write may be until it is
	// archived.
	archiveCostMax = 0.05
	archiveRPOMax  = 1.5
)

// archived is a tierd that is under the load of this comparison, with an archive or without.
type archived struct {
	result
	// objects is the folder of the archive, "" if there is none.
	objects string
	conns   []client

	mu sync.Mutex
	// writes are the acknowledged ones of all measured rounds, bytes their keys and values, those of the warm-up too.
	writes []acknowledged
	bytes  int64
	// stored are the segments that were seen, by name.
	stored map[string]segment
}

// acknowledged is a write that was answered.
type acknowledged struct {
	at       time.Time
	revision int64
}

// segment is a stored part of the log.
type segment struct {
	last  int64
	at    time.Time
	bytes int64
}

func startArchived(t *testing.T, name string, with bool) *archived {
	t.Helper()
	a := &archived{stored: make(map[string]segment)}
	tier := "none"
	if with {
		a.objects = filepath.Join(cluster.Folder(t), "objects")
		tier = "file://" + a.objects
	}
	f := cluster.StartFrontend(t, cluster.FrontendOptions{Args: []string{"--quota-backend-bytes", strconv.Itoa(quotaBytes), "--object-tier", tier}})
	s := &system{name: name, address: f.Endpoint()[len("http://"):], tb: t}
	s.processes = []process{{"frontend", f.PID()}, {"Redis", f.LocalRedisPID()}}
	a.system, a.conns = s.awaitAnswer(), s.dial(connections(archiveClients))
	a.load = a.put
	return a
}

// put is the load: values that nobody can compress, over some keys.
func (a *archived) put(ctx context.Context, duration time.Duration) (observation, error) {
	keys := newFolder("archive", archiveKeys, archiveValue)
	random, values := make([]*rand.Rand, archiveClients), make([][]byte, archiveClients)
	writes := make([][]acknowledged, archiveClients)
	for i := range random {
		random[i], values[i] = rand.New(rand.NewPCG(rand.Uint64(), uint64(i))), make([]byte, archiveValue)
	}
	seen, err := loops(ctx, archiveClients, duration, func(ctx context.Context, worker, i int) error {
		value := values[worker]
		for at := 0; at < len(value); at += 8 {
			bits := random[worker].Uint64()
			for j := range 8 {
				value[at+j] = byte(bits >> (8 * j))
			}
		}
		put, err := a.conns[worker%len(a.conns)].kv.Put(ctx, &pb.PutRequest{Key: keys.key(worker*7919 + i), Value: value})
		if err == nil {
			writes[worker] = append(writes[worker], acknowledged{time.Now(), put.Header.Revision})
		}
		return err
	})
	all := slices.Concat(writes...)
	a.writes = append(a.writes, all...)
	a.bytes += int64(len(all)) * (keyBytes + archiveValue)
	return seen, err
}

// round measures one round, from a steady state, and lets the archive come to an end.
func (a *archived) round(ctx context.Context, settings settings) error {
	before := len(a.writes)
	if _, err := a.put(ctx, archiveWarm); err != nil {
		return err
	}
	a.writes = a.writes[:before]
	watching, stop := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { a.watch(watching) })
	err := a.measure(ctx, settings.duration)
	if err == nil {
		err = a.settle()
	}
	stop()
	watcher.Wait()
	return err
}

// settle waits until the archive has everything.
func (a *archived) settle() error {
	if a.objects == "" {
		return nil
	}
	newest := int64(0)
	for _, w := range a.writes {
		newest = max(newest, w.revision)
	}
	return cluster.Poll(archivedBound, func() error {
		if err := a.look(); err != nil {
			return err
		}
		for _, s := range a.stored {
			if s.last >= newest {
				return nil
			}
		}
		return fmt.Errorf("revision %d is not archived", newest)
	})
}

// watchPause is how often the archive is looked at: sooner than segments are merged.
const watchPause = 2 * time.Second

func (a *archived) watch(ctx context.Context) {
	ticker := time.NewTicker(watchPause)
	defer ticker.Stop()
	for a.objects != "" {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = a.look() // settle looks again, and tells
		}
	}
}

// look notes the segments that there are, and when each was put in its place.
func (a *archived) look() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return filepath.WalkDir(a.objects, func(path string, entry fs.DirEntry, err error) error {
		parts := strings.Split(filepath.Base(path), "-")
		const names, lastRevision = 7, 3
		if err != nil || entry.IsDir() || filepath.Base(filepath.Dir(path)) != "log" || len(parts) != names {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // merged
			}
			return err
		}
		if _, known := a.stored[path]; known {
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		last, err := strconv.ParseInt(parts[lastRevision], 10, 64)
		if err != nil {
			return nil // not a segment
		}
		// The inode changes when it gets its name, which is after it was synced.
		changed := info.Sys().(*syscall.Stat_t).Ctim
		a.stored[path] = segment{last: last, at: time.Unix(changed.Sec, changed.Nsec), bytes: info.Size()}
		return nil
	})
}

// ages are how old the writes were when they were archived, in order, in seconds.
func (a *archived) ages() []float64 {
	segments := make([]segment, 0, len(a.stored))
	for _, s := range a.stored {
		segments = append(segments, s)
	}
	slices.SortFunc(segments, func(x, y segment) int { return x.at.Compare(y.at) })
	ages := make([]float64, 0, len(a.writes))
	for _, w := range a.writes {
		stored := math.Inf(1)
		for _, s := range segments {
			if s.last >= w.revision {
				stored = max(s.at.Sub(w.at).Seconds(), 0)
				break
			}
		}
		ages = append(ages, stored)
	}
	slices.Sort(ages)
	return ages
}

// size is what the archive takes: all of it, and what merging and snapshots need beside each change once.
func (a *archived) size() (bytes int64, err error) {
	err = filepath.WalkDir(a.objects, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	return bytes, err
}

// TestArchive measures what the archive costs who writes, how far it is behind, and what it takes.
func TestArchive(t *testing.T) {
	settings := readSettings(t)
	if !settings.only.MatchString(archiveName) || settings.peers {
		return
	}
	settings.duration = max(settings.duration, archiveRoundMin)
	without, with := startArchived(t, "no archive", false), startArchived(t, "archive in a folder", true)
	for i := range settings.rounds {
		order := []*archived{without, with}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, a := range order {
			if err := a.round(t.Context(), settings); err != nil {
				t.Fatalf("%s: %v", a.system.name, err)
			}
		}
	}
	report := &report{out: os.Stdout}
	report.addArchive(t, without, with)
	tables := report.finish([]string{"what", "figure", "target", "measured", "verdict"})
	if !t.Failed() {
		writeDocument(t, sectionArchive, machine(t, settings)+"\n"+tables)
	}
}

// addArchive writes the tables.
func (r *report) addArchive(t *testing.T, without, with *archived) {
	t.Helper()
	head := []string{"put, 100 clients", "per second", "p50", "p99", "server CPU per operation", "of which", "x no archive: per second", "p50", "p99", "CPU"}
	for _, a := range []*archived{without, with} {
		r.disturbed += a.disturbed
		cells := []string{a.system.name, amount(a.median(throughput)), duration(a.median(p50)), duration(a.median(p99)), duration(a.median(cpu)), split(a.result)}
		for _, which := range []figure{throughput, p50, p99, cpu} {
			cells = append(cells, multiple(a.against(without.result, which)))
		}
		for _, round := range a.rounds {
			r.others = append(r.others, round.others)
		}
		r.row(head, cells)
	}
	size, err := with.size()
	if err != nil {
		t.Fatal(err)
	}
	ages := with.ages()
	at := func(part float64) float64 { return ages[int(float64(len(ages)-1)*part)] }
	seconds := func(s float64) string { return fmt.Sprintf("%.2f s", s) }
	r.row([]string{"archive", ""}, []string{"age of an acknowledged write when it was archived, p50", seconds(at(0.5))})
	r.row([]string{"archive", ""}, []string{"p99", seconds(at(0.99))})
	r.row([]string{"archive", ""}, []string{"worst", seconds(at(1))})
	r.row([]string{"archive", ""}, []string{"bytes stored for a byte of keys and values written", multiple(float64(size) / float64(with.bytes))})
	cost := 1 - with.against(without.result, throughput)
	r.bars = append(r.bars, targetRow("put, 100 clients, archive against none", "throughput lost", "<= ", archiveCostMax, cost, cost <= archiveCostMax, func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }),
		targetRow("put, 100 clients", "age when archived, p99", "<= ", archiveRPOMax, at(0.99), at(0.99) <= archiveRPOMax, seconds))
}
