package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/seal"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/object"
)

// sourceFlags are the flags that say which archive a command reads. They are those of tierd serve,
// and --timeline; some commands have --from for --object-tier.
type sourceFlags struct {
	*placeFlags
	from, timeline string
}

func newSourceFlags(environ []string) *sourceFlags {
	return &sourceFlags{placeFlags: newPlaceFlags(environ)}
}

// archiveNames are the flags shared with tierd serve that say where the archive is.
func archiveNames() []string { return []string{"object-tier"} }

// register declares the flags; withFrom says that the command has --from.
func (f *sourceFlags) register(fs *pflag.FlagSet, withFrom bool) {
	if withFrom {
		fs.StringVar(&f.from, "from", "", "where the archive is, as --object-tier (the default)")
	}
	f.placeFlags.register(fs)
	for _, name := range archiveNames() {
		fs.AddFlag(f.serveSet.Lookup(name))
	}
	fs.StringVar(&f.timeline, "timeline", "", "which timeline of the keyspace to read, or the beginning of its ID; tierd backup list has them (default the newest)")
}

// sourceSettings say where an archive is, and with which key it was encrypted.
type sourceSettings struct {
	Location object.Location
	Keyspace string
	Timeline string
	Key      archiveSettings
	// Place is where the keyspace itself is.
	Place placeSettings
}

// archived reads the settings.
func (f *sourceFlags) archived(cmd *cobra.Command) (s sourceSettings, err error) {
	for _, name := range archiveNames() {
		if flag := cmd.Flags().Lookup(name); flag.Changed {
			if err := settle(f.serveSet, flag); err != nil {
				return s, valueError("--"+name, flag, flag.Value.String())
			}
		}
	}
	if s.Place, err = f.settings(cmd); err != nil {
		return s, err
	}
	s.Keyspace, s.Timeline = s.Place.Keyspace, f.timeline
	s.Key = s.Place.Key
	name, text := "--object-tier", f.serve.objectTier
	if f.from != "" {
		name, text = "--from", f.from
	}
	if text == "" {
		text = "file://" + filepath.Join(s.Place.DataDir, "objects")
	}
	if s.Location, err = object.ParseLocation(text); err != nil {
		return s, usage("%s cannot be used: %v", name, err)
	}
	if s.Location.Kind == object.KindNone {
		return s, usage("%s is none: there is no archive", name)
	}
	return s, nil
}

// readArchive is an archive that was opened to be read.
type readArchive struct {
	*backup.Archive
	settings sourceSettings
	store    object.Store
	master   seal.Master
}

// openSource opens an archive. It asks no server but the store, and the key service if there is one.
func openSource(ctx context.Context, s sourceSettings) (a *readArchive, err error) {
	a = &readArchive{settings: s}
	if a.master, err = openMaster(ctx, s.Key); err != nil {
		return nil, err
	}
	if a.store, err = object.Open(ctx, s.Location, object.Options{}); err != nil {
		return nil, fmt.Errorf("open the object tier %s: %w", s.Location, err)
	}
	keys, err := seal.OpenKeyring(ctx, a.store, a.master, s.Keyspace, rand.Reader, false)
	if err != nil {
		return nil, errors.Join(a.explainKeys(ctx, err), a.Close())
	}
	a.Archive = backup.New(a.store, keys, s.Keyspace)
	return a, nil
}

// Close ends the connections to the store.
func (a *readArchive) Close() error {
	if closer, ok := a.store.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// openMaster opens the key that an archive was encrypted with.
func openMaster(ctx context.Context, key archiveSettings) (seal.Master, error) {
	master, err := key.master(ctx, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage("there is no key file %s: give the one that the archive was written with by --archive-key-file, or its --archive-kms-key", key.KeyFile)
	}
	if err != nil {
		return nil, usage("%v", err)
	}
	return master, nil
}

// keyspacesNamed bounds the keyspaces that a sentence names.
const keyspacesNamed = 10

// explainKeys says why there are no keys: the wrong one, or nothing of that keyspace.
func (a *readArchive) explainKeys(ctx context.Context, err error) error {
	if !errors.Is(err, seal.ErrKey) {
		return err
	}
	var names []string
	for after := ""; len(names) < keyspacesNamed; {
		name, listErr := firstObject(ctx, a.store, after)
		if listErr != nil {
			return errors.Join(err, listErr)
		}
		keyspace, _, inside := strings.Cut(name, "/")
		if name == "" {
			break
		}
		after = name
		if inside {
			names = append(names, keyspace)
			after = keyspace + "0" // what follows all that is in the folder
		}
	}
	switch {
	case slices.Contains(names, a.settings.Keyspace):
		return usage("%v: give the key that the archive was written with by --archive-key-file or --archive-kms-key", err)
	case len(names) == 0:
		return usage("there is no archive at %s", a.settings.Location)
	default:
		return usage("the archive at %s has no keyspace %s; it has: %s", a.settings.Location, a.settings.Keyspace, strings.Join(names, ", "))
	}
}

func firstObject(ctx context.Context, store object.Store, after string) (string, error) {
	for info, err := range store.List(ctx, "", after) {
		return info.Name, err
	}
	return "", nil
}

// timelines are those of the keyspace, or the one that was asked for.
func (a *readArchive) timelines(ctx context.Context) ([]backup.Timeline, error) {
	all, err := a.Timelines(ctx)
	if err != nil {
		return nil, err
	}
	wanted := a.settings.Timeline
	if wanted == "" {
		return all, nil
	}
	all = slices.DeleteFunc(all, func(t backup.Timeline) bool { return !strings.HasPrefix(t.ID(), wanted) })
	if len(all) != 1 {
		return nil, usage("--timeline %s is the beginning of the ID of %d timelines of %s: see tierd backup list", wanted, len(all), a.settings.Keyspace)
	}
	return all, nil
}

// chosen lists the timeline that was asked for: the one named, or the newest that anything can be read
// from; or one before that, if it begins after the target: a keyspace that was restored has its past in the
// timeline that it was restored from.
func (a *readArchive) chosen(ctx context.Context, target backup.Target) (*backup.Catalog, error) {
	all, err := a.timelines(ctx)
	if err != nil {
		return nil, err
	}
	var newest *backup.Catalog
	for _, t := range slices.Backward(all) {
		c, err := a.Catalog(ctx, t)
		if err != nil {
			return nil, err
		}
		if len(c.Bases) == 0 {
			continue
		}
		if newest == nil {
			newest = c
		}
		// Where its beginning was pruned, what is before may be its own as well.
		first := c.Bases[0]
		if first.Block > 0 || target.Revision >= first.Revision && target.Time.IsZero() || !target.Time.IsZero() && !target.Time.Before(first.Time) ||
			target == (backup.Target{}) {
			return c, nil
		}
	}
	if newest != nil {
		return newest, nil
	}
	return nil, usage("the archive of %s at %s has no base yet, so nothing can be read from it", a.settings.Keyspace, a.settings.Location)
}

// parseMoment reads a revision or a time. name is the flag's.
func parseMoment(name, text string) (backup.Target, error) {
	if text == "latest" {
		return backup.Target{}, nil
	}
	if revision, err := strconv.ParseInt(text, 10, 64); err == nil {
		return revisionTarget(name, revision)
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return backup.Target{}, usage("%s must be a revision or a time such as 2026-01-31T12:30:00Z, not %q", name, text)
	}
	return backup.Target{Time: t}, nil
}

func revisionTarget(name string, revision int64) (backup.Target, error) {
	if revision < 1 {
		return backup.Target{}, usage("%s must be a revision of 1 or more, not %d", name, revision)
	}
	return backup.Target{Revision: router.Revision(revision)}, nil
}

// explainArchive makes a mistake of the operator of what the archive does not have.
func explainArchive(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	if errors.Is(err, backup.ErrOutside) {
		return usage("%v; tierd backup list shows what there is", err)
	}
	return err
}
