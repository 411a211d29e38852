package router

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/tiers/hot"
)

// Events implements API.
func (k *Keyspace) Events(ctx context.Context, from Revision, maxBytes int, prevKV bool) (EventPage, error) {
	page, err := k.hot.Events(ctx, hot.EventsQuery{From: from, BytesMax: maxBytes, Replaced: prevKV})
	if err != nil {
		return EventPage{}, translate(err)
	}
	out := EventPage{Events: make([]*mvccpb.Event, len(page.Events)), Through: page.Through, Current: page.Revision, Compacted: page.Compacted}
	for i := range page.Events {
		out.Events[i] = event(&page.Events[i])
	}
	return out, nil
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
