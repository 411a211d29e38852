package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memberIDFile keeps the member id of a frontend that owns its data directory.
const memberIDFile = "member-id"

// memberID is this frontend's id in the keyspace. A frontend with a Redis of its
// own keeps it in the data directory, which is its alone: when both are killed and
// started again, recovery then need not wait for the frontend that died. Any other
// frontend draws a new one: its directory may be shared, or gone.
func (f *frontend) memberID() (uint64, error) {
	if !f.config.HotTier.Local {
		return drawMemberID()
	}
	path := filepath.Join(f.config.DataDir, memberIDFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newMemberID(path)
	}
	if err != nil {
		return 0, fmt.Errorf("read the member id: %w", err)
	}
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 16, 64)
	if err != nil || id == 0 {
		return newMemberID(path) // cut short by a crash; any new one will do
	}
	return id, nil
}

// newMemberID draws an id and keeps it.
func newMemberID(path string) (uint64, error) {
	id, err := drawMemberID()
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(path, []byte(strconv.FormatUint(id, 16)+"\n"), 0o600); err != nil {
		return 0, fmt.Errorf("keep the member id: %w", err)
	}
	return id, nil
}

// drawMemberID draws an id that no other frontend has.
func drawMemberID() (uint64, error) {
	var raw [8]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return 0, fmt.Errorf("draw a member id: %w", err)
	}
	return max(binary.BigEndian.Uint64(raw[:]), 1), nil
}
