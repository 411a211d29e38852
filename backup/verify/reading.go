package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/tiers/object"
)

// reading opens the objects of a timeline.
type reading struct {
	archive *backup.Archive
	catalog *backup.Catalog
	options Options

	// mu guards all below.
	mu     sync.Mutex
	result *Timeline
	// chains is what objects say of the chain after a block.
	chains   map[int64][]evidence
	begins   map[int64]bool
	vanished []backup.Stretch
	progress Progress
	stopped  error
}

// evidence is what one object says of a chain.
type evidence struct {
	chain backup.Chain
	name  string
}

// task is one object to read. Nobody needs what is spare.
type task struct {
	name  string
	size  int64
	spare bool
	run   func(context.Context) error
}

// stops tells errors that say nothing of the archive: it cannot be read now, or not by this process.
func stops(err error) bool {
	return errors.Is(err, object.ErrUnavailable) || errors.Is(err, object.ErrDenied) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// relistMax bounds how often what was merged meanwhile is looked for.
const relistMax = 5

// all reads everything.
func (r *reading) all(ctx context.Context) error {
	r.begins = make(map[int64]bool)
	r.see(0, backup.Genesis(r.catalog.Timeline), "the timeline's name")
	tasks := r.tasks()
	for _, t := range tasks {
		r.progress.OfThem += t.size
	}
	r.progress.Timeline, r.progress.All = r.result.ID, int64(len(tasks))
	r.perform(ctx, tasks)
	for range relistMax {
		if r.stopped != nil || len(r.vanished) == 0 {
			break
		}
		if err := r.again(ctx); err != nil {
			return err
		}
	}
	for _, s := range r.vanished {
		r.result.add(Failure, s.Segment.Name(), "was listed, but is not there")
	}
	if r.stopped != nil {
		return r.stopped
	}
	r.compare()
	return nil
}

// again looks for segments that were merged since they were listed.
func (r *reading) again(ctx context.Context) error {
	c, err := r.archive.Catalog(ctx, r.catalog.Timeline)
	if err != nil {
		return err
	}
	gone := r.vanished
	r.vanished = nil
	var tasks []task
	done := make(map[string]bool)
	for _, old := range gone {
		covered := old.FirstBlock
		for _, s := range c.Log {
			if s.LastBlock < covered || s.FirstBlock > covered {
				continue
			}
			covered = s.LastBlock + 1
			if name := s.Segment.Name(); !done[name] {
				done[name] = true
				tasks = append(tasks, task{name: name, size: s.Segment.Size, run: func(ctx context.Context) error { return r.stretch(ctx, s) }})
			}
		}
		if covered <= old.LastBlock {
			r.result.add(Failure, old.Segment.Name(), "is missing: it was removed, and its blocks are nowhere else")
		}
	}
	r.perform(ctx, tasks)
	return nil
}

// tasks are the objects of the timeline.
func (r *reading) tasks() []task {
	c := r.catalog
	var tasks []task
	for _, b := range c.Bases {
		tasks = append(tasks, task{name: b.Name(), size: b.Size, run: func(ctx context.Context) error { return r.base(ctx, b) }})
	}
	for _, s := range c.Log {
		tasks = append(tasks, task{name: s.Segment.Name(), size: s.Segment.Size, run: func(ctx context.Context) error { return r.stretch(ctx, s) }})
	}
	for _, s := range slices.Concat(c.VoidSegments, c.Superfluous) {
		tasks = append(tasks, task{name: s.Name(), size: s.Size, spare: true, run: func(ctx context.Context) error {
			_, err := r.archive.CheckSegment(ctx, s)
			return err
		}})
	}
	for _, b := range c.VoidBases {
		tasks = append(tasks, task{name: b.Name(), size: b.Size, spare: true, run: func(ctx context.Context) error {
			_, err := r.archive.CheckBase(ctx, b)
			return err
		}})
	}
	for _, claim := range slices.Concat(c.Claims, c.SpareClaims) {
		tasks = append(tasks, task{name: claim.Name(), run: func(ctx context.Context) error { return r.archive.CheckClaim(ctx, claim) }})
	}
	for _, mark := range slices.Concat(c.Pruned, c.SparePruned) {
		tasks = append(tasks, task{name: mark.Name(), run: func(ctx context.Context) error { return r.archive.CheckPruned(ctx, mark) }})
	}
	return tasks
}

// perform carries tasks out, a bounded number at once.
func (r *reading) perform(ctx context.Context, tasks []task) {
	queue := make(chan task)
	var working sync.WaitGroup
	for range min(r.options.Parallel, len(tasks)) {
		working.Go(func() {
			for t := range queue {
				r.report(t, t.run(ctx))
			}
		})
	}
	for _, t := range tasks {
		if r.hasStopped() {
			break
		}
		queue <- t
	}
	close(queue)
	working.Wait()
}

func (r *reading) hasStopped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopped != nil
}

// report takes the outcome of a task.
func (r *reading) report(t task, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress.Objects++
	r.progress.Bytes += t.size
	r.result.Objects++
	if r.options.Progress != nil {
		r.options.Progress(r.progress)
	}
	switch {
	case err == nil:
	case stops(err):
		r.stopped = err
	case t.spare && errors.Is(err, object.ErrNotFound):
	case t.spare:
		r.result.add(Warning, t.name, "is damaged, but not needed: "+err.Error())
	default:
		r.result.add(Failure, t.name, err.Error())
	}
}

func (r *reading) base(ctx context.Context, b backup.Base) error {
	found, err := r.archive.CheckBase(ctx, b)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Items += found.Changes + found.Leases
	r.begins[b.Block] = r.begins[b.Block] || found.Head.Begins
	r.see(b.Block, found.Head.Chain, b.Name())
	return nil
}

func (r *reading) stretch(ctx context.Context, s backup.Stretch) error {
	after := []int64{s.FirstBlock - 1, s.LastBlock}
	for _, b := range r.catalog.Bases {
		if s.FirstBlock <= b.Block && b.Block < s.LastBlock {
			after = append(after, b.Block)
		}
	}
	found, err := r.archive.CheckSegment(ctx, s.Segment, after...)
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(err, object.ErrNotFound) {
		r.vanished = append(r.vanished, s)
		return nil
	}
	if err != nil {
		return err
	}
	r.result.Blocks += found.Blocks
	r.result.Items += found.Items
	for block, chain := range found.Chains {
		r.see(block, chain, s.Segment.Name())
	}
	return nil
}

// see keeps what an object says.
func (r *reading) see(block int64, chain backup.Chain, name string) {
	r.chains[block] = append(r.chains[block], evidence{chain, name})
}

// compare finds where the log is not one.
func (r *reading) compare() {
	blocks := make([]int64, 0, len(r.chains))
	for block := range r.chains {
		blocks = append(blocks, block)
	}
	slices.Sort(blocks)
	for _, block := range blocks {
		all := r.chains[block]
		slices.SortFunc(all, func(a, b evidence) int { return cmp.Compare(a.name, b.name) })
		for _, other := range all[1:] {
			if other.chain != all[0].chain {
				r.result.add(Failure, other.name, fmt.Sprintf("is not of one log with %s: they differ after block %d", all[0].name, block))
			}
		}
	}
}
