package verify_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/seal"
	"github.com/tierd/tierd/backup/verify"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/object"
)

// sealedArchive is one in a directory, really encrypted.
func sealedArchive(t *testing.T, dir string) *backup.Archive {
	t.Helper()
	ctx := context.Background()
	location, err := object.ParseLocation("file://" + dir)
	if err != nil {
		t.Fatal(err)
	}
	store, err := object.Open(ctx, location, object.Options{})
	if err != nil {
		t.Fatal(err)
	}
	master, err := seal.OpenKeyFile(filepath.Join(t.TempDir(), "key"), true, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.OpenKeyring(ctx, store, master, "k", rand.Reader, true)
	if err != nil {
		t.Fatal(err)
	}
	return backup.New(store, keys, "k")
}

// With the real store and the real encryption: what was written is read, nothing of it is in clear, and an
// object under another one's name is found.
func TestSealedArchive(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	a := sealedArchive(t, dir)
	began := time.UnixMilli(1_700_000_000_000)
	timeline := backup.Timeline{Keyspace: "k", Began: began, Cluster: 9}
	if err := a.ClaimEpoch(ctx, timeline, 1, 1, began); err != nil {
		t.Fatal(err)
	}
	head := backup.BaseHead{Revision: 1, Compacted: -1, Time: began, Begins: true}
	if _, err := a.WriteBase(ctx, timeline, 1, head, func(func(backup.Item) error) error { return nil }); err != nil {
		t.Fatal(err)
	}
	chain := backup.Genesis(timeline)
	var segments []backup.Segment
	for number := range int64(6) {
		r := router.Revision(number + 2)
		kv := &mvccpb.KeyValue{Key: []byte("the-key"), Value: []byte("the-value"), CreateRevision: 2, ModRevision: int64(r), Version: number + 1}
		b := backup.Block{Number: number + 1, First: r, Last: r, From: began, To: began, Items: []backup.Item{
			{Kind: backup.KindChange, Revision: r, Version: router.Version{Main: r, KV: kv}},
		}}
		s, after, err := a.WriteBlock(ctx, timeline, 1, chain, b)
		if err != nil {
			t.Fatal(err)
		}
		chain = after
		segments = append(segments, s)
	}
	if _, err := a.Merge(ctx, timeline, 1, segments[2:5]); err != nil {
		t.Fatal(err)
	}
	if r, err := verify.Verify(ctx, a, verify.Options{}); err != nil || r.Status != verify.OK || r.Timelines[0].Items != 6 {
		t.Fatalf("verify: %v, %+v", err, r)
	}
	noneInClear(t, dir)
	first := filepath.Join(dir, filepath.FromSlash(segments[0].Name()))
	text, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	second := segments[1].Name()
	if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(second)), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := verify.Verify(ctx, a, verify.Options{}); err != nil || r.Status != verify.Failure || !named(r, second) {
		t.Fatalf("verify: %v, %+v", err, r)
	}
	if _, err := a.CheckSegment(ctx, segments[1]); !errors.Is(err, seal.ErrAltered) {
		t.Fatalf("read: %v", err)
	}
}

// noneInClear looks for keys and values in all files, and in their names.
func noneInClear(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, secret := range []string{"the-key", "the-value"} {
			if bytes.Contains(text, []byte(secret)) || bytes.Contains([]byte(path), []byte(secret)) {
				t.Errorf("%s holds %q", path, secret)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
