package backup

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/object"
)

var update = flag.Bool("update", false, "write the golden files anew: only for a new format version")

func goldenTimeline() Timeline {
	return Timeline{Keyspace: "k", Began: time.UnixMilli(1_700_000_000_123), Cluster: 0x0123456789abcdef}
}

// change is a version of a key; without a value it is a deletion.
func change(revision router.Revision, sub int64, key string, value []byte) Item {
	v := router.Version{Main: revision, Sub: sub, KV: &mvccpb.KeyValue{Key: []byte(key)}}
	if value == nil {
		v.Tombstone = true
	} else {
		v.KV.Value, v.KV.ModRevision, v.KV.CreateRevision, v.KV.Version = value, int64(revision), int64(revision), 1
	}
	return Item{Kind: KindChange, Revision: revision, Version: v}
}

// goldenSegment has two blocks with an item of each kind.
func goldenSegment(t testing.TB) []byte {
	t.Helper()
	leased := change(301, 0, "leased", []byte("value"))
	leased.Version.KV.Lease, leased.Version.KV.CreateRevision, leased.Version.KV.Version = -2, 150, 200
	at := time.UnixMilli(1_700_000_001_000)
	one := Block{Number: 7, First: 300, Last: 301, From: at, To: at.Add(time.Second), Items: []Item{
		{Kind: KindForget, Revision: 299},
		change(300, 0, "a\x00", []byte{0xff}), change(300, 1, "gone", nil),
		{Kind: KindGrant, Revision: 300, Lease: 0x1122334455667788, TTLSeconds: 3600},
		leased,
		{Kind: KindEnd, Revision: 301, Lease: -2, TTLSeconds: 60},
		{Kind: KindCompact, Revision: 301, Compacted: 250},
		{Kind: KindCompact, Revision: 301, Compacted: -1},
		{Kind: KindMark, Revision: 301, Time: at.Add(500 * time.Millisecond)},
		{Kind: KindAuth, Revision: 301, Auth: []router.AuthField{{Name: "user:a", Value: []byte{0, 0xff}}, {Name: "role:b", Removed: true}, {Name: "empty"}}},
	}}
	two := Block{Number: 8, First: 302, Last: 302, From: one.To, To: one.To.Add(time.Second), Items: []Item{
		change(302, 0, "long", bytes.Repeat([]byte("x"), 200)),
	}}
	s := Segment{Timeline: goldenTimeline(), FirstBlock: 7, LastBlock: 8, First: 300, Last: 302, From: one.From, To: two.To, Epoch: 3}
	text, chain, err := appendBlock(s.head(), Chain{1, 2, 3}, &one)
	if err != nil {
		t.Fatal(err)
	}
	if text, _, err = appendBlock(text, chain, &two); err != nil {
		t.Fatal(err)
	}
	return text
}

func goldenBase(t testing.TB) []byte {
	t.Helper()
	head := BaseHead{Block: 9, Revision: 310, Compacted: -1, Time: time.UnixMilli(1_700_000_009_000), Begins: true}
	head.Chain = Beginning(goldenTimeline(), head.Block, head.Revision)
	var text bytes.Buffer
	err := writeBase(&text, goldenTimeline(), 3, head, func(add func(Item) error) error {
		for _, it := range []Item{
			change(300, 0, "a", []byte("1")), change(300, 1, "gone", nil), change(310, 0, "empty", []byte{}),
			{Kind: KindGrant, Revision: 310, Lease: 5, TTLSeconds: 60},
			{Kind: KindAuth, Revision: 310, Auth: []router.AuthField{{Name: "user:a", Value: []byte{1}}}},
		} {
			if err := add(it); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

// segmentAgain decodes a segment's plaintext and encodes what it says.
func segmentAgain(text []byte) ([]byte, error) {
	r := bytes.NewReader(text)
	head, err := readSegmentHead(r)
	if err != nil {
		return nil, err
	}
	reader := &segmentReader{r: counting{r: bytes.NewReader(text)}, want: head}
	again := head.head()
	for {
		block, err := reader.next()
		if err == io.EOF {
			return again, nil
		}
		if err != nil {
			return nil, err
		}
		b, err := decoded(&block)
		if err != nil {
			return nil, err
		}
		if again, _, err = appendBlock(again, block.before, b); err != nil {
			return nil, fmt.Errorf("what was decoded is refused: %v", err) // Not ErrFormat: a difference.
		}
	}
}

func decoded(block *rawBlock) (*Block, error) {
	b := &Block{Number: block.number, First: block.first, Last: block.last, From: block.from, To: block.to}
	var d itemDecoder
	err := block.items(&d, func(it *Item) error { b.Items = append(b.Items, *it); return nil })
	return b, err
}

// baseAgain decodes a base's plaintext and encodes what it says.
func baseAgain(text []byte) ([]byte, error) {
	t, n, _, err := readHead(bytes.NewReader(text), baseMagic, baseNumbers)
	if err != nil {
		return nil, err
	}
	want := Base{Timeline: t, Block: n[0], Revision: router.Revision(n[1]), Time: time.UnixMilli(n[3]), Epoch: n[4]}
	reader, err := openBase(bytes.NewReader(text), want)
	if err != nil {
		return nil, err
	}
	items := baseItems{order: newBaseOrder(want.Revision)}
	var all []Item
	for {
		piece, err := reader.piece()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := items.each(piece, func(it *Item) error { all = append(all, *it); return nil }); err != nil {
			return nil, err
		}
	}
	if err := items.end(reader); err != nil {
		return nil, err
	}
	var again bytes.Buffer
	err = writeBase(&again, t, n[4], reader.head, func(add func(Item) error) error {
		for _, it := range all {
			if err := add(it); err != nil {
				return fmt.Errorf("what was decoded is refused: %v", err) // Not ErrFormat: a difference.
			}
		}
		return nil
	})
	return again.Bytes(), err
}

// The format does not change: what was written once decodes, and encodes to the same bytes.
func TestGolden(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		made  []byte
		again func([]byte) ([]byte, error)
	}{
		"segment.hex": {goldenSegment(t), segmentAgain},
		"base.hex":    {goldenBase(t), baseAgain},
	} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(hex.Dump(c.made)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		stored, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if hex.Dump(c.made) != string(stored) {
			t.Errorf("%s: the same items make other bytes:\n%s", name, hex.Dump(c.made))
		}
		again, err := c.again(fromDump(t, string(stored)))
		if err != nil || hex.Dump(again) != string(stored) {
			t.Errorf("%s: decoded and encoded it is\n%s, %v", name, hex.Dump(again), err)
		}
	}
}

// fromDump reads what hex.Dump has written.
func fromDump(t *testing.T, dump string) []byte {
	t.Helper()
	var all []byte
	for line := range strings.Lines(dump) {
		if len(line) < 60 {
			continue
		}
		part, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(line[10:59]), " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, part...)
	}
	return all
}

// fuzz checks that a decoder refuses bytes as malformed, or takes them for what encodes to them.
func fuzz(f *testing.F, seed []byte, again func([]byte) ([]byte, error)) {
	f.Add(seed)
	for _, cut := range []int{0, 1, 9, len(seed) / 2, len(seed) - 1} {
		f.Add(seed[:cut])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		result, err := again(text)
		switch {
		case errors.Is(err, ErrFormat):
		case err != nil:
			t.Fatal(err)
		case !bytes.Equal(result, text):
			t.Fatalf("it was taken for what is\n%s", hex.Dump(result))
		}
	})
}

// FuzzBase decodes a base.
func FuzzBase(f *testing.F) { fuzz(f, goldenBase(f), baseAgain) }

// FuzzSegment decodes a segment.
func FuzzSegment(f *testing.F) { fuzz(f, goldenSegment(f), segmentAgain) }

// FuzzBlock decodes the items of a block, whose checksum would keep a fuzzer from coming far.
func FuzzBlock(f *testing.F) {
	text := goldenSegment(f)
	r := bytes.NewReader(text)
	if _, err := readSegmentHead(r); err != nil {
		f.Fatal(err)
	}
	block, err := readBlock(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(block.text)
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) < blockHeadBytes {
			return
		}
		head, err := parseBlockHead(text)
		if err != nil || int(head.bytes) != len(text)-blockHeadBytes {
			return
		}
		raw := rawBlock{blockHead: head, text: text}
		b, err := decoded(&raw)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		again, _, err := appendBlock(nil, head.before, b)
		if err != nil || !bytes.Equal(again[:len(text)], text) {
			t.Fatalf("it was taken for what is\n%s%v", hex.Dump(again), err)
		}
	})
}

// FuzzNames: a name is refused, or is what the name of what it says is.
func FuzzNames(f *testing.F) {
	t := goldenTimeline()
	f.Add(Segment{Timeline: t, FirstBlock: 1, LastBlock: 2, First: 3, Last: 4, From: t.Began, To: t.Began, Epoch: 1}.Name())
	f.Add(Base{Timeline: t, Block: 1, Revision: 3, Time: t.Began, Epoch: 1}.Name())
	f.Add(Claim{Timeline: t, Epoch: 1, First: 1, Time: t.Began}.Name())
	f.Add(Pruned{Timeline: t, First: 1, Last: BlockMax, Time: t.Began}.Name())
	f.Fuzz(func(t *testing.T, name string) {
		timeline := goldenTimeline()
		rest, inside := strings.CutPrefix(name, timeline.Folder())
		if !inside {
			return
		}
		var l listed
		l.add(timeline, object.Info{Name: name}, rest)
		var again []string
		for _, s := range l.segments {
			again = append(again, s.Name())
		}
		for _, b := range l.bases {
			again = append(again, b.Name())
		}
		for _, c := range l.claims {
			again = append(again, c.Name())
		}
		for _, p := range l.pruned {
			again = append(again, p.Name())
		}
		for _, info := range l.unknown {
			again = append(again, info.Name)
		}
		if len(again) != 1 || again[0] != name {
			t.Fatalf("%q was taken for %q", name, again)
		}
	})
}

// A length that is not there is not allocated.
func TestLengthsAreNotTrusted(t *testing.T) {
	t.Parallel()
	huge := readerOf(append(goldenBase(t)[:8+2+1+16+8*baseNumbers+32], 0xff, 0xff, 0xff, 0xff, 0x01))
	reader, err := openBase(huge, Base{Timeline: goldenTimeline(), Block: 9, Revision: 310, Time: time.UnixMilli(1_700_000_009_000), Epoch: 3})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = reader.piece()
	runtime.ReadMemStats(&after)
	// Other tests allocate at the same time, but nowhere near what the length says.
	if allocated := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrFormat) || allocated > itemBytesMax/2 {
		t.Fatalf("%v, %d bytes allocated", err, allocated)
	}
}

func readerOf(text []byte) io.Reader { return bytes.NewReader(text) }
