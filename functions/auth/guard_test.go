package auth

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/tierd/tierd/functions/caller"
	"github.com/tierd/tierd/router"
)

// TestEveryCallIsGuarded: a method of router.API that is added is either checked, or
// stands in this list with why it is not.
func TestEveryCallIsGuarded(t *testing.T) {
	t.Parallel()
	unchecked := map[string]string{
		"Events": "the feed's, see feed.Rights", "WaitRevision": "the feed's", "ExpireLeases": "a job's",
		"CurrentRevision": "tells a number that every header has",
		"Members":         "see Cluster", "Status": "see Maintenance", "Alarms": "see Maintenance",
		"RaiseAlarm": "see Maintenance", "DisarmAlarm": "see Maintenance",
		"ChangeAuth": "the store's", "ConfirmAuth": "the store's",
		"SaveToken": "the store's", "UseToken": "the store's",
		"Self": "no call", "ClusterID": "no call", "Term": "no call", "LastRevision": "no call", "LeaderID": "no call",
	}
	api := reflect.TypeFor[router.API]()
	for i := range api.NumMethod() {
		name := api.Method(i).Name
		checked := refusesNobody(t, name)
		if _, listed := unchecked[name]; listed == checked {
			t.Errorf("%s: checked %v, listed as not checked %v", name, checked, listed)
		}
	}
}

// refusesNobody says whether a method of the guarded keyspace refuses a call of nobody
// before it reaches the keyspace, which panics where it is reached.
func refusesNobody(t *testing.T, method string) (refuses bool) {
	t.Helper()
	k, f := enabled(t)
	k.API = nil
	call := reflect.ValueOf(f.guard).MethodByName(method)
	in := make([]reflect.Value, call.Type().NumIn())
	for i := range in {
		in[i] = reflect.New(call.Type().In(i)).Elem()
		switch in[i].Interface().(type) {
		case context.Context:
			in[i] = reflect.ValueOf(t.Context())
		case *pb.RangeRequest, *pb.PutRequest, *pb.DeleteRangeRequest:
			in[i] = reflect.New(in[i].Type().Elem())
		case *pb.TxnRequest:
			in[i] = reflect.ValueOf(&pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("a")}}})
		}
		if call.Type().In(i) == reflect.TypeFor[context.Context]() {
			in[i] = reflect.ValueOf(t.Context())
		}
	}
	defer func() {
		if recover() != nil {
			refuses = false
		}
	}()
	out := call.Call(in)
	if len(out) == 0 {
		return false
	}
	err, _ := out[len(out)-1].Interface().(error)
	return errors.Is(err, rpctypes.ErrGRPCUserEmpty)
}

// calls are what alice tries, by name, and what she gets. She may read and write [a, b).
func calls() map[string]struct {
	do   func(context.Context, router.API) error
	want error
} {
	put := func(key string, lease int64, prev bool) func(context.Context, router.API) error {
		return func(ctx context.Context, api router.API) error {
			return second(api.Put(ctx, &pb.PutRequest{Key: []byte(key), Lease: lease, PrevKv: prev}))
		}
	}
	get := func(key, end string) func(context.Context, router.API) error {
		return func(ctx context.Context, api router.API) error {
			return second(api.Range(ctx, &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(end)}))
		}
	}
	txn := func(r *pb.TxnRequest) func(context.Context, router.API) error {
		return func(ctx context.Context, api router.API) error { return second(api.Txn(ctx, r)) }
	}
	ops := func(key string) []*pb.RequestOp {
		return []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(key)}}}}
	}
	nested := func(r *pb.TxnRequest) []*pb.RequestOp {
		return []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: r}}}
	}
	revoke := func(id int64) func(context.Context, router.API) error {
		return func(ctx context.Context, api router.API) error { return second(api.LeaseRevoke(ctx, id)) }
	}
	keysOf := func(id int64) func(context.Context, router.API) error {
		return func(ctx context.Context, api router.API) error {
			_, _, err := api.LeaseTimeToLive(ctx, id, true)
			return err
		}
	}
	list := func(ctx context.Context, api router.API) error {
		_, _, err := api.Leases(ctx)
		return err
	}
	denied := error(rpctypes.ErrGRPCPermissionDenied)
	return map[string]struct {
		do   func(context.Context, router.API) error
		want error
	}{
		"put": {put("a", 0, false), nil}, "put elsewhere": {put("b", 0, false), denied}, "put and read": {put("a", 0, true), nil},
		"put with a lease": {put("a", 7, false), nil}, "put with another's lease": {put("a", 8, false), denied},
		"put with no such lease": {put("a", 9, false), nil}, // the router says so
		"get":                    {get("a", ""), nil}, "get a range": {get("a", "b"), nil}, "get too much": {get("a", "c"), denied}, "get from": {get("a", "\x00"), denied},
		"compare":           {txn(&pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("b")}}}), denied},
		"compare a range":   {txn(&pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("a"), RangeEnd: []byte{0}}}}), denied},
		"then":              {txn(&pb.TxnRequest{Success: ops("b"), Failure: ops("a")}), denied},
		"else":              {txn(&pb.TxnRequest{Success: ops("a"), Failure: ops("b")}), denied},
		"nested":            {txn(&pb.TxnRequest{Success: nested(&pb.TxnRequest{Failure: nested(&pb.TxnRequest{Success: ops("b")})})}), denied},
		"nested, permitted": {txn(&pb.TxnRequest{Success: nested(&pb.TxnRequest{Failure: ops("a1")}), Failure: ops("a")}), nil},
		"revoke":            {revoke(7), nil}, "revoke another's": {revoke(8), denied}, "revoke none": {revoke(9), nil},
		"keys": {keysOf(7), nil}, "keys of another's": {keysOf(8), denied},
		"list leases": {list, denied},
	}
}

func TestWhatAliceMay(t *testing.T) {
	t.Parallel()
	k, f := enabled(t)
	k.leases[8] = [][]byte{[]byte("a1"), []byte("b1")}
	alice, root := f.login(t, "alice", "a"), f.login(t, "root", "r")
	for name, c := range calls() {
		err := c.do(alice, f.guard)
		if !errors.Is(err, c.want) && !errors.Is(err, router.ErrLeaseNotFound) {
			t.Errorf("%s by alice = %v, want %v", name, err, c.want)
		}
		if err := c.do(root, f.guard); err != nil && !errors.Is(err, router.ErrLeaseNotFound) {
			t.Errorf("%s by root = %v", name, err)
		}
		if err := c.do(t.Context(), f.guard); !errors.Is(err, rpctypes.ErrGRPCUserEmpty) {
			t.Errorf("%s by nobody = %v", name, err)
		}
		if err := c.do(as(t, "aaaaaaaaaaaaaaaa.1"), f.guard); !errors.Is(err, rpctypes.ErrGRPCInvalidAuthToken) {
			t.Errorf("%s with a wrong token = %v", name, err)
		}
	}
}

// TestCommonNames: the user of a certificate, where no token says another.
func TestCommonNames(t *testing.T) {
	t.Parallel()
	_, f := enabled(t)
	with := func(c *caller.Caller) error {
		return second(f.guard.Put(caller.With(t.Context(), c), &pb.PutRequest{Key: []byte("a")}))
	}
	alice := &caller.Caller{CommonName: "alice"}
	if err := with(alice); err != nil || alice.User() != "alice" {
		t.Errorf("by certificate: %v, user %q", err, alice.User())
	}
	if err := with(&caller.Caller{CommonName: "bob"}); !errors.Is(err, rpctypes.ErrGRPCPermissionDenied) {
		t.Errorf("of a user that does not exist: %v", err)
	}
	if err := with(&caller.Caller{CommonName: "alice", Presented: true}); !errors.Is(err, rpctypes.ErrGRPCInvalidAuthToken) {
		t.Errorf("with an empty token: %v", err)
	}
}

// TestChangesWhileCallsAreUnderWay: a call is decided by the auth data that are the
// current ones when it takes effect, whatever this frontend has seen of them.
func TestChangesWhileCallsAreUnderWay(t *testing.T) {
	t.Parallel()
	k, f := enabled(t)
	elsewhere := newFrontend(t, k, nil)
	alice, root := f.login(t, "alice", "a"), f.login(t, "root", "r")
	put := func() error { return second(f.guard.Put(alice, &pb.PutRequest{Key: []byte("a")})) }
	must(t, put())
	k.made()

	k.meanwhile = func() {
		must(t, second(elsewhere.UserRevokeRole(root, &pb.AuthUserRevokeRoleRequest{Name: "alice", Role: "as"})))
	}
	if err := put(); !errors.Is(err, rpctypes.ErrGRPCPermissionDenied) {
		t.Errorf("a put whose right was revoked before it took effect = %v", err)
	}
	if made := k.made(); slices.Contains(made, "put") {
		t.Errorf("it was made: %q", made)
	}
	// f has not heard of this; its refusal would be out of date.
	must(t, second(elsewhere.UserGrantRole(root, &pb.AuthUserGrantRoleRequest{User: "alice", Role: "as"})))
	if err := put(); err != nil {
		t.Errorf("a put whose right was granted through another frontend = %v", err)
	}
	must(t, second(elsewhere.AuthDisable(root, &pb.AuthDisableRequest{})))
	if err := second(f.guard.Put(t.Context(), &pb.PutRequest{Key: []byte("z")})); err != nil {
		t.Errorf("a put of nobody after authentication was switched off elsewhere = %v", err)
	}
	must(t, second(elsewhere.AuthEnable(t.Context(), &pb.AuthEnableRequest{})))
	if err := second(f.guard.Put(t.Context(), &pb.PutRequest{Key: []byte("z")})); !errors.Is(err, rpctypes.ErrGRPCUserEmpty) {
		t.Errorf("a put of nobody after authentication was switched on elsewhere = %v", err)
	}
}

// TestErrorsAreForThoseWhoMay: what an error tells of the keyspace is told to those who
// may know it, by the current auth data.
func TestErrorsAreForThoseWhoMay(t *testing.T) {
	t.Parallel()
	k := newKeyspace()
	f := newFrontend(t, k, nil)
	get := func() error {
		return second(f.guard.Range(t.Context(), &pb.RangeRequest{Key: []byte("a"), Revision: 99}))
	}
	k.told = fmt.Errorf("range: %w", router.ErrFutureRevision)
	if err := get(); !errors.Is(err, router.ErrFutureRevision) {
		t.Fatalf("while authentication is off: %v", err)
	}
	elsewhere := newFrontend(t, k, nil)
	must(t,
		second(elsewhere.UserAdd(t.Context(), &pb.AuthUserAddRequest{Name: "root", Password: "r"})),
		second(elsewhere.UserGrantRole(t.Context(), &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})),
		second(elsewhere.AuthEnable(t.Context(), &pb.AuthEnableRequest{})),
	)
	if err := get(); !errors.Is(err, rpctypes.ErrGRPCUserEmpty) {
		t.Errorf("after it was switched on elsewhere: %v", err)
	}
}

// TestWhatIsDoneIsNotDoneAgain: what may have taken effect, or has been sent in part, is
// not decided a second time, although the auth data have changed meanwhile.
func TestWhatIsDoneIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	k, f := enabled(t)
	elsewhere := newFrontend(t, k, nil)
	root := f.login(t, "root", "r")
	n := 0
	change := func() error {
		n++
		return second(elsewhere.RoleAdd(root, &pb.AuthRoleAddRequest{Name: fmt.Sprint(n)}))
	}
	for name, c := range map[string]struct {
		told error
		call func() error
	}{
		"put": {fmt.Errorf("%w: committed, and then %w", router.ErrOutcomeUnknown, router.ErrCompacted), func() error {
			k.afterwards = func() { must(t, change()) }
			return second(f.guard.Put(root, &pb.PutRequest{Key: []byte("a")}))
		}},
		"pages": {router.ErrCompacted, func() error {
			return f.guard.RangePages(root, &pb.RangeRequest{Key: []byte("a")}, 1, func(*pb.RangeResponse) error { return change() })
		}},
	} {
		k.told, k.afterwards = nil, nil
		must(t, second(f.guard.Put(root, &pb.PutRequest{Key: []byte("a")}))) // f has seen the last change
		k.made()
		k.told = c.told
		if err := c.call(); !errors.Is(err, router.ErrCompacted) {
			t.Errorf("%s: %v, want the error of the keyspace", name, err)
		}
		if made := k.made(); count(made, name) != 1 {
			t.Errorf("%s: made %q", name, made)
		}
	}
}

func count(calls []string, name string) (n int) {
	for _, call := range calls {
		if call == name {
			n++
		}
	}
	return n
}

func TestEndlessChanges(t *testing.T) {
	t.Parallel()
	k, f := enabled(t)
	elsewhere := newFrontend(t, k, nil)
	root := f.login(t, "root", "r")
	n := 0
	var change func()
	change = func() {
		n++
		role := &pb.AuthRoleAddRequest{Name: fmt.Sprint(n)}
		must(t, second(elsewhere.RoleAdd(root, role)))
		k.mu.Lock()
		defer k.mu.Unlock()
		k.meanwhile = change
	}
	k.meanwhile = change
	if err := second(f.guard.Put(root, &pb.PutRequest{Key: []byte("a")})); !errors.Is(err, router.ErrTooManyRequests) {
		t.Errorf("put = %v, want that there are too many requests", err)
	}
	if n != attemptsMax {
		t.Errorf("%d attempts", n)
	}
}

// TestSwitchingTogether: calls of all kinds while authentication is switched on and off;
// for the race detector, and for calls that would get an answer that none of the states gives.
func TestSwitchingTogether(t *testing.T) {
	t.Parallel()
	k, f := enabled(t)
	frontends := []frontend{f, newFrontend(t, k, nil)}
	k.API = nil
	var running sync.WaitGroup
	stop := make(chan struct{})
	for i, front := range frontends {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := second(front.guard.Range(t.Context(), &pb.RangeRequest{Key: []byte("a")}))
				if err != nil && !errors.Is(err, rpctypes.ErrGRPCUserEmpty) && !errors.Is(err, router.ErrTooManyRequests) {
					t.Errorf("frontend %d: %v", i, err)
				}
				if _, _, _, err := front.store.PermitWatch(t.Context(), []byte("a"), nil); err != nil && !errors.Is(err, router.ErrTooManyRequests) {
					t.Errorf("frontend %d: watch: %v", i, err)
				}
			}
		})
	}
	for i := range 50 {
		front := frontends[i%2]
		root := front.login(t, "root", "r")
		must(t, second(front.AuthDisable(root, &pb.AuthDisableRequest{})), second(front.AuthEnable(t.Context(), &pb.AuthEnableRequest{})))
		if err := second(front.guard.Range(root, &pb.RangeRequest{Key: []byte("a")})); !errors.Is(err, rpctypes.ErrGRPCInvalidAuthToken) {
			t.Errorf("a token from before authentication was switched off: %v", err)
		}
	}
	close(stop)
	running.Wait()
}
