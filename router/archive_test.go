package router_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/router"
)

const tokenA, tokenB = "00000000000000aa", "00000000000000bb"

func claim(t testing.TB, k *router.Keyspace, token string) router.ArchiveRole {
	t.Helper()
	role, err := k.ClaimArchive(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return role
}

func TestArchiveHasOneWriter(t *testing.T) {
	t.Parallel()
	_, client := startRedis(t)
	k := open(t, client, 1)
	ctx := t.Context()
	first := claim(t, k, tokenA)
	if first.Epoch != 1 || first.Progress.Block != 0 || first.Progress.Revision != 0 || first.Cluster != k.ClusterID() {
		t.Fatalf("the first role is %+v", first)
	}
	if again := claim(t, k, tokenA); again.Epoch != 1 || !again.Began.Equal(first.Began) {
		t.Fatalf("the holder's own claim gave %+v, want %+v", again, first)
	}
	if _, err := k.ClaimArchive(ctx, tokenB); !errors.Is(err, router.ErrFenced) {
		t.Fatalf("a second writer: %v", err)
	}
	progress := router.ArchiveProgress{Block: 7, Revision: 1, Chain: [32]byte{1, 2}, To: time.UnixMilli(5), Journal: 3}
	if err := k.AdvanceArchive(ctx, tokenB, progress, 1); !errors.Is(err, router.ErrFenced) {
		t.Fatalf("someone else advanced: %v", err)
	}
	if err := k.AdvanceArchive(ctx, tokenA, progress, 1); err != nil {
		t.Fatal(err)
	}
	if err := k.ReleaseArchive(ctx, tokenA); err != nil {
		t.Fatal(err)
	}
	next := claim(t, k, tokenB)
	if next.Epoch != 2 || next.Progress != progress || !next.Began.Equal(first.Began) {
		t.Fatalf("the next role is %+v", next)
	}
	if _, err := k.Journal(ctx, tokenA, 0); !errors.Is(err, router.ErrFenced) {
		t.Fatalf("the writer before reads on: %v", err)
	}
	if err := k.KeepArchive(ctx, tokenB); err != nil {
		t.Fatal(err)
	}
	// Who was away while another one had the role, and gave it up, does not have it by that.
	if err := k.ReleaseArchive(ctx, tokenB); err != nil {
		t.Fatal(err)
	}
	if err := k.KeepArchive(ctx, tokenA); !errors.Is(err, router.ErrFenced) {
		t.Fatalf("the writer before last goes on: %v", err)
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 3} {
		t.Run(fmt.Sprint(shards), func(t *testing.T) {
			t.Parallel()
			var k *router.Keyspace
			if shards == 1 {
				_, client := startRedis(t)
				k = open(t, client, 1)
			} else {
				k = openSpread(t, 1).keyspaces[0]
			}
			ctx := t.Context()
			claim(t, k, tokenA)
			for _, lease := range []int64{5, -1} {
				if _, _, err := k.LeaseGrant(ctx, lease, 100); err != nil {
					t.Fatal(err)
				}
			}
			at := put(t, k, "a", "1")
			if _, err := k.Put(ctx, &pb.PutRequest{Key: []byte("z"), Lease: 5}); err != nil {
				t.Fatal(err)
			}
			for _, lease := range []int64{-1, 5} { // one without keys, one whose key goes with it
				if _, err := k.LeaseRevoke(ctx, lease); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := k.Compact(ctx, at, true); err != nil {
				t.Fatal(err)
			}
			var got []string
			page, err := k.Journal(ctx, tokenA, 0)
			if err != nil || page.Lost || page.Revision != at+2 || page.Compacted != at {
				t.Fatalf("the journal: %+v, %v", page, err)
			}
			for i, e := range page.Entries {
				if e.Number != int64(i+1) {
					t.Fatalf("entry %d has number %d", i+1, e.Number)
				}
				if e.Kind != router.JournalMark {
					got = append(got, fmt.Sprintf("%c %d %d %d %d", e.Kind, e.Revision-at, e.Lease, e.TTLSeconds, max(e.Compacted-at, 0)))
				}
			}
			want := fmt.Sprint([]string{"g -1 5 100 0", "g -1 -1 100 0", "e 1 -1 100 0", "e 2 5 100 0", "c 2 0 0 0"})
			if fmt.Sprint(got) != want {
				t.Fatalf("the journal says %v, want %v", got, want)
			}
			last := page.Entries[len(page.Entries)-1].Number
			if err := k.AdvanceArchive(ctx, tokenA, router.ArchiveProgress{Block: 1, Revision: at, Journal: last}, at); err != nil {
				t.Fatal(err)
			}
			if page, err = k.Journal(ctx, tokenA, last); err != nil || page.Lost {
				t.Fatalf("after the archive has it: %+v, %v", page, err)
			}
			if page, err = k.Journal(ctx, tokenA, 0); err != nil || !page.Lost {
				t.Fatalf("entries that were let go of are not said to be lost: %+v, %v", page, err)
			}
		})
	}
}

// What the archive has not got outlives compaction, until it has it.
func TestCompactionWaitsForTheArchive(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 3} {
		t.Run(fmt.Sprint(shards), func(t *testing.T) {
			t.Parallel()
			var k *router.Keyspace
			if shards == 1 {
				_, client := startRedis(t)
				k = open(t, client, 1)
			} else {
				k = openSpread(t, 1).keyspaces[0]
			}
			ctx := t.Context()
			claim(t, k, tokenA)
			from := put(t, k, "a", "0")
			if err := k.AdvanceArchive(ctx, tokenA, router.ArchiveProgress{Block: 1, Revision: from}, from); err != nil {
				t.Fatal(err)
			}
			var last router.Revision
			for i := range 50 {
				last = put(t, k, string("abmz"[i%4]), fmt.Sprint(i))
			}
			if _, err := k.Compact(ctx, last, true); err != nil {
				t.Fatal(err)
			}
			for next := from + 1; next <= last; {
				versions, through, err := k.ArchivedEvents(ctx, next, last, 100)
				if err != nil || len(versions) != int(through-next+1) || versions[0].Main != next {
					t.Fatalf("revisions from %d on: %v, through %d, %v", next, versions, through, err)
				}
				next = through + 1
			}
			if err := k.AdvanceArchive(ctx, tokenA, router.ArchiveProgress{Block: 2, Revision: last}, last); err != nil {
				t.Fatal(err)
			}
			deadline := time.After(10 * time.Second)
			for { // they are dropped in the background
				_, _, err := k.ArchivedEvents(ctx, from+1, last, 100)
				if errors.Is(err, router.ErrCompacted) {
					return
				}
				select {
				case <-deadline:
					t.Fatalf("what the archive has got is still there: %v", err)
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
	}
}

// Writes go before history: where space runs short, what the archive has not got is dropped, and
// reading it says so.
func TestArchiveIsNotWaitedForAtAnyPrice(t *testing.T) {
	t.Parallel()
	_, client := startRedis(t)
	k := openWithQuota(t, client, 1, 400_000)
	ctx := t.Context()
	claim(t, k, tokenA)
	from := put(t, k, "a", "0")
	if err := k.AdvanceArchive(ctx, tokenA, router.ArchiveProgress{Block: 1, Revision: from}, from); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(30 * time.Second)
	for {
		last := put(t, k, "a", string(make([]byte, 10_000)))
		if _, err := k.Compact(ctx, last, false); err != nil {
			t.Fatal(err)
		}
		if last > from+200 { // five times the quota was written, and never refused
			break
		}
		select {
		case <-deadline:
			t.Fatal("the keyspace was not emptied in time")
		default:
		}
		if status, err := k.Status(ctx); err != nil || status.SizeInUseBytes > 350_000 {
			waitSmaller(t, k, 350_000)
		}
	}
	if _, _, err := k.ArchivedEvents(ctx, from+1, from+2, 100); !errors.Is(err, router.ErrCompacted) {
		t.Fatalf("history that was dropped is read as %v, want ErrCompacted", err)
	}
}

func waitSmaller(t testing.TB, k *router.Keyspace, bytes int64) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		status, err := k.Status(t.Context())
		if err == nil && status.SizeInUseBytes <= bytes {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("the keyspace stays at %d bytes (%v)", status.SizeInUseBytes, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// The same where Redis has less memory than the quota.
func TestArchiveIsNotWaitedForOutOfMemory(t *testing.T) {
	t.Parallel()
	_, client := startRedis(t)
	k := open(t, client, 1)
	ctx := t.Context()
	claim(t, k, tokenA)
	from := put(t, k, "a", "0")
	if err := k.AdvanceArchive(ctx, tokenA, router.ArchiveProgress{Block: 1, Revision: from}, from); err != nil {
		t.Fatal(err)
	}
	used, _, err := fleetOn(t, client).Memory(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	most := used * 2
	if err := client.ConfigSet(ctx, "maxmemory", fmt.Sprint(most)).Err(); err != nil {
		t.Fatal(err)
	}
	for range 3 * used / 10_000 { // three times what there is room for
		last := put(t, k, "a", string(make([]byte, 10_000)))
		if _, err := k.Compact(ctx, last, false); err != nil {
			t.Fatal(err)
		}
		deadline := time.After(20 * time.Second)
		for {
			now, _, err := fleetOn(t, client).Memory(ctx, "")
			if err == nil && now < most*9/10 {
				break
			}
			select {
			case <-deadline:
				t.Fatalf("Redis stays at %d of %d bytes (%v)", now, most, err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}
