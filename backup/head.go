package backup

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/tierd/tierd/router"
)

// What the plaintexts of the objects begin with.
const (
	segmentMagic = "tierdlog"
	baseMagic    = "tierdsnp"
	claimMagic   = "tierdepo"
	prunedMagic  = "tierdprn"
	formatNow    = 1
	keyspaceMax  = 64
)

// appendHead encodes the head of an object: what it is, of which timeline, and its numbers.
func appendHead(to []byte, magic string, t Timeline, numbers ...int64) []byte {
	to = append(append(to, magic...), formatNow, byte(len(t.Keyspace)))
	to = append(to, t.Keyspace...)
	to = binary.BigEndian.AppendUint64(to, uint64(t.Began.UnixMilli()))
	to = binary.BigEndian.AppendUint64(to, t.Cluster)
	for _, number := range numbers {
		to = binary.BigEndian.AppendUint64(to, uint64(number))
	}
	return to
}

// readHead reads such a head. Its bytes are returned, too, for whoever sums them.
func readHead(r io.Reader, magic string, count int) (Timeline, []int64, []byte, error) {
	text, err := readMore(r, nil, len(magic)+2)
	if err != nil {
		return Timeline{}, nil, nil, err
	}
	length := int(text[len(text)-1])
	switch {
	case string(text[:len(magic)]) != magic:
		return Timeline{}, nil, nil, fmt.Errorf("%w: it begins with %q instead of %q", ErrFormat, text[:len(magic)], magic)
	case text[len(magic)] != formatNow:
		return Timeline{}, nil, nil, fmt.Errorf("%w: it has the format %d; this release reads %d", ErrFormat, text[len(magic)], formatNow)
	case length > keyspaceMax:
		return Timeline{}, nil, nil, fmt.Errorf("%w: the keyspace's name has %d bytes", ErrFormat, length)
	}
	at := len(text)
	if text, err = readMore(r, text, length+16+8*count); err != nil {
		return Timeline{}, nil, nil, err
	}
	t := Timeline{Keyspace: string(text[at : at+length])}
	at += length
	t.Began = time.UnixMilli(int64(binary.BigEndian.Uint64(text[at:])))
	t.Cluster = binary.BigEndian.Uint64(text[at+8:])
	numbers := make([]int64, count)
	for i := range numbers {
		numbers[i] = int64(binary.BigEndian.Uint64(text[at+16+8*i:]))
	}
	return t, numbers, text, nil
}

const segmentNumbers = 7

func (s Segment) head() []byte {
	return appendHead(nil, segmentMagic, s.Timeline, s.FirstBlock, s.LastBlock, int64(s.First), int64(s.Last),
		s.From.UnixMilli(), s.To.UnixMilli(), s.Epoch)
}

func readSegmentHead(r io.Reader) (Segment, error) {
	t, n, _, err := readHead(r, segmentMagic, segmentNumbers)
	if err != nil {
		return Segment{}, err
	}
	return Segment{
		Timeline: t, FirstBlock: n[0], LastBlock: n[1], First: router.Revision(n[2]), Last: router.Revision(n[3]),
		From: time.UnixMilli(n[4]), To: time.UnixMilli(n[5]), Epoch: n[6],
	}, nil
}
