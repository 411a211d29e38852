package object

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// unfinishedDir holds files that are being written, in the same file system as the
	// rest. No object's name begins with a dot, so it is never listed.
	unfinishedDir = ".unfinished"
	// unfinishedAge is when a file there was left over by a process that ended: nothing
	// takes that long.
	unfinishedAge = time.Hour

	folderMode, fileMode = 0o700, 0o600
	copyBytes            = 256 << 10
)

// fileStore keeps each object in a file of its name under a directory. An object is written
// elsewhere, synced and then linked to its name, which fails if the name is taken: so a name
// has all of its bytes or does not exist, whenever the machine stops, and several processes
// may use one directory. Empty folders stay.
type fileStore struct {
	location Location
	options  Options
}

func openFiles(location Location, options Options) (*fileStore, error) {
	s := &fileStore{location: location, options: options}
	// Whoever only reads needs no more rights than that.
	if err := s.clean(); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS) {
		return nil, s.failed("open", "", err)
	}
	return s, nil
}

// clean removes files that a process began and never finished.
func (s *fileStore) clean() error {
	dir := filepath.Join(s.location.Dir, unfinishedDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || s.options.Now().Sub(info.ModTime()) < unfinishedAge {
			continue
		}
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (s *fileStore) path(name string) string {
	return filepath.Join(s.location.Dir, filepath.FromSlash(name))
}

// failed classifies what the file system says.
func (s *fileStore) failed(operation, name string, cause error) error {
	place := s.location.String()
	if name != "" {
		place += "/" + name
	}
	// The path would repeat the place.
	why := cause
	for _, wrapped := range []any{new(*fs.PathError), new(*os.LinkError)} {
		if errors.As(cause, wrapped) {
			switch w := wrapped.(type) {
			case **fs.PathError:
				why = (*w).Err
			case **os.LinkError:
				why = (*w).Err
			}
		}
	}
	switch {
	case errors.Is(cause, ErrUnknown), errors.Is(cause, context.Canceled), errors.Is(cause, context.DeadlineExceeded):
		return fmt.Errorf("%s %s: %w", operation, place, cause)
	case errors.Is(cause, fs.ErrNotExist), errors.Is(cause, syscall.EISDIR), errors.Is(cause, syscall.ENOTDIR):
		return failed(operation, place, ErrNotFound, nil)
	case errors.Is(cause, fs.ErrExist):
		return failed(operation, place, ErrExists, nil)
	case errors.Is(cause, fs.ErrPermission), errors.Is(cause, syscall.EROFS):
		return failed(operation, place, ErrDenied, why)
	default:
		return failed(operation, place, ErrUnavailable, why)
	}
}

// Create implements Store.
func (s *fileStore) Create(ctx context.Context, name string, body io.Reader) error {
	return s.store(ctx, "create", name, body, os.Link)
}

// Replace implements Store.
func (s *fileStore) Replace(ctx context.Context, name string, body []byte) error {
	return s.store(ctx, "replace", name, bytes.NewReader(body), os.Rename)
}

// store writes body to a file of its own and has put give it its name.
func (s *fileStore) store(ctx context.Context, operation, name string, body io.Reader, put func(from, to string) error) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("%s an object: %w", operation, err)
	}
	temporary, err := s.write(ctx, body)
	if temporary != "" {
		// After a rename there is nothing left to remove.
		defer os.Remove(temporary)
	}
	if err != nil {
		return s.failed(operation, name, err)
	}
	target := s.path(name)
	if err := s.makeFolder(filepath.Dir(target)); err != nil {
		return s.failed(operation, name, asUnavailable(err))
	}
	switch err := put(temporary, target); {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOTSUP):
		return failed(operation, s.location.String(), ErrUnfit, errors.New("its file system has no hard links"))
	case err != nil:
		return s.failed(operation, name, err)
	}
	if err := syncFolder(filepath.Dir(target)); err != nil {
		return failed(operation, s.location.String()+"/"+name, ErrUnknown, fmt.Errorf("sync its folder: %w", err))
	}
	return nil
}

// asUnavailable keeps a name that cannot be, since a part of it is an object, from
// reading like an object that is not there.
func asUnavailable(err error) error {
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrExist) {
		return errors.New("a part of its name is an object")
	}
	return err
}

// write stores body in a synced file. The path is also returned with an error, if there
// is a file then.
func (s *fileStore) write(ctx context.Context, body io.Reader) (path string, err error) {
	var id [12]byte
	if _, err := io.ReadFull(s.options.Random, id[:]); err != nil {
		return "", fmt.Errorf("choose a name to write under: %w", err)
	}
	path = filepath.Join(s.location.Dir, unfinishedDir, hex.EncodeToString(id[:]))
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.makeFolder(filepath.Dir(path)); err != nil {
			return "", asUnavailable(err)
		}
		file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	}
	if err != nil {
		return "", asUnavailable(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// The file hides its ReadFrom, which would take the reader's place and its size of steps.
	if _, err := io.CopyBuffer(struct{ io.Writer }{file}, contextReader{ctx, body}, make([]byte, copyBytes)); err != nil {
		return path, err
	}
	return path, file.Sync()
}

// contextReader ends with its context.
type contextReader struct {
	ctx  context.Context
	body io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.body.Read(p)
}

// makeFolder makes a folder and those above it, each synced into its parent.
func (s *fileStore) makeFolder(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return syscall.ENOTDIR
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := s.makeFolder(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Also when another process made it: that one may not have synced it yet.
	return syncFolder(parent)
}

func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// Open implements Store.
func (s *fileStore) Open(ctx context.Context, name string, from int64) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("open an object: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, s.failed("open", name, err)
	}
	file, err := os.Open(s.path(name))
	if err != nil {
		return nil, s.failed("open", name, err)
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = syscall.EISDIR
	}
	if err == nil {
		_, err = file.Seek(from, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, s.failed("open", name, err)
	}
	return &fileBody{ctx: ctx, store: s, name: name, file: file, left: info.Size() - from}, nil
}

// fileBody reads as many bytes as the file had when it was opened.
type fileBody struct {
	ctx   context.Context
	store *fileStore
	name  string
	file  *os.File
	left  int64
}

func (b *fileBody) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, b.store.failed("read", b.name, err)
	}
	n, err := b.file.Read(p)
	b.left -= int64(n)
	switch {
	case err == io.EOF && b.left > 0:
		return n, b.store.short(b.name, b.left)
	case err != nil && err != io.EOF:
		return n, b.store.failed("read", b.name, err)
	}
	return n, err
}

func (b *fileBody) Close() error { return b.file.Close() }

func (s *fileStore) short(name string, left int64) error {
	return fmt.Errorf("read %s/%s: %d bytes before its end: %w", s.location, name, left, io.ErrUnexpectedEOF)
}

// Remove implements Store.
func (s *fileStore) Remove(ctx context.Context, names ...string) error {
	folders := make(map[string]bool)
	for _, name := range names {
		if err := checkName(name); err != nil {
			return fmt.Errorf("remove an object: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return s.failed("remove", name, err)
		}
		err := os.Remove(s.path(name))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			continue
		case err != nil:
			return s.failed("remove", name, err)
		}
		folders[filepath.Dir(s.path(name))] = true
	}
	for folder := range folders {
		if err := syncFolder(folder); err != nil {
			return fmt.Errorf("remove objects of %s: %w: sync a folder: %w", s.location, ErrUnknown, err)
		}
	}
	return nil
}
