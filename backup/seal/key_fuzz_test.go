package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"
)

// FuzzKeyObject: the object of a wrapping key is refused, or is what it says.
func FuzzKeyObject(f *testing.F) {
	object := func(master string, wrapped []byte) []byte {
		b := append([]byte(keyMagic), formatVersion)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(master))), master...)
		return append(binary.BigEndian.AppendUint16(b, uint16(len(wrapped))), wrapped...)
	}
	f.Add(object("file:0123456789abcdef", make([]byte, 60)))
	f.Add(object("", nil))
	f.Add(object("x", nil)[:len(keyMagic)+2])
	f.Fuzz(func(t *testing.T, b []byte) {
		master, wrapped, err := parseKey(b)
		if err == nil && !bytes.Equal(object(master, wrapped), b) {
			t.Fatalf("%x is taken for %q, %x", b, master, wrapped)
		}
	})
}

// FuzzKeyFile: a key file is refused without a word of what is in it, or has one key.
func FuzzKeyFile(f *testing.F) {
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, keyBytes))
	f.Add([]byte(key + "\n"))
	f.Add([]byte("# a comment\n\n  " + key))
	f.Add([]byte(key + "\n" + key))
	f.Add([]byte("no base64 at all, and a secret\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		const bytesMin = 12 // a shorter word may be in any sentence
		key, err := parseKeyFile(text)
		if err == nil && len(key) != keyBytes {
			t.Fatalf("a key of %d bytes", len(key))
		}
		if err == nil {
			return
		}
		for word := range strings.FieldsSeq(string(text)) {
			if len(word) >= bytesMin && strings.Contains(err.Error(), word) {
				t.Fatalf("%q is refused with %q", text, err)
			}
		}
	})
}
