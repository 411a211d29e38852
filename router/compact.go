package router

import (
	"context"
	"errors"
	"fmt"

	"github.com/tierd/tierd/tiers/hot"
)

// Compact implements API. What it made unreachable is dropped stretch by stretch:
// by this call if physical, else by the keyspace's sweeper.
func (k *Keyspace) Compact(ctx context.Context, rev Revision, physical bool) (Revision, error) {
	bounded, cancel := context.WithTimeout(ctx, k.settings.RequestTimeout)
	reply, err := k.hot.Compact(bounded, rev)
	cancel()
	if errors.Is(err, hot.ErrUnknown) && !errors.Is(err, hot.ErrScript) {
		return k.compactedAfterAll(ctx, rev, err)
	}
	if err != nil {
		return 0, translate(err)
	}
	k.wakeSweeper()
	for physical && !reply.Swept {
		if reply, err = k.sweep(ctx); err != nil {
			return 0, err
		}
	}
	return reply.Revision, nil
}

// compactedAfterAll looks whether a compaction whose reply was lost took place.
func (k *Keyspace) compactedAfterAll(ctx context.Context, rev Revision, lost error) (Revision, error) {
	current, compacted, err := k.CurrentRevision(context.WithoutCancel(ctx))
	if err != nil || compacted < rev {
		return 0, fmt.Errorf("compact at revision %d: %w: %w", rev, ErrOutcomeUnknown, lost)
	}
	k.wakeSweeper()
	return current, nil
}

// sweep drops one stretch. A lost reply is made good by the next call.
func (k *Keyspace) sweep(ctx context.Context) (hot.CompactReply, error) {
	for {
		reply, err := k.hot.Sweep(ctx)
		if !errors.Is(err, hot.ErrUnknown) || errors.Is(err, hot.ErrScript) || ctx.Err() != nil {
			return reply, translate(err)
		}
	}
}

func (k *Keyspace) wakeSweeper() {
	select {
	case k.sweepNow <- struct{}{}:
	default:
	}
}

// sweepLoop drops what compactions leave behind, a stretch at a time, so that
// Redis serves others in between.
func (k *Keyspace) sweepLoop() {
	for {
		select {
		case <-k.stopped:
			return
		case <-k.sweepNow:
		}
		for {
			reply, err := k.sweep(k.working)
			if err != nil {
				if k.working.Err() == nil {
					k.logger.Warn("dropping compacted revisions was interrupted; it goes on at the next compaction", "cause", err)
				}
				break
			}
			if reply.Swept {
				break
			}
		}
	}
}
