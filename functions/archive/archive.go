// Package archive is the scheduled job that writes the archive of a keyspace: blocks of
// its log as they happen, snapshots of its state now and then, and larger segments out of
// small ones.
//
// Every frontend runs it, and the sequencer gives the role to one of them. Its promises:
// serving never waits for it and never fails because of it; what the archive says to have it has,
// in order and without a gap; and what compaction must not drop yet is kept, within the bound
// that the router states. While the object tier does not answer, the log waits in the hot
// tier; the job says so and catches up.
package archive

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/router"
)

const (
	// standbyPause is how often a frontend without the role asks for it.
	standbyPause = 2 * time.Second
	// signPause is how often the holder shows that it lives; the role is kept for
	// router.ArchiveGood after that.
	signPause = router.ArchiveGood / 4
	// patience is how long the holder keeps the role while it fails; then another may have
	// more luck.
	patience = 15 * time.Second
	// backOffMax bounds the pause after failures, which begins at the interval and doubles.
	backOffMax = 8 * time.Second
	// openBound bounds one attempt to open the archive, enterBound one to make it the holder's own: that they fail
	// has to be seen. A store repeats calls for longer than that.
	openBound  = 20 * time.Second
	enterBound = time.Minute
	// writeBound bounds one attempt to store a block, with a second more for each writeRate bytes of it.
	writeBound = 20 * time.Second
	writeRate  = 128 << 10
	// lastBound bounds the last block and the giving up of the role when the frontend stops.
	lastBound = 3 * time.Second
)

// Settings are the values that a user may change.
type Settings struct {
	// Interval is the time between two blocks while something happens.
	Interval time.Duration
	// SegmentBytes is how many bytes of keys and values make a block full.
	SegmentBytes int
	// SnapshotLogBytes is how many bytes of log, keys and values as they were written, make
	// another base worth its while; it has to be twice as large as the last base, too.
	SnapshotLogBytes int64
	// SnapshotAge is the longest that a changing keyspace goes without a base.
	SnapshotAge time.Duration
}

// DefaultSettings are right for most.
func DefaultSettings() Settings {
	return Settings{Interval: time.Second, SegmentBytes: 4 << 20, SnapshotLogBytes: 1 << 30, SnapshotAge: 24 * time.Hour}
}

// Components are what Loop is built from.
type Components struct {
	Keyspace router.Archivist
	// Name is the keyspace's.
	Name string
	// Open opens the archive; it is called again until it succeeds.
	Open   func(ctx context.Context) (*backup.Archive, error)
	Logger *slog.Logger
	// Metrics may be nil.
	Metrics *Metrics
	// Now and After are the clock: time.Now and time.After outside tests.
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
	// Random is where tokens come from.
	Random io.Reader
}

// Loop runs the job until ctx ends; then it writes what is left, within a bound. Failures are
// logged here when they begin and when they end, and shown in the metrics.
func Loop(ctx context.Context, c Components, s Settings) {
	job := &job{c: c, s: s}
	var archive *backup.Archive
	for ctx.Err() == nil {
		var err error
		if archive == nil {
			job.look(ctx)
			archive, err = job.open(ctx)
		}
		if err == nil {
			err = job.hold(ctx, archive)
		}
		pause := standbyPause
		switch {
		case errors.Is(err, router.ErrStopped) || ctx.Err() != nil:
			return
		case errors.Is(err, router.ErrFenced):
			job.look(ctx)
		case err != nil:
			job.failed(err)
			job.look(ctx)
			pause = backOffMax
		}
		select {
		case <-ctx.Done():
		case <-c.After(pause):
		}
	}
}

// job is the job on one frontend. One goroutine uses it.
type job struct {
	c Components
	s Settings
	// failing is the failure that was logged last; nil once the job has worked since.
	failing error
}

// open opens the archive.
func (j *job) open(ctx context.Context) (*backup.Archive, error) {
	ctx, cancel := context.WithTimeout(ctx, openBound)
	defer cancel()
	return j.c.Open(ctx)
}

// failed notes a failure, and logs it if it is news.
func (j *job) failed(err error) {
	j.c.Metrics.failed(err)
	if j.failing == nil || j.failing.Error() != err.Error() {
		j.c.Logger.Error("the archive is not written; clients are served, and what happens is kept for it within bounds", slog.Any("error", err))
	}
	j.failing = err
}

// works notes that the job has done something.
func (j *job) works() {
	if j.failing != nil {
		j.c.Logger.Info("the archive is written again")
	}
	j.failing = nil
	j.c.Metrics.works()
}

// look shows how far another frontend has brought the archive.
func (j *job) look(ctx context.Context) {
	p, current, err := j.c.Keyspace.LookArchive(ctx)
	if err == nil {
		j.c.Metrics.show(p.Revision, current, p.To, j.c.Now())
	}
}

// hold takes the role and writes until it is lost, ctx ends, or nothing has worked for too long. ErrFenced
// if someone else has it.
func (j *job) hold(ctx context.Context, archive *backup.Archive) (err error) {
	raw := make([]byte, 8)
	if _, err := io.ReadFull(j.c.Random, raw); err != nil {
		return fmt.Errorf("draw a token: %w", err)
	}
	w := &writer{job: j, archive: archive, token: hex.EncodeToString(raw)}
	role, err := j.c.Keyspace.ClaimArchive(ctx, w.token)
	if err != nil {
		return err
	}
	// The last block is written after ctx has ended.
	holding, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	signs := make(chan struct{})
	go func() {
		defer close(signs)
		w.live(holding, cancel)
	}()
	defer func() {
		cancel(nil)
		<-signs
		releasing, end := context.WithTimeout(context.WithoutCancel(ctx), lastBound)
		defer end()
		if releaseErr := j.c.Keyspace.ReleaseArchive(releasing, w.token); releaseErr != nil && !errors.Is(releaseErr, router.ErrFenced) {
			err = errors.Join(err, releaseErr)
		}
	}()
	j.c.Logger.Info("writing the archive", slog.Int64("epoch", role.Epoch), slog.Int64("revision", int64(role.Progress.Revision)))
	err = w.run(ctx, holding, role)
	if cause := context.Cause(holding); cause != nil {
		err = cause
	}
	return err
}

// live shows signs of life until the role is lost.
func (w *writer) live(ctx context.Context, lost context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.c.After(signPause):
		}
		if err := w.c.Keyspace.KeepArchive(ctx, w.token); errors.Is(err, router.ErrFenced) {
			lost(err)
			return
		}
	}
}
