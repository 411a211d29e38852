package travel

import (
	"bytes"
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/router"
)

// Past is one version of a key, or its deletion.
type Past struct {
	KeyValue
	Deleted bool
	// Time is when it is known to have been there: shortly after it was written, or, with Older, a moment
	// before which it was at any time.
	Time  time.Time
	Older bool
	// Gap says that it happened in a gap of the archive, which may have had other versions, too: Mod is then the revision
	// at which the key was gone.
	Gap bool
}

// History yields the versions of a key from a revision on (0: all), in order, as far as the archive goes back.
func History(ctx context.Context, a *backup.Archive, c *backup.Catalog, key []byte, from router.Revision, yield func(Past) error) error {
	h := &history{key: key, from: from, catalog: c, yield: yield}
	_, err := a.ReadLog(ctx, c, backup.LogRange{From: from}, backup.LogVisit{Begin: h.begin, Item: h.item})
	if err == nil {
		err = h.baseEnds()
	}
	if err == nil {
		err = h.flush(time.Time{})
	}
	if err != nil {
		return fmt.Errorf("look for the versions of a key: %w", err)
	}
	return nil
}

type history struct {
	key     []byte
	from    router.Revision
	catalog *backup.Catalog
	yield   func(Past) error

	// base is the one that is being read, or was last; reading says that its items still come.
	base    *backup.Base
	reading bool
	// alive is the key at this point; last is its last revision, found that it is alive in the base.
	alive bool
	last  router.Revision
	found bool
	// waiting are versions of which it is not known yet when they were.
	waiting []Past
}

func (h *history) begin(base backup.Base) error {
	if err := h.baseEnds(); err != nil {
		return err
	}
	if err := h.flush(time.Time{}); err != nil {
		return err
	}
	h.base, h.reading, h.found = &base, true, false
	return nil
}

// baseEnds notices, after a base that follows a gap, that the key is not in it.
func (h *history) baseEnds() error {
	if !h.reading {
		return nil
	}
	h.reading = false
	if !h.alive || h.found {
		return nil
	}
	h.alive = false
	return h.take(Past{KeyValue: KeyValue{Key: h.key, Mod: h.base.Revision}, Deleted: true, Gap: true, Time: h.base.Time, Older: true})
}

func (h *history) item(it backup.Item) error {
	if h.reading && (it.Kind != backup.KindChange || it.Revision > h.base.Revision) {
		if err := h.baseEnds(); err != nil {
			return err
		}
	}
	switch {
	case it.Kind == backup.KindMark:
		return h.marked(it.Revision, it.Time)
	case it.Kind != backup.KindChange || !bytes.Equal(it.Version.KV.Key, h.key):
		return nil
	}
	h.found = !it.Version.Tombstone
	h.alive = h.found
	if it.Revision <= h.last {
		return nil // it was seen before the gap
	}
	h.last = it.Revision
	past := Past{KeyValue: own(&it.Version), Deleted: it.Version.Tombstone}
	if it.Revision <= h.base.Revision {
		past.Time, past.Older = h.base.Time, true
	}
	return h.take(past)
}

func (h *history) take(p Past) error {
	if p.Mod < h.from {
		return nil
	}
	if p.Time.IsZero() || len(h.waiting) > 0 {
		h.waiting = append(h.waiting, p)
		return nil
	}
	return h.yield(p)
}

// marked hears that the keyspace had a revision at a time.
func (h *history) marked(revision router.Revision, at time.Time) error {
	if len(h.waiting) == 0 || h.waiting[len(h.waiting)-1].Mod > revision {
		return nil
	}
	return h.flush(at)
}

// flush yields what waits; at is a moment at which it was there, zero if none is known but by the names of segments.
func (h *history) flush(at time.Time) error {
	for _, p := range h.waiting {
		if p.Time.IsZero() {
			p.Time = h.segmentEnd(p.Mod)
			if !at.IsZero() && (p.Time.IsZero() || at.Before(p.Time)) {
				p.Time = at
			}
		}
		if err := h.yield(p); err != nil {
			return err
		}
	}
	h.waiting = h.waiting[:0]
	return nil
}

// segmentEnd is when the part of the log with a revision was written.
func (h *history) segmentEnd(revision router.Revision) time.Time {
	log := h.catalog.Log
	if i := sort.Search(len(log), func(i int) bool { return log[i].Last >= revision }); i < len(log) && log[i].First <= revision {
		return log[i].To
	}
	return time.Time{}
}
