package lock_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/lock"
	"github.com/tierd/tierd/test/session"
)

// service is a Lock service and what it works on.
type service struct {
	session.Service
	lock v3lockpb.LockClient
}

func serviceOf(s session.Service) service {
	return service{Service: s, lock: v3lockpb.NewLockClient(s.Conn)}
}

// etcds is etcd's own service.
func etcds(t *testing.T) service { return serviceOf(session.Reference(t)) }

// ours is the service under test.
func ours(t *testing.T) service {
	return serviceOf(session.Serve(t, func(server *grpc.Server, client *clientv3.Client, draining <-chan struct{}) {
		v3lockpb.RegisterLockServer(server, lock.New(client, draining))
	}))
}

// transcript is what a fixed series of calls answers.
func transcript(t *testing.T, s service) []string {
	t.Helper()
	var lines []string
	locked := func(what string, r *v3lockpb.LockResponse, err error) {
		lines = append(lines, fmt.Sprintf("%s: %q at %d, %v %q", what, r.GetKey(), r.GetHeader().GetRevision(), status.Code(err), status.Convert(err).Message()))
	}
	unlocked := func(what string, r *v3lockpb.UnlockResponse, err error) {
		lines = append(lines, fmt.Sprintf("%s: at %d, %v %q", what, r.GetHeader().GetRevision(), status.Code(err), status.Convert(err).Message()))
	}
	ctx, name := t.Context(), []byte("name")
	lease := s.Grant(t, 0x123)
	r, err := s.lock.Lock(ctx, &v3lockpb.LockRequest{Name: name, Lease: lease})
	locked("lock", r, err)
	again, err := s.lock.Lock(ctx, &v3lockpb.LockRequest{Name: name, Lease: lease})
	locked("lock again", again, err)
	unknown, err := s.lock.Lock(ctx, &v3lockpb.LockRequest{Name: name, Lease: 0x999})
	locked("lock with an unknown lease", unknown, err)
	for _, what := range []string{"unlock", "unlock again"} {
		u, err := s.lock.Unlock(ctx, &v3lockpb.UnlockRequest{Key: r.GetKey()})
		unlocked(what, u, err)
	}
	u, err := s.lock.Unlock(ctx, &v3lockpb.UnlockRequest{})
	unlocked("unlock nothing", u, err)
	chosen, err := s.lock.Lock(ctx, &v3lockpb.LockRequest{Name: name})
	if !strings.HasPrefix(string(chosen.GetKey()), "name/") {
		t.Errorf("lock without a lease: key %q", chosen.GetKey())
	}
	lines = append(lines, fmt.Sprintf("lock without a lease: at %d, %v", chosen.GetHeader().GetRevision(), err))
	return lines
}

func TestAnswersAsEtcd(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(transcript(t, etcds(t)), transcript(t, ours(t))); diff != "" {
		t.Error(diff)
	}
}

// outcome is what a Lock that had to wait returned.
type outcome struct {
	key string
	err error
}

// queue has one holder and one waiter, whose outcome comes later.
func queue(ctx context.Context, t *testing.T, s service) (holder []byte, waiter string, waited <-chan outcome) {
	t.Helper()
	first, err := s.lock.Lock(t.Context(), &v3lockpb.LockRequest{Name: []byte("name"), Lease: s.Grant(t, 1)})
	if err != nil {
		t.Fatal(err)
	}
	<-s.Queued
	second, done := s.Grant(t, 2), make(chan outcome, 1)
	go func() {
		r, err := s.lock.Lock(ctx, &v3lockpb.LockRequest{Name: []byte("name"), Lease: second})
		done <- outcome{string(r.GetKey()), err}
	}()
	<-s.Queued
	return first.Key, "name/2", done
}

func TestWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	s := ours(t)
	holder, waiter, waited := queue(t.Context(), t, s)
	if _, err := s.lock.Unlock(t.Context(), &v3lockpb.UnlockRequest{Key: holder}); err != nil {
		t.Fatal(err)
	}
	if got := <-waited; got != (outcome{key: waiter}) {
		t.Errorf("after its turn came: %+v", got)
	}
}

// left fails unless the waiter's key goes away.
func left(t *testing.T, s service, key string) {
	t.Helper()
	watch := s.Etcd.Watch(t.Context(), key, clientv3.WithRev(1))
	for r := range watch {
		for _, e := range r.Events {
			if e.Type == clientv3.EventTypeDelete {
				return
			}
		}
	}
	t.Errorf("%s stays in the queue", key)
}

func TestGivingUpLeavesTheQueue(t *testing.T) {
	t.Parallel()
	s := ours(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, waiter, waited := queue(ctx, t, s)
	cancel()
	if got := <-waited; status.Code(got.err) != codes.Canceled {
		t.Errorf("canceled: %v", got.err)
	}
	left(t, s, waiter)
}

func TestDrainEndsTheWait(t *testing.T) {
	t.Parallel()
	s := ours(t)
	_, waiter, waited := queue(t.Context(), t, s)
	s.Drain()
	if got := <-waited; status.Code(got.err) != codes.Unavailable {
		t.Errorf("drained: %v, want Unavailable", got.err)
	}
	left(t, s, waiter)
}
