package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// fileMode lets nobody but the owner read who did what.
const fileMode = 0o600

// target is where lines go. It belongs to the writer.
type target interface {
	io.Writer
	// check makes it ready for a write; reopen says that somebody asked for it to be
	// opened again.
	check(reopen bool) error
	close() error
}

// stream is the standard output, which is not ours to close.
type stream struct{ io.Writer }

func (stream) check(bool) error { return nil }
func (stream) close() error     { return nil }

// file is a file that may be moved, and that is set aside when it has become large.
type file struct {
	path     string
	bytesMax int64
	kept     int
	// open is nil after it could not be opened.
	open *os.File
	size int64
}

func openFile(path string, bytesMax int64, kept int) (*file, error) {
	f := &file{path: path, bytesMax: bytesMax, kept: kept}
	return f, f.begin()
}

// begin opens the file under its name, at its end.
func (f *file) begin() error {
	opened, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, fileMode)
	if err != nil {
		return fmt.Errorf("open the audit log: %w", err)
	}
	info, err := opened.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("look at the audit log: %w", err), opened.Close())
	}
	f.open, f.size = opened, info.Size()
	return nil
}

// check opens the file again if it is not the one under its name any more.
func (f *file) check(reopen bool) error {
	if f.open != nil && !reopen && !f.moved() {
		return nil
	}
	if err := f.close(); err != nil {
		return err
	}
	return f.begin()
}

// moved tells whether another file, or none, lies under the name.
func (f *file) moved() bool {
	ours, err := f.open.Stat()
	if err != nil {
		return true
	}
	there, err := os.Stat(f.path)
	return err != nil || !os.SameFile(ours, there)
}

// Write appends lines, to a new file if they would make this one too large.
func (f *file) Write(lines []byte) (int, error) {
	if f.bytesMax > 0 && f.size > 0 && f.size+int64(len(lines)) > f.bytesMax {
		if err := f.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := f.open.Write(lines)
	f.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("write the audit log: %w", err)
	}
	return n, nil
}

// rotate sets the file aside as path.1, what was that as path.2, and so on; the last
// one that is kept is replaced.
func (f *file) rotate() error {
	if err := f.close(); err != nil {
		return err
	}
	name := func(number int) string {
		if number == 0 {
			return f.path
		}
		return fmt.Sprintf("%s.%d", f.path, number)
	}
	for number := f.kept; number > 0; number-- {
		err := os.Rename(name(number-1), name(number))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set the audit log aside: %w", err)
		}
	}
	return f.begin()
}

func (f *file) close() error {
	if f.open == nil {
		return nil
	}
	err := f.open.Close()
	f.open = nil
	return err
}
