// Package vault seals the values of a keyspace before they reach Redis, and opens them
// again: encryption at rest in the hot tier.
//
// Values are sealed with data keys, numbered 1, 2, 3, ..., which are encrypted by the master
// key (that of the archive: a file, or a key of AWS KMS) and kept with the setting of the
// keyspace, a text beside its shard map. So whoever has the data has the encrypted keys, and the master
// key is needed once per process and data key.
//
// A sealed value is bound to its keyspace and its key: it opens nowhere else. What is sealed
// with one data key is not limited in number (XAES-256-GCM derives a key for each value from 192
// random bits; AES-256-GCM alone would have to have a new key after some hours of many writes).
//
// docs/encryption.md says what this protects and what it does not, and docs/formats.md has the
// formats byte by byte.
package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tierd/tierd/backup/seal"
	"github.com/tierd/tierd/router"
)

const (
	// headBytes begin a sealed value, as Tink has it: a 1, and the number of its data key.
	headBytes = 1 + 4
	// Overhead is how many bytes a sealed value has more than the value: those, 24 random
	// ones, and the tag.
	Overhead = headBytes + saltBytes + 12 + 16
	// rereadPause is the least time between two looks for a key that is not known.
	rereadPause = time.Second
)

// Settings are what a Vault goes by besides the keyspace's own setting.
type Settings struct {
	Keyspace string
	// Insist says that no value is ever to be stored plain: where the keyspace says that
	// values are not sealed, writes are refused.
	Insist bool
}

// Components are what a Vault is built from.
type Components struct {
	// Master opens the master key, when it is first needed; create says that a key file that
	// is not there is to be made. It has to be safe for concurrent use.
	Master func(ctx context.Context, create bool) (seal.Master, error)
	// Random makes data keys: crypto/rand.Reader.
	Random io.Reader
	Now    func() time.Time
}

// Vault is a hot.Sealer, and a router.Sealing.
type Vault struct {
	settings Settings
	parts    Components

	state atomic.Pointer[state]
	// mu is held while the state is made anew.
	mu       sync.Mutex
	reread   func(context.Context) error
	rereadMu sync.Mutex
	rereadAt time.Time
}

// state is what holds as of one text.
type state struct {
	text string
	on   bool
	// mixed says that some values may be plain though values are sealed.
	mixed bool
	// current seals, keys open.
	current *dataKey
	keys    map[uint32]*dataKey
}

// New makes a vault, which knows no key before Configure.
func New(settings Settings, parts Components) *Vault {
	v := &Vault{settings: settings, parts: parts}
	v.state.Store(&state{})
	return v
}

// OnUnknownKey implements router.Sealing.
func (v *Vault) OnUnknownKey(reread func(context.Context) error) { v.reread = reread }

// On implements hot.Sealer.
func (v *Vault) On() bool { return v.settings.Insist || v.state.Load().on }

// errInsist: what the keyspace says is not what this process was told.
var errInsist = fmt.Errorf("%w: --seal-values was given, and the keyspace was set since not to seal values", router.ErrSealKey)

// Seal implements hot.Sealer.
func (v *Vault) Seal(key, value []byte) (stored []byte, sealed bool, err error) {
	s := v.state.Load()
	if !s.on {
		if v.settings.Insist {
			return nil, false, errInsist
		}
		return value, false, nil
	}
	stored, err = s.current.seal(v.settings.Keyspace, key, value)
	return stored, true, err
}

// Current implements hot.Sealer.
func (v *Vault) Current(stored []byte, sealed bool) bool {
	s := v.state.Load()
	if !s.on {
		return !sealed
	}
	return sealed && len(stored) >= Overhead && binary.BigEndian.Uint32(stored[1:]) == s.current.id
}

// Plain implements hot.Sealer. Another frontend may have turned sealing off since, which is looked for.
func (v *Vault) Plain(ctx context.Context) error {
	sure := func() bool {
		s := v.state.Load()
		return s.on && !s.mixed
	}
	if !sure() {
		return nil
	}
	if err := v.lookAgain(ctx); err != nil {
		return err
	}
	if !sure() {
		return nil
	}
	return fmt.Errorf("%w: it is plain, and all values of the keyspace are sealed", router.ErrSealAltered)
}

// Open implements hot.Sealer.
func (v *Vault) Open(ctx context.Context, key, stored []byte) ([]byte, error) {
	if len(stored) < Overhead || stored[0] != 1 {
		return nil, fmt.Errorf("%w: its %d bytes are no sealed value", router.ErrSealAltered, len(stored))
	}
	id := binary.BigEndian.Uint32(stored[1:])
	known, ok := v.state.Load().keys[id]
	if !ok {
		if err := v.lookAgain(ctx); err != nil {
			return nil, err
		}
		if known, ok = v.state.Load().keys[id]; !ok {
			return nil, fmt.Errorf("%w: the keyspace has no data key %d", router.ErrSealKey, id)
		}
	}
	return known.open(v.settings.Keyspace, key, stored)
}

// lookAgain reads the setting anew, unless that was done just before.
func (v *Vault) lookAgain(ctx context.Context) error {
	v.rereadMu.Lock()
	defer v.rereadMu.Unlock()
	now := v.parts.Now()
	if v.reread == nil || !v.rereadAt.IsZero() && now.Sub(v.rereadAt) < rereadPause {
		return nil
	}
	v.rereadAt = now
	if err := v.reread(ctx); err != nil {
		return fmt.Errorf("look for the key of a sealed value: %w", err)
	}
	return nil
}

// Configure implements router.Sealing. Keys that were known stay so: what a process remembers may be
// sealed with one that the keyspace has dropped.
func (v *Vault) Configure(ctx context.Context, text string) error {
	if v.state.Load().text == text {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.state.Load()
	if before.text == text {
		return nil
	}
	set, err := parseSetting(text)
	if err != nil {
		return err
	}
	next := &state{text: text, on: set.On, mixed: set.Mixed, keys: make(map[uint32]*dataKey)}
	for id, known := range before.keys {
		next.keys[id] = known
	}
	for _, card := range set.Keys {
		if known, ok := next.keys[card.ID]; ok && known.check == card.Check {
			continue
		}
		if next.keys[card.ID], err = v.unwrap(ctx, card); err != nil {
			return err
		}
	}
	if set.On {
		next.current = next.keys[set.Current]
	}
	v.state.Store(next)
	return nil
}

// unwrap decrypts a data key.
func (v *Vault) unwrap(ctx context.Context, card keyCard) (*dataKey, error) {
	master, err := v.parts.Master(ctx, false)
	if err != nil {
		return nil, fmt.Errorf("%w: values of the keyspace are sealed, with keys that the master key %s encrypts: %w", router.ErrSealKey, card.Master, err)
	}
	return unwrapWith(ctx, master, v.settings.Keyspace, card)
}

func unwrapWith(ctx context.Context, master seal.Master, keyspace string, card keyCard) (*dataKey, error) {
	if master.ID() != card.Master {
		return nil, fmt.Errorf("%w: data key %d is encrypted by the master key %s, and %s was given", router.ErrSealKey, card.ID, card.Master, master.ID())
	}
	raw, err := master.Unwrap(ctx, card.Wrapped, bound(keyspace, card.ID))
	switch {
	case errors.Is(err, seal.ErrAltered), errors.Is(err, seal.ErrKey):
		return nil, fmt.Errorf("%w: data key %d does not open with the master key %s: %w", router.ErrSealKey, card.ID, card.Master, err)
	case err != nil:
		return nil, fmt.Errorf("%w: open data key %d: %w", router.ErrSealKey, card.ID, err)
	}
	key, err := newDataKey(card.ID, raw)
	if err != nil {
		return nil, fmt.Errorf("open data key %d: %w", card.ID, err)
	}
	if key.check != card.Check {
		return nil, fmt.Errorf("%w: data key %d is not the one that the keyspace names", router.ErrSealKey, card.ID)
	}
	return key, nil
}

// bound is what an encrypted data key is bound to, a text: KMS has it in its log.
func bound(keyspace string, id uint32) []byte {
	return fmt.Appendf(nil, "tierd value key, format %d, keyspace %s, number %d", formatVersion, keyspace, id)
}
