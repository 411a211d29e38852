package archivetest

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/router"
)

// Model is a log as it was made, to compare with what is read.
type Model struct {
	Timeline backup.Timeline
	// Start is the revision at which the archive begins, Began the time.
	Start router.Revision
	Began time.Time
	// Before are the changes that made the state at Start.
	Before []backup.Item
	Blocks []backup.Block
}

// maker makes a log.
type maker struct {
	t        *rapid.T
	m        *Model
	revision router.Revision
	now      time.Time
	unit     time.Duration
	state    *State
}

// Began is when models begin.
func Began() time.Time { return time.UnixMilli(1_700_000_000_000) }

// DrawModel makes a log of up to that many blocks, each up to four seconds long.
func DrawModel(t *rapid.T, blocksMax int) *Model {
	return DrawModelAt(t, blocksMax, Began(), time.Millisecond)
}

// DrawModelAt makes a log of up to that many blocks, each up to 4000 units long.
func DrawModelAt(t *rapid.T, blocksMax int, began time.Time, unit time.Duration) *Model {
	m := &Model{Timeline: backup.Timeline{Keyspace: "k", Began: began, Cluster: 0xabc}, Began: began}
	k := &maker{t: t, m: m, revision: 1, now: m.Began, unit: unit, state: NewState()}
	for range rapid.IntRange(0, 3).Draw(t, "revisions before") {
		m.Before = append(m.Before, k.changes()...)
	}
	m.Start = k.revision
	for number := range rapid.IntRange(1, blocksMax).Draw(t, "blocks") {
		m.Blocks = append(m.Blocks, k.block(int64(number+1)))
	}
	return m
}

func (k *maker) block(number int64) backup.Block {
	b := backup.Block{Number: number, First: k.revision + 1, From: k.now}
	b.Items = append(b.Items, k.others()...)
	for range rapid.IntRange(0, 3).Draw(k.t, "revisions") {
		b.Items = append(b.Items, k.changes()...)
		b.Items = append(b.Items, k.others()...)
	}
	k.now = k.now.Add(time.Duration(rapid.IntRange(1, 4000).Draw(k.t, "units")) * k.unit)
	b.Last, b.To = k.revision, k.now
	return b
}

// changes are those of the next revision.
func (k *maker) changes() []backup.Item {
	k.revision++
	var items []backup.Item
	for sub := range rapid.IntRange(1, 3).Draw(k.t, "changes") {
		key := fmt.Sprintf("key-%d-%d", sub, rapid.IntRange(0, 4).Draw(k.t, "key"))
		it := backup.Item{Kind: backup.KindChange, Revision: k.revision}
		it.Version = router.Version{Main: k.revision, Sub: int64(sub), KV: &mvccpb.KeyValue{Key: []byte(key)}}
		old := k.state.Live[key]
		if old != nil && rapid.IntRange(0, 3).Draw(k.t, "delete") == 0 {
			it.Version.Tombstone = true
		} else {
			kv := it.Version.KV
			kv.ModRevision, kv.CreateRevision, kv.Version = int64(k.revision), int64(k.revision), 1
			if old != nil {
				kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
			}
			kv.Lease = rapid.SampledFrom([]int64{0, 0, 7, -2}).Draw(k.t, "lease of the key")
			kv.Value = rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(k.t, "value")
		}
		k.state.Apply(&it)
		items = append(items, it)
	}
	return items
}

// others are things that take no revision.
func (k *maker) others() []backup.Item {
	var items []backup.Item
	for range rapid.IntRange(0, 2).Draw(k.t, "others") {
		it := backup.Item{Revision: k.revision}
		switch rapid.IntRange(0, 6).Draw(k.t, "kind") {
		case 0, 1:
			it.Kind, it.Lease, it.TTLSeconds = backup.KindGrant, rapid.Int64Range(1, 5).Draw(k.t, "lease"), 60
		case 2:
			it.Kind, it.Lease, it.TTLSeconds = backup.KindEnd, rapid.Int64Range(1, 5).Draw(k.t, "lease"), 60
		case 3:
			it.Kind, it.Compacted = backup.KindCompact, router.Revision(rapid.Int64Range(int64(max(k.state.Compacted, 0)), int64(k.revision)).Draw(k.t, "compacted"))
		case 4:
			k.now = k.now.Add(100 * k.unit)
			it.Kind, it.Time = backup.KindMark, k.now
		case 5:
			it.Kind, it.Auth = backup.KindAuth, k.authFields()
		default:
			it.Kind = backup.KindForget
		}
		k.state.Apply(&it)
		items = append(items, it)
	}
	return items
}

func (k *maker) authFields() (fields []router.AuthField) {
	for range rapid.IntRange(1, 3).Draw(k.t, "fields") {
		f := router.AuthField{Name: fmt.Sprint("user:", rapid.IntRange(1, 3).Draw(k.t, "user")), Removed: rapid.Bool().Draw(k.t, "removed")}
		if !f.Removed {
			f.Value = []byte(rapid.String().Draw(k.t, "value"))
		}
		fields = append(fields, f)
	}
	return fields
}

// State is the state of a keyspace.
type State struct {
	Live      map[string]*mvccpb.KeyValue
	Leases    map[int64]int64
	Compacted router.Revision
	Auth      map[string][]byte
}

// NewState is the state in which nothing has happened.
func NewState() *State {
	return &State{Live: make(map[string]*mvccpb.KeyValue), Leases: make(map[int64]int64), Compacted: -1, Auth: make(map[string][]byte)}
}

// Apply makes an item happen.
func (s *State) Apply(it *backup.Item) {
	switch it.Kind {
	case backup.KindChange:
		if it.Version.Tombstone {
			delete(s.Live, string(it.Version.KV.Key))
		} else {
			s.Live[string(it.Version.KV.Key)] = it.Version.KV
		}
	case backup.KindGrant:
		s.Leases[it.Lease] = it.TTLSeconds
	case backup.KindEnd:
		delete(s.Leases, it.Lease)
	case backup.KindCompact:
		s.Compacted = it.Compacted
	case backup.KindForget:
		clear(s.Leases)
		clear(s.Auth)
	case backup.KindAuth:
		for _, f := range it.Auth {
			if delete(s.Auth, f.Name); !f.Removed {
				s.Auth[f.Name] = f.Value
			}
		}
	}
}

// Text is the state in a form to compare.
func (s *State) Text() string {
	var b bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(s.Live)) {
		kv := s.Live[key]
		fmt.Fprintf(&b, "%q=%x create %d mod %d version %d lease %x\n", key, kv.Value, kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease)
	}
	for _, id := range slices.Sorted(maps.Keys(s.Leases)) {
		fmt.Fprintf(&b, "lease %d: %d\n", id, s.Leases[id])
	}
	for _, name := range slices.Sorted(maps.Keys(s.Auth)) {
		fmt.Fprintf(&b, "%s: %x\n", name, s.Auth[name])
	}
	fmt.Fprintf(&b, "compacted %d\n", s.Compacted)
	return b.String()
}

// End is the last revision.
func (m *Model) End() router.Revision { return m.Blocks[len(m.Blocks)-1].Last }

// each yields the items of the blocks up to one, after what was before the archive.
func (m *Model) each(upTo int64, yield func(*backup.Item)) {
	for i := range m.Before {
		yield(&m.Before[i])
	}
	for i := range m.Blocks {
		if m.Blocks[i].Number > upTo {
			return
		}
		for j := range m.Blocks[i].Items {
			yield(&m.Blocks[i].Items[j])
		}
	}
}

// At is the state while a revision was the current one, at its end, if what happened up to
// a block is known (backup.BlockMax: all).
func (m *Model) At(revision router.Revision, upTo int64) *State {
	s := NewState()
	m.each(upTo, func(it *backup.Item) {
		if it.Revision <= revision {
			s.Apply(it)
		}
	})
	return s
}

// RevisionAt is the revision that the keyspace is known to have had at a time.
func (m *Model) RevisionAt(t time.Time) router.Revision {
	found := m.Start
	for _, b := range m.Blocks {
		for _, it := range b.Items {
			if it.Kind == backup.KindMark && !it.Time.After(t) {
				found = it.Revision
			}
		}
		if !b.To.After(t) {
			found = b.Last
		}
	}
	return found
}

// Head is that of a base after a block.
func (m *Model) Head(block int64, chain backup.Chain) backup.BaseHead {
	head := backup.BaseHead{Block: block, Revision: m.Start, Time: m.Began, Chain: chain, Begins: block == 0}
	if block > 0 {
		head.Revision, head.Time = m.Blocks[block-1].Last, m.Blocks[block-1].To
	}
	head.Compacted = m.At(head.Revision, block).Compacted
	return head
}

// Fill brings the items of that base.
func (m *Model) Fill(head backup.BaseHead) func(func(backup.Item) error) error {
	return func(add func(backup.Item) error) error {
		var items []backup.Item
		old := make(map[string]backup.Item)
		m.each(head.Block, func(it *backup.Item) {
			switch {
			case it.Kind != backup.KindChange:
			case it.Revision > head.Compacted:
				items = append(items, *it)
			case it.Version.Tombstone:
				delete(old, string(it.Version.KV.Key))
			default:
				old[string(it.Version.KV.Key)] = *it
			}
		})
		items = append(items, slices.Collect(maps.Values(old))...)
		slices.SortFunc(items, func(a, b backup.Item) int {
			return cmp.Or(cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Version.Sub, b.Version.Sub))
		})
		state := m.At(head.Revision, head.Block)
		leases := state.Leases
		for _, id := range slices.Sorted(maps.Keys(leases)) {
			items = append(items, backup.Item{Kind: backup.KindGrant, Revision: head.Revision, Lease: id, TTLSeconds: leases[id]})
		}
		if len(state.Auth) > 0 {
			it := backup.Item{Kind: backup.KindAuth, Revision: head.Revision}
			for _, name := range slices.Sorted(maps.Keys(state.Auth)) {
				it.Auth = append(it.Auth, router.AuthField{Name: name, Value: state.Auth[name]})
			}
			items = append(items, it)
		}
		for _, it := range items {
			if err := add(it); err != nil {
				return err
			}
		}
		return nil
	}
}
