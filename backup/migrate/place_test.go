package migrate_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tierd/tierd/backup/migrate"
	"github.com/tierd/tierd/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what comes soon.
const patience = 30 * time.Second

var errKilled = errors.New("killed")

// place is a hot tier in memory: what a restoration fills, and the keyspace it becomes.
type place struct {
	mu       sync.Mutex
	start    router.RestoreStart
	versions []router.Version
	end      *router.RestoreEnd
	// killAfter, if not 0, fails the restoration after so many more versions.
	killAfter int
	resumed   []int64
	added     int
}

func (p *place) begin(_ context.Context, start router.RestoreStart) (migrate.Restoration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end != nil {
		return nil, errors.New("exists")
	}
	if p.start.ID != "" && (p.start.ID != start.ID || p.start.Floor != start.Floor) {
		return nil, errors.New("another import was interrupted")
	}
	p.start = start
	p.resumed = append(p.resumed, int64(len(p.versions)))
	p.added = 0
	return p, nil
}

func (p *place) Resumed() int64 { return p.resumed[len(p.resumed)-1] }
func (p *place) Close()         {}

func (p *place) Add(_ context.Context, v router.Version) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.added++; p.added <= len(p.versions) {
		if had := p.versions[p.added-1]; had.Main != v.Main || had.Sub != v.Sub {
			return errors.New("other versions than before")
		}
		return nil
	}
	if n := len(p.versions); n > 0 {
		last := p.versions[n-1]
		if v.Main < last.Main || (v.Main == last.Main && v.Sub <= last.Sub) {
			return errors.New("out of order")
		}
	}
	if p.killAfter == 1 {
		p.killAfter = 0
		return errKilled
	}
	p.killAfter--
	p.versions = append(p.versions, v)
	return nil
}

// reaches tells whether a revision was brought.
func (p *place) reaches(revision int64) func() error {
	return func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if n := len(p.versions); n == 0 || int64(p.versions[n-1].Main) < revision {
			return errors.New("not yet")
		}
		return nil
	}
}

func (p *place) End(_ context.Context, end router.RestoreEnd) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end = &end
	return nil
}

// HashedHistory is the router's, of a keyspace that is small.
func (p *place) HashedHistory(_ context.Context, at router.Revision, yield func(router.Version) error) (router.HistoryInfo, error) {
	compacted := p.end.Compacted
	info := router.HistoryInfo{At: at, Current: p.end.Revision, Compacted: compacted}
	kept := p.alive(at)
	if len(kept) == 0 {
		kept = p.alive(compacted)
	}
	for _, v := range p.versions {
		if v.Main > at || (v.Main <= compacted && !slices.ContainsFunc(kept, func(k router.Version) bool { return k.Main == v.Main && k.Sub == v.Sub })) {
			continue
		}
		if err := yield(v); err != nil {
			return info, err
		}
	}
	return info, nil
}

// alive are the versions that keys have at a revision.
func (p *place) alive(at router.Revision) (versions []router.Version) {
	last := make(map[string]router.Version)
	for _, v := range p.versions {
		if v.Main <= at {
			last[string(v.KV.Key)] = v
		}
	}
	for _, v := range last {
		if !v.Tombstone {
			versions = append(versions, v)
		}
	}
	return versions
}

// quiet is a progress that nobody looks at; step is told of each step, following of each look.
type quiet struct {
	step      func(string)
	following func(imported, source router.Revision)
}

func (q quiet) Step(what string, _ int64) {
	if q.step != nil {
		q.step(what)
	}
}
func (q quiet) Done(int64) {}
func (q quiet) Following(imported, source router.Revision) {
	if q.following != nil {
		q.following(imported, source)
	}
}

// wantEqual fails unless the keyspace at a place has the hash of its source.
func wantEqual(t *testing.T, p *place, o migrate.Outcome) {
	t.Helper()
	h, err := migrate.Hash(t.Context(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	if h.Comparable != o.SourceHash || h.Info.Current != o.Revision || h.Info.Compacted != o.Compacted {
		t.Errorf("hash %08x, at %d, compacted %d; the source has %08x: %+v", h.Comparable, h.Info.Current, h.Info.Compacted, o.SourceHash, o)
	}
	if len(o.Markers) == 0 && h.Own != h.Comparable {
		t.Errorf("two hashes without a reason: %+v", h)
	}
	if int64(len(p.versions)) != o.Versions || int64(len(p.alive(o.Revision))) != o.Keys || int64(len(p.end.Leases)) != o.Leases {
		t.Errorf("%d versions, %d keys, %d leases; want %+v", len(p.versions), len(p.alive(o.Revision)), len(p.end.Leases), o)
	}
}
