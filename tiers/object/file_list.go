package object

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// List implements Store. It holds the names of one folder on each level in memory.
func (s *fileStore) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		s.walk(ctx, "", listing{prefix: prefix, after: after, yield: yield})
	}
}

// listing is what one call of List looks for.
type listing struct {
	prefix, after string
	yield         func(Info, error) bool
}

// wants tells whether an object of that name is listed.
func (l listing) wants(name string) bool {
	return strings.HasPrefix(name, l.prefix) && name > l.after
}

// enters tells whether a folder may hold such objects; its name ends in a slash.
func (l listing) enters(folder string) bool {
	if !strings.HasPrefix(folder, l.prefix) && !strings.HasPrefix(l.prefix, folder) {
		return false
	}
	return folder > l.after || strings.HasPrefix(l.after, folder)
}

// walk lists a folder ("" or with a slash at its end), and tells whether to go on.
func (s *fileStore) walk(ctx context.Context, folder string, l listing) bool {
	if err := ctx.Err(); err != nil {
		l.yield(Info{}, s.failed("list", l.prefix, err))
		return false
	}
	entries, err := os.ReadDir(filepath.Join(s.location.Dir, filepath.FromSlash(folder)))
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		l.yield(Info{}, s.failed("list", folder, err))
		return false
	}
	for _, entry := range inOrder(entries) {
		name := folder + entry.Name()
		switch {
		case entry.Name()[0] == '.':
		case entry.IsDir():
			if l.enters(name+"/") && !s.walk(ctx, name+"/", l) {
				return false
			}
		case l.wants(name):
			if !s.tell(name, entry, l) {
				return false
			}
		}
	}
	return true
}

// tell yields one object, unless it was removed meanwhile.
func (s *fileStore) tell(name string, entry fs.DirEntry, l listing) bool {
	info, err := entry.Info()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true
	case err != nil:
		l.yield(Info{}, s.failed("list", name, err))
		return false
	}
	return l.yield(Info{Name: name, Size: info.Size(), Modified: info.ModTime()}, nil)
}

// inOrder sorts the entries of a folder as the whole names below them sort: a folder's
// have a slash after it, which sorts after dots and hyphens.
func inOrder(entries []fs.DirEntry) []fs.DirEntry {
	key := func(entry fs.DirEntry) string {
		if entry.IsDir() {
			return entry.Name() + "/"
		}
		return entry.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(key(a), key(b)) })
	return entries
}
