package hot

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// reversed is a Sealer for tests: a value is sealed as the number of the key and its bytes
// backwards.
type reversed struct {
	on  bool
	key byte
}

func (r reversed) On() bool { return r.on }

func (r reversed) Plain(context.Context) error { return nil }

func (r reversed) Seal(_, value []byte) ([]byte, bool, error) {
	if !r.on {
		return value, false, nil
	}
	stored := append([]byte{r.key}, value...)
	slices.Reverse(stored[1:])
	return stored, true, nil
}

func (r reversed) Open(_ context.Context, _, stored []byte) ([]byte, error) {
	if len(stored) == 0 || stored[0] > r.key {
		return nil, fmt.Errorf("%w: in a test", ErrSealKey)
	}
	value := bytes.Clone(stored[1:])
	slices.Reverse(value)
	return value, nil
}

func (r reversed) Current(stored []byte, sealed bool) bool {
	return sealed == r.on && (!sealed || len(stored) > 0 && stored[0] == r.key)
}

func sealingClient(s Sealer) *Client { return &Client{parts: Components{Sealer: s}} }

// TestSealEffects: effects get the values that Redis is to have, whatever they had before, and nothing
// else of them changes.
func TestSealEffects(t *testing.T) {
	t.Parallel()
	effects := []Effect{
		{Sub: 0, Lease: 7, Key: []byte("a"), Value: []byte("one")},
		{Sub: 1, Deleted: true, Key: []byte("b")},
		{Sub: 70_000, Key: []byte("c"), Value: []byte{}},
	}
	plain := PackEffects(effects)
	steps := []struct {
		with Sealer
		want []string // how the values lie there
	}{
		{reversed{}, []string{"one", ""}},
		{reversed{on: true, key: 1}, []string{"\x01eno", "\x01"}},
		{reversed{on: true, key: 1}, []string{"\x01eno", "\x01"}},
		{reversed{on: true, key: 2}, []string{"\x02eno", "\x02"}},
		{reversed{key: 2}, []string{"one", ""}},
	}
	packed := plain
	for i, step := range steps {
		var err error
		if packed, err = sealingClient(step.with).SealEffects(t.Context(), packed); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		for _, value := range step.want {
			if !bytes.Contains(packed, []byte(value)) {
				t.Errorf("step %d: %q is not in %q", i, value, packed)
			}
		}
	}
	if !bytes.Equal(packed, plain) {
		t.Errorf("%q went there, and came back as %q", plain, packed)
	}
	late, err := sealingClient(reversed{on: true, key: 2}).SealEffects(t.Context(), plain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealingClient(reversed{on: true, key: 1}).SealEffects(t.Context(), late); err == nil || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("a value that cannot be opened: %v", err)
	}
}

// FuzzSealEffects: whatever was kept with a plan, its values are sealed or it is refused.
func FuzzSealEffects(f *testing.F) {
	f.Add(PackEffects([]Effect{{Key: []byte("a"), Value: []byte("one")}, {Sub: 1, Deleted: true, Key: []byte("b")}}))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, data []byte) {
		sealed, err := sealingClient(reversed{on: true, key: 9}).SealEffects(t.Context(), data)
		if err != nil {
			return
		}
		again, err := sealingClient(reversed{on: true, key: 9}).SealEffects(t.Context(), sealed)
		if err != nil || !bytes.Equal(again, sealed) {
			t.Fatalf("%x is sealed as %x, and that as %x: %v", data, sealed, again, err)
		}
	})
}

// TestRecordsOfOthers: a record with flags that this release does not know is refused, not taken for
// plain.
func TestRecordsOfOthers(t *testing.T) {
	t.Parallel()
	for flags := range 256 {
		r, err := decodeRecord(storedRecord(byte(flags), 1, 0, "key", "value"))
		if known := flags <= 2; known != (err == nil) {
			t.Errorf("flags %d: %+v, error %v", flags, r, err)
		}
	}
}
