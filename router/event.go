package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/tiers/hot"
)

// Events implements API.
func (k *Keyspace) Events(ctx context.Context, from Revision, maxBytes int, prevKV bool) (EventPage, error) {
	page, err := k.events(ctx, hot.EventsQuery{From: from, BytesMax: maxBytes, Replaced: prevKV})
	if err != nil {
		return EventPage{}, err
	}
	out := EventPage{Events: make([]*mvccpb.Event, len(page.Events)), Through: page.Through, Current: page.Revision, Compacted: page.Compacted,
		Auth: k.shardMap().auth} // the page was read in this map's epoch, or an earlier one
	for i := range page.Events {
		out.Events[i] = event(&page.Events[i])
	}
	return out, nil
}

// events reads a run of revisions from all shards that have any of them.
func (k *Keyspace) events(ctx context.Context, q hot.EventsQuery) (hot.EventsPage, error) {
	for {
		page, err := k.eventsOnce(ctx, q)
		if !errors.Is(err, errStaleMap) {
			return page, err
		}
		if err := k.reloadMap(ctx); err != nil {
			return page, err
		}
	}
}

func (k *Keyspace) eventsOnce(ctx context.Context, q hot.EventsQuery) (hot.EventsPage, error) {
	if m := k.shardMap(); len(m.versions) == 1 && m.now().alone() {
		page, err := k.hot.Events(ctx, q)
		if err != nil {
			return page, translate(err)
		}
		// The map may have changed before the page was read; heartbeats would tell too late.
		if now := k.shardMap(); page.Epoch == m.now().epoch && now == m {
			return page, nil
		}
	}
	shards, now, err := k.eventful(ctx, q.From)
	if err != nil {
		return hot.EventsPage{}, err
	}
	floor := now.compacted
	if q.Held != nil {
		floor = *q.Held
	}
	if q.From < floor {
		return hot.EventsPage{}, ErrCompacted
	}
	if q.To == 0 || q.To > now.revision {
		q.To = now.revision
	}
	q.Held, q.BytesMax = &floor, max(q.BytesMax/len(shards), 1)
	pages := make([]hot.EventsPage, len(shards))
	failures := make([]error, len(shards))
	var reading sync.WaitGroup
	for i, s := range shards {
		reading.Go(func() {
			if failures[i] = s.stampTo(ctx, q.To); failures[i] != nil {
				return
			}
			var err error
			pages[i], err = s.client.Events(ctx, q)
			failures[i] = translate(err)
		})
	}
	reading.Wait()
	if err := errors.Join(failures...); err != nil {
		return hot.EventsPage{}, k.served(ctx, err)
	}
	return merged(pages, now, q), nil
}

// served tells a loss of one shard from one of the keyspace: whoever follows the latter
// has to end, but the former will be accepted or found again, and other shards' events do
// not wait for it.
func (k *Keyspace) served(ctx context.Context, err error) error {
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	if _, failure := k.latest(ctx); failure != nil {
		return failure
	}
	return fmt.Errorf("%w: a shard is refused: %v", ErrUnavailable, err)
}

// eventful lists the shards that may have events from a revision on, the home shard
// first, with the current revision.
func (k *Keyspace) eventful(ctx context.Context, from Revision) ([]*shard, sequenced, error) {
	for {
		m := k.shardMap()
		others := k.others()
		shards := []*shard{k.home}
		now, err := k.latest(ctx)
		if err != nil {
			return nil, now, err
		}
		answers := make([]sequenced, len(others))
		failures := make([]error, len(others))
		var asking sync.WaitGroup
		for i, s := range others {
			asking.Go(func() { answers[i], failures[i] = k.ask(ctx, hot.Ask{Shard: s.id, After: s.after()}) })
		}
		asking.Wait()
		if err := errors.Join(failures...); err != nil {
			return nil, now, err
		}
		places := m.places()
		for i, s := range others {
			if _, named := places[s.id]; named && answers[i].Last >= from { // else it is being filled
				shards = append(shards, s)
			}
		}
		if k.shardMap().now().epoch == m.now().epoch && now.epoch <= m.now().epoch {
			return shards, now, nil
		}
	}
}

// merged puts the pages of several shards in order, up to the last revision that all of
// them have read.
func merged(pages []hot.EventsPage, now sequenced, q hot.EventsQuery) hot.EventsPage {
	out := hot.EventsPage{Revision: now.revision, Compacted: now.compacted, Through: q.To}
	if q.From > q.To {
		out.Through = q.From - 1
	}
	for i := range pages {
		out.Through = min(out.Through, pages[i].Through)
	}
	for i := range pages {
		for _, e := range pages[i].Events {
			if e.Mod <= out.Through {
				out.Events = append(out.Events, e)
			}
		}
	}
	slices.SortStableFunc(out.Events, func(a, b hot.Event) int {
		return cmp.Or(cmp.Compare(a.Mod, b.Mod), cmp.Compare(a.Sub, b.Sub))
	})
	return out
}

func event(e *hot.Event) *mvccpb.Event {
	out := &mvccpb.Event{Kv: keyValue(&e.Item)}
	if e.Deleted {
		out.Type = mvccpb.Event_DELETE
		out.Kv = &mvccpb.KeyValue{Key: e.Key, ModRevision: int64(e.Mod)}
	}
	if e.Replaced != nil {
		out.PrevKv = keyValue(e.Replaced)
	}
	return out
}

// WaitRevision implements API. It waits on the stream of cuts, which says sooner
// than any poll could that there is something to read. Where to wait from is
// taken before the current revision is asked for, so no cut falls between; and
// when no cut came for a while that question is asked again, which also finds out
// whether Redis is still the one we knew.
func (k *Keyspace) WaitRevision(ctx context.Context, after Revision) (Revision, error) {
	if seen := k.hot.Seen(); seen > after {
		return seen, nil
	}
	cut := k.newestCut.Load()
	if cut == nil {
		last, err := k.hot.LastCut(ctx)
		if err != nil {
			return 0, fmt.Errorf("wait for revision %d: %w", after+1, k.followError(ctx, err))
		}
		cut = &last
	}
	for idle := true; ; {
		if idle {
			current, _, err := k.CurrentRevision(ctx)
			if err != nil || current > after {
				k.newestCut.Store(cut)
				return current, err
			}
		}
		next, revision, err := k.hot.WaitCut(ctx, *cut)
		if err != nil {
			k.newestCut.Store(nil)
			return 0, fmt.Errorf("wait for revision %d: %w", after+1, k.followError(ctx, err))
		}
		idle, cut = next == *cut, &next
		if revision > after {
			k.newestCut.Store(cut)
			return revision, nil
		}
	}
}

func (k *Keyspace) followError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
