// Package verify checks an archive by the bucket alone: that everything is there that should
// be, that each object is what was stored under its name, and that all of it is one log.
//
// It cannot know of blocks at the end of which nothing else in the bucket tells, nor of a whole timeline that is gone.
package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/router"
)

// Status says how bad something is.
type Status string

// The statuses, from good to bad.
const (
	// OK: all is as it should be.
	OK Status = "OK"
	// Warning: nothing that is kept is lost, but something is there, or is not, that somebody may want to know of.
	Warning Status = "WARNING"
	// Failure: something that the archive should have cannot be had.
	Failure Status = "FAILURE"
)

// worse is the worse of two.
func worse(a, b Status) Status {
	switch {
	case a == Failure || b == Failure:
		return Failure
	case a == Warning || b == Warning:
		return Warning
	default:
		return OK
	}
}

// Options say how thorough to be.
type Options struct {
	// Quick goes by names alone.
	Quick bool
	// NewestOnly leaves out all timelines but the newest one.
	NewestOnly bool
	// Parallel is how many objects are read at once; 0 means parallelDefault.
	Parallel int
	// Progress, if it is set, is told after each object, by one goroutine at a time.
	Progress func(Progress)
}

const parallelDefault = 4

// Progress is how far a check of one timeline has come.
type Progress struct {
	Timeline      string
	Objects, All  int64
	Bytes, OfThem int64
}

// Problem is one thing that was found.
type Problem struct {
	Status Status `json:"status"`
	// Object is the name concerned; of one that is missing, what its name begins with.
	Object string `json:"object"`
	Text   string `json:"text"`
}

// Timeline is what was found of one timeline.
type Timeline struct {
	ID       string    `json:"id"`
	Status   Status    `json:"status"`
	Bases    int       `json:"bases"`
	Segments int       `json:"segments"`
	Bytes    int64     `json:"bytes"`
	Problems []Problem `json:"problems,omitempty"`
	// FirstRevision is that of the first base, LastRevision and LastTime the end.
	FirstRevision router.Revision `json:"firstRevision"`
	LastRevision  router.Revision `json:"lastRevision"`
	FirstTime     time.Time       `json:"firstTime"`
	LastTime      time.Time       `json:"lastTime"`
	// Objects, Blocks and Items count what was read.
	Objects int64 `json:"objectsRead"`
	Blocks  int64 `json:"blocksRead"`
	Items   int64 `json:"itemsRead"`
}

// Report is the result.
type Report struct {
	Status   Status `json:"status"`
	Keyspace string `json:"keyspace"`
	Quick    bool   `json:"quick"`
	// Text says what is wrong if there is no timeline at all.
	Text      string     `json:"text,omitempty"`
	Timelines []Timeline `json:"timelines"`
}

// Verify checks an archive. The error is for what kept it from checking (a store that cannot be
// reached); what is wrong with the archive is in the report.
func Verify(ctx context.Context, a *backup.Archive, o Options) (Report, error) {
	report := Report{Status: OK, Keyspace: a.Keyspace(), Quick: o.Quick}
	timelines, err := a.Timelines(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("verify the archive: %w", err)
	}
	if len(timelines) == 0 {
		report.Status, report.Text = Failure, "there is no archive of the keyspace "+a.Keyspace()
	}
	if o.NewestOnly && len(timelines) > 1 {
		timelines = timelines[len(timelines)-1:]
	}
	if o.Parallel <= 0 {
		o.Parallel = parallelDefault
	}
	for _, t := range timelines {
		found, err := verifyTimeline(ctx, a, t, o)
		if err != nil {
			return Report{}, fmt.Errorf("verify the archive: %w", err)
		}
		report.Timelines = append(report.Timelines, found)
		report.Status = worse(report.Status, found.Status)
	}
	return report, nil
}

func verifyTimeline(ctx context.Context, a *backup.Archive, t backup.Timeline, o Options) (Timeline, error) {
	result := Timeline{ID: t.ID(), Status: OK}
	c, err := a.Catalog(ctx, t)
	if err != nil {
		if stops(err) {
			return result, err
		}
		result.add(Failure, t.ID(), err.Error())
		return result, nil
	}
	result.Bases, result.Segments, result.Bytes = len(c.Bases), len(c.Log), c.Bytes
	_, result.LastRevision, result.LastTime = c.End()
	if len(c.Bases) > 0 {
		result.FirstRevision, result.FirstTime = c.Bases[0].Revision, c.Bases[0].Time
	}
	var begins map[int64]bool
	if !o.Quick {
		r := &reading{archive: a, catalog: c, options: o, result: &result, chains: make(map[int64][]evidence)}
		if err := r.all(ctx); err != nil {
			return result, err
		}
		begins = r.begins
	}
	n := names{catalog: c, begins: begins, quick: o.Quick, result: &result}
	n.check()
	return result, nil
}

func (t *Timeline) add(status Status, object, text string) {
	t.Problems = append(t.Problems, Problem{status, object, text})
	t.Status = worse(t.Status, status)
}
