package router

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tierd/tierd/tiers/hot"
)

// shardMap says which shard has which keys, at any revision that can be read. It is a
// value: a change makes another one.
type shardMap struct {
	// versions are in order; each holds for the revisions after its since.
	versions  []mapVersion
	endpoints map[int]endpointCard
	// move is the move under way, as its mover wrote it.
	move string
	// auth is the version of the auth data: that of the last epoch, or a later one, whose
	// calls are refused in this epoch.
	auth int64
}

// mapVersion is the map between two changes.
type mapVersion struct {
	epoch hot.Epoch
	since Revision
	mapCard
}

// mapCard is a version of the map as the sequencer keeps it, in JSON.
type mapCard struct {
	// Ranges divide all keys; the first one's From is empty.
	Ranges []rangeCard `json:"ranges"`
	// Places are the endpoints of the shards that own a range.
	Places map[hot.Shard]int `json:"places"`
	// AfterFirst says that the version before is the one of the keyspace's beginning, which is not
	// stored. Where the epoch is the second one, that needs no saying.
	AfterFirst bool `json:"afterFirst,omitempty"`
}

type rangeCard struct {
	From  []byte    `json:"from"`
	Shard hot.Shard `json:"shard"`
}

// endpointCard is an endpoint as the sequencer keeps it, in JSON.
type endpointCard struct {
	URL      string `json:"url"`
	Draining bool   `json:"draining,omitempty"`
}

// Names of the texts beside the map.
const (
	endpointText = "endpoint:"
	moveText     = "move"
)

// readMap makes the map of what the sequencer keeps. A keyspace whose map was never
// changed has one range, on the home shard.
func readMap(versions []hot.MapVersion, texts map[string]string) (*shardMap, error) {
	m := &shardMap{endpoints: map[int]endpointCard{0: {}}, move: texts[moveText]}
	first := mapCard{Ranges: []rangeCard{{}}, Places: map[hot.Shard]int{hot.HomeShard: 0}}
	slices.SortFunc(versions, func(a, b hot.MapVersion) int { return cmp.Compare(a.Epoch, b.Epoch) })
	if len(versions) == 0 || versions[0].Since > 0 && versions[0].Epoch == firstEpoch+1 {
		m.versions = append(m.versions, mapVersion{epoch: firstEpoch, mapCard: first})
	}
	for _, v := range versions {
		next := mapVersion{epoch: v.Epoch, since: v.Since}
		if err := json.Unmarshal(v.Text, &next.mapCard); err != nil {
			return nil, fmt.Errorf("decode the shard map of epoch %d: %w", v.Epoch, err)
		}
		if err := next.check(); err != nil {
			return nil, fmt.Errorf("decode the shard map of epoch %d: %w", v.Epoch, err)
		}
		if next.AfterFirst && len(m.versions) == 0 {
			m.versions = append(m.versions, mapVersion{epoch: firstEpoch, mapCard: first})
		}
		m.versions = append(m.versions, next)
	}
	for name, text := range texts {
		number, found := strings.CutPrefix(name, endpointText)
		if !found {
			continue
		}
		id, err := strconv.Atoi(number)
		var card endpointCard
		if err == nil {
			err = json.Unmarshal([]byte(text), &card)
		}
		if err != nil {
			return nil, fmt.Errorf("decode %s: %w", name, err)
		}
		m.endpoints[id] = card
	}
	return m, nil
}

// check refuses a version that no program has written, by which keys would be looked for where
// they are not.
func (c *mapCard) check() error {
	if len(c.Ranges) == 0 || len(c.Ranges[0].From) != 0 {
		return errors.New("it does not begin with the first key")
	}
	for i, r := range c.Ranges {
		if i > 0 && bytes.Compare(c.Ranges[i-1].From, r.From) >= 0 {
			return fmt.Errorf("the range from %q does not come after the one from %q", r.From, c.Ranges[i-1].From)
		}
		if _, placed := c.Places[r.Shard]; !placed {
			return fmt.Errorf("shard %d has the range from %q and no place", r.Shard, r.From)
		}
	}
	return nil
}

// firstEpoch is that of a map that was never changed.
const firstEpoch hot.Epoch = 1

// now is the newest version.
func (m *shardMap) now() *mapVersion { return &m.versions[len(m.versions)-1] }

// at is the version that holds at a revision; 0 is the current one.
func (m *shardMap) at(r Revision) *mapVersion {
	if r == 0 {
		return m.now()
	}
	for i := len(m.versions) - 1; i > 0; i-- {
		if m.versions[i].since < r {
			return &m.versions[i]
		}
	}
	return &m.versions[0]
}

// places gives the endpoint of every shard that some version knows.
func (m *shardMap) places() map[hot.Shard]int {
	all := make(map[hot.Shard]int)
	for i := range m.versions {
		for shard, endpoint := range m.versions[i].Places {
			all[shard] = endpoint
		}
	}
	return all
}

// alone says that the home shard has everything.
func (v *mapVersion) alone() bool { return len(v.Places) == 1 && v.owns(hot.HomeShard) }

// owns says whether a shard has any range.
func (v *mapVersion) owns(shard hot.Shard) bool {
	return slices.ContainsFunc(v.Ranges, func(r rangeCard) bool { return r.Shard == shard })
}

// index is the range that a key is in.
func (v *mapVersion) index(key []byte) int {
	i, found := slices.BinarySearchFunc(v.Ranges, key, func(r rangeCard, key []byte) int { return bytes.Compare(r.From, key) })
	if found {
		return i
	}
	return i - 1
}

// owner is the shard that has a key.
func (v *mapVersion) owner(key []byte) hot.Shard { return v.Ranges[v.index(key)].Shard }

// end is the first key behind range i; nil for the last one.
func (v *mapVersion) end(i int) []byte {
	if i+1 < len(v.Ranges) {
		return v.Ranges[i+1].From
	}
	return nil
}

// piece is a part of a span that one shard has.
type piece struct {
	span  hot.Span
	shard hot.Shard
}

// split divides a span among the shards that have it, in order of keys. Adjacent
// ranges of one shard are one piece.
func (v *mapVersion) split(s hot.Span) []piece {
	first := v.index(s.First())
	if s.Single() {
		return []piece{{s, v.Ranges[first].Shard}}
	}
	var pieces []piece
	from := s.First()
	for i := first; i < len(v.Ranges); {
		last := i
		for last+1 < len(v.Ranges) && v.Ranges[last+1].Shard == v.Ranges[i].Shard {
			last++
		}
		end := v.end(last)
		if end == nil || !s.Reaches(end) {
			if len(pieces) == 0 {
				return []piece{{s, v.Ranges[i].Shard}}
			}
			return append(pieces, piece{s.After(from), v.Ranges[i].Shard})
		}
		pieces = append(pieces, piece{hot.RangeSpan(from, end), v.Ranges[i].Shard})
		from, i = end, last+1
	}
	return pieces
}

// spanOf is the span of range i.
func (v *mapVersion) spanOf(i int) hot.Span { return spanBetween(v.Ranges[i].From, v.end(i)) }

// spanBetween is the span of a range: a nil or empty end is the end of all keys, and
// the first key that can be is the one byte 0.
func spanBetween(from, to []byte) hot.Span {
	if len(from) == 0 {
		from = []byte{0}
	}
	if len(to) == 0 {
		return hot.FromSpan(from)
	}
	return hot.RangeSpan(from, to)
}

// only is the one shard that has all the spans, if there is one.
func (v *mapVersion) only(spans []hot.Span) (hot.Shard, bool) {
	if v.alone() || len(spans) == 0 {
		return hot.HomeShard, true
	}
	var shard hot.Shard
	for i, s := range spans {
		pieces := v.split(s)
		if len(pieces) != 1 || (i > 0 && pieces[0].shard != shard) {
			return 0, false
		}
		shard = pieces[0].shard
	}
	return shard, true
}

// shardsOf are all shards that have a part of the spans, in order.
func (v *mapVersion) shardsOf(spans []hot.Span) []hot.Shard {
	var shards []hot.Shard
	for _, s := range spans {
		for _, p := range v.split(s) {
			if !slices.Contains(shards, p.shard) {
				shards = append(shards, p.shard)
			}
		}
	}
	slices.Sort(shards)
	return shards
}

// clone is a card that can be changed.
func (c *mapCard) clone() mapCard {
	next := mapCard{Ranges: slices.Clone(c.Ranges), Places: make(map[hot.Shard]int)}
	for shard, endpoint := range c.Places {
		next.Places[shard] = endpoint
	}
	return next
}

// cut makes a boundary at a key, and says whether there was none.
func (c *mapCard) cut(at []byte) bool {
	v := mapVersion{mapCard: *c}
	i := v.index(at)
	if bytes.Equal(c.Ranges[i].From, at) {
		return false
	}
	c.Ranges = slices.Insert(c.Ranges, i+1, rangeCard{From: bytes.Clone(at), Shard: c.Ranges[i].Shard})
	return true
}

// assign gives all keys from one to another (empty: the end) to a shard, as one range,
// and forgets the places of shards that own nothing any more.
func (c *mapCard) assign(from, to []byte, shard hot.Shard, endpoint int) {
	if len(from) > 0 {
		c.cut(from)
	}
	if len(to) > 0 {
		c.cut(to)
	}
	c.Ranges = slices.DeleteFunc(c.Ranges, func(r rangeCard) bool {
		return bytes.Compare(r.From, from) > 0 && (len(to) == 0 || bytes.Compare(r.From, to) < 0)
	})
	v := mapVersion{mapCard: *c}
	c.Ranges[v.index(from)].Shard = shard
	c.Places[shard] = endpoint
	for known := range c.Places {
		if !(&mapVersion{mapCard: *c}).owns(known) && known != hot.HomeShard {
			delete(c.Places, known)
		}
	}
}

func (c *mapCard) encode() []byte {
	text, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("encode a shard map: %v", err)) // it holds bytes and numbers only
	}
	return text
}

// shardMax is the last number that a shard can have.
const shardMax = math.MaxUint16 - 1
