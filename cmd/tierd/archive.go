package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/seal"
	"github.com/tierd/tierd/functions/archive"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/hot"
	"github.com/tierd/tierd/tiers/object"
)

const (
	// archiveWait is how long the object tier may take at the start, before it is left for later.
	archiveWait = 5 * time.Second
	// archiveWitnessWait bounds the question what the archive has, while Redis is recovered.
	archiveWitnessWait = 2 * time.Second
)

// archiveTier is the archive of the keyspace as a frontend uses it. It is opened when it can be.
type archiveTier struct {
	config config
	store  object.Store

	mu      sync.Mutex
	archive *backup.Archive
}

// openArchive opens the archive, if there is to be one. An object tier that is away does not stop a frontend;
// one that cannot be used does.
func (f *frontend) openArchive(ctx context.Context) error {
	if f.config.ObjectTier.Kind == object.KindNone {
		return nil
	}
	store, err := object.Open(ctx, f.config.ObjectTier, object.Options{})
	if err != nil {
		return fmt.Errorf("open --object-tier %s: %w", f.config.ObjectTier, err)
	}
	if closer, ok := store.(io.Closer); ok {
		f.onClose("the connections to the object tier", func(context.Context) error { return closer.Close() })
	}
	f.archive = &archiveTier{config: f.config, store: store}
	opening, cancel := context.WithTimeout(ctx, archiveWait)
	defer cancel()
	switch _, err := f.archive.open(opening); {
	case errors.Is(err, object.ErrUnfit):
		return usage("--object-tier %s cannot be used: %v", f.config.ObjectTier, err)
	case errors.Is(err, seal.ErrKey):
		return usage("the archive at %s is encrypted by another key; give all frontends the same --archive-key-file: %v", f.config.ObjectTier, err)
	case err != nil:
		f.logger.Error("the archive cannot be opened yet; clients are served", "object-tier", f.config.ObjectTier.String(), "cause", err)
	}
	return nil
}

// open proves, once, that the store does what the archive needs, and opens the archive.
func (t *archiveTier) open(ctx context.Context) (*backup.Archive, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.archive != nil {
		return t.archive, nil
	}
	if err := object.Probe(ctx, t.store, t.config.Keyspace+"/", rand.Reader); err != nil {
		return nil, err
	}
	if t.config.Archive.KeyFile != "" {
		if err := os.MkdirAll(t.config.DataDir, 0o700); err != nil {
			return nil, fmt.Errorf("make the data directory: %w", err)
		}
	}
	master, err := t.config.Archive.master(ctx, true)
	if err != nil {
		return nil, err
	}
	keys, err := seal.OpenKeyring(ctx, t.store, master, t.config.Keyspace, rand.Reader, true)
	if err != nil {
		return nil, fmt.Errorf("open the archive's keys: %w", err)
	}
	t.archive = backup.New(t.store, keys, t.config.Keyspace)
	return t.archive, nil
}

// refuseForgotten stops a frontend from making a keyspace that the archive has and Redis has lost.
func (f *frontend) refuseForgotten(ctx context.Context, home *hot.Client) error {
	if f.archive == nil || f.config.Archive.ForceNew {
		return nil
	}
	exists, err := home.Exists(ctx)
	if err != nil || exists {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, archiveWait)
	defer cancel()
	archive, err := f.archive.open(asking)
	var timelines []backup.Timeline
	if err == nil {
		timelines, err = archive.Timelines(asking)
	}
	if err != nil {
		return fmt.Errorf("the keyspace %s is not in Redis, and whether %s has it cannot be found out; start again when that can be reached, or, for a keyspace that is new, with --force-new-keyspace: %w",
			f.config.Keyspace, f.config.ObjectTier, err)
	}
	if len(timelines) > 0 {
		return usage("the keyspace %s is not in Redis, but its archive is at %s: bring it back with tierd restore --to-keyspace %s (tierd restore --help), or begin an empty one with --force-new-keyspace", f.config.Keyspace, f.config.ObjectTier, f.config.Keyspace)
	}
	return nil
}

// archived is the last revision that the archive has of a keyspace, 0 for none: Redis must not come back with less.
func (t *archiveTier) archived(ctx context.Context, cluster uint64) (router.Revision, error) {
	ctx, cancel := context.WithTimeout(ctx, archiveWitnessWait)
	defer cancel()
	archive, err := t.open(ctx)
	if err != nil {
		return 0, err
	}
	timelines, err := archive.Timelines(ctx)
	if err != nil {
		return 0, err
	}
	highest := router.Revision(0)
	for _, timeline := range timelines {
		if timeline.Cluster != cluster {
			continue
		}
		catalog, err := archive.Catalog(ctx, timeline)
		if err != nil {
			return 0, err
		}
		_, revision, _ := catalog.End()
		highest = max(highest, revision)
	}
	return highest, nil
}

// archiveLoop writes the archive until ctx ends.
func (f *frontend) archiveLoop(ctx context.Context, metrics *archive.Metrics) {
	archive.Loop(ctx, archive.Components{
		Keyspace: f.keyspace, Name: f.config.Keyspace, Open: f.archive.open, Logger: f.logger, Metrics: metrics,
		Now: time.Now, After: time.After, Random: rand.Reader,
	}, f.config.Archive.Job)
}
