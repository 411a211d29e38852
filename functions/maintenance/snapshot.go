package maintenance

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

const (
	// snapshotChunkBytes is how much of the file goes into one message.
	snapshotChunkBytes = 32 << 10
	// snapshotFilePattern names the temporary files.
	snapshotFilePattern = "tierd-snapshot-*.db"
)

// RemoveLeftovers removes from dir the files of snapshots that a killed process
// was building. The caller knows that no live process builds snapshots there.
func RemoveLeftovers(dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, snapshotFilePattern))
	if err != nil {
		return fmt.Errorf("find unfinished snapshots in %s: %w", dir, err)
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove an unfinished snapshot: %w", err)
		}
	}
	return nil
}

// image is a finished database file, already without a name.
type image struct {
	file *os.File
	size int64
	info router.HistoryInfo
}

// Snapshot sends the current state as an etcd database file, followed by the
// SHA-256 of the file in a message of its own. Memory is bounded by one batch of
// versions and one message; the disk space is given back when the call ends.
func (s *server) Snapshot(_ *pb.SnapshotRequest, stream pb.Maintenance_SnapshotServer) error {
	ctx := stream.Context()
	select {
	case s.building <- struct{}{}:
		defer func() { <-s.building }()
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
	img, err := s.buildImage(ctx)
	if err != nil {
		return wire.Error(fmt.Errorf("snapshot: %w", err))
	}
	defer img.file.Close() // read-only and nameless: nothing can be lost
	if err := s.send(img, stream); err != nil {
		return wire.Error(fmt.Errorf("snapshot: %w", err))
	}
	s.logger.Info("a snapshot was sent", slog.Int64("revision", int64(img.info.At)),
		slog.Int64("compacted", int64(img.info.Compacted)), slog.Int64("bytes", img.size))
	return nil
}

// buildImage builds the file, again if a compaction overtakes the reading.
func (s *server) buildImage(ctx context.Context) (img *image, err error) {
	err = undisturbed(func() error {
		img, err = s.buildOnce(ctx)
		return err
	})
	return img, err
}

func (s *server) buildOnce(ctx context.Context) (*image, error) {
	named, err := os.CreateTemp(s.settings.TempDir, snapshotFilePattern)
	if err != nil {
		return nil, fmt.Errorf("create a temporary file: %w", err)
	}
	path := named.Name()
	defer os.Remove(path) // the image keeps the content without the name
	if err := named.Close(); err != nil {
		return nil, fmt.Errorf("create a temporary file: %w", err)
	}
	img, err := s.writeDatabase(ctx, path)
	if err != nil {
		return nil, err
	}
	if img.file, err = os.Open(path); err != nil {
		return nil, fmt.Errorf("open the database file: %w", err)
	}
	return img, nil
}

// writeDatabase writes the current state to the empty file at path.
func (s *server) writeDatabase(ctx context.Context, path string) (*image, error) {
	file, err := etcdfile.Create(path)
	if err != nil {
		return nil, err
	}
	img := &image{}
	if img.info, err = fill(ctx, file, s.api, s.settings.storageVersion()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	// The file does not outlive the call, so nothing waits for the disk.
	if img.size, err = file.Finish(etcdfile.FinishOptions{}); err != nil {
		return nil, err
	}
	return img, nil
}

// send sends the file in chunks, and its digest.
func (s *server) send(img *image, stream pb.Maintenance_SnapshotServer) error {
	hash := sha256.New()
	content := io.TeeReader(io.LimitReader(img.file, img.size), hash)
	version := s.settings.storageVersion()
	for left := img.size; left > 0; {
		// A chunk belongs to gRPC once it is sent, so each has its own memory.
		chunk := make([]byte, min(left, snapshotChunkBytes))
		if _, err := io.ReadFull(content, chunk); err != nil {
			return fmt.Errorf("read the database file: %w", err)
		}
		left -= int64(len(chunk))
		if err := stream.Send(&pb.SnapshotResponse{RemainingBytes: uint64(left), Blob: chunk, Version: version}); err != nil {
			return err
		}
	}
	return stream.Send(&pb.SnapshotResponse{Blob: hash.Sum(nil), Version: version})
}
