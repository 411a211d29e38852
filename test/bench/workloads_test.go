//go:build bench

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// workload is one kind of load.
type workload struct {
	name string
	bars []bar
	// prepare loads into a fresh system what the load needs.
	prepare func(context.Context, *system) (load, error)
}

// workloads are all there are, in the order of the tables.
func workloads() []workload {
	return []workload{
		puts(1, bar{p50, 1.1}),
		puts(100, bar{throughput, 1.2}, bar{cpu, 0.65}),
		puts(1000, bar{cpu, 0.65}),
		updates(100, bar{cpu, 0.65}),
		updates(1000, bar{cpu, 0.65}),
		gets("linearizable get", 1, false, bar{cpu, 0.75}),
		gets("linearizable get", 100, false, bar{throughput, 1.2}, bar{cpu, 0.75}),
		gets("linearizable get", 1000, false, bar{cpu, 0.75}),
		gets("serializable get", 100, true, bar{throughput, 1.2}, bar{cpu, 0.75}),
		gets("serializable get", 1000, true, bar{cpu, 0.75}),
		lists("list of 10,000 x 1 KB", 0),
		lists("list of 10,000 x 1 KB by pages of 500", 500),
		streams("RangeStream of 100,000 x 512 B"),
		mixed(100),
		fanOut(),
		keepAlives(100),
	}
}

// named is the name of a workload with so many clients.
func named(what string, clients int) string {
	if clients == 1 {
		return what + ", 1 client"
	}
	return fmt.Sprintf("%s, %s clients", what, thousands(clients))
}

// puts is unconditional writes over 10,000 keys.
func puts(clients int, bars ...bar) workload {
	f := newFolder("put", 10_000, 512)
	return workload{name: named("put", clients), bars: bars, prepare: func(_ context.Context, s *system) (load, error) {
		return closedLoop(s, clients, func(ctx context.Context, c client, worker, i int) error {
			n := worker*7919 + i
			_, err := c.kv.Put(ctx, &pb.PutRequest{Key: f.key(n), Value: f.value(n)})
			return err
		}), nil
	}}
}

// updates is Kubernetes' update of an object, each client on an object of its own. The
// client knows the object's revision from its last answer.
func updates(clients int, bars ...bar) workload {
	f := newFolder("update", clients, 512)
	return workload{name: named("compare-and-swap", clients), bars: bars, prepare: func(ctx context.Context, s *system) (load, error) {
		revisions, err := f.load(ctx, s)
		if err != nil {
			return nil, err
		}
		return closedLoop(s, clients, func(ctx context.Context, c client, worker, i int) error {
			answer, err := c.kv.Txn(ctx, update(f.key(worker), f.value(worker+i), revisions[worker]))
			if err != nil {
				return err
			}
			if !answer.Succeeded {
				return fmt.Errorf("revision %d of a key that nobody else writes is not its last", revisions[worker])
			}
			revisions[worker] = answer.Header.Revision
			return nil
		}), nil
	}}
}

// gets is reads of one key out of 10,000.
func gets(what string, clients int, serializable bool, bars ...bar) workload {
	f := newFolder("get", 10_000, 512)
	return workload{name: named(what, clients), bars: bars, prepare: func(ctx context.Context, s *system) (load, error) {
		if _, err := f.load(ctx, s); err != nil {
			return nil, err
		}
		return closedLoop(s, clients, func(ctx context.Context, c client, worker, i int) error {
			return get(ctx, c, &pb.RangeRequest{Key: f.key(worker*7919 + i), Serializable: serializable})
		}), nil
	}}
}

// get reads a key that exists.
func get(ctx context.Context, c client, r *pb.RangeRequest) error {
	answer, err := c.kv.Range(ctx, r)
	if err == nil && len(answer.Kvs) != 1 {
		return fmt.Errorf("get of %s: %d keys", r.Key, len(answer.Kvs))
	}
	return err
}

// mixed is four linearizable gets to one put.
func mixed(clients int) workload {
	f := newFolder("mixed", 10_000, 512)
	return workload{name: named("80% get, 20% put", clients), prepare: func(ctx context.Context, s *system) (load, error) {
		if _, err := f.load(ctx, s); err != nil {
			return nil, err
		}
		return closedLoop(s, clients, func(ctx context.Context, c client, worker, i int) error {
			n := worker*7919 + i
			if (worker+i)%5 > 0 {
				return get(ctx, c, &pb.RangeRequest{Key: f.key(n)})
			}
			_, err := c.kv.Put(ctx, &pb.PutRequest{Key: f.key(n), Value: f.value(n + i)})
			return err
		}), nil
	}}
}

// listers is how many clients list: enough to keep a server busy, few enough that
// their buffers do not decide.
const listers = 2

// lists is reads of a whole folder, in pages of so many keys (0: all at once).
func lists(name string, page int64) workload {
	f := newFolder("list", 10_000, 1024)
	return workload{name: name, bars: []bar{{cpu, 1.0}}, prepare: func(ctx context.Context, s *system) (load, error) {
		if _, err := f.load(ctx, s); err != nil {
			return nil, err
		}
		return closedLoop(s, listers, func(ctx context.Context, c client, _, _ int) error { return list(ctx, c, f, page) }), nil
	}}
}

// list reads a folder as Kubernetes does: every page at the revision of the first.
func list(ctx context.Context, c client, f folder, page int64) error {
	request := &pb.RangeRequest{Key: []byte(f.prefix), RangeEnd: f.end(), Limit: page}
	for read := 0; ; {
		answer, err := c.kv.Range(ctx, request)
		if err != nil {
			return err
		}
		read += len(answer.Kvs)
		if !answer.More {
			if read != f.count {
				return fmt.Errorf("%d of %d keys", read, f.count)
			}
			return nil
		}
		if request.Revision == 0 {
			request.Revision = answer.Header.Revision
		}
		request.Key = append(answer.Kvs[len(answer.Kvs)-1].Key, 0)
	}
}

// streams is reads of a whole folder by RangeStream.
func streams(name string) workload {
	f := newFolder("stream", 100_000, 512)
	return workload{name: name, bars: []bar{{cpu, 1.0}}, prepare: func(ctx context.Context, s *system) (load, error) {
		if _, err := f.load(ctx, s); err != nil {
			return nil, err
		}
		return closedLoop(s, listers, func(ctx context.Context, c client, _, _ int) error { return stream(ctx, c, f) }), nil
	}}
}

func stream(ctx context.Context, c client, f folder) error {
	parts, err := c.kv.RangeStream(ctx, &pb.RangeRequest{Key: []byte(f.prefix), RangeEnd: f.end()})
	if err != nil {
		return err
	}
	for read := 0; ; {
		part, err := parts.Recv()
		if errors.Is(err, io.EOF) {
			if read != f.count {
				return fmt.Errorf("%d of %d keys", read, f.count)
			}
			return nil
		}
		if err != nil {
			return err
		}
		read += len(part.RangeResponse.Kvs)
	}
}
