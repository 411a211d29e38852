package pki

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// lockPoll is how often a directory that another run works in is looked at.
	lockPoll = 20 * time.Millisecond
	// fileBytesMax bounds a file.
	fileBytesMax = 1 << 20
	// directoryMode is that of a directory that has to be made; keys in it have a mode of their own.
	directoryMode = 0o755
)

// Directory is a store in a directory, and what Fetch writes to: ca.crt, ca.key with all that signs, server.crt and
// server.key, client-NAME.crt and client-NAME.key.
//
// A pair's two files are links through a third one, .NAME, to the directory that holds them. Switching that link changes both
// at once, as Kubernetes does it for secrets.
type Directory struct{ path string }

// NewDirectory is the store in a directory, which is made when something is written.
func NewDirectory(path string) *Directory { return &Directory{path: path} }

// String names the directory.
func (d *Directory) String() string { return d.path }

// Lock implements Store. It is a lock of the kernel, so that no crash leaves it behind.
func (d *Directory) Lock(ctx context.Context) (func() error, error) {
	if err := os.MkdirAll(d.path, directoryMode); err != nil {
		return nil, fmt.Errorf("make the directory: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(d.path, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the directory: %w", err)
	}
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			if err := d.tidy(); err != nil {
				return nil, errors.Join(err, file.Close())
			}
			return file.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", d.path, err), file.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for another run in %s: %w", d.path, context.Cause(ctx)), file.Close())
		}
	}
}

// Leaves implements Store.
func (d *Directory) Leaves(context.Context) ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the directory: %w", err)
	}
	var names []string
	for _, entry := range entries {
		name, isCertificate := strings.CutSuffix(entry.Name(), ".crt")
		if isCertificate && (name == Server || strings.HasPrefix(name, clientPrefix)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Read implements Store. A pair of which one half is missing is there, and cannot be used.
func (d *Directory) Read(_ context.Context, name string) (Entry, error) {
	switch name {
	case Trust:
		text, err := d.file("ca.crt")
		return d.entry(Secret{Certificate: text}, err)
	case Authority:
		text, err := d.file("ca.key")
		return d.entry(splitAuthority(text), err)
	}
	base := d.pair(name)
	certificate, err := d.file(base + ".crt")
	if err != nil {
		return Entry{}, err
	}
	key, err := d.file(base + ".key")
	return d.entry(Secret{Certificate: certificate, Key: key}, err)
}

// pair is where both files of a pair are, without their endings. What everybody reads are links that lead there; reading
// both from there gives files of one time.
func (d *Directory) pair(name string) string {
	for _, ending := range []string{".crt", ".key"} {
		if target, err := os.Readlink(filepath.Join(d.path, name+ending)); err != nil || target != linkTo(name, ending) {
			return name // files that somebody else has put here
		}
	}
	target, err := os.Readlink(filepath.Join(d.path, "."+name))
	if err != nil {
		return name
	}
	return filepath.Join(target, name)
}

// entry is what was read, with its version, which is what it is.
func (d *Directory) entry(s Secret, err error) (Entry, error) {
	if err != nil || len(s.Certificate)+len(s.Key) == 0 {
		return Entry{}, err
	}
	return Entry{Secret: s, Version: s.digest()}, nil
}

// digest is the same for the same secret only.
func (s Secret) digest() string {
	hash := sha256.New()
	fmt.Fprintf(hash, "%d\n%s%s", len(s.Certificate), s.Certificate, s.Key)
	return hex.EncodeToString(hash.Sum(nil))
}

// file reads a file, which may be missing.
func (d *Directory) file(name string) ([]byte, error) {
	path := filepath.Join(d.path, name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at a file: %w", err)
	}
	if info.Size() > fileBytesMax {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, fileBytesMax)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read a file: %w", err)
	}
	return text, nil
}

// Write implements Store. The caller has the lock.
func (d *Directory) Write(ctx context.Context, name string, s Secret, version string) (string, error) {
	there, err := d.Read(ctx, name)
	switch {
	case err != nil:
		return "", err
	case there.Version != version:
		return "", ErrChanged
	}
	if err := os.MkdirAll(d.path, directoryMode); err != nil {
		return "", fmt.Errorf("make the directory: %w", err)
	}
	switch name {
	case Trust:
		err = d.replace("ca.crt", s.Certificate, 0o644)
	case Authority:
		err = d.replace("ca.key", slices.Concat(s.Certificate, s.Key), 0o600)
	default:
		err = d.switchPair(name, s)
	}
	if err != nil {
		return "", fmt.Errorf("write %s to %s: %w", name, d.path, err)
	}
	return s.digest(), nil
}
