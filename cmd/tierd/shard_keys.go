package main

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tierd/tierd/router"
)

// key reads a key as the user gave it.
func (t *shardTool) key(text string) ([]byte, error) {
	if !t.hex {
		return []byte(text), nil
	}
	key, err := hex.DecodeString(text)
	if err != nil {
		return nil, usage("%q is not a key in hexadecimal digits, as --hex wants it", text)
	}
	return key, nil
}

// boundary reads a key at which a range can begin or end, so not the empty one.
func (t *shardTool) boundary(text string) ([]byte, error) {
	key, err := t.key(text)
	if err == nil && len(key) == 0 {
		return nil, usage("the key must not be empty")
	}
	return key, err
}

// keyText is a key as tables show it: as it was written where it is printable,
// otherwise as a quoted Go string.
func (t *shardTool) keyText(key []byte) string {
	if t.hex && len(key) > 0 {
		return hex.EncodeToString(key)
	}
	text := string(key)
	plain := func(r rune) bool { return unicode.IsPrint(r) && r != ' ' && r != '"' && r != '\\' }
	if text == "" || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// rangeOf is the range that holds a key.
func rangeOf(topology router.Topology, key []byte) (router.RangeStatus, bool) {
	for _, r := range topology.Ranges {
		if bytes.Compare(r.From, key) <= 0 && (len(r.To) == 0 || bytes.Compare(key, r.To) < 0) {
			return r, true
		}
	}
	return router.RangeStatus{}, false
}

// rangesBetween are the ranges from one boundary to another.
func rangesBetween(topology router.Topology, from, to []byte) []router.RangeStatus {
	var found []router.RangeStatus
	for _, r := range topology.Ranges {
		ends := len(to) == 0 || (len(r.To) > 0 && bytes.Compare(r.To, to) <= 0)
		if bytes.Compare(r.From, from) >= 0 && ends {
			found = append(found, r)
		}
	}
	return found
}

// isBoundary tells whether a range begins at a key; all keys end at the empty one.
func isBoundary(topology router.Topology, key []byte) bool {
	for _, r := range topology.Ranges {
		if bytes.Equal(r.From, key) {
			return true
		}
	}
	return len(key) == 0
}
