// Package differential runs the same random requests on tierd and on a real etcd
// and compares the answers: every field of a response, code and text of an error,
// and HashKV of every revision that can be asked for. What may differ is listed with
// its reason: methods and fields in package answers, the rest in differences_test.go.
package differential

import (
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/answers"
	"github.com/tierd/tierd/test/oracle"
)

var (
	seedFlag   = flag.Uint64("seed", 0, "seed of the requests; 0 takes the clock")
	stepsFlag  = flag.Int("steps", 2500, "requests per round")
	roundsFlag = flag.Int("rounds", 1, "rounds, each with a seed of its own")
	sealedFlag = flag.Bool("sealed", false, "seal the values in Redis")
)

// seedOf is the seed of a round.
func seedOf(round int) uint64 {
	if *seedFlag != 0 {
		return *seedFlag + uint64(round)
	}
	return uint64(time.Now().UnixNano())
}

const (
	// hashesEvery is after how many steps hashes are compared, hashesMax how many
	// revisions are hashed then, chosen at random. At the end all are.
	hashesEvery = 200
	hashesMax   = 60
)

// TestSameAnswersAsEtcd: every method of the protocol, with every option, valid
// and invalid, in one long random sequence.
func TestSameAnswersAsEtcd(t *testing.T) {
	t.Parallel()
	for round := range *roundsFlag {
		seed := seedOf(round)
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Logf("repeat with: go test ./test/differential -run Answers -seed %d -steps %d -shards %d", seed, *stepsFlag, *shardsFlag)
			start(t, seed, *sealedFlag).play(*stepsFlag)
		})
	}
}

// game is one sequence of requests on both systems.
type game struct {
	*testing.T
	*generator
	etcd, tierd *system
	// as is who makes the calls; nil is nobody.
	as *speaker
	// step counts requests, for the report of a difference.
	step int
	// tallies say of each method how often it was answered and refused.
	tallies map[string]*tally
	// steady ends the changes of the shard map.
	steady func()
}

type tally struct{ answered, refused int }

// sealedSteps is how long the sequence is that is played with sealed values in any case.
const sealedSteps = 700

// TestSameAnswersSealed: nothing of that is different where values are sealed.
func TestSameAnswersSealed(t *testing.T) {
	t.Parallel()
	seed := seedOf(0)
	t.Logf("repeat with: go test ./test/differential -run Sealed -seed %d -shards %d", seed, *shardsFlag)
	start(t, seed, true).play(sealedSteps)
}

// start starts an etcd and a tierd of several frontends, which answer in turns.
func start(t *testing.T, seed uint64, sealed bool) *game {
	tierd, steady := startTierd(t, seed, sealed)
	var frontends []*clientv3.Client
	for _, f := range tierd.Frontends {
		frontends = append(frontends, f.Client())
	}
	return &game{
		T:         t,
		steady:    steady,
		generator: newGenerator(mathrand.New(mathrand.NewPCG(seed, 0))),
		etcd:      over("etcd", oracle.Start(t, oracle.Options{}).Client()),
		tierd:     over("tierd", frontends...),
		tallies:   make(map[string]*tally),
	}
}

// play makes the steps, and then what cannot be followed by anything.
func (g *game) play(steps int) {
	for g.step = range steps {
		switch {
		case g.step%hashesEvery == hashesEvery-1:
			g.compareHashes(hashesMax)
		case g.chance(0.02):
			g.scene()
		default:
			g.both(g.next())
		}
	}
	g.compareHashes(int(g.revision) + 1)
	g.compareSnapshots()
	g.refusals()
	g.chosenLeases()
	g.steady()
	g.corrupted()
	g.report(steps)
}

// both makes a call on both systems, fails the test if they answer differently,
// and gives etcd's answer.
func (g *game) both(c call) (proto.Message, error) {
	g.Helper()
	want, wantErr := g.etcd.answer(g.as.on(g.Context(), g.etcd), c)
	got, gotErr := g.tierd.answer(g.as.on(g.Context(), g.tierd), c)
	g.judge(c, want, wantErr, got, gotErr)
	return want, wantErr
}

// judge compares two answers to one call.
func (g *game) judge(c call, want proto.Message, wantErr error, got proto.Message, gotErr error) {
	g.Helper()
	if diff := answers.Compare(want, wantErr, got, gotErr); diff != "" {
		g.Fatalf("step %d: %v, by %v\n(-etcd +tierd):\n%s", g.step, c, g.as, diff)
	}
	g.count(c.method, wantErr)
	g.learn(c.request, want, wantErr)
}

func (g *game) count(method string, err error) {
	t := g.tallies[method]
	if t == nil {
		t = &tally{}
		g.tallies[method] = t
	}
	if err == nil {
		t.answered++
	} else {
		t.refused++
	}
}

// reportStepsMin is how many steps make it certain that every method was called.
const reportStepsMin = 2000

// report logs how often each method was compared, and fails if one never was.
func (g *game) report(steps int) {
	for method := range g.etcd.methods {
		t := g.tallies[method]
		if t == nil && steps >= reportStepsMin && !elsewhere(method) {
			g.Errorf("%s was never called", method)
		}
		if t != nil {
			g.Logf("%-45s answered %5d, refused %5d", method, t.answered, t.refused)
		}
	}
}
