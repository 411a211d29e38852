package etcdctl_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/etcdctl"
)

// target is one of the two stores that the script runs on.
type target struct {
	tb       testing.TB
	tools    etcdctl.Tools
	endpoint string
	dir      string
	saved    []savedValue
	running  map[string]*command
}

// savedLengthMin is how long a saved value must be to be replaced in outputs: a
// short number would be found inside others.
const savedLengthMin = 8

// savedValue is a value that differs between the stores and has a name.
type savedValue struct{ name, value string }

func newTarget(tb testing.TB, tools etcdctl.Tools, endpoint string) *target {
	tb.Helper()
	return &target{
		tb:       tb,
		tools:    tools,
		endpoint: endpoint,
		dir:      cluster.Folder(tb),
		running:  map[string]*command{},
	}
}

// perform does one step and returns what is to be compared.
func (g *target) perform(label string, s step) string {
	g.tb.Helper()
	switch {
	case s.await != "":
		g.named(label, s.await).awaitLines(label, s.lines)
		return ""
	case s.send != "":
		g.named(label, s.send).send(label, s.stdin)
		return ""
	case s.stop != "":
		return g.transcript(s, g.named(label, s.stop).stop(label, syscall.SIGINT))
	case s.end != "":
		return g.transcript(s, g.named(label, s.end).wait(label))
	case s.start != "":
		g.running[s.start] = g.launch(label, s)
		return ""
	}
	return g.transcript(s, g.complete(label, s))
}

// complete runs a command to its end, or to the line at which the step ends it.
func (g *target) complete(label string, s step) outcome {
	g.tb.Helper()
	running := g.launch(label, s)
	if s.lines > 0 {
		running.awaitLines(label, s.lines)
		return running.stop(label, syscall.SIGINT)
	}
	running.closeInput()
	return running.wait(label)
}

func (g *target) named(label, name string) *command {
	g.tb.Helper()
	running, ok := g.running[name]
	if !ok {
		g.tb.Fatalf("%s: no command was started as %q", label, name)
	}
	return running
}

func (g *target) launch(label string, s step) *command {
	g.tb.Helper()
	running := launch(g.tb, label, commandSpec{
		path: g.tools.Etcdctl,
		args: g.expand(split(s.cmd)),
		env:  g.environment(),
	})
	if s.stdin != "" {
		running.send(label, s.stdin)
	}
	return running
}

// environment points etcdctl at the store, and at nothing else.
func (g *target) environment() []string {
	kept := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "ETCDCTL_")
	})
	return append(kept,
		"ETCDCTL_ENDPOINTS="+g.endpoint,
		"ETCDCTL_DIAL_TIMEOUT=30s",
		"ETCDCTL_COMMAND_TIMEOUT=60s")
}

// expand replaces $NAME in arguments, the longest names first.
func (g *target) expand(args []string) []string {
	values := append([]savedValue{{"DIR", g.dir}, {"ENDPOINT", g.endpoint}}, g.saved...)
	sort.SliceStable(values, func(i, j int) bool { return len(values[i].name) > len(values[j].name) })
	expanded := make([]string, 0, len(args))
	for _, arg := range args {
		for _, v := range values {
			arg = strings.ReplaceAll(arg, "$"+v.name, v.value)
		}
		expanded = append(expanded, arg)
	}
	return expanded
}

// everyStep hides what differs between any two stores.
var everyStep = []mask{
	hide(`"(cluster_id|member_id|raft_term)":\d+`, `"$1":N`),
	hide(`"(ClusterID|MemberID|RaftTerm)" : \d+`, `"$1" : N`),
	hide(`took[ =]+[0-9.]+[a-zµ]+`, "took T"),
	hide(`"took":"[^"]*"`, `"took":"T"`),
}

// transcript renders an outcome for comparison, after saving what the step names.
func (g *target) transcript(s step, result outcome) string {
	g.tb.Helper()
	if s.save != "" {
		g.save(s, result.stdout)
	}
	text := g.normalise(result.stdout, s.masks)
	if s.sorted {
		lines := strings.Split(text, "\n")
		sort.Strings(lines)
		text = strings.Join(lines, "\n")
	}
	if errors := g.normalise(withoutLog(result.stderr), s.masks); errors != "" {
		text += "stderr: " + errors
	}
	return fmt.Sprintf("%sexit: %s\n", text, result.exit)
}

func (g *target) save(s step, output string) {
	g.tb.Helper()
	name, pattern, _ := strings.Cut(s.save, "=")
	match := regexp.MustCompile(pattern).FindStringSubmatch(output)
	if len(match) != 2 {
		g.tb.Fatalf("%s: no %s in its output %q", s, name, output)
	}
	g.saved = append(g.saved, savedValue{name: name, value: match[1]})
}

// normalise replaces values by their names: saved ones in both notations that
// etcdctl has for ids, then what the masks match.
func (g *target) normalise(text string, masks []mask) string {
	text = strings.ReplaceAll(text, g.endpoint, "$ENDPOINT")
	text = strings.ReplaceAll(text, strings.TrimPrefix(g.endpoint, "http://"), "$ADDRESS")
	text = strings.ReplaceAll(text, g.dir, "$DIR")
	for _, v := range g.saved {
		if len(v.value) < savedLengthMin {
			continue
		}
		text = strings.ReplaceAll(text, v.value, "$"+v.name)
		if id, err := strconv.ParseInt(v.value, 16, 64); err == nil {
			text = strings.ReplaceAll(text, fmt.Sprintf("%x", id), "$"+v.name)
			text = strings.ReplaceAll(text, strconv.FormatInt(id, 10), "$"+v.name)
		}
	}
	for _, m := range append(slices.Clone(everyStep), masks...) {
		text = m.pattern.ReplaceAllString(text, m.name)
	}
	return text
}

// withoutLog drops the client's log lines, which tell of retries and timing.
func withoutLog(stderr string) string {
	var kept strings.Builder
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, `{"level"`) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// expectRefusal runs a step that tierd declines.
func (g *target) expectRefusal(label string, s step) {
	g.tb.Helper()
	if comparesEtcd() {
		return
	}
	result := g.complete(label, s)
	errors := withoutLog(result.stderr)
	if result.exit == "0" || !regexp.MustCompile(s.refused).MatchString(errors) {
		g.tb.Errorf("%s: want a refusal matching %q, got exit %s\nstdout: %s\nstderr: %s",
			label, s.refused, result.exit, result.stdout, errors)
	}
}

// split cuts a command line at spaces; single quotes keep them.
func split(line string) []string {
	var args []string
	var arg strings.Builder
	started, quoted := false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, started = !quoted, true
		case r == ' ' && !quoted:
			if started {
				args = append(args, arg.String())
				arg.Reset()
				started = false
			}
		default:
			arg.WriteRune(r)
			started = true
		}
	}
	if started {
		args = append(args, arg.String())
	}
	return args
}
