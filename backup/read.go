package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/object"
)

const (
	// fetchMax is how many objects are read at once; what is yielded waits for its turn. Each
	// has at most two blocks in memory that nobody has taken yet.
	fetchMax = 4
	// pieceQueue is how many pieces of a base are read ahead.
	pieceQueue = 4
)

// End is what a reading has come to.
type End struct {
	Revision router.Revision
	// Compacted is -1 if the keyspace was never compacted.
	Compacted router.Revision
	Time      time.Time
	// Leases are those that were alive, by id, each with its full time to live.
	Leases []router.Lease
	// Auth are the auth data.
	Auth map[string][]byte
	// Items counts what was yielded, Changes those of it that are versions.
	Items, Changes int64
	// Bytes is how much was read, before it was compressed.
	Bytes int64
}

// Read reads what a plan says: the items of the base, then those of the log, in order, up
// to the plan's revision. It checks as it goes that it is one log without a gap; after an
// error what was yielded must not be taken for the state. Errors name the object.
//
// Keys and values share memory with their neighbours: who keeps few of many copies them.
// Memory does not grow with what is read. yield is called by one goroutine, the caller's.
func (a *Archive) Read(ctx context.Context, plan Plan, yield func(Item) error) (End, error) {
	w := &walk{archive: a, limit: plan.Revision, yield: yield, progress: plan.Progress}
	if err := w.run(ctx, plan.Base, plan.Log); err != nil {
		return End{}, fmt.Errorf("read the archive: %w", err)
	}
	if w.revision < plan.Revision {
		return End{}, fmt.Errorf("read the archive: %w: it ends at revision %d instead of %d", ErrFormat, w.revision, plan.Revision)
	}
	end := w.end()
	end.Revision, end.Time = plan.Revision, plan.Time
	return end, nil
}

// piece is a part of an object, in order: of a base some items, of a segment a block; or why it ends.
type piece struct {
	name  string
	base  *baseReader
	items []byte
	block *rawBlock
	err   error
}

// walk goes along a log.
type walk struct {
	archive *Archive
	// limit is the last revision that is yielded; 0 for no limit.
	limit    router.Revision
	yield    func(Item) error
	progress *atomic.Int64

	chain     Chain
	block     int64
	revision  router.Revision
	time      time.Time
	compacted router.Revision
	leases    map[int64]int64
	auth      map[string][]byte
	decoder   itemDecoder
	stopped   bool
	result    End
}

// run reads a base and what follows it.
func (w *walk) run(ctx context.Context, base Base, log []Stretch) error {
	ctx, cancel := context.WithCancel(ctx)
	var fetching sync.WaitGroup
	defer fetching.Wait()
	defer cancel()
	fetch := func(depth int, read func(context.Context, func(piece) error) error) <-chan piece {
		pieces := make(chan piece, depth)
		fetching.Go(func() {
			defer close(pieces)
			send := func(p piece) error {
				select {
				case pieces <- p:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if err := read(ctx, send); err != nil {
				_ = send(piece{err: err})
			}
		})
		return pieces
	}
	sources := []<-chan piece{fetch(pieceQueue, func(ctx context.Context, send func(piece) error) error {
		return w.fetchBase(ctx, base, send)
	})}
	w.begin(base)
	for next := 0; len(sources) > 0 && !w.stopped; {
		for ; next < len(log) && len(sources) < fetchMax; next++ {
			s := log[next]
			sources = append(sources, fetch(1, func(ctx context.Context, send func(piece) error) error {
				return w.fetchStretch(ctx, s, send)
			}))
		}
		if err := w.consume(ctx, base, sources[0]); err != nil {
			return err
		}
		sources = sources[1:]
	}
	return nil
}

// begin makes a base the state from which is read on.
func (w *walk) begin(base Base) {
	w.block, w.revision, w.time, w.stopped = base.Block, base.Revision, base.Time, false
	w.leases, w.auth = make(map[int64]int64), make(map[string][]byte)
}

// consume takes the pieces of one object.
func (w *walk) consume(ctx context.Context, base Base, pieces <-chan piece) error {
	items := baseItems{order: newBaseOrder(base.Revision)}
	for p := range pieces {
		var err error
		switch {
		case p.err != nil:
			return p.err
		case p.block != nil:
			err = w.takeBlock(p.block)
		case p.items != nil:
			w.result.Bytes += int64(len(p.items))
			err = items.each(p.items, w.take)
		default:
			w.chain, w.compacted = p.base.head.Chain, max(p.base.head.Compacted, -1)
			err = items.end(p.base)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if w.stopped {
			return nil
		}
	}
	// A source that was cut off has no error of its own.
	return ctx.Err()
}

// takeBlock checks that a block continues the log, and yields its items.
func (w *walk) takeBlock(b *rawBlock) error {
	switch {
	case b.number != w.block+1 || b.first != w.revision+1:
		return fmt.Errorf("%w: block %d from revision %d stands behind block %d, which ends at revision %d",
			ErrFormat, b.number, b.first, w.block, w.revision)
	case b.before != w.chain:
		return fmt.Errorf("%w: block %d does not continue the log before it", ErrFormat, b.number)
	}
	if w.limit != 0 && b.first-1 > w.limit {
		w.stopped = true
		return nil
	}
	w.result.Bytes += int64(len(b.text))
	err := b.items(&w.decoder, func(it *Item) error {
		if w.limit != 0 && it.Revision > w.limit {
			return errFound
		}
		return w.take(it)
	})
	if errors.Is(err, errFound) {
		w.stopped, err = true, nil
	}
	w.chain, w.block, w.revision, w.time = b.after, b.number, b.last, b.to
	return err
}

// take yields an item and keeps what it says of leases and compaction.
func (w *walk) take(it *Item) error {
	w.result.Items++
	switch it.Kind {
	case KindChange:
		w.result.Changes++
	case KindGrant:
		w.leases[it.Lease] = it.TTLSeconds
	case KindEnd:
		delete(w.leases, it.Lease)
	case KindCompact:
		w.compacted = it.Compacted
	case KindForget:
		clear(w.leases)
		clear(w.auth)
	case KindAuth:
		for _, f := range it.Auth {
			if f.Removed {
				delete(w.auth, f.Name)
			} else {
				w.auth[f.Name] = f.Value
			}
		}
	}
	return w.yield(*it)
}

func (w *walk) end() End {
	end := w.result
	end.Revision, end.Compacted, end.Time, end.Auth = w.revision, w.compacted, w.time, w.auth
	for id, ttl := range w.leases {
		end.Leases = append(end.Leases, router.Lease{ID: id, GrantedTTL: ttl, RemainingTTL: ttl})
	}
	slices.SortFunc(end.Leases, func(a, b router.Lease) int { return cmp.Compare(a.ID, b.ID) })
	return end
}

// fetchBase reads the pieces of a base; the one without items is the last and stands for its end.
func (w *walk) fetchBase(ctx context.Context, base Base, send func(piece) error) error {
	plain, err := w.archive.openCounted(ctx, base.Name(), w.progress)
	if err != nil {
		return err
	}
	defer plain.Close()
	reader, err := openBase(plain, base)
	if err != nil {
		return fmt.Errorf("%s: %w", base.Name(), err)
	}
	for {
		items, err := reader.piece()
		if err == io.EOF {
			return send(piece{name: base.Name(), base: reader})
		}
		if err != nil {
			return fmt.Errorf("%s at byte %d: %w", base.Name(), reader.r.n, err)
		}
		if err := send(piece{name: base.Name(), items: items}); err != nil {
			return err
		}
	}
}

// fetchStretch reads the blocks of a stretch. A segment that is gone may have been merged since it was
// listed: its blocks are then elsewhere.
func (w *walk) fetchStretch(ctx context.Context, s Stretch, send func(piece) error) error {
	next, err := w.fetchBlocks(ctx, s, send)
	if !errors.Is(err, object.ErrNotFound) {
		return err
	}
	c, listed := w.archive.Catalog(ctx, s.Segment.Timeline)
	if listed != nil {
		return fmt.Errorf("%w; looking for where its blocks are now: %w", err, listed)
	}
	for _, other := range c.Log {
		if other.LastBlock < next || other.FirstBlock > s.LastBlock {
			continue
		}
		other.FirstBlock, other.LastBlock = max(other.FirstBlock, next), min(other.LastBlock, s.LastBlock)
		if next, err = w.fetchBlocks(ctx, other, send); err != nil {
			return err
		}
	}
	if next <= s.LastBlock {
		return err
	}
	return nil
}

// fetchBlocks reads the blocks of a stretch, and returns the number of the first one that it did not bring.
func (w *walk) fetchBlocks(ctx context.Context, s Stretch, send func(piece) error) (int64, error) {
	next, name := s.FirstBlock, s.Segment.Name()
	err := w.archive.eachBlockCounted(ctx, s.Segment, w.progress, func(block rawBlock) error {
		if block.number < next {
			return nil
		}
		if err := send(piece{name: name, block: &block}); err != nil {
			return err
		}
		// A segment that is read to its last block is read to its end, which is checked, too.
		if next++; next > s.LastBlock && next <= s.Segment.LastBlock {
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return next, err
}
