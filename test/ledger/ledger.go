// Package ledger brings back the bugs of docs/ledger.md: it undoes the mend of one
// in a copy of the source, and runs the test that then has to fail.
//
// Each bug has a file in bugs/, named as its row in the ledger:
//
//	run ./router -run ^TestQuota$
//	file router/commit.go
//	--- is
//	the text as it stands in that file, once
//	--- was
//	the text that brings the bug back
//
// The package promises that the source itself is never changed (the copy is an
// overlay of the go command), and that a file which no longer fits the source fails
// its own test.
package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Bug is what brings one bug back.
type Bug struct {
	Name string
	// Run are the arguments of `go test`.
	Run   []string
	Edits []Edit
}

// Edit replaces a text that occurs once in a file.
type Edit struct {
	// File is a path below the repository's root.
	File    string
	Is, Was string
}

// Load reads all bugs of a folder.
func Load(dir string) ([]Bug, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.undo"))
	if err != nil {
		return nil, fmt.Errorf("list bugs: %w", err)
	}
	bugs := make([]Bug, 0, len(paths))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read a bug: %w", err)
		}
		bug, err := parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		bug.Name = strings.TrimSuffix(filepath.Base(path), ".undo")
		bugs = append(bugs, bug)
	}
	return bugs, nil
}

func parse(text string) (Bug, error) {
	head, rest, found := strings.Cut(text, "\n")
	command, isRun := strings.CutPrefix(head, "run ")
	if !found || !isRun {
		return Bug{}, errors.New("the first line does not say what to run")
	}
	bug := Bug{Run: strings.Fields(command)}
	for _, part := range strings.Split("\n"+rest, "\nfile ")[1:] {
		file, texts, hasFile := strings.Cut(part, "\n--- is\n")
		is, was, hasTexts := strings.Cut(texts, "\n--- was\n")
		if !hasFile || !hasTexts {
			return Bug{}, fmt.Errorf("file %q lacks a part", file)
		}
		bug.Edits = append(bug.Edits, Edit{File: file, Is: is, Was: strings.TrimSuffix(was, "\n")})
	}
	if len(bug.Edits) == 0 {
		return Bug{}, errors.New("it names no file")
	}
	return bug, nil
}

// Apply gives the texts of the files below root that bring the bug back.
func (b Bug) Apply(root string) (map[string]string, error) {
	texts := make(map[string]string)
	for _, e := range b.Edits {
		text, read := texts[e.File]
		if !read {
			data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.File)))
			if err != nil {
				return nil, fmt.Errorf("bug %s: %w", b.Name, err)
			}
			text = string(data)
		}
		if n := strings.Count(text, e.Is); n != 1 {
			return nil, fmt.Errorf("bug %s: %s holds the mended text %d times, not once:\n%s", b.Name, e.File, n, e.Is)
		}
		texts[e.File] = strings.Replace(text, e.Is, e.Was, 1)
	}
	return texts, nil
}
