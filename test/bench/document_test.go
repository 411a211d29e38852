//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/version"

	"github.com/tierd/tierd/test/cluster"
)

// document keeps the figures of the last whole run, in the repository.
const document = "docs/benchmarks.md"

// Sections of the document, one for each kind of whole run.
const (
	sectionEtcd    = "etcd"
	sectionPeers   = "peers"
	sectionScaling = "scaling"
	sectionArchive = "archive"
	sectionSealing = "sealing"
)

// writeDocument replaces a section's content in the repository's document.
func writeDocument(t *testing.T, section, content string) {
	t.Helper()
	path, text := readDocument(t)
	changed, err := replaceSection(text, section, content)
	if err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		t.Fatalf("write the document: %v", err)
	}
}

func readDocument(t *testing.T) (path, text string) {
	t.Helper()
	root, err := cluster.RepositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(root, filepath.FromSlash(document))
	read, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read the document: %v", err)
	}
	return path, string(read)
}

// replaceSection replaces what lies between the markers of a section.
func replaceSection(text, section, content string) (string, error) {
	first, last := fmt.Sprintf("<!-- bench %s -->\n", section), fmt.Sprintf("<!-- end %s -->\n", section)
	before, rest, found := strings.Cut(text, first)
	_, after, closed := strings.Cut(rest, last)
	if !found || !closed {
		return "", fmt.Errorf("no section between %q and %q", first, last)
	}
	return before + first + "\n" + content + "\n" + last + after, nil
}

// A run of many minutes must not fail at its end for a marker that somebody removed.
func TestDocumentTakesFigures(t *testing.T) {
	_, text := readDocument(t)
	for _, section := range []string{sectionEtcd, sectionPeers, sectionScaling, sectionArchive, sectionSealing} {
		const content = "| figures |\n"
		once, err := replaceSection(text, section, content)
		if err != nil {
			t.Fatal(err)
		}
		again, err := replaceSection(once, section, content)
		if err != nil || again != once || strings.Count(again, content) != 1 {
			t.Errorf("section %s after writing it twice, error %v:\n%s", section, err, again)
		}
	}
	if _, err := replaceSection(text, "absent", ""); err == nil {
		t.Error("a section that does not exist was written")
	}
	if got := machine(t, readSettings(t)); !regexp.MustCompile(`Linux \d+\.\d+, go1\.\d+.*, Redis \d+\.\d+\.\d+, etcd 3\.7`).MatchString(got) {
		t.Errorf("the machine is described as %q", got)
	}
}

// machine says what the figures were measured on and with.
func machine(t *testing.T, s settings) string {
	t.Helper()
	return fmt.Sprintf("%d cores (%s) for servers and clients, Linux %s, %s, Redis %s, etcd %s; %d rounds of %v.\n",
		runtime.NumCPU(), runtime.GOARCH, kernelVersion(t), runtime.Version(), redisVersion(t), version.Version, s.rounds, s.duration)
}

// kernelVersion is the kernel's number, without what a distribution adds.
func kernelVersion(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatalf("read the kernel's version: %v", err)
	}
	return regexp.MustCompile(`^\d+\.\d+`).FindString(string(text))
}

// redisVersion is the version of the redis-server that the tests find.
func redisVersion(t *testing.T) string {
	t.Helper()
	program := os.Getenv("TIERD_TEST_REDIS_SERVER")
	if program == "" {
		program = "redis-server"
	}
	text, err := exec.Command(program, "--version").Output()
	if err != nil {
		t.Fatalf("ask %s for its version: %v", program, err)
	}
	return strings.TrimPrefix(regexp.MustCompile(`v=\S+`).FindString(string(text)), "v=")
}
