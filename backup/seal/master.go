package seal

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Master encrypts wrapping keys. It is safe for concurrent use.
type Master interface {
	// ID names the key, and says nothing of it. What one of an ID has encrypted, no other can decrypt
	// (but for a replica of the same key: sameMaster).
	ID() string
	// Wrap encrypts a few dozen bytes, bound to associated (a text).
	Wrap(ctx context.Context, plaintext, associated []byte) ([]byte, error)
	// Unwrap decrypts what Wrap returned. ErrAltered if it is not that, ErrKey if it is of
	// another key.
	Unwrap(ctx context.Context, ciphertext, associated []byte) ([]byte, error)
}

const (
	keyFileMode = 0o600
	// keyFileBytesMax bounds what is read of a key file.
	keyFileBytesMax = 4096
	// fingerprintBytes of the key's hash are its ID.
	fingerprintBytes = 8
	keyFileComment   = `# The master key of tierd's archive, in base64. Without it nothing in the archive can be
# read, ever again, by anybody: keep a copy of this file in a safe place, not in the archive's own.
`
)

// keyFile is a master key from a file.
type keyFile struct {
	key []byte
	id  string
}

// OpenKeyFile reads the master key at path. It is a text: lines that begin with # mean nothing,
// the other one is the key, 32 bytes in base64. If the file is not there, create makes one,
// readable by its owner only; of processes that do so at once all get the same key. A file that
// others may read is refused.
func OpenKeyFile(path string, create bool, random io.Reader) (Master, error) {
	master, err := readKeyFile(path)
	if create && errors.Is(err, fs.ErrNotExist) {
		if err := createKeyFile(path, random); err != nil {
			return nil, fmt.Errorf("create the key file %s: %w", path, err)
		}
		master, err = readKeyFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the key file %s: %w", path, err)
	}
	return master, nil
}

func readKeyFile(path string) (*keyFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, bare(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, bare(err)
	}
	if open := info.Mode().Perm() &^ keyFileMode; open != 0 {
		return nil, fmt.Errorf("others than its owner may use it (mode %04o): chmod 600 it", info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(file, keyFileBytesMax+1))
	if err != nil {
		return nil, bare(err)
	}
	key, err := parseKeyFile(text)
	if err != nil {
		return nil, err
	}
	return newKeyFile(key), nil
}

func newKeyFile(key []byte) *keyFile {
	hash := sha256.Sum256(append([]byte("tierd master key\n"), key...))
	return &keyFile{key: key, id: "file:" + hex.EncodeToString(hash[:fingerprintBytes])}
}

// bare leaves out the path, which the caller names.
func bare(err error) error {
	if wrapped := (*fs.PathError)(nil); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// parseKeyFile finds the key. No error repeats any of the text.
func parseKeyFile(text []byte) ([]byte, error) {
	if len(text) > keyFileBytesMax {
		return nil, errors.New("it is no key file: it is too long")
	}
	var key []byte
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		decoded, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(decoded) != keyBytes || key != nil {
			return nil, fmt.Errorf("it is no key file: one line of %d bytes in base64 is expected", keyBytes)
		}
		key = decoded
	}
	if key == nil {
		return nil, errors.New("it is no key file: there is no key in it")
	}
	return key, lines.Err()
}

// createKeyFile makes a file with a new key, unless there is one by now. It appears with
// all its bytes, synced.
func createKeyFile(path string, random io.Reader) error {
	key := make([]byte, keyBytes)
	if _, err := io.ReadFull(random, key); err != nil {
		return fmt.Errorf("choose a key: %w", err)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return bare(err)
	}
	// Its mode is 0600 from the beginning.
	file, err := os.CreateTemp(dir, ".key-*")
	if err != nil {
		return bare(err)
	}
	defer os.Remove(file.Name())
	_, err = io.WriteString(file, keyFileComment+base64.StdEncoding.EncodeToString(key)+"\n")
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return bare(err)
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("put it in place: %w", err)
	}
	folder, err := os.Open(dir)
	if err != nil {
		return bare(err)
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// ID implements Master.
func (f *keyFile) ID() string { return f.id }

// Wrap implements Master.
func (f *keyFile) Wrap(_ context.Context, plaintext, associated []byte) ([]byte, error) {
	return wrap(f.key, plaintext, associated)
}

// Unwrap implements Master.
func (f *keyFile) Unwrap(_ context.Context, ciphertext, associated []byte) ([]byte, error) {
	plaintext, err := unwrap(f.key, ciphertext, associated)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAltered, err)
	}
	return plaintext, nil
}
