package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/tierd/tierd/tiers/object"
)

// WriteBlock stores a block as a segment of its own, behind the block whose chain is before, and
// returns the chain after it. The same block makes the same plaintext, so it may be called
// again after any failure. object.ErrExists if another block has been stored under
// that name; object.ErrUnknown if the outcome stayed unknown.
func (a *Archive) WriteBlock(ctx context.Context, t Timeline, epoch int64, before Chain, b Block) (Segment, Chain, error) {
	s := Segment{
		Timeline: t, FirstBlock: b.Number, LastBlock: b.Number, First: b.First, Last: b.Last,
		From: b.From, To: b.To, Epoch: epoch,
	}
	text, after, err := appendBlock(append(make([]byte, 0, b.encodedMax()), s.head()...), before, &b)
	if err != nil {
		return Segment{}, Chain{}, fmt.Errorf("encode a block: %w", err)
	}
	if err := a.createSmall(ctx, s.Name(), text); err != nil {
		return Segment{}, Chain{}, err
	}
	return s, after, nil
}

// Merge stores the blocks of adjacent segments, unchanged, as one segment, and then removes
// those. It may be called again after any failure.
func (a *Archive) Merge(ctx context.Context, t Timeline, epoch int64, of []Segment) (Segment, error) {
	merged, err := mergedSegment(t, epoch, of)
	if err != nil {
		return Segment{}, err
	}
	err = a.createStream(ctx, merged.Name(), func(w io.Writer) error { return a.concatenate(ctx, w, merged, of) })
	if errors.Is(err, object.ErrExists) || errors.Is(err, object.ErrUnknown) {
		err = a.arrived(ctx, merged, of[0], err)
	}
	if err != nil {
		return Segment{}, fmt.Errorf("merge %d segments: %w", len(of), err)
	}
	var sources []string
	for _, s := range of {
		if s.Name() != merged.Name() {
			sources = append(sources, s.Name())
		}
	}
	if err := a.Remove(ctx, sources...); err != nil {
		return Segment{}, fmt.Errorf("remove what was merged: %w", err)
	}
	return merged, nil
}

func mergedSegment(t Timeline, epoch int64, of []Segment) (Segment, error) {
	if len(of) == 0 {
		return Segment{}, errors.New("merge no segments")
	}
	for i := range of {
		if i > 0 && (of[i].FirstBlock != of[i-1].LastBlock+1 || of[i].First != of[i-1].Last+1) {
			return Segment{}, fmt.Errorf("merge segments: %s does not follow %s", of[i].Name(), of[i-1].Name())
		}
	}
	first, last := of[0], of[len(of)-1]
	return Segment{
		Timeline: t, FirstBlock: first.FirstBlock, LastBlock: last.LastBlock, First: first.First, Last: last.Last,
		From: first.From, To: last.To, Epoch: epoch,
	}, nil
}

// arrived tells whether a merged segment is there, whole, after a failure that leaves this open.
func (a *Archive) arrived(ctx context.Context, merged, first Segment, failure error) error {
	found, err := a.CheckSegment(ctx, merged, merged.FirstBlock-1)
	if errors.Is(err, object.ErrNotFound) {
		return failure
	}
	if err != nil {
		return fmt.Errorf("%w; and reading what is there: %w", failure, err)
	}
	source, err := a.CheckSegment(ctx, first, first.FirstBlock-1)
	if errors.Is(err, object.ErrNotFound) {
		// Sources are removed only after the merged one was found whole.
		return nil
	}
	if err != nil {
		return err
	}
	if source.Chains[first.FirstBlock-1] != found.Chains[first.FirstBlock-1] {
		return fmt.Errorf("%w, and it continues another log: %w", failure, ErrFormat)
	}
	return nil
}

func (a *Archive) concatenate(ctx context.Context, w io.Writer, merged Segment, of []Segment) error {
	if _, err := w.Write(merged.head()); err != nil {
		return err
	}
	var chain *Chain
	for _, s := range of {
		err := a.eachBlock(ctx, s, func(block rawBlock) error {
			if chain != nil && block.before != *chain {
				return fmt.Errorf("%w: block %d of %s does not continue the block before it", ErrFormat, block.number, s.Name())
			}
			chain = &block.after
			if _, err := w.Write(block.text); err != nil {
				return err
			}
			_, err := w.Write(block.after[:])
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachBlock reads the blocks of a segment, in order, each with its chain checked.
func (a *Archive) eachBlock(ctx context.Context, s Segment, yield func(rawBlock) error) error {
	return a.eachBlockCounted(ctx, s, nil, yield)
}

// eachBlockCounted is eachBlock; progress, if there is one, counts the stored bytes read.
func (a *Archive) eachBlockCounted(ctx context.Context, s Segment, progress *atomic.Int64, yield func(rawBlock) error) error {
	plain, err := a.openCounted(ctx, s.Name(), progress)
	if err != nil {
		return err
	}
	defer plain.Close()
	reader := &segmentReader{r: counting{r: plain}, want: s}
	for {
		block, err := reader.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s at byte %d: %w", s.Name(), reader.r.n, err)
		}
		if err := yield(block); err != nil {
			return err
		}
	}
}

// counting knows how far an object was read.
type counting struct {
	r io.Reader
	n int64
}

// Read implements io.Reader.
func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// segmentReader reads a segment's plaintext and checks that it is what its name says.
type segmentReader struct {
	r    counting
	want Segment
	last *rawBlock
}

// next is the next block; io.EOF behind the last.
func (s *segmentReader) next() (rawBlock, error) {
	if s.last == nil {
		if err := s.head(); err != nil {
			return rawBlock{}, err
		}
	} else if s.last.number == s.want.LastBlock {
		return rawBlock{}, s.end()
	}
	at := s.r.n
	block, err := readBlock(&s.r)
	if err != nil {
		return rawBlock{}, err
	}
	block.at = at
	number, first := s.want.FirstBlock, s.want.First
	if s.last != nil {
		number, first = s.last.number+1, s.last.last+1
	}
	switch {
	case block.number != number || block.first != first:
		return rawBlock{}, fmt.Errorf("%w: block %d from revision %d stands where block %d from revision %d belongs",
			ErrFormat, block.number, block.first, number, first)
	case s.last != nil && block.before != s.last.after:
		return rawBlock{}, fmt.Errorf("%w: block %d does not continue the block before it", ErrFormat, block.number)
	case s.last != nil && block.from.Before(s.last.to):
		return rawBlock{}, fmt.Errorf("%w: block %d begins before the one before it ends", ErrFormat, block.number)
	}
	// What is kept of it is small.
	s.last = &rawBlock{blockHead: block.blockHead, after: block.after}
	return block, nil
}

func (s *segmentReader) head() error {
	found, err := readSegmentHead(&s.r)
	if err != nil {
		return err
	}
	if found.Name() != s.want.Name() {
		return fmt.Errorf("%w: it says that it is %s", ErrFormat, found.Name())
	}
	return nil
}

// end checks what stands behind the last block.
func (s *segmentReader) end() error {
	if s.last.last != s.want.Last || !s.last.to.Equal(s.want.To) {
		return fmt.Errorf("%w: it ends at revision %d instead of %d", ErrFormat, s.last.last, s.want.Last)
	}
	return ended(&s.r)
}

// ended is io.EOF if there is nothing more to read.
func ended(r io.Reader) error {
	var one [1]byte
	switch _, err := io.ReadFull(r, one[:]); err {
	case nil:
		return fmt.Errorf("%w: more follows its end", ErrFormat)
	default:
		return err
	}
}

// SegmentCheck is what was found in a segment.
type SegmentCheck struct {
	// Chains are the chains after the blocks asked for.
	Chains map[int64]Chain
	// Blocks, Items and Bytes count what is in it; Bytes is the length of its plaintext.
	Blocks, Items, Bytes int64
}

// CheckSegment reads a segment whole, with all its items, and returns the chains after those of
// its blocks that are in after; the chain before it is that after the block FirstBlock-1.
func (a *Archive) CheckSegment(ctx context.Context, s Segment, after ...int64) (SegmentCheck, error) {
	result := SegmentCheck{Chains: make(map[int64]Chain, len(after))}
	wanted := make(map[int64]bool, len(after))
	for _, number := range after {
		wanted[number] = true
	}
	var decoder itemDecoder
	err := a.eachBlock(ctx, s, func(block rawBlock) error {
		if err := block.items(&decoder, func(*Item) error { return nil }); err != nil {
			return fmt.Errorf("%s: %w", s.Name(), err)
		}
		if block.number == s.FirstBlock && wanted[block.number-1] {
			result.Chains[block.number-1] = block.before
		}
		if wanted[block.number] {
			result.Chains[block.number] = block.after
		}
		result.Blocks++
		result.Items += int64(block.count)
		result.Bytes = block.at + int64(len(block.text)+len(block.after))
		return nil
	})
	return result, err
}
