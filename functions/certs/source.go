package certs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

const (
	// fileBytesMax bounds a file. A revocation list of a large authority has some megabytes.
	fileBytesMax = 64 << 20
	// settles is how old a file has to be for its times to tell whether it has changed since it
	// was read: clocks of file systems are coarse, and what is younger is read each time.
	settles = 2 * time.Second
)

// source is one thing that is read from files: a certificate with its key, a list.
type source struct {
	what  string
	paths []string
	parse func(paths []string, contents [][]byte) (*reading, error)

	// seen is how the files looked when they were read last, settled whether that is enough to
	// tell whether they have changed, and outcome what came of it.
	seen     []os.FileInfo
	settled  bool
	contents [][]byte
	outcome  error
	// complaint is the error that was told last, or empty.
	complaint string
}

// read gives what the files hold, or nil if that is what it gave last; or why they cannot be used.
func (s *source) read(now time.Time) (*reading, error) {
	infos := make([]os.FileInfo, len(s.paths))
	for i, path := range s.paths {
		info, err := os.Stat(path)
		if err != nil {
			s.forget(err)
			return nil, err // it names the path
		}
		infos[i] = info
	}
	if s.settled && slices.EqualFunc(infos, s.seen, sameFile) {
		return nil, s.outcome
	}
	contents := make([][]byte, len(s.paths))
	for i, path := range s.paths {
		content, err := readFile(path)
		if err != nil {
			s.forget(err)
			return nil, err
		}
		contents[i] = content
	}
	s.seen, s.settled = infos, !slices.ContainsFunc(infos, func(info os.FileInfo) bool { return now.Sub(info.ModTime()) < settles })
	if s.contents != nil && slices.EqualFunc(contents, s.contents, bytes.Equal) {
		return nil, s.outcome
	}
	result, err := s.parse(s.paths, contents)
	s.contents, s.outcome = contents, err
	return result, err
}

// forget has the files read again when they are back, and told of if they hold something else.
func (s *source) forget(err error) {
	s.settled = false
	if s.outcome != nil {
		s.outcome, s.contents = err, nil
	}
}

// sameFile tells by what a file system says of them whether two looks saw the same file.
func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, fileBytesMax+1))
	if err == nil && len(content) > fileBytesMax {
		err = fmt.Errorf("%s is larger than %d bytes", path, fileBytesMax)
	}
	return content, err
}
