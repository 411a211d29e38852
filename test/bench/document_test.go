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
	sectionEtcd  = "etcd"
	sectionPeers = "peers"
)

// writeDocument replaces what lies between the markers of a section.
func writeDocument(t *testing.T, section, content string) {
	t.Helper()
	root, err := cluster.RepositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, filepath.FromSlash(document))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read the document: %v", err)
	}
	first, last := fmt.Sprintf("<!-- bench %s -->\n", section), fmt.Sprintf("<!-- end %s -->\n", section)
	before, rest, found := strings.Cut(string(text), first)
	_, after, closed := strings.Cut(rest, last)
	if !found || !closed {
		t.Fatalf("%s has no section between %q and %q", document, first, last)
	}
	if err := os.WriteFile(path, []byte(before+first+"\n"+content+"\n"+last+after), 0o644); err != nil {
		t.Fatalf("write the document: %v", err)
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
