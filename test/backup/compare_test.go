package backup

import (
	"bytes"
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/object"
)

const (
	// markPause is how often the keyspace notes what revision it has; a time is exact to that, and to how
	// late the frontends of a busy machine are.
	markPause = 2 * time.Second
	lateMax   = 8 * time.Second
)

// comparison compares what an archive says with what was recorded.
type comparison struct {
	*testing.T
	*record
	archive *backup.Archive
	catalog *backup.Catalog
	etcd    *replay
	// last is the last revision.
	last int64
	// stalest is how long before a time the moment was that was found for it, at most.
	stalest time.Duration
}

// found is what was read of the archive at a revision.
type found struct {
	plan     backup.Plan
	end      backup.End
	live     map[string]*mvccpb.KeyValue
	versions []router.Version
}

// targets chooses revisions and times.
func (c *comparison) targets(random *rand.Rand, n int) []backup.Target {
	first := c.catalog.Bases[0]
	all := []backup.Target{{Revision: first.Revision}, {Revision: router.Revision(c.last)}, {}}
	for range n {
		all = append(all, backup.Target{Revision: first.Revision + router.Revision(random.Int64N(c.last-int64(first.Revision)+1))})
	}
	_, _, end := c.catalog.End()
	for range n {
		all = append(all, backup.Target{Time: first.Time.Add(time.Duration(random.Int64N(int64(end.Sub(first.Time)))))})
	}
	return all
}

// compare compares all targets, and restores some.
func (c *comparison) compare(random *rand.Rand, n, restores int) {
	c.Helper()
	type planned struct {
		target backup.Target
		plan   backup.Plan
	}
	var all []planned
	for _, target := range c.targets(random, n) {
		plan, err := c.archive.Plan(c.Context(), c.catalog, target)
		if errors.Is(err, object.ErrNotFound) { // a segment was merged since it was listed
			c.catalog = catalog(c.T, c.archive)
			plan, err = c.archive.Plan(c.Context(), c.catalog, target)
		}
		if err != nil {
			c.Fatalf("plan %+v: %v", target, err)
		}
		c.moment(target, plan)
		all = append(all, planned{target, plan})
	}
	// etcd hashes what it has not compacted: it goes along.
	slices.SortStableFunc(all, func(a, b planned) int { return cmp.Compare(a.plan.Revision, b.plan.Revision) })
	every := max(1, len(all)/max(restores, 1))
	for i, p := range all {
		f := c.read(p.plan)
		c.same(f)
		hash, known := c.etcd.hash(c.T, int64(p.plan.Revision), int64(f.end.Compacted))
		if recorded := c.recorded(f.plan.Revision, f.end.Compacted).hash(c.T); !known {
			hash = recorded
		} else if recorded != hash {
			c.Errorf("the hash of what was recorded at revision %d (compacted %d) is %08x, etcd's %08x", p.plan.Revision, f.end.Compacted, recorded, hash)
		}
		if got := f.hash(c.T); got != hash {
			c.Errorf("the archive's hash at revision %d (compacted %d) is %08x, etcd's %08x", p.plan.Revision, f.end.Compacted, got, hash)
		}
		if restores > 0 && i%every == every-1 {
			c.restore(p.target, f, hash)
		}
		if c.Failed() {
			c.Fatalf("target %+v, plan %+v", p.target, p.plan)
		}
	}
	c.Logf("%d revisions and %d times compared, %d of them restored; a time was off by %v at most", n, n, min(restores, len(all)), c.stalest)
}

// moment checks that a plan for a time has what was acknowledged well before, and nothing that began later.
func (c *comparison) moment(target backup.Target, plan backup.Plan) {
	c.Helper()
	if target.Time.IsZero() {
		if target.Revision != 0 && plan.Revision != target.Revision || target.Revision == 0 && int64(plan.Revision) != c.last {
			c.Errorf("the plan for %+v gives revision %d", target, plan.Revision)
		}
		return
	}
	for _, w := range c.writes {
		if w.began.After(target.Time) && w.revision <= int64(plan.Revision) {
			c.Errorf("the plan for %v has revision %d, and a write that began %v later had revision %d", target.Time, plan.Revision, w.began.Sub(target.Time), w.revision)
		}
		if w.ended.Before(target.Time) && w.revision > int64(plan.Revision) {
			c.stalest = max(c.stalest, target.Time.Sub(w.ended))
		}
	}
	if c.stalest > markPause+lateMax {
		c.Errorf("the plan for %v has revision %d, and not what was acknowledged %v before", target.Time, plan.Revision, c.stalest)
	}
}

// read reads the archive as a plan says.
func (c *comparison) read(plan backup.Plan) *found {
	c.Helper()
	f := &found{plan: plan, live: make(map[string]*mvccpb.KeyValue)}
	var err error
	f.end, err = c.archive.Read(c.Context(), plan, func(it backup.Item) error {
		if it.Kind != backup.KindChange {
			return nil
		}
		v := it.Version
		v.KV = proto.CloneOf(v.KV)
		f.versions = append(f.versions, v)
		if v.Tombstone {
			delete(f.live, string(v.KV.Key))
		} else {
			f.live[string(v.KV.Key)] = v.KV
		}
		return nil
	})
	if err != nil {
		c.Fatalf("read revision %d: %v", plan.Revision, err)
	}
	return f
}

// recorded is what is to be found at a revision, by what the watcher was told.
func (c *comparison) recorded(at, compacted router.Revision) *found {
	f := &found{end: backup.End{Compacted: compacted}, live: make(map[string]*mvccpb.KeyValue)}
	sub := int64(0)
	for _, e := range c.events {
		v := router.Version{Main: router.Revision(e.Kv.ModRevision), KV: e.Kv, Tombstone: e.Type == clientv3.EventTypeDelete}
		if v.Main > at {
			break
		}
		if sub++; len(f.versions) == 0 || f.versions[len(f.versions)-1].Main != v.Main {
			sub = 0
		}
		v.Sub = sub
		if delete(f.live, string(e.Kv.Key)); v.Tombstone {
			v.KV = &mvccpb.KeyValue{Key: e.Kv.Key}
		} else {
			f.live[string(e.Kv.Key)] = v.KV
		}
		f.versions = append(f.versions, v)
	}
	return f
}

// hash is etcd's HashKV of what was found.
func (f *found) hash(t *testing.T) uint32 {
	t.Helper()
	hasher, alive := etcdfile.NewHasher(), f.live
	if len(alive) == 0 {
		alive = make(map[string]*mvccpb.KeyValue)
		for _, v := range f.versions {
			if v.Main <= f.end.Compacted && v.Tombstone {
				delete(alive, string(v.KV.Key))
			} else if v.Main <= f.end.Compacted {
				alive[string(v.KV.Key)] = v.KV
			}
		}
	}
	for _, v := range f.versions {
		if v.Main <= f.end.Compacted && (v.Tombstone || alive[string(v.KV.Key)] != v.KV) {
			continue
		}
		if err := hasher.Write(v); err != nil {
			t.Fatal(err)
		}
	}
	return hasher.Sum()
}

// same checks the state that was read.
func (c *comparison) same(f *found) {
	c.Helper()
	at := int64(f.plan.Revision)
	want := c.state(c.T, at)
	for key, kv := range want {
		if got := f.live[key]; !proto.Equal(kv, got) {
			c.Errorf("at revision %d %s is %v, want %v", at, key, short(got), short(kv))
		}
	}
	for key := range f.live {
		if want[key] == nil {
			c.Errorf("at revision %d there is %s, which was deleted", at, key)
		}
	}
	c.sameVersions(f)
	c.sameLeases(at, f.end.Leases)
	c.sameCompaction(at, int64(f.end.Compacted))
}

// short is a version without most of its value.
func short(kv *mvccpb.KeyValue) *mvccpb.KeyValue {
	if kv == nil {
		return nil
	}
	kv = proto.CloneOf(kv)
	kv.Value = kv.Value[:min(len(kv.Value), 40)]
	return kv
}

// sameVersions checks that all changes above the compacted revision are there, in order.
func (c *comparison) sameVersions(f *found) {
	c.Helper()
	from := int64(f.end.Compacted)
	all := f.versions
	for len(all) > 0 && int64(all[0].Main) <= from {
		all = all[1:]
	}
	sub, before := int64(0), int64(0)
	for _, e := range c.events {
		if e.Kv.ModRevision <= from {
			continue
		}
		if e.Kv.ModRevision > int64(f.plan.Revision) {
			break
		}
		if sub++; e.Kv.ModRevision != before {
			sub, before = 0, e.Kv.ModRevision
		}
		if len(all) == 0 {
			c.Errorf("the version of revision %d is not there", e.Kv.ModRevision)
			return
		}
		v := all[0]
		all = all[1:]
		if int64(v.Main) != e.Kv.ModRevision || v.Sub != sub || v.Tombstone != (e.Type == clientv3.EventTypeDelete) ||
			!bytes.Equal(v.KV.Key, e.Kv.Key) || !bytes.Equal(v.KV.Value, e.Kv.Value) {
			c.Errorf("there is the version %d.%d of %s in the place of %d.%d of %s", v.Main, v.Sub, v.KV.Key, e.Kv.ModRevision, sub, e.Kv.Key)
			return
		}
	}
	if len(all) > 0 {
		c.Errorf("there is a version of revision %d that nobody made", all[0].Main)
	}
}

// sameLeases checks the leases that there were while a revision was the current one, at its end.
func (c *comparison) sameLeases(at int64, leases []router.Lease) {
	c.Helper()
	there := make(map[int64]bool, len(leases))
	for _, l := range leases {
		there[l.ID] = true
		switch known := c.leases[l.ID]; {
		case known == nil:
			c.Errorf("at revision %d there is the lease %x that nobody has granted", at, l.ID)
		case known.ttl != l.GrantedTTL:
			c.Errorf("the lease %x has a time to live of %d, want %d", l.ID, l.GrantedTTL, known.ttl)
		case known.before > at:
			c.Errorf("at revision %d there is the lease %x that was granted at %d", at, l.ID, known.before)
		case known.endingAfter != 0 && known.endingAfter <= at:
			c.Errorf("at revision %d there is the lease %x that was revoked at %d", at, l.ID, known.endingAfter)
		}
	}
	for id, known := range c.leases {
		granted := known.after != 0 && known.after <= at
		ending := known.short || known.ending && known.endingBefore <= at
		if granted && !ending && !there[id] {
			c.Errorf("at revision %d the lease %x, granted at %d, is not there", at, id, known.after)
		}
	}
}

// sameCompaction checks the compacted revision that there was at the end of a revision.
func (c *comparison) sameCompaction(at, compacted int64) {
	c.Helper()
	least, known := int64(-1), compacted == -1
	for _, asked := range c.compactions {
		if asked.after != 0 && asked.after <= at {
			least = max(least, asked.revision)
		}
		if asked.revision == compacted && asked.before <= at {
			known = true
		}
	}
	if compacted < least || !known {
		c.Errorf("at revision %d the compacted revision is %d, want %d at least, and one that was asked for", at, compacted, least)
	}
}
