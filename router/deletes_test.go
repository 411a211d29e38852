package router_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/router"
)

// deletesMax is the limit of openLimited's keyspaces.
const deletesMax = 10

// openLimited opens a keyspace in which a transaction deletes few keys: on one shard, or
// spread over three, whose ranges begin with "", "b" and "m".
func openLimited(t *testing.T, spreads bool) *router.Keyspace {
	t.Helper()
	server, _ := startRedis(t)
	k := openFleetWith(t, server, router.Settings{MemberID: 1, QuotaBytes: 1 << 30, DeletesMax: deletesMax})
	if spreads {
		spread{server, []*router.Keyspace{k}}.spread(t)
	}
	return k
}

// everywhere runs a test on one shard and on three.
func everywhere(t *testing.T, test func(t *testing.T, k *router.Keyspace)) {
	t.Helper()
	for _, spreads := range []bool{false, true} {
		t.Run(fmt.Sprintf("spread=%v", spreads), func(t *testing.T) {
			t.Parallel()
			test(t, openLimited(t, spreads))
		})
	}
}

// fill puts n keys with each of some prefixes.
func fill(t *testing.T, k *router.Keyspace, n int, lease int64, prefixes ...string) {
	t.Helper()
	for i := range n {
		for _, prefix := range prefixes {
			if _, err := k.Put(t.Context(), &pb.PutRequest{Key: fmt.Appendf(nil, "%s%04d", prefix, i), Lease: lease}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func deletion(from, to string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(from), RangeEnd: []byte(to)}}}
}

// A transaction that would delete more keys than the limit is refused and changes
// nothing; one at the limit is done, wherever the keys lie.
func TestDeletionsAreLimited(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, k *router.Keyspace) {
		fill(t, k, deletesMax+1, 0, "a", "c", "x")
		before, _, err := k.CurrentRevision(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		nested := &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: []*pb.RequestOp{deletion("c", "d")}}}}
		for name, ops := range map[string][]*pb.RequestOp{
			"home":    {deletion("a", "b")},
			"another": {deletion("x", "y")},
			"sum":     {deletion("a0000", "a0006"), deletion("a0006", "b")},
			"across":  {deletion("a0005", "x0002")},
			"nested":  {nested},
		} {
			if _, err := k.Txn(t.Context(), &pb.TxnRequest{Success: ops}); !errors.Is(err, router.ErrTooManyKeys) {
				t.Errorf("%s: %v", name, err)
			}
		}
		after, _, err := k.CurrentRevision(t.Context())
		if err != nil || after != before {
			t.Errorf("revision %d became %d, %v", before, after, err)
		}
		for _, prefix := range []string{"a", "c", "x"} {
			resp, err := k.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte(prefix), RangeEnd: []byte(prefix + "0010")})
			if err != nil || resp.Deleted != deletesMax {
				t.Errorf("%v, %v", resp, err)
			}
		}
	})
}

// A lease with more keys than one transaction may delete goes in several; when the revoke
// is answered, or the lease has expired, nothing of it is left.
func TestLeaseOfManyKeys(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, k *router.Keyspace) {
		lease, _, err := k.LeaseGrant(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		fill(t, k, 2*deletesMax+1, lease.ID, "a", "c", "x")
		before, _, err := k.CurrentRevision(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		revision, err := k.LeaseRevoke(t.Context(), lease.ID)
		if err != nil || revision < before+6 || revision > before+8 {
			t.Errorf("revoked at revision %d, before it was %d: %v", revision, before, err)
		}
		if left := get(t, k, "a", "\x00", 0); left.Count != 0 {
			t.Errorf("%d keys are left", left.Count)
		}
		if _, _, err := k.LeaseTimeToLive(t.Context(), lease.ID, true); !errors.Is(err, router.ErrLeaseNotFound) {
			t.Errorf("the lease: %v", err)
		}
	})
}

// Deletions of many keys that come together are all done, though not in one call.
func TestManyDeletionsAtOnce(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	k := openFleetWith(t, server, router.Settings{MemberID: 1, QuotaBytes: 1 << 30})
	const each, prefixes = 1500, "abcd"
	for _, prefix := range prefixes {
		var ops []*pb.RequestOp
		for i := range each {
			ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: fmt.Appendf(nil, "%c%04d", prefix, i)}}})
		}
		if _, err := k.Txn(t.Context(), &pb.TxnRequest{Success: ops}); err != nil {
			t.Fatal(err)
		}
	}
	var deleting sync.WaitGroup
	for _, prefix := range prefixes {
		deleting.Go(func() {
			resp, err := k.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte(string(prefix)), RangeEnd: []byte(string(prefix + 1))})
			if err != nil || resp.Deleted != each {
				t.Errorf("%v, %v", resp, err)
			}
		})
	}
	deleting.Wait()
	if current, _, err := k.CurrentRevision(t.Context()); err != nil || current != 1+2*router.Revision(len(prefixes)) {
		t.Errorf("the revision is %d, %v", current, err)
	}
}
