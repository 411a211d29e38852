//go:build bench

package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	keyBytes = 64
	// loaders is how many clients load a folder.
	loaders = 200
	// noiseSeed makes the values of every run the same.
	noiseSeed = 1
)

// folder is a prefix with so many keys of 64 bytes and values of so many bytes. Its
// name tells both, so that the server that stores nothing can answer for it.
type folder struct {
	prefix      string
	count, size int
	noise       []byte
}

func newFolder(name string, count, size int) folder {
	// Values are windows of one noise, so that no server gains by compressing them.
	noise := make([]byte, 1<<20)
	random := rand.New(rand.NewPCG(noiseSeed, noiseSeed))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	return folder{prefix: fmt.Sprintf("/bench/%s-%dx%d/", name, count, size), count: count, size: size, noise: noise}
}

// key is the n-th key; n may be beyond the count.
func (f folder) key(n int) []byte {
	return fmt.Appendf(make([]byte, 0, keyBytes), "%s%0*d", f.prefix, keyBytes-len(f.prefix), n%f.count)
}

// value is one of many values.
func (f folder) value(n int) []byte {
	const stride = 4099 // a prime, so that the windows repeat late
	at := n * stride % (len(f.noise) - f.size)
	return f.noise[at : at+f.size]
}

// end is the first key after the folder.
func (f folder) end() []byte {
	return []byte(f.prefix[:len(f.prefix)-1] + "0")
}

// load creates every key, as Kubernetes creates its objects, and returns the
// revision that each was created at.
func (f folder) load(ctx context.Context, s *system) ([]int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conns := s.dial(connectionsFew)
	revisions := make([]int64, f.count)
	var workers sync.WaitGroup
	for worker := range min(loaders, f.count) {
		workers.Go(func() {
			for n := worker; n < f.count; n += loaders {
				created, err := conns[worker%len(conns)].kv.Txn(ctx, create(f.key(n), f.value(n)))
				if err == nil && !created.Succeeded {
					err = fmt.Errorf("it exists")
				}
				if err != nil {
					cancel(fmt.Errorf("create key %d: %w", n, err))
					return
				}
				revisions[n] = created.Header.Revision
			}
		})
	}
	workers.Wait()
	return revisions, context.Cause(ctx)
}

// create is the transaction by which Kubernetes creates an object.
func create(key, value []byte) *pb.TxnRequest {
	return &pb.TxnRequest{
		Compare: []*pb.Compare{modRevisionIs(key, 0)},
		Success: []*pb.RequestOp{put(key, value)},
	}
}

// update is the transaction by which Kubernetes updates an object that it has read
// at a revision; if that is not the object's last one, the answer is the object.
func update(key, value []byte, revision int64) *pb.TxnRequest {
	return &pb.TxnRequest{
		Compare: []*pb.Compare{modRevisionIs(key, revision)},
		Success: []*pb.RequestOp{put(key, value)},
		Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}}},
	}
}

func modRevisionIs(key []byte, revision int64) *pb.Compare {
	return &pb.Compare{
		Key: key, Result: pb.Compare_EQUAL, Target: pb.Compare_MOD,
		TargetUnion: &pb.Compare_ModRevision{ModRevision: revision},
	}
}

func put(key, value []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: value}}}
}
