package tierd_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// row is a line of a table in a document.
type row struct {
	place string
	text  string
}

// rows are the rows of all tables of a document, without their heads.
func rows(t *testing.T, file string) []row {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []row
	inTable := false
	for number, line := range strings.Split(string(text), "\n") {
		switch {
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case strings.HasPrefix(line, "|---"):
			inTable = true
		case inTable:
			all = append(all, row{place: fmt.Sprintf("%s:%d", file, number+1), text: line})
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no table", file)
	}
	return all
}

// testName matches a test as documents name it: its folder and its function.
func testName() *regexp.Regexp {
	return regexp.MustCompile("`([a-z0-9/_]+)\\.((?:Test|Fuzz)[A-Za-z0-9_]+)`")
}

// testFunctions are the names of all tests, each with its folder.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]+)\(`)
	all := make(map[string]bool)
	for _, s := range sources(t) {
		if !s.test() {
			continue
		}
		text, err := os.ReadFile(filepath.FromSlash(s.path))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range function.FindAllStringSubmatch(string(text), -1) {
			all[path.Dir(s.path)+"."+match[1]] = true
		}
	}
	return all
}

// TestRowsNameTests: each row of the tables of failures and of bugs names a test,
// and all that the documents name exist.
func TestRowsNameTests(t *testing.T) {
	t.Parallel()
	exists := testFunctions(t)
	for _, file := range []string{"docs/failures.md", "docs/ledger.md"} {
		for _, r := range rows(t, file) {
			if !testName().MatchString(r.text) {
				t.Errorf("%s names no test as `folder.TestName`: %s", r.place, r.text)
			}
		}
	}
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(documents, "README.md", "ARCHITECTURE.md", "SECURITY.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range testName().FindAllStringSubmatch(string(text), -1) {
			if name := match[1] + "." + match[2]; !exists[name] {
				t.Errorf("%s names %s, which does not exist", file, name)
			}
		}
	}
}

// TestLedgerBringsBack: each bug of the ledger says how to bring it back, by the test
// that its row names, and nothing can be brought back that is not in the ledger.
func TestLedgerBringsBack(t *testing.T) {
	t.Parallel()
	command := regexp.MustCompile("`make ledger BUG=([a-z0-9-]+)`")
	told := make(map[string]bool)
	for _, r := range rows(t, "docs/ledger.md") {
		match := command.FindStringSubmatch(r.text)
		if match == nil {
			t.Errorf("%s has no `make ledger BUG=name`", r.place)
			continue
		}
		told[match[1]] = true
		undo, err := os.ReadFile(filepath.Join("test/ledger/bugs", match[1]+".undo"))
		if err != nil {
			t.Errorf("%s: %v", r.place, err)
			continue
		}
		run, _, _ := strings.Cut(string(undo), "\n")
		for _, name := range testName().FindAllStringSubmatch(r.text, -1) {
			if !strings.HasPrefix(run, "run ./"+name[1]+" -run ^"+name[2]+"$") {
				t.Errorf("%s names %s.%s, its bug says %q", r.place, name[1], name[2], run)
			}
		}
	}
	undos, err := filepath.Glob("test/ledger/bugs/*.undo")
	if err != nil {
		t.Fatal(err)
	}
	for _, undo := range undos {
		if name := strings.TrimSuffix(filepath.Base(undo), ".undo"); !told[name] {
			t.Errorf("%s is not in docs/ledger.md", undo)
		}
	}
}

// TestTargetsExist: the make targets that documents name exist.
func TestTargetsExist(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`make ([a-z0-9-]+)")
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(documents, "README.md", "ARCHITECTURE.md", "SECURITY.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range named.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(string(makefile), "\n"+match[1]+":") {
				t.Errorf("%s names `make %s`, which is no target", file, match[1])
			}
		}
	}
}
