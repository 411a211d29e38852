package restore

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/seal"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/object"
)

// blockKeys is how many versions of 1 KB are in a block of 4 MiB.
const blockKeys = 4096

// archived is an archive that a test has written, as a frontend with that data directory would.
type archived struct {
	dataDir  string
	timeline backup.Timeline
	store    object.Store
	archive  *backup.Archive
	chain    backup.Chain
	block    int64
	revision router.Revision
	now      time.Time
}

// newArchive opens an empty archive of the keyspace default.
func newArchive(tb testing.TB) *archived {
	tb.Helper()
	ctx := context.Background()
	a := &archived{dataDir: tb.TempDir(), now: time.UnixMilli(1_700_000_000_000), revision: 1}
	location, err := object.ParseLocation("file://" + filepath.Join(a.dataDir, "objects"))
	if err == nil {
		a.store, err = object.Open(ctx, location, object.Options{})
	}
	if err != nil {
		tb.Fatal(err)
	}
	master, err := seal.OpenKeyFile(filepath.Join(a.dataDir, "archive.key"), true, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	keys, err := seal.OpenKeyring(ctx, a.store, master, "default", rand.Reader, true)
	if err != nil {
		tb.Fatal(err)
	}
	a.archive = backup.New(a.store, keys, "default")
	a.timeline = backup.Timeline{Keyspace: "default", Began: a.now, Cluster: 7}
	if err := a.archive.ClaimEpoch(ctx, a.timeline, 1, 1, a.now); err != nil {
		tb.Fatal(err)
	}
	return a
}

// versions makes so many new keys of that size, one in each revision.
func (a *archived) versions(count, valueBytes int, yield func(router.Version) error) error {
	random := mathrand.NewChaCha8([32]byte{byte(a.revision)})
	for range count {
		a.revision++
		// Half of it can be compressed.
		value := make([]byte, valueBytes)
		if _, err := random.Read(value[valueBytes/2:]); err != nil {
			return err
		}
		revision := int64(a.revision)
		kv := &mvccpb.KeyValue{Key: fmt.Appendf(nil, "/registry/pods/%012d", revision), Value: value, CreateRevision: revision, ModRevision: revision, Version: 1}
		if err := yield(router.Version{Main: a.revision, KV: kv}); err != nil {
			return err
		}
	}
	return nil
}

// base writes a base with so many new keys, at the beginning of the log.
func (a *archived) base(tb testing.TB, count, valueBytes int) {
	tb.Helper()
	head := backup.BaseHead{Block: 0, Revision: a.revision + router.Revision(count), Compacted: -1, Time: a.now, Begins: true}
	_, err := a.archive.WriteBase(context.Background(), a.timeline, 1, head, func(add func(backup.Item) error) error {
		return a.versions(count, valueBytes, func(v router.Version) error {
			return add(backup.Item{Kind: backup.KindChange, Revision: v.Main, Version: v})
		})
	})
	if err != nil {
		tb.Fatal(err)
	}
	a.chain = backup.Beginning(a.timeline, 0, a.revision)
}

// log writes so many new keys as blocks, one second each.
func (a *archived) log(tb testing.TB, count, valueBytes int) {
	tb.Helper()
	for count > 0 {
		n := min(count, blockKeys)
		count -= n
		b := backup.Block{First: a.revision + 1, From: a.now, To: a.now.Add(time.Second)}
		err := a.versions(n, valueBytes, func(v router.Version) error {
			b.Items = append(b.Items, backup.Item{Kind: backup.KindChange, Revision: v.Main, Version: v})
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
		a.write(tb, b)
	}
}

// write writes the next block.
func (a *archived) write(tb testing.TB, b backup.Block) {
	tb.Helper()
	a.block++
	b.Number, b.Last = a.block, a.revision
	_, after, err := a.archive.WriteBlock(context.Background(), a.timeline, 1, a.chain, b)
	if err != nil {
		tb.Fatal(err)
	}
	a.chain, a.now = after, b.To
}
