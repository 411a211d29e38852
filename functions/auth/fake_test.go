package auth

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"

	"github.com/tierd/tierd/functions/caller"
	"github.com/tierd/tierd/router"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// keyspace is auth data and leases in memory, behind the router's interface. Calls are
// bound to a version of the auth data as the router's are, and counted by name.
type keyspace struct {
	router.API // what the tests do not call

	mu       sync.Mutex
	data     router.AuthData
	tokens   map[string][]byte
	now      time.Time
	expires  map[string]time.Time
	uses     int
	leases   map[int64][][]byte
	calls    []string
	revision router.Revision
	// meanwhile, if set, runs once before the next call that is bound takes effect.
	meanwhile func()
	// told is what ranges answer, whatever version they are bound to, and puts and pages
	// after they have taken effect.
	told error
	// afterwards, if set, runs when a put has taken effect.
	afterwards func()
	// reading, if set, gets a channel for each reading of the auth data: how it ends.
	reading chan chan error
	// broken is what reading the auth data answers.
	broken error
}

func newKeyspace() *keyspace {
	return &keyspace{
		data:   router.AuthData{Fields: map[string][]byte{}},
		tokens: make(map[string][]byte), expires: make(map[string]time.Time), leases: make(map[int64][][]byte),
		now: time.Unix(1_700_000_000, 0), revision: 4,
	}
}

func (k *keyspace) ClusterID() uint64             { return 1 }
func (k *keyspace) Self() router.Member           { return router.Member{ID: 2} }
func (k *keyspace) Term() uint64                  { return 3 }
func (k *keyspace) LastRevision() router.Revision { return 3 }

// The keyspace is ahead of what this frontend has seen.
func (k *keyspace) CurrentRevision(context.Context) (router.Revision, router.Revision, error) {
	return k.revision, 0, nil
}

func (k *keyspace) clock() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

func (k *keyspace) pass(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = k.now.Add(d)
}

func (k *keyspace) AuthData(context.Context) (router.AuthData, error) {
	if k.reading != nil {
		how := make(chan error)
		k.reading <- how
		if err := <-how; err != nil {
			return router.AuthData{}, err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return router.AuthData{Version: k.data.Version, Fields: maps.Clone(k.data.Fields)}, k.broken
}

func (k *keyspace) ChangeAuth(_ context.Context, from int64, c router.AuthChange) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if from != k.data.Version {
		return router.ErrAuthChanged
	}
	k.data.Version++
	maps.Copy(k.data.Fields, c.Set)
	for _, field := range c.Delete {
		delete(k.data.Fields, field)
	}
	return nil
}

// takes says whether a call takes effect under the version that it is bound to.
func (k *keyspace) takes(ctx context.Context, name string) error {
	k.mu.Lock()
	meanwhile := k.meanwhile
	k.meanwhile = nil
	k.mu.Unlock()
	if meanwhile != nil {
		meanwhile()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if version, bound := router.AuthOf(ctx); bound && version != k.data.Version {
		return router.ErrAuthChanged
	}
	k.calls = append(k.calls, name)
	return nil
}

// made gives the names of the calls that took effect, and forgets them.
func (k *keyspace) made() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	calls := k.calls
	k.calls = nil
	return calls
}

func (k *keyspace) ConfirmAuth(ctx context.Context) (router.Revision, error) {
	return k.revision, k.takes(ctx, "confirm")
}

func (k *keyspace) SaveToken(_ context.Context, id string, value []byte, ttl time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tokens[id], k.expires[id] = value, k.now.Add(ttl)
	return nil
}

func (k *keyspace) UseToken(_ context.Context, id string, ttl time.Duration) ([]byte, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.uses++
	value, found := k.tokens[id]
	if !found || !k.now.Before(k.expires[id]) {
		return nil, false, nil
	}
	k.expires[id] = k.now.Add(ttl)
	return value, true, nil
}

func (k *keyspace) Range(ctx context.Context, _ *pb.RangeRequest) (*pb.RangeResponse, error) {
	if k.told != nil {
		return nil, k.told
	}
	return &pb.RangeResponse{}, k.takes(ctx, "range")
}

// RangePages sends a page, and then fails if told to.
func (k *keyspace) RangePages(ctx context.Context, _ *pb.RangeRequest, _ int, send func(*pb.RangeResponse) error) error {
	if err := k.takes(ctx, "pages"); err != nil {
		return err
	}
	return errors.Join(send(&pb.RangeResponse{}), k.told)
}

func (k *keyspace) Put(ctx context.Context, _ *pb.PutRequest) (*pb.PutResponse, error) {
	err := k.takes(ctx, "put")
	if err == nil && k.afterwards != nil {
		k.afterwards()
	}
	return &pb.PutResponse{}, errors.Join(err, k.told)
}

func (k *keyspace) Txn(ctx context.Context, _ *pb.TxnRequest) (*pb.TxnResponse, error) {
	return &pb.TxnResponse{}, k.takes(ctx, "txn")
}

func (k *keyspace) LeaseRevoke(ctx context.Context, _ int64) (router.Revision, error) {
	return k.revision, k.takes(ctx, "revoke")
}

func (k *keyspace) LeaseTimeToLive(ctx context.Context, id int64, _ bool) (router.Lease, router.Revision, error) {
	if err := k.takes(ctx, "time to live"); err != nil {
		return router.Lease{}, 0, err
	}
	keys, found := k.leases[id]
	if !found {
		return router.Lease{}, k.revision, router.ErrLeaseNotFound
	}
	return router.Lease{ID: id, Keys: keys}, k.revision, nil
}

func (k *keyspace) History(_ context.Context, at router.Revision, _ func(router.Version) error) (router.HistoryInfo, error) {
	return router.HistoryInfo{At: at}, nil
}

func (k *keyspace) Leases(context.Context) ([]router.Lease, router.Revision, error) {
	leases := make([]router.Lease, 0, len(k.leases))
	for id := range k.leases {
		leases = append(leases, router.Lease{ID: id})
	}
	return leases, k.revision, nil
}

// frontend is one frontend of a keyspace.
type frontend struct {
	*Server
	guard router.API
}

func newFrontend(t *testing.T, k *keyspace, change func(*Settings)) frontend {
	t.Helper()
	settings := Settings{Token: "simple", BcryptCost: 4}
	if change != nil {
		change(&settings)
	}
	store, err := NewStore(settings, Components{API: k, Logger: slog.New(slog.DiscardHandler), Now: k.clock})
	if err != nil {
		t.Fatal(err)
	}
	return frontend{Server: New(store), guard: store.Guard(k)}
}

// as gives a context of a call with a token.
func as(t *testing.T, token string) context.Context {
	return caller.With(t.Context(), &caller.Caller{Token: token, Presented: true})
}

// login gives a context of a user's calls.
func (f frontend) login(t *testing.T, name, password string) context.Context {
	t.Helper()
	resp, err := f.Authenticate(t.Context(), &pb.AuthenticateRequest{Name: name, Password: password})
	if err != nil {
		t.Fatalf("authenticate %s: %v", name, err)
	}
	return as(t, resp.Token)
}

// must makes calls that have to succeed.
func must(t testing.TB, errs ...error) {
	t.Helper()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
}

// second is the error of a call whose answer does not matter.
func second[T any](_ T, err error) error { return err }
