package seal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/tierd/tierd/tiers/object"
)

// KeyID numbers the wrapping keys of a keyspace: 1, 2, 3, ...
type KeyID uint64

// String is the number as names of objects have it.
func (id KeyID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

const (
	keyMagic = "TIERDKEY"
	// keyObjectBytesMax bounds an object that holds a wrapping key: one of KMS has some 200
	// bytes more than the key.
	keyObjectBytesMax = 16 << 10
	// loadAttempts is how often the keys are listed anew when one is gone that was listed: a
	// rotation replaces them meanwhile.
	loadAttempts = 5
	// firstKey is the one that is made when there is none. All who find none try to create
	// the same, so that only one is made.
	firstKey KeyID = 1

	// Generations sort as numbers do.
	generationDigits = 6
	generationMax    = 999_999
)

// Keyring has the wrapping keys of a keyspace. It is safe for concurrent use.
type Keyring struct {
	store    object.Store
	master   Master
	keyspace string
	random   io.Reader

	// encoders and decoders are those not in use, of *zstd.Encoder and *zstd.Decoder.
	encoders, decoders sync.Pool

	mu sync.RWMutex
	// keys are those that the master key decrypts; foreign has the master's ID of the others.
	keys    map[KeyID][]byte
	foreign map[KeyID]string
	current KeyID
}

// OpenKeyring reads the wrapping keys of a keyspace and decrypts them with the master key.
// If there is none, create makes one; else that is ErrKey. ErrKey, too, if the master key is
// of none of them. One that it is not of is left out: a rotation that was cut short leaves
// keys of two masters. random makes keys: crypto/rand.Reader.
func OpenKeyring(ctx context.Context, store object.Store, master Master, keyspace string, random io.Reader, create bool) (*Keyring, error) {
	k := &Keyring{store: store, master: master, keyspace: keyspace, random: random}
	err := k.Refresh(ctx)
	if create && errors.Is(err, errNoKeys) {
		// Somebody else's is as good.
		if err := k.make(ctx, firstKey); err != nil && !errors.Is(err, object.ErrExists) {
			return nil, fmt.Errorf("open the keys of %s: %w", keyspace, err)
		}
		err = k.Refresh(ctx)
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// errNoKeys: there is no wrapping key at all.
var errNoKeys = fmt.Errorf("%w: there is none", ErrKey)

// Refresh reads the wrapping keys anew: another process may have made one since.
func (k *Keyring) Refresh(ctx context.Context) error {
	keys, foreign, err := k.load(ctx)
	if err != nil {
		return fmt.Errorf("open the keys of %s: %w", k.keyspace, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys, k.foreign, k.current = keys, foreign, 0
	for id := range keys {
		k.current = max(k.current, id)
	}
	return nil
}

// load decrypts the newest generation of each key.
func (k *Keyring) load(ctx context.Context) (keys map[KeyID][]byte, foreign map[KeyID]string, err error) {
	for range loadAttempts {
		keys, foreign, err = k.loadOnce(ctx)
		if !errors.Is(err, object.ErrNotFound) {
			break
		}
	}
	return keys, foreign, err
}

func (k *Keyring) loadOnce(ctx context.Context) (map[KeyID][]byte, map[KeyID]string, error) {
	stored, err := k.list(ctx)
	if err != nil {
		return nil, nil, err
	}
	keys, foreign := make(map[KeyID][]byte), make(map[KeyID]string)
	var refusal error
	for id, generations := range stored {
		name := keyName{id: id, generation: generations[len(generations)-1]}
		key, master, err := k.read(ctx, name)
		switch {
		case err == nil:
			keys[id] = key
		case errors.Is(err, ErrKey):
			foreign[id], refusal = master, err
		default:
			return nil, nil, err
		}
	}
	switch {
	case len(stored) == 0:
		return nil, nil, errNoKeys
	case len(keys) == 0:
		return nil, nil, refusal
	}
	return keys, foreign, nil
}

// newest is the key for new objects.
func (k *Keyring) newest() (KeyID, []byte) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.current, k.keys[k.current]
}

// find returns the key of an object.
func (k *Keyring) find(id KeyID) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if key, ok := k.keys[id]; ok {
		return key, nil
	}
	if master, ok := k.foreign[id]; ok {
		return nil, fmt.Errorf("%w: its wrapping key %s is encrypted by the master key %s, and %s was given", ErrKey, id, master, k.master.ID())
	}
	return nil, fmt.Errorf("%w: there is no wrapping key %s", ErrKey, id)
}

// keyName names the object of a wrapping key. Each new master key has its own generation.
type keyName struct {
	id         KeyID
	generation int
}

func (k *Keyring) folder() string { return k.keyspace + "/keys/" }

// object is the name in the store.
func (k *Keyring) object(n keyName) string {
	return fmt.Sprintf("%s%s.%0*d", k.folder(), n.id, generationDigits, n.generation)
}

// parse is the inverse of object.
func (k *Keyring) parse(name string) (keyName, error) {
	base := strings.TrimPrefix(name, k.folder())
	id, generation, _ := strings.Cut(base, ".")
	number, err := strconv.ParseUint(id, 16, 64)
	if err == nil {
		var g int
		if g, err = strconv.Atoi(generation); err == nil {
			if n := (keyName{KeyID(number), g}); k.object(n) == name && g > 0 {
				return n, nil
			}
		}
	}
	return keyName{}, fmt.Errorf("%s is no name of a wrapping key", name)
}

// list finds the generations of each key, in order.
func (k *Keyring) list(ctx context.Context) (map[KeyID][]int, error) {
	found := make(map[KeyID][]int)
	for info, err := range k.store.List(ctx, k.folder(), "") {
		if err != nil {
			return nil, err
		}
		name, err := k.parse(info.Name)
		if err != nil {
			return nil, err
		}
		found[name.id] = append(found[name.id], name.generation)
	}
	return found, nil
}

// keyBound is what a wrapping key is bound to, a text: KMS has it in its log.
func (k *Keyring) keyBound(n keyName) []byte {
	return fmt.Appendf(nil, "tierd wrapping key, format %d, keyspace %s, %s", formatVersion, k.keyspace, k.object(n))
}

// make creates a new key. After a lost reply it tries again: it may find its own.
func (k *Keyring) make(ctx context.Context, id KeyID) error {
	key := make([]byte, keyBytes)
	if _, err := io.ReadFull(k.random, key); err != nil {
		return fmt.Errorf("choose a wrapping key: %w", err)
	}
	return k.write(ctx, keyName{id: id, generation: 1}, key)
}

// writeAttempts is how often a key is stored whose storing was not answered.
const writeAttempts = 3

func (k *Keyring) write(ctx context.Context, n keyName, key []byte) error {
	wrapped, err := k.master.Wrap(ctx, key, k.keyBound(n))
	if err != nil {
		return fmt.Errorf("encrypt %s: %w", k.object(n), err)
	}
	id := k.master.ID()
	if len(id) > math.MaxUint16 || len(wrapped) > math.MaxUint16 {
		return fmt.Errorf("encrypt %s: it is too long", k.object(n))
	}
	b := append([]byte(keyMagic), formatVersion)
	for _, part := range [][]byte{[]byte(id), wrapped} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(part)))
		b = append(b, part...)
	}
	for range writeAttempts {
		if err = k.store.Create(ctx, k.object(n), bytes.NewReader(b)); !errors.Is(err, object.ErrUnknown) {
			break
		}
	}
	return err
}

// read decrypts a key. With ErrKey it tells the master's ID that encrypted it.
func (k *Keyring) read(ctx context.Context, n keyName) (key []byte, master string, err error) {
	body, err := k.store.Open(ctx, k.object(n), 0)
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, keyObjectBytesMax+1))
	if err != nil {
		return nil, "", err
	}
	id, wrapped, err := parseKey(b)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w: %w", k.object(n), ErrAltered, err)
	}
	if !sameMaster(id, k.master.ID()) {
		return nil, id, fmt.Errorf("%s: %w: it is encrypted by the master key %q, and %q was given", k.object(n), ErrKey, id, k.master.ID())
	}
	if key, err = k.master.Unwrap(ctx, wrapped, k.keyBound(n)); err != nil {
		return nil, id, fmt.Errorf("%s: %w", k.object(n), err)
	}
	if len(key) != keyBytes {
		return nil, id, fmt.Errorf("%s: %w: the key is of another length", k.object(n), ErrAltered)
	}
	return key, id, nil
}

// parseKey reads the object of a wrapping key.
func parseKey(b []byte) (master string, wrapped []byte, err error) {
	head := len(keyMagic) + 1
	if len(b) < head || len(b) > keyObjectBytesMax || string(b[:len(keyMagic)]) != keyMagic {
		return "", nil, errors.New("it is no wrapping key")
	}
	if version := b[head-1]; version != formatVersion {
		return "", nil, fmt.Errorf("it has format version %d, and this program reads %d", version, formatVersion)
	}
	var parts [2][]byte
	b = b[head:]
	for i := range parts {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return "", nil, errors.New("it ends too early")
		}
		length := 2 + int(binary.BigEndian.Uint16(b))
		parts[i], b = b[2:length], b[length:]
	}
	if len(b) > 0 {
		return "", nil, errors.New("something follows it")
	}
	return string(parts[0]), parts[1], nil
}
