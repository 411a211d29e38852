package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/torture/history"
	"github.com/tierd/tierd/test/torture/load"
)

const (
	// callTimeout is how long clients wait for an answer.
	callTimeout = 1500 * time.Millisecond
	// A short pause ends before clients give up, a long one does not, and an endless
	// one outlasts what frontends wait for Redis.
	pauseShort, pauseLong, pauseEndless = 300 * time.Millisecond, 1800 * time.Millisecond, 11 * time.Second
	// disturbedMin is how long a wire is disturbed at least.
	disturbedMin = 250 * time.Millisecond
	// downMax is how long a killed process stays down at most.
	downMax = 500 * time.Millisecond
	// gapMax is the longest time between two faults, beside what it takes until calls
	// are answered again.
	gapMax = 400 * time.Millisecond
	// answeredBetween is how many calls have to be acknowledged between two faults.
	answeredBetween = 60
	// answeredBound is how long that may take; far above what is normal.
	answeredBound = time.Minute
)

// fault is one thing to do to the processes.
type fault struct {
	name string
	do   func(n *nemesis, f *fault)
	// always says that no plan goes without it.
	always bool
	// What the seed has decided.
	frontend, server int
	down, gap        time.Duration
}

// kinds are all faults. Each leaves every process running, ready or not.
func kinds() []fault {
	return []fault{
		{always: true, name: "kill a frontend", do: func(n *nemesis, f *fault) { n.kill(f.frontend); n.wait(f.down); n.start(f.frontend) }},
		{always: true, name: "kill redis", do: func(n *nemesis, f *fault) { n.killRedis(f); n.wait(f.down); n.servers[f.server].Restart() }},
		{always: true, name: "kill a frontend, then redis", do: func(n *nemesis, f *fault) {
			n.kill(f.frontend)
			n.killRedis(f)
			n.wait(f.down)
			n.servers[f.server].Restart()
			n.start(f.frontend)
		}},
		{name: "kill redis, then all frontends", do: func(n *nemesis, f *fault) {
			n.killRedis(f)
			for i := range n.frontends {
				n.kill(i)
			}
			n.servers[f.server].Restart()
			n.wait(f.down)
			for i := range n.frontends {
				n.start(i)
			}
		}},
		{always: true, name: "kill all frontends", do: func(n *nemesis, f *fault) {
			for i := range n.frontends {
				n.kill((f.frontend + i) % len(n.frontends))
			}
			n.start(f.frontend)
			n.wait(f.down)
			for i := range len(n.frontends) - 1 {
				n.start((f.frontend + i + 1) % len(n.frontends))
			}
		}},
		{name: "stop a frontend", do: func(n *nemesis, f *fault) { n.frontends[f.frontend].Stop(); n.wait(f.down); n.start(f.frontend) }},
		{name: "pause a frontend shortly", do: func(n *nemesis, f *fault) { n.pause(n.frontends[f.frontend].Process, pauseShort) }},
		{always: true, name: "pause a frontend for long", do: func(n *nemesis, f *fault) { n.pause(n.frontends[f.frontend].Process, pauseLong) }},
		{name: "pause redis shortly", do: func(n *nemesis, f *fault) { n.pause(n.servers[f.server].Process, pauseShort) }},
		{always: true, name: "pause redis for long", do: func(n *nemesis, f *fault) { n.pause(n.servers[f.server].Process, pauseLong) }},
		{name: "kill a paused redis", do: func(n *nemesis, f *fault) {
			n.servers[f.server].Pause()
			n.wait(f.down)
			n.killRedis(f)
			n.servers[f.server].Restart()
		}},
		{name: "kill a paused frontend", do: func(n *nemesis, f *fault) {
			n.frontends[f.frontend].Pause()
			n.wait(f.down)
			n.kill(f.frontend)
			n.start(f.frontend)
		}},
		{name: "kill redis while a frontend is paused", do: func(n *nemesis, f *fault) {
			n.frontends[f.frontend].Pause()
			n.killRedis(f)
			n.servers[f.server].Restart()
			n.wait(2 * f.down) // recovery waits for that witness, and then does not
			n.frontends[f.frontend].Resume()
		}},
		{name: "rewrite the append-only file and kill redis", do: func(n *nemesis, f *fault) {
			n.ask(f, "BGREWRITEAOF")
			n.wait(f.down / 4)
			n.killRedis(f)
			n.servers[f.server].Restart()
		}},
		{name: "flush the scripts", do: func(n *nemesis, f *fault) { n.ask(f, "SCRIPT", "FLUSH") }},
	}
}

// wireKinds are the faults of the wire between the last frontend and a Redis.
func wireKinds() []fault {
	disturb := func(mode cluster.Disturbance) func(*nemesis, *fault) {
		return func(n *nemesis, f *fault) {
			n.wires[f.server].Disturb(mode)
			n.wait(disturbedMin + f.down)
			n.wires[f.server].Disturb(cluster.Calm)
		}
	}
	return []fault{
		{always: true, name: "lose replies of redis", do: disturb(cluster.LoseReplies)},
		{name: "lose requests to redis", do: disturb(cluster.LoseRequests)},
		{always: true, name: "requests to redis go astray and arrive late", do: disturb(cluster.StrayRequests)},
		{name: "cut a frontend off from redis", do: func(n *nemesis, f *fault) { n.wires[f.server].Cut(); n.wait(2 * f.down); n.wires[f.server].Mend() }},
		{name: "cut a frontend off from redis for long", do: func(n *nemesis, f *fault) { n.wires[f.server].Cut(); n.wait(pauseLong); n.wires[f.server].Mend() }},
		{name: "kill redis while a frontend is cut off from it", do: func(n *nemesis, f *fault) {
			n.wires[f.server].Cut()
			n.killRedis(f)
			n.servers[f.server].Restart()
			n.wait(2 * f.down)
			n.wires[f.server].Mend()
		}},
		{name: "break all connections to redis", do: func(n *nemesis, f *fault) { n.wires[f.server].Break() }},
	}
}

// endless is for long runs only: it takes most of a round.
func endless() fault {
	return fault{name: "pause redis for longer than any call", do: func(n *nemesis, f *fault) { n.pause(n.servers[f.server].Process, pauseEndless) }}
}

// shortPlan has the faults that matter most, and some of the others.
func shortPlan(random *rand.Rand, size size) []fault {
	const others = 4
	var plan, rest []fault
	for _, f := range append(kinds(), wireKinds()...) {
		if f.always {
			plan = append(plan, f)
		} else {
			rest = append(rest, f)
		}
	}
	random.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	plan = append(plan, rest[:others]...)
	random.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	return decide(plan, random, size)
}

// calm is a time without faults in which leases can end.
const calm = 4 * time.Second

// someFaults is a plan of n faults, with some calm now and then.
func someFaults(random *rand.Rand, n int, size size) []fault {
	var plan []fault
	for range n {
		k := kinds()
		if random.IntN(2) == 0 {
			k = wireKinds()
		}
		plan = append(plan, k[random.IntN(len(k))])
	}
	if random.IntN(4) == 0 {
		plan[0] = endless()
	}
	for i, f := range wireKinds() { // these take a moment and find much
		if f.always {
			plan[1+i] = f
		}
	}
	random.Shuffle(n, func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	decide(plan, random, size)
	for i := range plan {
		if random.IntN(8) == 0 {
			plan[i].gap += calm
		}
	}
	return plan
}

func decide(plan []fault, random *rand.Rand, size size) []fault {
	for i := range plan {
		plan[i].frontend = random.IntN(size.frontends)
		if size.servers > 1 {
			plan[i].server = random.IntN(size.servers)
		}
		plan[i].down = time.Duration(random.Int64N(int64(downMax)))
		plan[i].gap = time.Duration(random.Int64N(int64(gapMax)))
	}
	return plan
}

// nemesis does the faults of one round.
type nemesis struct {
	t         *testing.T
	ctx       context.Context
	load      *load.Load
	frontends []*cluster.Frontend
	servers   []*cluster.Redis
	// wires are the last frontend's, to each server.
	wires []*cluster.Wire
	done  []history.Fault
	kills int
}

// run does a plan: after each fault calls have to be answered again.
func (n *nemesis) run(plan []fault) {
	n.t.Helper()
	for i := range plan {
		f := &plan[i]
		n.awaitAnswers(f.name)
		n.wait(f.gap)
		began := n.load.Now()
		f.do(n, f)
		n.done = append(n.done, history.Fault{At: began, Until: n.load.Now(), What: fmt.Sprintf("%s (frontend %d, server %d)", f.name, f.frontend, f.server)})
	}
	n.awaitAnswers("the end")
}

func (n *nemesis) awaitAnswers(before string) {
	n.t.Helper()
	enough := n.load.Acknowledged() + answeredBetween
	cluster.Await(n.t, answeredBound, "calls are acknowledged before "+before, func() error {
		n.alive()
		if got := n.load.Acknowledged(); got < enough && !n.load.Exhausted() {
			return fmt.Errorf("%d more are missing", enough-got)
		}
		return nil
	})
}

// alive checks that no process has ended by itself.
func (n *nemesis) alive() {
	n.t.Helper()
	for _, f := range n.frontends {
		if !f.Running() {
			n.t.Fatalf("frontend %s has ended by itself", f.Name())
		}
	}
	for i, server := range n.servers {
		if !server.Running() {
			n.t.Fatalf("redis %d has ended by itself", i)
		}
	}
}

// wait lets the load run for a while.
func (n *nemesis) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-n.ctx.Done():
	}
}

func (n *nemesis) kill(frontend int) {
	n.kills++
	n.frontends[frontend].Kill()
}

func (n *nemesis) start(frontend int) { n.frontends[frontend].Start() }

func (n *nemesis) killRedis(f *fault) {
	n.kills++
	began := n.load.Now()
	n.servers[f.server].Kill()
	// Leases live on the first one.
	n.done = append(n.done, history.Fault{At: began, Until: n.load.Now(), What: "redis died", RedisDied: f.server == 0})
}

func (n *nemesis) pause(p *cluster.Process, d time.Duration) {
	p.Pause()
	n.wait(d)
	p.Resume()
}

// ask sends a command to Redis itself.
func (n *nemesis) ask(f *fault, words ...any) {
	n.t.Helper()
	if err := n.servers[f.server].Client().Do(n.ctx, words...).Err(); err != nil {
		n.t.Fatalf("%v: %v", words, err)
	}
}
