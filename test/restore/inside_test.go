//go:build bench

package restore

import (
	"context"
	"crypto/rand"
	"log/slog"
	"testing"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/restore"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/tiers/hot"
)

const insideKeys = 300_000

// BenchmarkRead reads an archive, and does nothing with it.
func BenchmarkRead(b *testing.B) {
	a := newArchive(b)
	a.base(b, insideKeys, 1024)
	c, plan := planned(b, a)
	_ = c
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.archive.Read(b.Context(), plan.Plan, func(backup.Item) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(insideKeys*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}

func planned(b *testing.B, a *archived) (*backup.Catalog, *restore.Plan) {
	c, err := a.archive.Catalog(b.Context(), a.timeline)
	if err != nil {
		b.Fatal(err)
	}
	plan, err := restore.New(b.Context(), a.archive, c, restore.Request{})
	if err != nil {
		b.Fatal(err)
	}
	return c, plan
}

// BenchmarkRestore restores an archive into a Redis.
func BenchmarkRestore(b *testing.B) {
	a := newArchive(b)
	a.base(b, insideKeys, 1024)
	c, plan := planned(b, a)
	redis := cluster.StartRedis(b, cluster.RedisOptions{})
	client := redis.Client()
	fleet, err := hot.NewFleet(hot.Settings{Keyspace: "it", MemberID: 9, Existing: true}, hot.Components{Redis: client, Logger: slog.New(slog.DiscardHandler), Random: rand.Reader})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := client.FlushAll(b.Context()).Err(); err != nil {
			b.Fatal(err)
		}
		_, err := restore.Run(b.Context(), a.archive, c, plan, func(ctx context.Context, s router.RestoreStart) (restore.Restoration, error) {
			return router.Restore(ctx, fleet, s)
		}, new(restore.Meter))
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(insideKeys*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}
