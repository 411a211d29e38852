package load

import (
	"math/rand/v2"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// leasesMax bounds the leases that clients share.
const leasesMax = 10

// compactLag is how far behind the watches of everything compaction stays, so
// that the whole list of events is known in the end.
const compactLag = 30

// view is what the clients of a run know of the store together, so that what they
// ask for is often near what is there. It may be out of date.
type view struct {
	mu        sync.Mutex // guards what follows
	revision  int64
	compacted int64
	keys      map[string]*mvccpb.KeyValue
	leases    []int64
	// followed are the revisions up to which each watch of everything has come.
	followed map[int]int64
}

func newView() *view {
	return &view{revision: 1, compacted: 0, keys: make(map[string]*mvccpb.KeyValue), followed: make(map[int]int64)}
}

// learn takes in a response.
func (v *view) learn(request, response proto.Message) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if headed, ok := response.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		v.revision = max(v.revision, headed.GetHeader().GetRevision())
	}
	switch r := response.(type) {
	case *pb.RangeResponse:
		v.learnKeys(r.Kvs)
	case *pb.PutResponse:
		put := request.(*pb.PutRequest)
		v.learnKeys([]*mvccpb.KeyValue{{Key: put.Key, Value: put.Value, ModRevision: r.Header.Revision, Version: r.PrevKv.GetVersion() + 1}})
	case *pb.TxnResponse:
		for _, op := range r.Responses {
			v.learnKeys(op.GetResponseRange().GetKvs())
		}
	case *pb.CompactionResponse:
		v.compacted = max(v.compacted, request.(*pb.CompactionRequest).Revision)
	}
}

func (v *view) learnKeys(kvs []*mvccpb.KeyValue) {
	for _, kv := range kvs {
		if old := v.keys[string(kv.Key)]; kv.ModRevision > old.GetModRevision() {
			v.keys[string(kv.Key)] = kv
		}
	}
}

// key is what was last seen at a key; its fields are 0 if nothing was.
func (v *view) key(key []byte) *mvccpb.KeyValue {
	v.mu.Lock()
	defer v.mu.Unlock()
	if kv := v.keys[string(key)]; kv != nil {
		return kv
	}
	return &mvccpb.KeyValue{}
}

// bounds are the newest revision that was seen and the compacted one.
func (v *view) bounds() (revision, compacted int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.revision, v.compacted
}

// share makes a lease known to all clients, in the place of another one if there
// are many.
func (v *view) share(id int64, random *rand.Rand) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.leases) < leasesMax {
		v.leases = append(v.leases, id)
		return
	}
	v.leases[random.IntN(len(v.leases))] = id
}

// lease is one of the shared leases, which may be gone; 0 if there is none.
func (v *view) lease(random *rand.Rand) int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.leases) == 0 {
		return 0
	}
	return v.leases[random.IntN(len(v.leases))]
}

// follow notes how far a watch of everything has come.
func (v *view) follow(watcher int, revision int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.followed[watcher] = revision
}

// compactable is the highest revision to compact at; 0 if there is none.
func (v *view) compactable() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	lowest := v.revision
	for _, revision := range v.followed {
		lowest = min(lowest, revision)
	}
	return max(0, lowest-compactLag)
}
