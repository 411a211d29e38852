package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/tierd/tierd/backup/seal"
	"github.com/tierd/tierd/functions/archive"
)

const (
	// archiveIntervalMin is the least time between two blocks of the archive.
	archiveIntervalMin = 100 * time.Millisecond
	// archiveSegmentMin and archiveSegmentMax bound --archive-segment-bytes.
	archiveSegmentMin, archiveSegmentMax = 64 << 10, 64 << 20
)

// archiveFlags are the settings of the archive as they were written.
type archiveFlags struct {
	keyFile, kmsKey                string
	interval, snapshotAge          time.Duration
	segmentBytes, snapshotLogBytes int64
	forceNew                       bool
}

// archiveSettings are those settings checked.
type archiveSettings struct {
	// KeyFile or else KMSKey is the master key.
	KeyFile, KMSKey string
	Job             archive.Settings
	// ForceNew makes a keyspace although the archive has one of its name.
	ForceNew bool
}

func (f *archiveFlags) register(fs *pflag.FlagSet) {
	settings := archive.DefaultSettings()
	f.registerKey(fs)
	fs.DurationVar(&f.interval, "archive-interval", settings.Interval, "time between two writes to the archive while something changes: what a loss of Redis can cost at most, but for the time that a write takes")
	fs.Int64Var(&f.segmentBytes, "archive-segment-bytes", int64(settings.SegmentBytes), "keys and values, in bytes, at which the archive is written to sooner")
	fs.Int64Var(&f.snapshotLogBytes, "snapshot-log-bytes", settings.SnapshotLogBytes, "keys and values written to the archive, in bytes, after which it gets another snapshot; more where the last snapshot is larger than that")
	fs.DurationVar(&f.snapshotAge, "snapshot-age", settings.SnapshotAge, "longest time without another snapshot in the archive while something changes")
	fs.BoolVar(&f.forceNew, "force-new-keyspace", false, "make an empty keyspace although the archive has one of that name that is gone from Redis; to bring that one back use tierd restore instead")
}

// registerKey declares what opens an archive, for tools too.
func (f *archiveFlags) registerKey(fs *pflag.FlagSet) {
	fs.StringVar(&f.keyFile, "archive-key-file", "", `file with the key that encrypts the archive, made if it is not there; all frontends need the same one, and without it the archive cannot be read (default "${data-dir}/archive.key")`)
	fs.StringVar(&f.kmsKey, "archive-kms-key", "", "ARN of the key of AWS KMS that encrypts the archive, instead of a file")
}

// key says which master key is meant.
func (f *archiveFlags) key(dataDir string) (archiveSettings, error) {
	s := archiveSettings{KeyFile: f.keyFile, KMSKey: f.kmsKey}
	switch {
	case f.kmsKey != "" && f.keyFile != "":
		return s, usage("--archive-key-file and --archive-kms-key cannot both be given")
	case f.kmsKey != "" && !strings.HasPrefix(f.kmsKey, "arn:"):
		return s, usage("--archive-kms-key must be the ARN of a key, not %q", f.kmsKey)
	case f.kmsKey == "" && f.keyFile == "":
		s.KeyFile = filepath.Join(dataDir, "archive.key")
	}
	return s, nil
}

func (f *archiveFlags) check(dataDir string) (archiveSettings, error) {
	s, err := f.key(dataDir)
	if err != nil {
		return s, err
	}
	switch {
	case f.interval < archiveIntervalMin:
		return s, usage("--archive-interval must be at least %v, not %v", archiveIntervalMin, f.interval)
	case f.segmentBytes < archiveSegmentMin || f.segmentBytes > archiveSegmentMax:
		return s, usage("--archive-segment-bytes must be from %d to %d, not %d", archiveSegmentMin, archiveSegmentMax, f.segmentBytes)
	case f.snapshotLogBytes < 1:
		return s, usage("--snapshot-log-bytes must be at least 1, not %d", f.snapshotLogBytes)
	case f.snapshotAge <= 0:
		return s, usage("--snapshot-age must be more than 0, not %v", f.snapshotAge)
	}
	s.Job = archive.Settings{Interval: f.interval, SegmentBytes: int(f.segmentBytes), SnapshotLogBytes: f.snapshotLogBytes, SnapshotAge: f.snapshotAge}
	s.ForceNew = f.forceNew
	return s, nil
}

// master opens the master key; create makes a key file that is not there.
func (s archiveSettings) master(ctx context.Context, create bool) (seal.Master, error) {
	if s.KMSKey != "" {
		master, err := seal.NewKMS(ctx, s.KMSKey, seal.KMSOptions{})
		if err != nil {
			return nil, fmt.Errorf("open --archive-kms-key: %w", err)
		}
		return master, nil
	}
	master, err := seal.OpenKeyFile(s.KeyFile, create, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("open --archive-key-file %s: %w", s.KeyFile, err)
	}
	return master, nil
}
