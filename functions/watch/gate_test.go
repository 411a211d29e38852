package watch

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/tierd/tierd/router/feed"
)

// gate lets a caller watch the key "k" alone, until closed, and refuses others each
// with another error; the first question fails.
type gate struct {
	asked  atomic.Int64
	closed atomic.Bool
}

func (g *gate) PermitWatch(_ context.Context, key, end []byte) (holder string, version int64, refused, err error) {
	if g.asked.Add(1) == 1 {
		return "", 0, nil, errors.New("out of reach")
	}
	switch fmt.Sprintf("%s-%q", key, end) {
	case `k-""`:
		return "alice", 1, nil, nil
	case `token-""`:
		return "", 0, rpctypes.ErrGRPCInvalidAuthToken, nil
	case `old-""`:
		return "", 0, rpctypes.ErrGRPCAuthOldRevision, nil
	case `nobody-""`:
		return "", 0, rpctypes.ErrGRPCUserEmpty, nil
	case `user-""`:
		return "", 0, rpctypes.ErrGRPCUserNotFound, nil
	}
	return "", 0, rpctypes.ErrGRPCPermissionDenied, nil
}

func (g *gate) Know(context.Context, int64) error { return nil }

func (g *gate) MayWatch(holder string, key, end []byte) bool {
	return !g.closed.Load() && holder == "alice" && string(key) == "k" && end == nil
}

// Refusals are told within the stream, with etcd's words. The right to a key opens no
// range that begins with it, however the range is written.
func TestWhoMayNotWatch(t *testing.T) {
	g := &gate{}
	r := newRig(t, Settings{Gate: g}, feed.Settings{Rights: g})
	s := r.open(context.Background())
	denied := rpctypes.ErrGRPCPermissionDenied.Error()
	for _, c := range []struct{ key, end, reason string }{
		{"k", "l", denied}, {"k", "\x00", denied}, {"", "", denied}, {"k", "k\x00", denied}, {"k", "k", denied}, {"user", "", denied},
		{"token", "", rpctypes.ErrGRPCInvalidAuthToken.Error()}, {"old", "", rpctypes.ErrGRPCAuthOldRevision.Error()},
		{"nobody", "", rpctypes.ErrGRPCUserEmpty.Error()},
	} {
		s.create(&pb.WatchCreateRequest{Key: []byte(c.key), RangeEnd: []byte(c.end)})
		s.expect("created canceled id=-1 rev=1 " + c.reason)
	}
	s.create(&pb.WatchCreateRequest{Key: []byte("k")})
	s.expect("created id=0 rev=1")
	r.source.Put("k", "1")
	s.expect("id=0 rev=2 k=1/2")
	g.closed.Store(true)
	r.source.ChangeAuth(2)
	r.source.Put("k", "2")
	s.expect("canceled id=0 rev=3 " + denied)
	r.source.Put("k", "3")
	s.progress() // of a stream without watches there is none
	s.create(&pb.WatchCreateRequest{Key: []byte("nobody")})
	s.expect("created canceled id=-1 rev=4 " + rpctypes.ErrGRPCUserEmpty.Error())
}
