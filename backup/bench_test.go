package backup_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/archivetest"
	"github.com/tierd/tierd/router"
)

// clearText is a Sealer that does nothing, to measure the rest.
type clearText struct{}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func (clearText) Seal(_ string, w io.Writer) (io.WriteCloser, error) { return nopCloser{w}, nil }
func (clearText) Open(_ string, r io.Reader) (io.Reader, error)      { return r, nil }

// kilobyte is a change of 1 KB.
func kilobyte(revision router.Revision, value []byte) backup.Item {
	return backup.Item{Kind: backup.KindChange, Revision: revision, Version: router.Version{Main: revision, KV: &mvccpb.KeyValue{
		Key: fmt.Appendf(nil, "/registry/pods/default/%09d", revision), Value: value,
		CreateRevision: int64(revision), ModRevision: int64(revision), Version: 1,
	}}}
}

// BenchmarkRead reads an archive of changes of 1 KB, half of them in the base, half in the log.
func BenchmarkRead(b *testing.B) {
	const half, perBlock = 50_000, 4000
	ctx := context.Background()
	archive := backup.New(archivetest.NewStore(), clearText{}, "k")
	began := time.UnixMilli(1_700_000_000_000)
	timeline := backup.Timeline{Keyspace: "k", Began: began, Cluster: 1}
	value := make([]byte, 1000)
	head := backup.BaseHead{Revision: half + 1, Compacted: -1, Time: began, Begins: true}
	_, err := archive.WriteBase(ctx, timeline, 1, head, func(add func(backup.Item) error) error {
		for r := range router.Revision(half) {
			if err := add(kilobyte(r+2, value)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	chain, revision := backup.Genesis(timeline), router.Revision(half+1)
	for number := int64(1); revision < 2*half; number++ {
		block := backup.Block{Number: number, First: revision + 1, From: began, To: began}
		for range perBlock {
			revision++
			block.Items = append(block.Items, kilobyte(revision, value))
		}
		block.Last = revision
		if _, chain, err = archive.WriteBlock(ctx, timeline, 1, chain, block); err != nil {
			b.Fatal(err)
		}
	}
	c, err := archive.Catalog(ctx, timeline)
	if err != nil {
		b.Fatal(err)
	}
	plan, err := archive.Plan(ctx, c, backup.Target{})
	if err != nil {
		b.Fatal(err)
	}
	items := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		end, err := archive.Read(ctx, plan, func(backup.Item) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
		items += end.Items
	}
	b.ReportMetric(float64(items)/b.Elapsed().Seconds(), "items/s")
}
