package migrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/router"
)

const (
	// partSuffix is behind the name of an export until it is complete.
	partSuffix = ".part"
	// exportTries bounds how often the current state is read again because a compaction
	// overtook the reading.
	exportTries = 5
)

// Content is what is exported. It yields the versions in order, and may be asked again if it
// fails with router.ErrCompacted.
type Content func(ctx context.Context, yield func(router.Version) error) (Contents, error)

// Contents are what an export has besides its versions.
type Contents struct {
	Revision, Compacted router.Revision
	// Swept is the compacted revision down from which superseded versions were left out; Compacted,
	// or less.
	Swept  router.Revision
	Leases []router.Lease
	// Auth are the auth data.
	Auth map[string][]byte
}

// Readable is what a keyspace in service is read by: *router.Keyspace.
type Readable interface {
	History(ctx context.Context, at router.Revision, yield func(router.Version) error) (router.HistoryInfo, error)
	Leases(ctx context.Context) ([]router.Lease, router.Revision, error)
	AuthData(ctx context.Context) (router.AuthData, error)
}

// OfKeyspace is a keyspace at a revision, 0 for the current one, with the leases, users and roles of now.
func OfKeyspace(k Readable, at router.Revision) Content {
	return func(ctx context.Context, yield func(router.Version) error) (Contents, error) {
		// Leases are read on both sides of the history: whichever a key names is in one of the lists.
		before, _, err := k.Leases(ctx)
		if err != nil {
			return Contents{}, fmt.Errorf("list leases: %w", err)
		}
		info, err := k.History(ctx, at, yield)
		if err != nil {
			return Contents{}, fmt.Errorf("read the history: %w", err)
		}
		after, _, err := k.Leases(ctx)
		if err != nil {
			return Contents{}, fmt.Errorf("list leases: %w", err)
		}
		auth, err := k.AuthData(ctx)
		if err != nil {
			return Contents{}, fmt.Errorf("read users and roles: %w", err)
		}
		return Contents{Revision: info.At, Compacted: info.Compacted, Swept: info.Compacted, Leases: union(before, after), Auth: auth.Fields}, nil
	}
}

// OfArchive is what a plan reads from an archive. A base has superseded versions from its own
// compaction on, so that nothing counts as swept.
func OfArchive(a *backup.Archive, plan backup.Plan) Content {
	return func(ctx context.Context, yield func(router.Version) error) (Contents, error) {
		end, err := a.Read(ctx, plan, func(it backup.Item) error {
			if it.Kind != backup.KindChange {
				return nil
			}
			return yield(it.Version)
		})
		if err != nil {
			return Contents{}, err
		}
		return Contents{Revision: end.Revision, Compacted: end.Compacted, Swept: -1, Leases: end.Leases, Auth: end.Auth}, nil
	}
}

// Exported is what a file has.
type Exported struct {
	State etcdfile.State
	// Bytes is the size of the file with its digest, Hash its HashKV at its revision.
	Bytes int64
	Hash  uint32
}

// Export writes an etcd snapshot in a storage version such as "3.7.0". The file at path appears when it is complete,
// on disk and read back; what an export before it left unfinished is removed.
func Export(ctx context.Context, c Content, path, storageVersion string, progress Progress) (e Exported, err error) {
	part := path + partSuffix
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return e, fmt.Errorf("remove an unfinished export: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removed(part))
		}
	}()
	if e.Bytes, err = exportTo(ctx, c, part, storageVersion, progress); err != nil {
		return e, err
	}
	progress.Step("reading the file back", 0)
	if err := e.readBack(ctx, part); err != nil {
		return e, err
	}
	if err := os.Rename(part, path); err != nil {
		return e, fmt.Errorf("name the export: %w", err)
	}
	return e, syncDir(filepath.Dir(path))
}

// removed removes a file that may not be there.
func removed(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the unfinished export: %w", err)
	}
	return nil
}

func exportTo(ctx context.Context, c Content, path, storageVersion string, progress Progress) (bytes int64, err error) {
	for range exportTries {
		bytes, err = exportOnce(ctx, c, path, storageVersion, progress)
		if !errors.Is(err, router.ErrCompacted) {
			return bytes, err
		}
		if err := removed(path); err != nil {
			return 0, err
		}
	}
	return bytes, err
}

func exportOnce(ctx context.Context, c Content, path, storageVersion string, progress Progress) (bytes int64, err error) {
	file, err := etcdfile.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	progress.Step("exporting versions", 0)
	done := int64(0)
	contents, err := c(ctx, func(v router.Version) error {
		if done++; done%progressEvery == 0 {
			progress.Done(done)
		}
		return file.PutVersion(v)
	})
	if err != nil {
		return 0, err
	}
	progress.Done(done)
	if err := file.PutLeases(contents.Leases); err != nil {
		return 0, err
	}
	if err := file.PutAuth(contents.Auth); err != nil {
		return 0, err
	}
	meta := etcdfile.Meta{
		Revision: contents.Revision, Compacted: contents.Compacted, StorageVersion: storageVersion,
		Unswept: contents.Swept < contents.Compacted, Swept: contents.Swept,
	}
	if err := file.PutMeta(meta); err != nil {
		return 0, err
	}
	return file.Finish(etcdfile.FinishOptions{Digest: true, Sync: true})
}

// readBack opens the finished file as whoever restores it will.
func (e *Exported) readBack(ctx context.Context, path string) (err error) {
	file, err := etcdfile.Open(ctx, path)
	if err != nil {
		return fmt.Errorf("read the export back: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	e.State = file.State()
	if e.Hash, err = file.Hash(ctx, etcdfile.Point{At: e.State.Revision, Compacted: e.State.Compacted}); err != nil {
		return fmt.Errorf("hash the export: %w", err)
	}
	return nil
}

// syncDir makes the name of a file in it durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync the folder of the export: %w", err)
	}
	err = dir.Sync()
	if err = errors.Join(err, dir.Close()); err != nil {
		return fmt.Errorf("sync the folder of the export: %w", err)
	}
	return nil
}
