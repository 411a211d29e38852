package router

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/tierd/tierd/tiers/hot"
)

// Topology implements Topologist.
func (k *Keyspace) Topology(ctx context.Context) (Topology, error) {
	if err := k.reloadMap(ctx); err != nil {
		return Topology{}, err
	}
	now, err := k.latest(ctx)
	if err != nil {
		return Topology{}, err
	}
	m := k.shardMap()
	t := Topology{Revision: now.revision, Epoch: int64(m.now().epoch)}
	for _, id := range slices.Sorted(maps.Keys(m.endpoints)) {
		t.Endpoints = append(t.Endpoints, k.endpointStatus(ctx, m, id))
	}
	places := m.places()
	summaries := make(map[hot.Shard]hot.ShardSummary)
	for _, id := range slices.Sorted(maps.Keys(places)) {
		status := k.shardStatus(ctx, m.now(), id, places[id], summaries)
		t.Shards = append(t.Shards, status)
	}
	for i := range m.now().Ranges {
		t.Ranges = append(t.Ranges, k.rangeStatus(ctx, m.now(), i, summaries))
	}
	if m.move != "" {
		var card moveCard
		if err := json.Unmarshal([]byte(m.move), &card); err != nil {
			return t, fmt.Errorf("%w: decode the move: %w", ErrInternal, err)
		}
		t.Move = &MoveStatus{From: card.From, To: card.To, Shard: int(card.Shard), Endpoint: card.Endpoint, Step: card.Step, Keys: card.Keys, Total: card.Total}
		t.Shards = append(t.Shards, ShardStatus{ID: int(card.Shard), Endpoint: card.Endpoint, Role: RoleCopying, Keys: card.Keys})
	}
	return t, nil
}

func (k *Keyspace) endpointStatus(ctx context.Context, m *shardMap, id int) EndpointStatus {
	card := m.endpoints[id]
	status := EndpointStatus{ID: id, Draining: card.Draining, URL: "(the hot tier's)"}
	if card.URL != "" {
		if endpoint, err := hot.ParseEndpoint(card.URL); err == nil {
			status.URL = endpoint.String()
		}
	}
	used, most, err := k.fleet.Memory(ctx, card.URL)
	if err != nil {
		status.Failure = err.Error()
	}
	status.MemoryBytes, status.MemoryMaxBytes = used, most
	return status
}

func (k *Keyspace) shardStatus(ctx context.Context, m *mapVersion, id hot.Shard, endpoint int, summaries map[hot.Shard]hot.ShardSummary) ShardStatus {
	status := ShardStatus{ID: int(id), Endpoint: endpoint, Role: RoleActive}
	switch {
	case id == hot.HomeShard:
		status.Role = RoleHome
	case !m.owns(id):
		status.Role = RoleHistory
	}
	s, err := k.shard(id)
	if err != nil {
		status.Failure = err.Error()
		return status
	}
	summary, err := s.client.ShardSummary(ctx)
	if err != nil {
		status.Failure = err.Error()
		return status
	}
	summaries[id] = summary
	status.Keys, status.Bytes, status.Tail, status.Stamped = summary.Keys, summary.Bytes, int64(summary.Tail), int64(summary.Stamped)
	status.Ordered, status.Locked = status.Tail, summary.Lock != ""
	if id != hot.HomeShard {
		a, err := k.ask(ctx, hot.Ask{Shard: id, After: s.after()})
		if err != nil {
			status.Failure = err.Error()
			return status
		}
		status.Ordered = int64(a.Ordered)
	}
	return status
}

func (k *Keyspace) rangeStatus(ctx context.Context, m *mapVersion, i int, summaries map[hot.Shard]hot.ShardSummary) RangeStatus {
	r := m.Ranges[i]
	status := RangeStatus{From: r.From, To: m.end(i), Shard: int(r.Shard), Endpoint: m.Places[r.Shard]}
	s, err := k.shard(r.Shard)
	if err != nil {
		return status
	}
	span, err := s.client.SpanSummary(ctx, m.spanOf(i))
	if err != nil {
		return status // its shard's status says so
	}
	status.Keys, status.Middle, status.WrittenMiddle = span.Keys, span.Middle, span.WrittenMiddle
	whole := summaries[r.Shard]
	if whole.Keys > 0 {
		status.Bytes = int64(float64(whole.Bytes) * float64(span.Keys) / float64(whole.Keys))
	}
	if span.Sampled > 0 {
		status.Writes = int64(float64(whole.Tail) * float64(span.Written) / float64(span.Sampled))
	}
	return status
}

// AddEndpoint implements Topologist.
func (k *Keyspace) AddEndpoint(ctx context.Context, url string) (int, error) {
	if _, err := hot.ParseEndpoint(url); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrMap, err)
	}
	if _, _, err := k.fleet.Memory(ctx, url); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	text, err := json.Marshal(endpointCard{URL: url})
	if err != nil {
		return 0, fmt.Errorf("encode an endpoint: %w", err)
	}
	for {
		if err := k.reloadMap(ctx); err != nil {
			return 0, err
		}
		next := 1
		for id, card := range k.shardMap().endpoints {
			if card.URL == url {
				return id, nil
			}
			next = max(next, id+1)
		}
		added, err := k.hot.SetMapText(ctx, endpointText+strconv.Itoa(next), "", string(text))
		if err != nil {
			return 0, translate(err)
		}
		if added {
			return next, k.reloadMap(ctx)
		}
	}
}

// SetDraining implements Topologist.
func (k *Keyspace) SetDraining(ctx context.Context, endpoint int, draining bool) error {
	if err := k.reloadMap(ctx); err != nil {
		return err
	}
	card, ok := k.shardMap().endpoints[endpoint]
	if !ok {
		return fmt.Errorf("%w: there is no endpoint %d", ErrMap, endpoint)
	}
	if endpoint == 0 {
		return fmt.Errorf("%w: endpoint 0 holds the sequencer and cannot be drained; its ranges can be moved", ErrMap)
	}
	before, errBefore := json.Marshal(card)
	card.Draining = draining
	after, errAfter := json.Marshal(card)
	if err := errors.Join(errBefore, errAfter); err != nil {
		return fmt.Errorf("encode an endpoint: %w", err)
	}
	changed, err := k.hot.SetMapText(ctx, endpointText+strconv.Itoa(endpoint), string(before), string(after))
	if err != nil {
		return translate(err)
	}
	if !changed {
		return ErrBusy
	}
	return k.reloadMap(ctx)
}

// RemoveEndpoint implements Topologist. A move begins by saying so beside the map and looks whether its endpoint is still
// there then; and where no move is under way and the epoch is the one that was looked at, no shard has come to it.
func (k *Keyspace) RemoveEndpoint(ctx context.Context, endpoint int) error {
	if err := k.reloadMap(ctx); err != nil {
		return err
	}
	m := k.shardMap()
	card, ok := m.endpoints[endpoint]
	switch {
	case !ok:
		return fmt.Errorf("%w: there is no endpoint %d", ErrMap, endpoint)
	case endpoint == 0:
		return fmt.Errorf("%w: endpoint 0 holds the sequencer and cannot be removed", ErrMap)
	case !card.Draining:
		return fmt.Errorf("%w: endpoint %d is not being drained", ErrMap, endpoint)
	}
	for shard, place := range m.places() {
		if place == endpoint {
			return fmt.Errorf("%w: shard %d is on endpoint %d still", ErrMap, shard, endpoint)
		}
	}
	before, err := json.Marshal(card)
	if err != nil {
		return fmt.Errorf("encode an endpoint: %w", err)
	}
	removed, err := k.hot.RemoveMapText(ctx, endpointText+strconv.Itoa(endpoint), string(before), m.now().epoch)
	if err != nil {
		return translate(err)
	}
	if !removed {
		return ErrBusy
	}
	return k.reloadMap(ctx)
}

// Split implements Topologist.
func (k *Keyspace) Split(ctx context.Context, at []byte) error {
	if len(at) == 0 {
		return fmt.Errorf("%w: nothing lies before the first key", ErrMap)
	}
	return k.remap(ctx, func(next *mapCard) error {
		if !next.cut(at) {
			return fmt.Errorf("%w: there is a boundary at %q already", ErrMap, at)
		}
		return nil
	})
}

// Merge implements Topologist.
func (k *Keyspace) Merge(ctx context.Context, at []byte) error {
	return k.remap(ctx, func(next *mapCard) error {
		i := slices.IndexFunc(next.Ranges, func(r rangeCard) bool { return bytes.Equal(r.From, at) })
		if i < 1 {
			return fmt.Errorf("%w: there is no boundary at %q", ErrMap, at)
		}
		if next.Ranges[i].Shard != next.Ranges[i-1].Shard {
			return fmt.Errorf("%w: the ranges before and after %q are on shards %d and %d: move both to one first", ErrMap, at, next.Ranges[i-1].Shard, next.Ranges[i].Shard)
		}
		next.Ranges = slices.Delete(next.Ranges, i, i+1)
		return nil
	})
}

// remap changes the map in a way that leaves every key on its shard.
func (k *Keyspace) remap(ctx context.Context, change func(*mapCard) error) error {
	return k.replan(ctx, func(*mapVersion) []hot.Shard { return nil }, func(m *mapVersion) (planned, error) {
		next := m.clone()
		return planned{next: &next}, change(&next)
	})
}

// refresh begins the next epoch of a map that says the same, with a change of auth data, if there is one. When
// it has returned, all shards refuse what goes by anything that was so before.
func (k *Keyspace) refresh(ctx context.Context, auth []AuthField) error {
	return k.replan(ctx, (*mapVersion).owners, func(m *mapVersion) (planned, error) {
		next := m.succeeded()
		return planned{next: &next, again: true, auth: auth}, nil
	})
}

// replan changes the map, while the shards that concern names stand still, to what draft makes of it.
func (k *Keyspace) replan(ctx context.Context, concern func(*mapVersion) []hot.Shard, draft func(*mapVersion) (planned, error)) error {
	ctx, cancel := context.WithTimeout(ctx, k.settings.RequestTimeout)
	defer cancel()
	for {
		c, err := k.cross(ctx, concern)
		if err != nil {
			return err
		}
		p, err := draft(c.m)
		if err != nil {
			c.abort(ctx)
			return err
		}
		outcome, _, err := c.plan(ctx, p)
		if errors.Is(err, errBeginAgain) || err == nil && outcome == hot.OutcomeChanged {
			continue
		}
		if err != nil {
			return err
		}
		return k.reloadMap(ctx)
	}
}

// dropHistory lets go of what shards keep only for revisions that cannot be read any
// more: shards that own nothing since, ranges that were given away, and old versions of
// the map. It says whether nothing is left.
func (k *Keyspace) dropHistory(ctx context.Context, limit Revision) (bool, error) {
	m := k.shardMap()
	if len(m.versions) == 1 {
		return true, nil
	}
	// versions[kept] is the oldest one that a readable revision needs.
	kept := len(m.versions) - 1
	for kept > 0 && m.versions[kept].since >= limit {
		kept--
	}
	if kept == 0 {
		return true, nil
	}
	needed := make(map[hot.Shard][]hot.Span)
	for i := kept; i < len(m.versions); i++ {
		for j, r := range m.versions[i].Ranges {
			needed[r.Shard] = append(needed[r.Shard], m.versions[i].spanOf(j))
		}
	}
	for id := range m.places() {
		s, err := k.shard(id)
		if err != nil {
			return false, err
		}
		if _, needs := needed[id]; !needs && id != hot.HomeShard {
			// In this order nobody takes it into service again.
			if err := k.hot.ForgetShard(ctx, id); err != nil {
				return false, translate(err)
			}
			if err := s.client.Destroy(ctx); err != nil {
				return false, translate(err)
			}
			k.logger.Info("a shard is gone: no readable revision needs it", "shard", int(id))
			continue
		}
		for _, gone := range m.givenAway(id, kept) {
			n, err := s.client.Purge(ctx, gone, purgeMax)
			if err != nil {
				return false, translate(err)
			}
			if n == purgeMax {
				return false, nil
			}
		}
	}
	var old []hot.Epoch
	for i := range kept {
		old = append(old, m.versions[i].epoch)
	}
	if err := k.hot.DropEpochs(ctx, old); err != nil {
		return false, translate(err)
	}
	return true, k.reloadMap(ctx)
}

// purgeMax bounds the keys that one call drops.
const purgeMax = 500

// givenAway lists the spans that a shard had before versions[kept] and that no version
// from there on says it has. No range comes back to a shard that gave it away.
func (m *shardMap) givenAway(id hot.Shard, kept int) []hot.Span {
	var gone []hot.Span
	for i := range kept {
		v := &m.versions[i]
		for j, r := range v.Ranges {
			if r.Shard != id {
				continue
			}
			gone = append(gone, m.versions[kept].without(id, r.From, v.end(j))...)
		}
	}
	return gone
}

// without lists the parts of [from, to) that a version says a shard does not have.
func (v *mapVersion) without(id hot.Shard, from, to []byte) []hot.Span {
	var parts []hot.Span
	for i := v.index(from); i < len(v.Ranges); i++ {
		start, end := v.Ranges[i].From, v.end(i)
		if bytes.Compare(start, from) < 0 {
			start = from
		}
		if len(to) > 0 && (len(end) == 0 || bytes.Compare(end, to) > 0) {
			end = to
		}
		if len(to) > 0 && bytes.Compare(start, to) >= 0 {
			break
		}
		if v.Ranges[i].Shard != id {
			parts = append(parts, spanBetween(start, end))
		}
	}
	return parts
}
