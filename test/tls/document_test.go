package tls_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/etcdctl"
)

// step is a command of a document, with what it is said to print.
type step struct{ command, output string }

// stepsOf reads the commands of a document: they begin with a dollar sign, in indented blocks.
func stepsOf(t *testing.T, path string) (steps []step) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	inside, continued := false, false
	for line := range strings.Lines(string(text)) {
		trimmed := strings.TrimRight(line, " \n")
		content := strings.TrimLeft(trimmed, " ")
		command, begins := strings.CutPrefix(content, "$ ")
		switch indent := len(trimmed) - len(content); {
		case begins && indent >= 4:
			steps, inside = append(steps, step{command: command}), true
		case continued:
			steps[len(steps)-1].command += " " + content
		case !inside:
		case indent >= 4 && content != "":
			steps[len(steps)-1].output += content + "\n"
		default:
			inside = false
		}
		if last := len(steps) - 1; inside && last >= 0 {
			steps[last].command, continued = strings.CutSuffix(steps[last].command, " \\")
		}
	}
	return steps
}

// names are what differs between two runs of the same commands, times and names of authorities, as they are met.
type names struct {
	time, authority *regexp.Regexp
	seen            map[string]string
}

func newNames() *names {
	return &names{
		time: regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), authority: regexp.MustCompile(`tierd authority ([0-9a-f]{8})`), seen: make(map[string]string),
	}
}

// plain is a text with its own names for them, without blanks at the ends of lines.
func (n *names) plain(text string) string {
	text = n.authority.ReplaceAllStringFunc(n.time.ReplaceAllString(text, "2026-01-01T00:00:00Z"), func(name string) string {
		if n.seen[name] == "" {
			n.seen[name] = fmt.Sprintf("tierd authority %08d", len(n.seen)+1)
		}
		return n.seen[name]
	})
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}

// TestDocumentOfPKI runs the commands of docs/pki.md one after another, with a frontend, and wants what it says they print.
func TestDocumentOfPKI(t *testing.T) {
	t.Parallel()
	dir, address := t.TempDir(), fmt.Sprintf("127.0.0.1:%d", cluster.FreePort(t))
	programs := map[string]string{"tierd": cluster.Binary(t, false), "etcdctl": etcdctl.Build(t).Etcdctl}
	expected, printed := newNames(), newNames()
	steps := stepsOf(t, "../../docs/pki.md")
	if len(steps) < 20 {
		t.Fatalf("the document has %d commands", len(steps))
	}
	for _, s := range steps {
		words := strings.Fields(strings.ReplaceAll(s.command, "127.0.0.1:2379", address))
		program := programs[words[0]]
		if words[len(words)-1] == "&" {
			serveIn(t, dir, program, words[1:len(words)-1])
			continue
		}
		cmd := exec.CommandContext(t.Context(), program, words[1:]...)
		cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
		output, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", s.command, err, output)
		}
		if got, want := printed.plain(string(output)), expected.plain(s.output); got != want {
			t.Errorf("%s prints\n%s\nand the document says\n%s", s.command, got, want)
		}
	}
}

// serveIn runs a frontend in a directory until the test ends. Clients wait for it.
func serveIn(t *testing.T, dir, program string, arguments []string) {
	t.Helper()
	for i, argument := range arguments {
		if strings.HasPrefix(argument, "frontend/") {
			arguments[i] = filepath.Join(dir, argument)
		}
	}
	data := filepath.Join(cluster.Folder(t), "data")
	p := cluster.NewProcess(t, cluster.Command{
		Name: "tierd", Path: program, LogDir: cluster.Folder(t), Args: append(arguments, "--data-dir", data),
		Env: []string{"TIERD_REDIS_SERVER=" + os.Getenv("TIERD_TEST_REDIS_SERVER")},
	})
	p.Start()
	t.Cleanup(func() { p.Terminate(bound) })
	cluster.Await(t, bound, "the frontend serves", func() error {
		if !strings.Contains(p.Log(), `"serving clients"`) {
			return fmt.Errorf("not yet")
		}
		return nil
	})
}
