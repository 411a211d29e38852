//go:build e2e

package kubernetes_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tierd/tierd/test/cluster"
)

const (
	// crashes is how often the store is killed; the last time it is the
	// redis-server alone, where the store has one.
	crashes = 5
	// writesBetweenCrashesMin and -Max bound how far the load gets.
	writesBetweenCrashesMin = 60
	writesBetweenCrashesMax = 300
)

// checkCrashes kills the store under load. Afterwards everything acknowledged is
// there, what was not acknowledged is there or not but not otherwise, an observer
// has seen every acknowledged change once and in order, and a `kubectl get
// --watch` that was opened before shows what happened after.
func checkCrashes(p *controlPlane, namespace string) {
	seed := seedOf(p)
	moments := rand.New(rand.NewPCG(seed, 0))
	start := p.api.mustList(configMaps(namespace))
	watcher := startObserver(p.api, namespace, start.Metadata.ResourceVersion)
	defer watcher.stop()
	terminal := p.watchWithKubectl(namespace)
	writing := startLoad(p.api, namespace)
	stopped := false
	defer func() {
		if !stopped {
			writing.stop()
		}
	}()

	for number := range crashes {
		span := writesBetweenCrashesMax - writesBetweenCrashesMin
		writing.awaitWrites(p, writesBetweenCrashesMin+moments.IntN(span))
		writing.takeLongest()
		killed := p.crash(number == crashes-1)
		writing.awaitWrites(p, loadWorkers)
		p.t.Logf("crash %d (%s): %v without an acknowledged write", number+1, killed, writing.takeLongest().Round(time.Millisecond))
	}
	writing.awaitWrites(p, writesBetweenCrashesMin)
	writing.stop()
	stopped = true

	p.reportLoad(writing)
	p.compareContents(namespace, writing.histories)
	p.await("the observer has seen every acknowledged change", conditionBound, func() error {
		return watcher.verdict(writing.histories)
	})
	p.t.Logf("the observer needed %d streams", watcher.opened())
	_, err := p.api.createConfigMap(namespace, "after-all-crashes", "1")
	p.must(err)
	p.await("kubectl's watch shows what is new", conditionBound, func() error {
		if !strings.Contains(terminal.Log(), "configmap/after-all-crashes") {
			return fmt.Errorf("it shows %d lines", strings.Count(terminal.Log(), "\n"))
		}
		return nil
	})
	terminal.Kill()
}

func seedOf(p *controlPlane) uint64 {
	p.t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TIERD_TEST_SEED"); text != "" {
		parsed, err := strconv.ParseUint(text, 10, 64)
		p.must(err)
		seed = parsed
	}
	p.t.Logf("TIERD_TEST_SEED=%d", seed)
	return seed
}

// crash kills the store and starts it again, and says what it killed.
func (p *controlPlane) crash(redisAlone bool) string {
	p.t.Helper()
	if frontend, ok := p.store.(*tierdStore); ok && redisAlone {
		// tierd starts it again by itself.
		p.must(syscall.Kill(frontend.LocalRedisPID(), syscall.SIGKILL))
		return "redis-server alone"
	}
	p.store.Kill()
	killed := time.Now()
	p.store.Restart()
	return fmt.Sprintf("the store, ready again after %v", time.Since(killed).Round(time.Millisecond))
}

// watchWithKubectl opens a watch as a person would and leaves it open.
func (p *controlPlane) watchWithKubectl(namespace string) *cluster.Process {
	p.t.Helper()
	terminal := cluster.NewProcess(p.t, cluster.Command{
		Name:   "kubectl-watch",
		Path:   program(p.t, "kubectl"),
		Args:   []string{"get", "configmaps", "--namespace", namespace, "--watch", "--output=name"},
		Env:    []string{"KUBECONFIG=" + p.kubeconfig},
		LogDir: cluster.Folder(p.t),
	})
	terminal.Start()
	p.await("kubectl watches", conditionBound, func() error {
		if !strings.Contains(terminal.Log(), "configmap/") {
			return fmt.Errorf("it shows nothing: %q", terminal.Log())
		}
		return nil
	})
	return terminal
}

func (p *controlPlane) reportLoad(l *load) {
	uncertain := 0
	for _, known := range l.histories {
		if known.uncertain != nil {
			uncertain++
		}
	}
	p.t.Logf("%d acknowledged writes on %d objects, %d writes of unknown outcome", l.count.Load(), len(l.histories), uncertain)
}

// compareContents checks that each object is in the state of its last
// acknowledged write, or of the write of unknown outcome that followed.
func (p *controlPlane) compareContents(namespace string, histories map[string]history) {
	p.t.Helper()
	found := map[string]object{}
	for _, item := range p.api.mustList(configMaps(namespace)).Items {
		found[item.Metadata.Name] = item
	}
	for name, known := range histories {
		item, present := found[name]
		if !known.allows(item, present) {
			p.t.Errorf("%s: acknowledged %v, uncertain %v, found %v (present: %t)",
				name, known.acknowledged, known.uncertain, item, present)
		}
	}
}

// allows says whether the object may be what was found.
func (h history) allows(found object, present bool) bool {
	last := change{kind: "DELETED"} // as good as never created
	if count := len(h.acknowledged); count > 0 {
		last = h.acknowledged[count-1]
	}
	if last.matches(found, present) {
		return true
	}
	return h.uncertain != nil && h.uncertain.matches(found, present)
}

func (c change) matches(found object, present bool) bool {
	if c.kind == "DELETED" || !present {
		return c.kind == "DELETED" && !present
	}
	sameVersion := c.version == "" || c.version == found.Metadata.ResourceVersion
	return sameVersion && c.value == found.Data["value"]
}
