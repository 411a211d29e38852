package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/tierd/tierd/backup/seal"
)

// formatVersion is that of sealed values and of the setting.
const formatVersion = 1

// setting is a keyspace's, in JSON.
type setting struct {
	Format int  `json:"format"`
	On     bool `json:"on"`
	// Current is the key that seals.
	Current uint32 `json:"current,omitempty"`
	// Last is the highest number that a key ever had: none has it twice.
	Last uint32    `json:"last"`
	Keys []keyCard `json:"keys,omitempty"`
	// Settled says that all values are as this setting says: sealed with the current key, or
	// none. Mixed says that some may be plain though values are sealed.
	Settled bool `json:"settled"`
	Mixed   bool `json:"mixed,omitempty"`
}

// keyCard is a data key as it is kept.
type keyCard struct {
	ID uint32 `json:"id"`
	// Made is when, in Unix seconds.
	Made int64 `json:"made"`
	// Master is the ID of the master key that encrypted it, Check tells it from others.
	Master  string `json:"master"`
	Check   string `json:"check"`
	Wrapped []byte `json:"wrapped"`
}

// settingBytesMax bounds a setting: each change of a key leaves two at most.
const settingBytesMax = 64 << 10

func parseSetting(text string) (setting, error) {
	if text == "" {
		return setting{Format: formatVersion, Settled: true}, nil
	}
	var s setting
	if len(text) > settingBytesMax {
		return s, fmt.Errorf("the setting of sealed values has %d bytes, more than %d", len(text), settingBytesMax)
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, fmt.Errorf("decode the setting of sealed values: %w", err)
	}
	if s.Format != formatVersion {
		return s, fmt.Errorf("the setting of sealed values has format version %d, and this program reads %d", s.Format, formatVersion)
	}
	if s.On && !slices.ContainsFunc(s.Keys, func(k keyCard) bool { return k.ID == s.Current }) {
		return s, errors.New("decode the setting of sealed values: the key that seals is not there")
	}
	return s, nil
}

func (s setting) encode() (string, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encode the setting of sealed values: %w", err)
	}
	return string(text), nil
}

// State is what a setting says, for people.
type State struct {
	On bool
	// Settled says that all values are as the setting says.
	Settled bool
	// Keys are those that the keyspace has, oldest first. Current is the one that seals.
	Keys    []Key
	Current uint32
}

// Key is a data key.
type Key struct {
	ID     uint32
	Made   time.Time
	Master string
}

// Describe reads a setting. It needs no key.
func Describe(text string) (State, error) {
	s, err := parseSetting(text)
	if err != nil {
		return State{}, err
	}
	out := State{On: s.On, Settled: s.Settled, Current: s.Current}
	for _, k := range s.Keys {
		out.Keys = append(out.Keys, Key{ID: k.ID, Made: time.Unix(k.Made, 0), Master: k.Master})
	}
	return out, nil
}

// TurnOn gives the setting by which values are sealed; one by which they are stays.
func (v *Vault) TurnOn(ctx context.Context, text string) (string, error) {
	s, err := parseSetting(text)
	if err != nil || s.On {
		return text, err
	}
	if len(s.Keys) > 0 { // it was turned off, and not all values are plain yet
		s.On, s.Settled, s.Mixed = true, false, true
		s.Current = s.Keys[len(s.Keys)-1].ID
		return s.encode()
	}
	return v.Rotate(ctx, text)
}

// TurnOff gives the setting by which values are stored as they are.
func TurnOff(text string) (string, error) {
	s, err := parseSetting(text)
	if err != nil || !s.On {
		return text, err
	}
	s.On, s.Current, s.Settled, s.Mixed = false, 0, false, true
	return s.encode()
}

// Rotate gives the setting by which values are sealed with a new data key.
func (v *Vault) Rotate(ctx context.Context, text string) (string, error) {
	s, err := parseSetting(text)
	if err != nil {
		return "", err
	}
	if s.Last == math.MaxUint32 {
		return "", errors.New("all numbers of data keys have been used")
	}
	s.Last++
	card, err := v.make(ctx, s.Last)
	if err != nil {
		return "", fmt.Errorf("make a data key: %w", err)
	}
	s.Mixed = s.Mixed || !s.On
	s.On, s.Current, s.Settled, s.Keys = true, s.Last, false, append(s.Keys, card)
	return s.encode()
}

// make draws a data key and encrypts it.
func (v *Vault) make(ctx context.Context, number uint32) (keyCard, error) {
	master, err := v.parts.Master(ctx, true)
	if err != nil {
		return keyCard{}, err
	}
	raw := make([]byte, keyBytes)
	if _, err := io.ReadFull(v.parts.Random, raw); err != nil {
		return keyCard{}, fmt.Errorf("draw it: %w", err)
	}
	key, err := newDataKey(number, raw)
	if err != nil {
		return keyCard{}, err
	}
	return v.wrap(ctx, master, keyCard{ID: number, Made: v.parts.Now().Unix(), Check: key.check}, raw)
}

func (v *Vault) wrap(ctx context.Context, master seal.Master, card keyCard, raw []byte) (keyCard, error) {
	wrapped, err := master.Wrap(ctx, raw, bound(v.settings.Keyspace, card.ID))
	if err != nil {
		return card, fmt.Errorf("encrypt it: %w", err)
	}
	card.Master, card.Wrapped = master.ID(), wrapped
	return card, nil
}

// Settle gives the setting in which all values are as it says: the keys that nothing is
// sealed with any more are gone.
func Settle(text string) (string, error) {
	s, err := parseSetting(text)
	if err != nil || s.Settled {
		return text, err
	}
	s.Settled, s.Mixed = true, false
	s.Keys = slices.DeleteFunc(s.Keys, func(k keyCard) bool { return !s.On || k.ID != s.Current })
	return s.encode()
}

// Rewrap gives the setting whose data keys another master key encrypts. No value is sealed
// anew. A setting whose keys are all the new one's stays.
func (v *Vault) Rewrap(ctx context.Context, text string, next seal.Master) (string, int, error) {
	s, err := parseSetting(text)
	if err != nil {
		return "", 0, err
	}
	n := 0
	for i, card := range s.Keys {
		if card.Master == next.ID() {
			continue
		}
		master, err := v.parts.Master(ctx, false)
		if err != nil {
			return "", 0, err
		}
		if _, err := unwrapWith(ctx, master, v.settings.Keyspace, card); err != nil {
			return "", 0, err
		}
		raw, err := master.Unwrap(ctx, card.Wrapped, bound(v.settings.Keyspace, card.ID))
		if err != nil {
			return "", 0, fmt.Errorf("open data key %d: %w", card.ID, err)
		}
		if s.Keys[i], err = v.wrap(ctx, next, card, raw); err != nil {
			return "", 0, fmt.Errorf("encrypt data key %d anew: %w", card.ID, err)
		}
		n++
	}
	if n == 0 {
		return text, 0, nil
	}
	after, err := s.encode()
	return after, n, err
}
