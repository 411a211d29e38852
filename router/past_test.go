package router_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/router"
)

// TestEveryRevisionCanBeRead: keys with many versions, deleted and made again,
// some removed together: a list, a page and a count at each revision since the
// compacted one are what a model says, before and after compaction.
func TestEveryRevisionCanBeRead(t *testing.T) {
	t.Parallel()
	_, client := startRedis(t)
	k := open(t, client, 1)
	random := rand.New(rand.NewPCG(7, 7))
	const keys, steps = 12, 600
	state := map[string]string{}
	past := map[router.Revision][]string{1: nil}
	revision := router.Revision(1)
	for step := range steps {
		key := fmt.Sprintf("registry/pods/k%02d", random.IntN(keys)*random.IntN(2)) // half of the writes go to one key
		switch random.IntN(12) {
		case 0:
			resp, err := k.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte(key)})
			if err != nil {
				t.Fatal(err)
			}
			delete(state, key)
			revision = router.Revision(resp.Header.Revision)
		case 1:
			resp, err := k.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte("registry/pods/k08")})
			if err != nil {
				t.Fatal(err)
			}
			for other := range state {
				if other >= key && other < "registry/pods/k08" {
					delete(state, other)
				}
			}
			revision = router.Revision(resp.Header.Revision)
		default:
			state[key] = fmt.Sprint(step)
			revision = put(t, k, key, state[key])
		}
		past[revision] = texts(state)
	}
	check := func(from router.Revision) {
		t.Helper()
		for at := from; at <= revision; at++ {
			checkPast(t, k, at, past[at])
		}
	}
	check(1)
	compacted := revision / 2
	if _, err := k.Compact(t.Context(), compacted, true); err != nil {
		t.Fatal(err)
	}
	check(compacted)
}

func texts(state map[string]string) []string {
	var out []string
	for key, value := range state {
		out = append(out, key+"="+value)
	}
	slices.Sort(out)
	return out
}

func checkPast(t *testing.T, k *router.Keyspace, at router.Revision, want []string) {
	t.Helper()
	for _, limit := range []int64{0, 3} {
		resp, err := k.Range(t.Context(), &pb.RangeRequest{Key: []byte("registry/pods/"), RangeEnd: []byte("registry/pods/l"), Revision: int64(at), Limit: limit})
		if err != nil {
			t.Fatalf("list at revision %d: %v", at, err)
		}
		var got []string
		for _, kv := range resp.Kvs {
			got = append(got, string(kv.Key)+"="+string(kv.Value))
		}
		page := want
		if limit > 0 && int64(len(want)) > limit {
			page = want[:limit]
		}
		if diff := cmp.Diff(page, got); diff != "" || resp.Count != int64(len(want)) {
			t.Fatalf("list at revision %d, limit %d, count %d, want %d (-want +got):\n%s", at, limit, resp.Count, len(want), diff)
		}
	}
	resp, err := k.Range(t.Context(), &pb.RangeRequest{Key: []byte("registry/pods/"), RangeEnd: []byte("registry/pods/l"), Revision: int64(at), CountOnly: true})
	if err != nil || resp.Count != int64(len(want)) {
		t.Fatalf("count at revision %d: %v, %v, want %d", at, resp.GetCount(), err, len(want))
	}
}
