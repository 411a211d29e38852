package hot

import (
	"context"
	"fmt"
)

// sweepRevisionsMax bounds how many revisions one call walks.
const sweepRevisionsMax = 500

// CompactReply is what a compaction call says.
type CompactReply struct {
	Revision, Compacted Revision
	// Swept says that nothing is left to drop.
	Swept bool
	// Limit is how far other shards may drop.
	Limit Revision
}

// Compact makes revisions below target unreadable. ErrCompacted, ErrFuture. It
// also drops a first stretch of what is not needed any more. The same id with the
// same target again is answered as done if it was done, unless another compaction
// has followed; ids are never used twice otherwise. ErrStaleMap: the epoch is over.
func (c *Client) Compact(ctx context.Context, epoch Epoch, target Revision, id uint64) (CompactReply, error) {
	return c.compact(ctx, int64(target), id8(id), "", false, int64(epoch))
}

// Sweep drops a stretch of what compaction has made unreachable; twice is as
// good as once. On a shard other than the home shard it goes no further than limit,
// which the home shard's reply says. unarchived drops what the archive has not, too.
func (c *Client) Sweep(ctx context.Context, limit Revision, unarchived bool) (CompactReply, error) {
	if c.settings.Shard == HomeShard {
		return c.compact(ctx, "", "", "", unarchived, "")
	}
	return c.compact(ctx, "", "", int64(limit), unarchived, "")
}

func (c *Client) compact(ctx context.Context, target any, id string, limit any, unarchived bool, epoch any) (CompactReply, error) {
	reply, err := c.call(ctx, scriptCompact, leadingRevision, target, sweepRevisionsMax, id, limit, flag(unarchived), epoch)
	if err != nil {
		return CompactReply{}, err
	}
	d := decoder{rest: reply}
	out := CompactReply{Revision: d.revision(), Compacted: d.compacted(), Swept: d.byte() == 1, Limit: d.compacted()}
	if err := d.end(); err != nil {
		return CompactReply{}, fmt.Errorf("compact: %w", err)
	}
	return out, nil
}
