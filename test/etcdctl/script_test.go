package etcdctl_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/crypto/bcrypt"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/etcdctl"
	"github.com/tierd/tierd/test/oracle"
)

// section is a part of the script that starts on empty stores of its own.
type section struct {
	name string
	// quotaBytes limits the store's size; 0 leaves the default.
	quotaBytes int64
	steps      []step
}

// step is one command, or one thing done to a command that runs meanwhile.
type step struct {
	// cmd follows `etcdctl`. It is split at spaces, '...' keeps them; $NAME stands
	// for a saved value.
	cmd string
	// stdin is what the command reads.
	stdin string
	// lines makes a command that never ends one that does: it is interrupted once
	// it has printed this many lines. With await it is how many lines to wait for.
	lines int

	// start runs cmd under a name and does not wait for it; await waits until the
	// command of that name has printed lines in all; send writes stdin to it; stop
	// interrupts it and compares all it printed; end waits for it to end by itself
	// and does the same.
	start, await, send, stop, end string

	// save is `NAME=regexp`: what its group matches in the output becomes $NAME.
	save string
	// masks replace what may differ in this step.
	masks []mask
	// sorted compares the lines in sorted order.
	sorted bool
	// unchecked runs the command for its effect: how often it must run to have it
	// may differ.
	unchecked bool
	// refused is for what tierd declines to do where etcd would do it: the step
	// runs on tierd only, must fail, and its error must match this.
	refused string
}

// mask replaces what matches by a name.
type mask struct {
	pattern *regexp.Regexp
	name    string
}

func hide(pattern, name string) mask {
	return mask{pattern: regexp.MustCompile(pattern), name: name}
}

// TestScript runs the whole script on etcd and on tierd.
func TestScript(t *testing.T) {
	t.Parallel()
	tools := etcdctl.Build(t)
	var script []section
	script = append(script, kvSections()...)
	script = append(script, txnSections()...)
	script = append(script, watchSections()...)
	script = append(script, leaseSections()...)
	script = append(script, concurrencySections()...)
	script = append(script, maintenanceSections()...)
	script = append(script, authSections()...)
	for _, part := range script {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			runSection(t, tools, part)
		})
	}
}

func runSection(t *testing.T, tools etcdctl.Tools, part section) {
	reference := newTarget(t, tools, startEtcd(t, part.quotaBytes))
	candidate := newTarget(t, tools, startCandidate(t, part.quotaBytes))
	for number, s := range part.steps {
		label := fmt.Sprintf("step %d: %s", number+1, s)
		if s.refused != "" {
			candidate.expectRefusal(label, s)
			continue
		}
		want, got := reference.perform(label, s), candidate.perform(label, s)
		if !s.unchecked && want != got {
			t.Errorf("%s\n--- etcd\n%s\n--- tierd\n%s", label, want, got)
		}
	}
}

// String names a step in failures.
func (s step) String() string {
	for verb, name := range map[string]string{"await": s.await, "send to": s.send, "stop": s.stop, "end": s.end} {
		if name != "" {
			return verb + " " + name
		}
	}
	text := "etcdctl " + s.cmd
	if s.stdin != "" && len(s.stdin) < 400 {
		text += " <<< " + strings.TrimSpace(s.stdin)
	}
	return text
}

// comparesEtcd says that the script is being checked against etcd itself.
func comparesEtcd() bool { return os.Getenv("TIERD_TEST_TARGET") == "etcd" }

// startCandidate starts the store to be compared and returns its endpoint.
func startCandidate(tb testing.TB, quotaBytes int64) string {
	tb.Helper()
	if comparesEtcd() {
		return startEtcd(tb, quotaBytes)
	}
	redis := cluster.StartRedis(tb, cluster.RedisOptions{})
	options := cluster.FrontendOptions{HotTier: redis.URL(), Args: []string{"--bcrypt-cost", fmt.Sprint(bcrypt.MinCost)}}
	if quotaBytes > 0 {
		options.Args = append(options.Args, fmt.Sprintf("--quota-backend-bytes=%d", quotaBytes))
	}
	return cluster.StartFrontend(tb, options).Endpoint()
}

func startEtcd(tb testing.TB, quotaBytes int64) string {
	tb.Helper()
	return oracle.Start(tb, oracle.Options{Configure: func(config *embed.Config) {
		config.QuotaBackendBytes, config.BcryptCost = quotaBytes, uint(bcrypt.MinCost)
	}}).Endpoint()
}
