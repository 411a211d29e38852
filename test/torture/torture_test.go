package torture

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tierd/tierd/test/torture/history"
)

var (
	seedFlag         = flag.Uint64("seed", 0, "seed of the first round; 0 takes the clock")
	durationFlag     = flag.Duration("duration", 0, "how long to run rounds; 0 is one short round")
	instrumentedFlag = flag.Bool("instrumented", false, "run frontends built with the race detector")
	historyFlag      = flag.String("history", "", "the saved history that TestSavedHistory checks")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// faultsPerRound make a round of a long run about half a minute.
const faultsPerRound = 18

// TestTorture: whatever is killed or paused, what clients and watches are told can
// have come from one etcd.
func TestTorture(t *testing.T) {
	t.Parallel()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	size := sizeOf(t, *shardsFlag)
	if *durationFlag == 0 {
		t.Logf("repeat with: go test ./test/torture -run Torture -seed %d", seed)
		t.Log(round(t, seed, shortPlan(seeded(seed), size), size, *instrumentedFlag))
		return
	}
	began := time.Now()
	for number := 1; time.Since(began) < *durationFlag; number, seed = number+1, seed+1 {
		ok := t.Run(fmt.Sprintf("round %d", number), func(t *testing.T) {
			t.Logf("round %d: -duration 1s -seed %d -shards %d", number, seed, *shardsFlag)
			t.Log(round(t, seed, someFaults(seeded(seed), faultsPerRound, size), size, *instrumentedFlag))
		})
		if !ok {
			return
		}
	}
}

// TestSavedHistory checks a history that an earlier run has saved.
func TestSavedHistory(t *testing.T) {
	t.Parallel()
	if *historyFlag == "" {
		t.Skip("no history is named with -history")
	}
	h, err := history.Load(*historyFlag)
	if err != nil {
		t.Fatal(err)
	}
	judge(t, h)
}

// artifactFolder is where a failing round leaves what it found.
type artifactFolder string

func artifacts(t *testing.T, h *history.History) artifactFolder {
	t.Helper()
	dir, err := os.MkdirTemp("", fmt.Sprintf("tierd-torture-%d-", h.Seed))
	if err != nil {
		t.Fatalf("make a folder for what is found: %v", err)
	}
	return artifactFolder(dir)
}

func (f artifactFolder) picture() string { return filepath.Join(string(f), "porcupine.html") }
func (f artifactFolder) history() string { return filepath.Join(string(f), "history.json") }

// save keeps the history, and says where.
func (f artifactFolder) save(t *testing.T, h *history.History) {
	t.Helper()
	if err := h.Save(f.history()); err != nil {
		t.Errorf("%v", err)
		return
	}
	t.Errorf("the history is in %s; check it again with: go test ./test/torture -run Saved -history %s", f, f.history())
}

// drop removes the folder of a round that passed.
func (f artifactFolder) drop(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(string(f)); err != nil {
		t.Errorf("remove %s: %v", f, err)
	}
}
