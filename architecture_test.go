// Package tierd_test checks the rules that hold for the whole repository: which
// package may import which, and how large and how documented the source is. A
// rule that no test checks is soon broken.
package tierd_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/tierd/tierd/"
	// fileLinesMax and functionLinesMax are the hard stops of the house style.
	fileLinesMax     = 600
	functionLinesMax = 70
)

// layers are the folders whose code ships, from the top down, and what each may
// import of the others: arrows point down only.
func layers() map[string][]string {
	return map[string][]string{
		"cmd":       {"functions", "router", "backup", "tiers"},
		"functions": {"functions", "router", "backup"},
		"backup":    {"backup", "router", "tiers/object"},
		"router":    {"router", "tiers"},
		"tiers":     {"tiers"},
	}
}

// forbidden are the foreign packages that a layer must not know: tiers/ knows no
// etcd, functions/ knows no Redis, and only the binary's folder knows its command
// line.
func forbidden() map[string][]string {
	return map[string][]string{
		"functions": {"github.com/redis/", "github.com/spf13/", module + "tiers/hot"},
		"backup":    {"github.com/redis/", "github.com/spf13/", module + "tiers/hot"},
		"router":    {"github.com/redis/", "github.com/spf13/", "google.golang.org/grpc"},
		"tiers":     {"go.etcd.io/", "google.golang.org/grpc", "github.com/spf13/"},
	}
}

// source is one parsed file of the repository.
type source struct {
	path string
	file *ast.File
	set  *token.FileSet
}

func (s source) test() bool    { return strings.HasSuffix(s.path, "_test.go") }
func (s source) layer() string { first, _, _ := strings.Cut(s.path, "/"); return first }

// sources parses every Go file of the module.
func sources(t *testing.T) []source {
	t.Helper()
	var found []source
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() && name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "bin") {
			return fs.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(base, ".go") {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		found = append(found, source{path: filepath.ToSlash(name), file: file, set: set})
		return err
	})
	if err != nil {
		t.Fatalf("read the source: %v", err)
	}
	if len(found) < 50 {
		t.Fatalf("only %d files were found: this test looks in the wrong place", len(found))
	}
	return found
}

func TestArrowsPointDown(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		allowed, ships := layers()[s.layer()]
		if !ships || s.test() {
			continue
		}
		for _, spec := range s.file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatalf("%s: %v", s.path, err)
			}
			if inside, ours := strings.CutPrefix(name, module); ours && !withinAny(inside, allowed) {
				t.Errorf("%s imports %s: %s may import only %v", s.path, inside, s.layer(), allowed)
			}
			for _, prefix := range forbidden()[s.layer()] {
				if strings.HasPrefix(name, prefix) {
					t.Errorf("%s imports %s, which %s must not know", s.path, name, s.layer())
				}
			}
		}
	}
}

// withinAny tells whether a package lies in one of the folders.
func withinAny(name string, folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		return name == folder || strings.HasPrefix(name, folder+"/")
	})
}

// The object tier and the hot tier do not know each other.
func TestTiersAreApart(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for _, spec := range s.file.Imports {
			own := path.Dir(s.path)
			if s.layer() == "tiers" && !s.test() && strings.Contains(spec.Path.Value, module+"tiers/") && !strings.Contains(spec.Path.Value, module+own) {
				t.Errorf("%s imports %s", s.path, spec.Path.Value)
			}
		}
	}
}

func TestEveryPackageHasADocComment(t *testing.T) {
	t.Parallel()
	documented := make(map[string]bool)
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		folder := path.Dir(s.path)
		text := s.file.Doc.Text()
		documented[folder] = documented[folder] || strings.HasPrefix(text, "Package "+s.file.Name.Name+" ") || strings.HasPrefix(text, "Command ")
	}
	for folder, has := range documented {
		if !has {
			t.Errorf("package %s has no doc comment", folder)
		}
	}
}

func TestFilesAndFunctionsAreSmall(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if lines := s.set.File(s.file.Pos()).LineCount(); lines > fileLinesMax {
			t.Errorf("%s has %d lines, more than %d", s.path, lines, fileLinesMax)
		}
		if s.test() {
			continue
		}
		for _, declaration := range s.file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := s.set.Position(function.End()).Line - s.set.Position(function.Pos()).Line + 1
			if lines > functionLinesMax {
				t.Errorf("%s: %s has %d lines, more than %d", s.path, function.Name.Name, lines, functionLinesMax)
			}
		}
	}
}

// Folders that say nothing, and notes that nobody follows up.
func TestNamesAndNotes(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for _, folder := range strings.Split(path.Dir(s.path), "/") {
			if slices.Contains([]string{"util", "utils", "common", "helpers", "misc"}, folder) {
				t.Errorf("%s lies in a folder that says nothing", s.path)
			}
		}
		for _, group := range s.file.Comments {
			for _, note := range []string{"TO" + "DO", "FIX" + "ME", "XX" + "X"} {
				if strings.Contains(group.Text(), note) {
					t.Errorf("%s: a comment holds %s", s.set.Position(group.Pos()), note)
				}
			}
		}
	}
}

// Tests wait for conditions, never for time to pass.
func TestTestsDoNotSleep(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if !s.test() {
			continue
		}
		ast.Inspect(s.file, func(node ast.Node) bool {
			selector, ok := node.(*ast.SelectorExpr)
			if !ok || selector.Sel.Name != "Sleep" {
				return true
			}
			if from, ok := selector.X.(*ast.Ident); ok && from.Name == "time" && !usesSynctest(s.file) {
				t.Errorf("%s: a test sleeps", s.set.Position(selector.Pos()))
			}
			return true
		})
	}
}

// usesSynctest tells whether a file's clock is that of a synctest bubble, where
// a sleep is a step of virtual time.
func usesSynctest(file *ast.File) bool {
	return slices.ContainsFunc(file.Imports, func(spec *ast.ImportSpec) bool {
		return spec.Path.Value == `"testing/synctest"`
	})
}
