package router_test

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/router"
)

// BenchmarkRestore brings keys of 1 KB to a private Redis that syncs before it answers.
func BenchmarkRestore(b *testing.B) {
	_, client := startRedis(b)
	r, err := router.Restore(b.Context(), fleetOn(b, client), router.RestoreStart{ID: "bench", Floor: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	before := redisSeconds(b, client)
	value := make([]byte, 1000)
	b.SetBytes(1000)
	b.ResetTimer()
	for i := range b.N {
		at := router.Revision(i + 2)
		binary.BigEndian.PutUint64(value, uint64(i))
		kv := &mvccpb.KeyValue{Key: fmt.Appendf(nil, "/registry/pods/default/pod-%08d", i), Value: append([]byte(nil), value...), CreateRevision: int64(at), ModRevision: int64(at), Version: 1}
		if err := r.Add(b.Context(), router.Version{Main: at, KV: kv}); err != nil {
			b.Fatal(err)
		}
	}
	if err := r.End(b.Context(), router.RestoreEnd{Revision: router.Revision(b.N + 1), Compacted: -1}); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "keys/s")
	b.ReportMetric((redisSeconds(b, client)-before)*1e6/float64(b.N), "redis-us/key")
}

// redisSeconds is the processor time that Redis has used.
func redisSeconds(b *testing.B, client redis.UniversalClient) float64 {
	b.Helper()
	text, err := client.Info(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	var sum float64
	for line := range strings.Lines(text) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name == "used_cpu_user" || name == "used_cpu_sys" {
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(err)
			}
			sum += seconds
		}
	}
	return sum
}
