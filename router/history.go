package router

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/tiers/hot"
)

// Limits of reading history.
const (
	// storedMax bounds the versions that one pass keeps in memory (32 bytes each);
	// a keyspace with more of them below the compacted revision takes more passes.
	storedMax = 1 << 21
	// recordsMax bounds the records of one call, as historyPageBytes does.
	recordsMax = 1024
	// historyPageBytes bounds one page of events.
	historyPageBytes = 1 << 20
)

// History implements API.
func (k *Keyspace) History(ctx context.Context, at Revision, yield func(Version) error) (HistoryInfo, error) {
	return k.history(ctx, at, false, yield)
}

// HashedHistory implements API.
func (k *Keyspace) HashedHistory(ctx context.Context, at Revision, yield func(Version) error) (HistoryInfo, error) {
	return k.history(ctx, at, true, yield)
}

func (k *Keyspace) history(ctx context.Context, at Revision, hashed bool, yield func(Version) error) (info HistoryInfo, err error) {
	random, err := k.random()
	if err != nil {
		return info, err
	}
	hold, err := k.hot.NewHold(ctx, strconv.FormatUint(random, 16))
	if err != nil {
		return info, translate(err)
	}
	h := &historian{k: k, hold: hold, renewed: time.Now(), yield: yield}
	defer func() {
		releasing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if releaseErr := k.hot.ReleaseHold(releasing, h.hold); releaseErr != nil {
			k.logger.Warn("a hold on history was not released; it ends by itself", "after", hot.HoldGood, "cause", releaseErr)
		}
	}()
	info = HistoryInfo{At: at, Current: hold.Revision, Compacted: hold.Compacted}
	switch {
	case at == 0:
		info.At = hold.Revision
	case at < hold.Compacted:
		return info, ErrCompacted
	case at > hold.Revision:
		return info, ErrFutureRevision
	}
	alive, err := h.aliveAt(ctx, info.At, hashed)
	if err != nil {
		return info, err
	}
	// At the compacted revision itself a deletion is still there, and a watch from
	// there needs it; a hash leaves it out.
	recent := h.hold.Compacted
	if hashed {
		recent++
	}
	if err := h.compactedPart(ctx, alive, recent); err != nil {
		return info, err
	}
	return info, h.recentPart(ctx, recent, info.At)
}

// historian reads the versions of a keyspace in order while a hold keeps them.
type historian struct {
	k       *Keyspace
	hold    hot.Hold
	renewed time.Time
	yield   func(Version) error
}

// renew keeps the hold from ending while reading takes long.
func (h *historian) renew(ctx context.Context) error {
	if time.Since(h.renewed) < hot.HoldGood/3 {
		return nil
	}
	if err := h.k.hot.RenewHold(ctx, h.hold); err != nil {
		return fmt.Errorf("renew the hold on history: %w", translate(err))
	}
	h.renewed = time.Now()
	return nil
}

// aliveAt is the revision at which the versions below the compacted one have to
// be alive: the compacted revision itself, or, for a hash, the hashed one, unless
// nothing is alive there.
func (h *historian) aliveAt(ctx context.Context, at Revision, hashed bool) (Revision, error) {
	if !hashed || h.hold.Compacted <= 0 {
		return h.hold.Compacted, nil
	}
	l, err := h.k.list(ctx, listQuery{span: hot.FromSpan([]byte{0}), at: at, limit: 1, keysOnly: true, uncounted: true})
	if err != nil {
		return 0, err
	}
	if len(l.kvs) == 0 {
		return h.hold.Compacted, nil
	}
	return at, nil
}

// compactedPart yields the versions below the revision from which on everything
// is yielded.
func (h *historian) compactedPart(ctx context.Context, alive, recent Revision) error {
	if h.hold.Compacted <= 1 {
		return nil
	}
	var after stored
	for {
		pass, full, err := h.gather(ctx, alive, recent, after)
		if err != nil {
			return err
		}
		for rest := pass; len(rest) > 0; {
			n := together(rest)
			if err := h.yieldStored(ctx, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		if !full {
			return nil
		}
		after = pass[len(pass)-1]
	}
}

// together is how many records from the front are read in one call.
func together(of []stored) int {
	for n, bytes := 1, of[0].Bytes; ; n++ {
		if n == len(of) || n == recordsMax || of[n].shard != of[0].shard || bytes+of[n].Bytes > historyPageBytes {
			return n
		}
		bytes += of[n].Bytes
	}
}

// stored is a stored version and the shard that has it.
type stored struct {
	hot.Stored
	shard *shard
}

func byRevision(a, b stored) int {
	return cmp.Or(cmp.Compare(a.Mod, b.Mod), cmp.Compare(a.Sub, b.Sub))
}

// gather lists the first storedMax versions after one, in order of revision; full
// says that there are more.
func (h *historian) gather(ctx context.Context, alive, recent Revision, after stored) (kept []stored, full bool, err error) {
	for _, p := range h.k.shardMap().at(alive).split(hot.FromSpan([]byte{0})) {
		s, err := h.k.shard(p.shard)
		if err != nil {
			return nil, false, err
		}
		if err := s.stampTo(ctx, alive); err != nil {
			return nil, false, err
		}
		for from, more := (hot.Cursor{}), true; more; more = !from.Done() {
			var page []hot.Stored
			if page, from, err = s.client.StoredAt(ctx, h.hold, p.span, alive, from); err != nil {
				return nil, false, translate(err)
			}
			for _, v := range page {
				if one := (stored{v, s}); v.Mod < recent && byRevision(one, after) > 0 {
					kept = append(kept, one)
				}
			}
			if len(kept) >= 2*storedMax {
				slices.SortFunc(kept, byRevision)
				kept, full = kept[:storedMax], true
			}
			if err := h.renew(ctx); err != nil {
				return nil, false, err
			}
		}
	}
	slices.SortFunc(kept, byRevision)
	if len(kept) > storedMax {
		kept, full = kept[:storedMax], true
	}
	return kept, full, nil
}

func (h *historian) yieldStored(ctx context.Context, of []stored) error {
	if err := h.renew(ctx); err != nil {
		return err
	}
	places := make([]hot.Stored, len(of))
	for i := range of {
		places[i] = of[i].Stored
	}
	items, err := of[0].shard.client.Records(ctx, places)
	if err != nil {
		return translate(err)
	}
	for i := range items {
		if err := h.yield(version(&items[i], of[i].Sub)); err != nil {
			return err
		}
	}
	return nil
}

// recentPart yields all changes of the revisions from..at.
func (h *historian) recentPart(ctx context.Context, from, at Revision) error {
	floor := h.hold.Compacted
	for from = max(from, 2); from <= at; {
		if err := h.renew(ctx); err != nil {
			return err
		}
		page, err := h.k.events(ctx, hot.EventsQuery{From: from, To: at, BytesMax: historyPageBytes, Held: &floor})
		if err != nil {
			return err
		}
		for i := range page.Events {
			if err := h.yield(version(&page.Events[i].Item, page.Events[i].Sub)); err != nil {
				return err
			}
		}
		from = page.Through + 1
	}
	return nil
}

func version(i *hot.Item, sub int64) Version {
	v := Version{Main: i.Mod, Sub: sub, Tombstone: i.Deleted, KV: keyValue(i)}
	if i.Deleted {
		v.KV = &mvccpb.KeyValue{Key: i.Key}
	}
	return v
}
