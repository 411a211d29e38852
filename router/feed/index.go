package feed

import (
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/pkg/v3/adt"
)

// view is what a watcher sees of the events: a key or a range, and which parts.
type view struct {
	// key and end are [key, end); end "" is above all keys. single means key only.
	key, end        string
	single          bool
	prevKV          bool
	noPut, noDelete bool
}

// covers tells whether an event belongs to the view.
func (v *view) covers(ev *mvccpb.Event) bool {
	if v.filters(ev) {
		return false
	}
	if v.single {
		return string(ev.Kv.Key) == v.key
	}
	return string(ev.Kv.Key) >= v.key && (v.end == "" || string(ev.Kv.Key) < v.end)
}

// filters tells whether the view leaves out events of this type.
func (v *view) filters(ev *mvccpb.Event) bool {
	if ev.Type == mvccpb.Event_DELETE {
		return v.noDelete
	}
	return v.noPut
}

// group is all watchers with one view. What a page holds for a group is put
// together once and shared by its watchers.
type group struct {
	view
	// live are the live watchers, each knowing its place; members counts all.
	live    []*Watcher
	members int

	// matched is what the pass numbered pass found, bytes its size.
	pass    uint64
	matched []*mvccpb.Event
	bytes   int
}

func (g *group) addLive(w *Watcher) {
	w.place = len(g.live)
	g.live = append(g.live, w)
}

func (g *group) removeLive(w *Watcher) {
	last := len(g.live) - 1
	g.live[w.place] = g.live[last]
	g.live[w.place].place = w.place
	g.live[last] = nil
	g.live = g.live[:last]
}

// span is the groups of one interval.
type span struct{ groups []*group }

// index finds the groups that an event concerns without looking at all.
type index struct {
	groups map[view]*group
	points map[string][]*group
	ranges adt.IntervalTree
	// wantPrev counts the members, live or not, that want previous values.
	wantPrev int
	pass     uint64
}

func newIndex() *index {
	return &index{
		groups: make(map[view]*group),
		points: make(map[string][]*group),
		ranges: adt.NewIntervalTree(),
	}
}

// join adds a member to the group of v.
func (x *index) join(v view) *group {
	g := x.groups[v]
	if g == nil {
		g = &group{view: v}
		x.groups[v] = g
		x.insert(g)
	}
	g.members++
	if v.prevKV {
		x.wantPrev++
	}
	return g
}

func (x *index) insert(g *group) {
	if g.single {
		x.points[g.key] = append(x.points[g.key], g)
		return
	}
	interval := adt.NewStringAffineInterval(g.key, g.end)
	if found := x.ranges.Find(interval); found != nil {
		s := found.Val.(*span)
		s.groups = append(s.groups, g)
		return
	}
	x.ranges.Insert(interval, &span{groups: []*group{g}})
}

// leave removes a member; the last one takes the group along.
func (x *index) leave(g *group) {
	if g.prevKV {
		x.wantPrev--
	}
	if g.members--; g.members > 0 {
		return
	}
	delete(x.groups, g.view)
	if g.single {
		if x.points[g.key] = without(x.points[g.key], g); len(x.points[g.key]) == 0 {
			delete(x.points, g.key)
		}
		return
	}
	interval := adt.NewStringAffineInterval(g.key, g.end)
	s := x.ranges.Find(interval).Val.(*span)
	if s.groups = without(s.groups, g); len(s.groups) == 0 {
		x.ranges.Delete(interval)
	}
}

func without(groups []*group, g *group) []*group {
	return slices.DeleteFunc(groups, func(other *group) bool { return other == g })
}

// pass is one run over the events of a page.
type pass struct {
	number  uint64
	events  []*mvccpb.Event
	bare    []*mvccpb.Event
	touched []*group
}

func (x *index) begin(events []*mvccpb.Event) *pass {
	x.pass++
	return &pass{number: x.pass, events: events}
}

// match gathers the events for all groups that wanted tells; what it found is in
// the touched groups until the next pass.
func (x *index) match(events []*mvccpb.Event, wanted func(*group) bool) *pass {
	p := x.begin(events)
	position := 0
	offer := func(groups []*group) {
		for _, g := range groups {
			if wanted(g) && !g.filters(events[position]) {
				p.add(g, position)
			}
		}
	}
	visit := func(n *adt.IntervalValue) bool {
		offer(n.Val.(*span).groups)
		return true
	}
	for i, ev := range events {
		position = i
		offer(x.points[string(ev.Kv.Key)])
		if x.ranges.Len() > 0 {
			x.ranges.Visit(adt.NewStringAffinePoint(string(ev.Kv.Key)), visit)
		}
	}
	return p
}

// scan gathers the events for one group by looking at each of them: cheaper than
// match when few groups are concerned.
func (p *pass) scan(g *group) {
	if g.pass == p.number {
		return
	}
	p.touch(g)
	for i, ev := range p.events {
		if g.covers(ev) {
			p.add(g, i)
		}
	}
}

func (p *pass) touch(g *group) {
	if g.pass != p.number {
		g.pass, g.matched, g.bytes = p.number, nil, 0
		p.touched = append(p.touched, g)
	}
}

// add gives event i to g.
func (p *pass) add(g *group, i int) {
	p.touch(g)
	ev := p.events[i]
	if !g.prevKV && ev.PrevKv != nil {
		ev = p.withoutPrev(i)
	}
	g.matched = append(g.matched, ev)
	g.bytes += eventBytes(ev)
}

// withoutPrev is event i without the previous value, made once for all groups.
func (p *pass) withoutPrev(i int) *mvccpb.Event {
	if p.bare == nil {
		p.bare = make([]*mvccpb.Event, len(p.events))
	}
	if p.bare[i] == nil {
		p.bare[i] = &mvccpb.Event{Type: p.events[i].Type, Kv: p.events[i].Kv}
	}
	return p.bare[i]
}

// found is what the pass holds for g.
func (p *pass) found(g *group) ([]*mvccpb.Event, int) {
	if g.pass != p.number {
		return nil, 0
	}
	return g.matched, g.bytes
}

// release lets go of the events, which else would live until the next pass.
func (p *pass) release() {
	for _, g := range p.touched {
		g.matched = nil
	}
}

// eventOverheadBytes is about what an event costs beside its keys and values.
const eventOverheadBytes = 128

// eventBytes is about what an event takes in memory.
func eventBytes(ev *mvccpb.Event) int {
	n := eventOverheadBytes + len(ev.Kv.Key) + len(ev.Kv.Value)
	if ev.PrevKv != nil {
		n += eventOverheadBytes + len(ev.PrevKv.Key) + len(ev.PrevKv.Value)
	}
	return n
}
