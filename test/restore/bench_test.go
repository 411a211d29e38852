//go:build bench

package restore

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/tierd/tierd/test/cluster"
)

// TestRate measures tierd restore into a private Redis: of a base alone, and of a log alone. Memory is that of
// the larger of tierd and its Redis, CPU that of both. TIERD_BENCH_KEYS is how many keys (400000).
func TestRate(t *testing.T) {
	const valueBytes = 1024
	keys := 400_000
	if text := os.Getenv("TIERD_BENCH_KEYS"); text != "" {
		var err error
		if keys, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for name, fill := range map[string]func(a *archived){
		"base": func(a *archived) { a.base(t, keys, valueBytes) },
		"log": func(a *archived) {
			a.base(t, 0, 0)
			a.log(t, keys, valueBytes)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t)
			fill(a)
			cmd := exec.CommandContext(t.Context(), cluster.Binary(t, false), "restore", "--data-dir", a.dataDir, "--to-keyspace", "restored", "-o", "json")
			out, err := cmd.Output()
			var report struct {
				Keys    int64   `json:"keys"`
				Seconds float64 `json:"seconds"`
				Rate    float64 `json:"versions_per_second"`
			}
			if err == nil {
				err = json.Unmarshal(out, &report)
			}
			if err != nil || report.Keys != int64(keys) {
				t.Fatalf("%v: %s", err, out)
			}
			usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
			if !ok {
				t.Fatal("no usage of the process")
			}
			fmt.Printf("| %s | %d keys of %d bytes | %.1f s | %.0f keys/s | %d MiB | %.1f s of CPU |\n",
				name, keys, valueBytes, report.Seconds, report.Rate, usage.Maxrss>>10, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
		})
	}
}
