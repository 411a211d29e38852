package hot

import "bytes"

// Span is a set of adjacent keys, in one of the four forms that the scripts
// know.
type Span struct {
	kind     byte
	from, to []byte
}

// Kinds of spans, as in lua/lib.lua.
const (
	spanSingle byte = iota
	spanPrefix
	spanBetween
	spanFrom
)

// KeySpan holds one key.
func KeySpan(key []byte) Span { return Span{kind: spanSingle, from: key, to: nil} }

// FromSpan holds all keys from one on.
func FromSpan(from []byte) Span { return Span{kind: spanFrom, from: from} }

// RangeSpan holds the keys from one up to, not including, another.
func RangeSpan(from, to []byte) Span {
	if prefixEnds(from, to) {
		return Span{kind: spanPrefix, from: from, to: to}
	}
	return Span{kind: spanBetween, from: from, to: to}
}

// Single says that the span is KeySpan's.
func (s Span) Single() bool { return s.kind == spanSingle }

// First is the first key that can lie in the span.
func (s Span) First() []byte { return s.from }

// After is the rest of the span from a key on.
func (s Span) After(key []byte) Span {
	if s.kind == spanFrom {
		return FromSpan(key)
	}
	return Span{kind: spanBetween, from: key, to: s.to}
}

// Empty says that no key lies in the span.
func (s Span) Empty() bool {
	return s.kind == spanBetween && bytes.Compare(s.from, s.to) >= 0
}

// prefixEnds says that [from, to) is all keys that begin with from.
func prefixEnds(from, to []byte) bool {
	n := len(from)
	return n > 0 && len(to) == n && from[n-1] < 255 && to[n-1] == from[n-1]+1 && bytes.Equal(from[:n-1], to[:n-1])
}

// Reaches says that the span goes on behind a key, which is not before its first one:
// some key from there on lies in it.
func (s Span) Reaches(key []byte) bool {
	switch s.kind {
	case spanSingle:
		return bytes.Equal(s.from, key)
	case spanFrom:
		return true
	}
	return bytes.Compare(key, s.to) < 0
}

// Holds says that a key lies in the span.
func (s Span) Holds(key []byte) bool {
	switch s.kind {
	case spanSingle:
		return bytes.Equal(s.from, key)
	case spanFrom:
		return bytes.Compare(key, s.from) >= 0
	}
	return bytes.Compare(key, s.from) >= 0 && bytes.Compare(key, s.to) < 0
}
