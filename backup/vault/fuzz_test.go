package vault

import (
	"bytes"
	"testing"
)

// FuzzSealedValue: bytes that were not sealed for a key with this data key do not open, and
// what was does, to what it was.
func FuzzSealedValue(f *testing.F) {
	key, err := newDataKey(7, bytes.Repeat([]byte{1}, keyBytes))
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := key.seal("k", []byte("key"), []byte("value"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("key"), sealed, uint16(0), byte(0))
	f.Add([]byte("key"), sealed, uint16(3), byte(1))
	f.Add([]byte("other"), sealed[:5], uint16(0), byte(0))
	f.Add([]byte{}, []byte{}, uint16(0), byte(0xff))
	f.Fuzz(func(t *testing.T, name, stored []byte, at uint16, flip byte) {
		if value, err := key.open("k", name, stored); err == nil && !(string(name) == "key" && string(value) == "value") {
			t.Fatalf("%x opens for %q as %q", stored, name, value)
		}
		own, err := key.seal("k", name, stored)
		if err != nil {
			t.Fatal(err)
		}
		if value, err := key.open("k", name, own); err != nil || !bytes.Equal(value, stored) {
			t.Fatalf("%x comes back as %x, %v", stored, value, err)
		}
		if flip != 0 {
			own[int(at)%len(own)] ^= flip
			if _, err := key.open("k", name, own); err == nil {
				t.Fatalf("an altered value opens: byte %d, %x", int(at)%len(own), flip)
			}
		}
	})
}
