package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tierd/tierd/backup/travel"
	"github.com/tierd/tierd/router"
)

// valueShown is how many bytes of a value a table shows.
const valueShown = 64

// isText tells whether bytes are what people can read.
func isText(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) && r != '\n' && r != '\t' {
			return false
		}
	}
	return true
}

// shortText is text, or a key, in one cell of a table.
func shortText(b []byte) string {
	if !isText(b) {
		return "hex:" + hex.EncodeToString(b)
	}
	if text := string(b); text != "" && !strings.ContainsAny(text, "\n\t") && strings.TrimSpace(text) == text {
		return text
	}
	return strconv.Quote(string(b))
}

// shortValue is the beginning of a value in one cell of a table.
func shortValue(b []byte) string {
	if len(b) <= valueShown {
		return shortText(b)
	}
	cut := b[:valueShown]
	for isText(b) && len(cut) > 0 && !utf8.Valid(cut) {
		cut = cut[:len(cut)-1]
	}
	return fmt.Sprintf("%s… (%d bytes)", shortText(cut), len(b))
}

// bytesJSON is a key or a value for programs: as text, or else as base64.
type bytesJSON struct {
	Text   *string `json:"text,omitempty"`
	Base64 []byte  `json:"base64,omitempty"`
}

func bytesOf(b []byte) bytesJSON {
	if !isText(b) {
		return bytesJSON{Base64: b}
	}
	text := string(b)
	return bytesJSON{Text: &text}
}

// valueJSON is a version of a key for programs.
type valueJSON struct {
	Key     bytesJSON       `json:"key"`
	Value   bytesJSON       `json:"value"`
	Create  router.Revision `json:"create_revision"`
	Mod     router.Revision `json:"mod_revision"`
	Version int64           `json:"version"`
	Lease   string          `json:"lease,omitempty"`
}

func valueOf(kv travel.KeyValue) valueJSON {
	v := valueJSON{Key: bytesOf(kv.Key), Value: bytesOf(kv.Value), Create: kv.Create, Mod: kv.Mod, Version: kv.Version}
	if kv.Lease != 0 {
		v.Lease = leaseText(kv.Lease)
	}
	return v
}

// timeJSON is a time for programs, nil if it is not known.
func timeJSON(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func decodeHex(text string) ([]byte, error) { return hex.DecodeString(text) }

// printTables prints tables with an empty line between two.
func printTables(out io.Writer, tables ...table) error {
	var text strings.Builder
	for i, t := range tables {
		if i > 0 {
			text.WriteString("\n")
		}
		w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
		if len(t.columns) > 0 {
			fmt.Fprintln(w, strings.Join(t.columns, "\t"))
		}
		for _, row := range t.rows {
			fmt.Fprintln(w, strings.Join(row, "\t"))
		}
		if err := w.Flush(); err != nil {
			return fmt.Errorf("lay out a table: %w", err)
		}
	}
	if _, err := fmt.Fprint(out, text.String()); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	return nil
}
