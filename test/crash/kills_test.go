package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tierd/tierd/test/cluster"
)

const (
	// quickRounds is how many kills there are when nobody asks for more.
	quickRounds = 6
	// writesPerRound are acknowledged between two kills, and instantMax passes then,
	// so that a kill meets calls at any point.
	writesPerRound = 40
	instantMax     = 30 * time.Millisecond
)

// killing is something to kill under load, and how.
type killing struct {
	frontends []*cluster.Frontend
	// strikes kill something and start it again; each returns when Redis, if it was
	// killed, has loaded its data and answers.
	strikes map[string]func(random *rand.Rand)
}

// TestKillsUnderLoad kills frontends and the Redis that they share at random
// moments while clients write, and then accounts for every write: what was
// acknowledged is there at the revision that was acknowledged, no revision belongs
// to two writes, and none is missing from the history.
func TestKillsUnderLoad(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Frontends: 2})
	any := func(random *rand.Rand) *cluster.Frontend { return c.Frontends[random.IntN(len(c.Frontends))] }
	killUnderLoad(t, killing{frontends: c.Frontends, strikes: map[string]func(*rand.Rand){
		"redis": func(*rand.Rand) { c.Redis.Kill(); c.Redis.Restart() },
		"tierd": func(random *rand.Rand) { f := any(random); f.Kill(); f.Start() },
		"tierd, then redis": func(random *rand.Rand) {
			f := any(random)
			f.Kill()
			c.Redis.Kill()
			c.Redis.Restart()
			f.Start()
		},
		"redis, then tierd": func(random *rand.Rand) {
			f := any(random)
			c.Redis.Kill()
			f.Kill()
			f.Start()
			c.Redis.Restart()
		},
		"every tierd and redis": func(*rand.Rand) {
			for _, f := range c.Frontends {
				f.Kill()
			}
			c.Redis.Kill()
			c.Redis.Restart()
			for _, f := range c.Frontends {
				f.Start()
			}
		},
	}})
}

// TestKillsOfLocalTierd does the same to a tierd that runs its own Redis, which it
// starts again by itself.
func TestKillsOfLocalTierd(t *testing.T) {
	t.Parallel()
	f := cluster.StartFrontend(t, cluster.FrontendOptions{})
	killRedis := func() {
		pid := f.LocalRedisPID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("kill redis: %v", err)
		}
		cluster.Await(t, bound, "redis is gone", func() error {
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("it is there still (%v)", err)
			}
			return nil
		})
	}
	killUnderLoad(t, killing{frontends: []*cluster.Frontend{f}, strikes: map[string]func(*rand.Rand){
		"tierd": func(*rand.Rand) { f.Kill(); f.Start() },
		"redis": func(*rand.Rand) { killRedis() },
		"redis, then tierd": func(*rand.Rand) {
			pid := f.LocalRedisPID()
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatalf("kill redis: %v", err)
			}
			f.Kill()
			f.Start()
		},
	}})
}

// killUnderLoad strikes once per round, waits until everything is ready again, and
// prints how long that took.
func killUnderLoad(t *testing.T, k killing) {
	t.Helper()
	rounds := roundsOf(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	load := startLoad(t, &cluster.Cluster{Frontends: k.frontends}, 8)
	took := make(map[string][]time.Duration)
	for round := range rounds {
		load.awaitAcknowledged(t, (round+1)*writesPerRound)
		<-time.After(time.Duration(random.Int64N(int64(instantMax))))
		names := sorted(k.strikes)
		name := names[random.IntN(len(names))]
		k.strikes[name](random)
		began := time.Now()
		for _, f := range k.frontends {
			f.AwaitReady()
		}
		ready := time.Since(began)
		took[name] = append(took[name], ready)
		t.Logf("round %d: %s killed, ready after %v", round+1, name, ready.Round(time.Millisecond))
	}
	load.awaitAcknowledged(t, (rounds+1)*writesPerRound)
	acknowledged := load.stop()
	for _, name := range sorted(took) {
		slices.Sort(took[name])
		t.Logf("%s killed %d times: ready again after %v at most, %v in the middle", name, len(took[name]),
			took[name][len(took[name])-1].Round(time.Millisecond), took[name][len(took[name])/2].Round(time.Millisecond))
	}
	account(t, k.frontends[0].Client(), acknowledged)
}

func sorted[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// roundsOf is the number of kills: few here, as many as wanted by hand.
func roundsOf(t *testing.T) int {
	t.Helper()
	text := os.Getenv("TIERD_CRASH_ROUNDS")
	if text == "" {
		return quickRounds
	}
	var rounds int
	if _, err := fmt.Sscan(text, &rounds); err != nil {
		t.Fatalf("TIERD_CRASH_ROUNDS=%q: %v", text, err)
	}
	return rounds
}
