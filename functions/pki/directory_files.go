package pki

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// nextSuffix ends the names of files that are not in their place yet.
const nextSuffix = ".next"

// pairDigits is how much of a pair's digest is in the name of the directory that it is in.
const pairDigits = 16

// tidy removes what a run has left that was killed. The caller has the lock.
func (d *Directory) tidy() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("list the directory: %w", err)
	}
	for _, entry := range entries {
		if name := strings.TrimPrefix(entry.Name(), "."); entry.Type() == fs.ModeSymlink && name != entry.Name() && handedOut(name) {
			if err := d.tidyPair(entries, name); err != nil {
				return fmt.Errorf("remove what a run has left: %w", err)
			}
		}
		name, unfinished := strings.CutSuffix(entry.Name(), nextSuffix)
		name = strings.TrimPrefix(strings.TrimSuffix(strings.TrimSuffix(name, ".crt"), ".key"), ".")
		if !unfinished || !handedOut(name) {
			continue
		}
		if err := os.Remove(filepath.Join(d.path, entry.Name())); err != nil {
			return fmt.Errorf("remove what a run has left: %w", err)
		}
	}
	return nil
}

// tidyPair removes the pairs beside the one that is in use, but for the last one made.
func (d *Directory) tidyPair(entries []fs.DirEntry, name string) error {
	now, err := os.Readlink(filepath.Join(d.path, "."+name))
	if err != nil {
		return err
	}
	before, last := "", time.Time{}
	for _, entry := range entries {
		if !isPairOf(name, entry) || entry.Name() == now {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if before == "" || info.ModTime().After(last) {
			before, last = entry.Name(), info.ModTime()
		}
	}
	return d.forget(entries, name, now, before)
}

// isPairOf says whether a name in the directory is one that a pair is in.
func isPairOf(name string, entry fs.DirEntry) bool {
	digest, is := strings.CutPrefix(entry.Name(), "."+name+"-")
	return is && entry.IsDir() && len(digest) == pairDigits
}

// splitAuthority takes apart the file in which certificates and keys are kept together.
func splitAuthority(text []byte) Secret {
	var s Secret
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if len(bytes.TrimSpace(rest)) > 0 {
				s.Key = append(s.Key, rest...) // so that it is seen not to be whole
			}
			return s
		}
		if encoded := pem.EncodeToMemory(block); block.Type == typeCertificate {
			s.Certificate = append(s.Certificate, encoded...)
		} else {
			s.Key = append(s.Key, encoded...)
		}
	}
}

// replace replaces a file as a whole, for good.
func (d *Directory) replace(name string, content []byte, mode fs.FileMode) error {
	path := filepath.Join(d.path, name)
	if err := writeFile(path+nextSuffix, content, mode); err != nil {
		return err
	}
	if err := os.Rename(path+nextSuffix, path); err != nil {
		return err
	}
	return syncDirectory(d.path)
}

// switchPair puts both files into a directory of their own, and has the links lead there.
func (d *Directory) switchPair(name string, s Secret) error {
	before, err := os.Readlink(filepath.Join(d.path, "."+name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	into := "." + name + "-" + s.digest()[:pairDigits]
	if err := d.writePair(into, name, s); err != nil {
		return err
	}
	if err := d.link(into, "."+name); err != nil {
		return err
	}
	for _, ending := range []string{".key", ".crt"} {
		if err := d.link(linkTo(name, ending), name+ending); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	return d.forget(entries, name, into, before)
}

// writePair writes both files of a pair, for good, before anything leads to them.
func (d *Directory) writePair(into, name string, s Secret) error {
	place := filepath.Join(d.path, into)
	if err := os.MkdirAll(place, directoryMode); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(place, name+".key"), s.Key, 0o600); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(place, name+".crt"), s.Certificate, 0o644); err != nil {
		return err
	}
	return syncDirectory(place)
}

// linkTo is what one of the two files is a link to.
func linkTo(name, ending string) string { return filepath.Join("."+name, name+ending) }

// link makes a name lead to a target, in place of what has the name.
func (d *Directory) link(target, name string) error {
	path := filepath.Join(d.path, name)
	if is, err := os.Readlink(path); err == nil && is == target {
		return nil
	}
	next := path + nextSuffix
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, next); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncDirectory(d.path)
}

// forget removes what an earlier pair was in, but for the last one: somebody may be reading it.
func (d *Directory) forget(entries []fs.DirEntry, name, now, before string) error {
	for _, entry := range entries {
		if !isPairOf(name, entry) || entry.Name() == now || entry.Name() == before {
			continue
		}
		if err := os.RemoveAll(filepath.Join(d.path, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes a file that nobody reads yet, with a mode that does not depend on what was there.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncDirectory makes what happened to names in a directory last.
func syncDirectory(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
