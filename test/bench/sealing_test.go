//go:build bench

package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/test/cluster"
)

// sealingName selects this part of the benchmarks.
const sealingName = "sealing"

const (
	sealedKeys, sealedValue = 10_000, 1024
	sealedClients           = 100
)

// sealingLoads are what is compared: each with a cache of records that are plain in memory, and without.
func sealingLoads() []workload {
	f := newFolder("sealing", sealedKeys, sealedValue)
	put := func(ctx context.Context, c client, worker, i int) error {
		n := worker*7919 + i
		_, err := c.kv.Put(ctx, &pb.PutRequest{Key: f.key(n), Value: f.value(n)})
		return err
	}
	read := func(ctx context.Context, c client, worker, i int) error {
		return get(ctx, c, &pb.RangeRequest{Key: f.key(worker*7919 + i)})
	}
	loaded := func(clients int, make call) func(context.Context, *system) (load, error) {
		return func(ctx context.Context, s *system) (load, error) {
			if _, err := f.load(ctx, s); err != nil {
				return nil, err
			}
			return closedLoop(s, clients, make), nil
		}
	}
	return []workload{
		{name: "put of 1 KB, 1 client", prepare: loaded(1, put)},
		{name: "put of 1 KB, 100 clients", prepare: loaded(sealedClients, put)},
		{name: "linearizable get of 1 KB, 1 client", prepare: loaded(1, read)},
		{name: "linearizable get of 1 KB, 100 clients", prepare: loaded(sealedClients, read)},
		{name: "list of 10,000 x 1 KB", prepare: loaded(listers, func(ctx context.Context, c client, _, _ int) error { return list(ctx, c, f, 0) })},
		{name: "compare-and-swap by value, 100 clients", prepare: func(ctx context.Context, s *system) (load, error) {
			if _, err := f.load(ctx, s); err != nil {
				return nil, err
			}
			conns, last := s.dial(connections(sealedClients)), make([][]byte, sealedClients)
			return func(ctx context.Context, d time.Duration) (observation, error) {
				return loops(ctx, sealedClients, d, func(ctx context.Context, worker, i int) error {
					return swap(ctx, conns[worker%len(conns)], f, worker, i, last)
				})
			}, nil
		}},
	}
}

// swap changes a key of the worker's own on the condition that it has the value that it put there.
func swap(ctx context.Context, c client, f folder, worker, i int, last [][]byte) error {
	if last[worker] == nil {
		last[worker] = f.value(worker)
	}
	next := bytes.Clone(f.value(worker + i + 1))
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: f.key(worker), Value: next}}}
	answer, err := c.kv.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{put}, Compare: []*pb.Compare{{
		Key: f.key(worker), Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: last[worker]},
	}}})
	if err != nil {
		return err
	}
	if !answer.Succeeded {
		return fmt.Errorf("key %d has not the value that was put", worker)
	}
	last[worker] = next
	return nil
}

// startSealing starts a tierd with more flags, without an archive, so that nothing but the values is
// encrypted.
func startSealing(name string, args ...string) func(testing.TB) *system {
	return func(tb testing.TB) *system {
		tb.Helper()
		args := append([]string{"--quota-backend-bytes", strconv.Itoa(quotaBytes), "--object-tier", "none",
			"--archive-key-file", filepath.Join(cluster.Folder(tb), "master.key")}, args...)
		f := cluster.StartFrontend(tb, cluster.FrontendOptions{Args: args})
		s := &system{name: name, address: f.Endpoint()[len("http://"):], tb: tb}
		s.processes = []process{{"frontend", f.PID()}, {"Redis", f.LocalRedisPID()}}
		return s.awaitAnswer()
	}
}

// TestSealing measures what it costs to seal values before they reach Redis.
func TestSealing(t *testing.T) {
	settings := readSettings(t)
	if !settings.only.MatchString(sealingName) || settings.peers {
		return
	}
	starters := []starter{
		{"plain", startSealing("plain")}, {"sealed", startSealing("sealed", "--seal-values")},
		{"plain, no cache", startSealing("plain, no cache", "--record-cache-bytes", "0")},
		{"sealed, no cache", startSealing("sealed, no cache", "--seal-values", "--record-cache-bytes", "0")},
	}
	report := &report{out: os.Stdout}
	for _, w := range sealingLoads() {
		t.Run(w.name, func(t *testing.T) { report.addSealing(w, compareSpeed(t, settings, starters, w)) })
	}
	tables := report.finish(nil)
	if !t.Failed() {
		writeDocument(t, sectionSealing, machine(t, settings)+"\n"+tables)
	}
}

// addSealing writes the rows of a workload: each sealed system beside the plain one before it.
func (r *report) addSealing(w workload, results []result) {
	head := []string{"workload", "values", "per second", "p50", "p99", "server CPU per operation", "of which", "x plain: per second", "p50", "p99", "CPU"}
	for i, one := range results {
		r.disturbed += one.disturbed
		for _, round := range one.rounds {
			r.others = append(r.others, round.others)
		}
		base := results[i-i%2]
		cells := []string{w.name, one.system.name, amount(one.median(throughput)), duration(one.median(p50)), duration(one.median(p99)), duration(one.median(cpu)), split(one)}
		for _, which := range []figure{throughput, p50, p99, cpu} {
			cells = append(cells, multiple(one.against(base, which)))
		}
		r.row(head, cells)
	}
}
