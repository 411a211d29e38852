package archivetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
)

// ErrAltered: an object is not what was stored under its name.
var ErrAltered = errors.New("the object was altered")

// Sealer stands for encryption: objects are in clear, in pieces each with a checksum over it, its
// number, and the object's name.
type Sealer struct{}

const pieceBytes = 64 << 10

// Seal implements backup.Sealer.
func (Sealer) Seal(name string, w io.Writer) (io.WriteCloser, error) {
	return &sealing{name: name, w: w}, nil
}

type sealing struct {
	name   string
	w      io.Writer
	buffer []byte
	number uint32
}

// Write implements io.Writer.
func (s *sealing) Write(p []byte) (int, error) {
	s.buffer = append(s.buffer, p...)
	for len(s.buffer) >= pieceBytes {
		if err := s.piece(s.buffer[:pieceBytes]); err != nil {
			return 0, err
		}
		s.buffer = append(s.buffer[:0], s.buffer[pieceBytes:]...)
	}
	return len(p), nil
}

func (s *sealing) piece(text []byte) error {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(text)))
	for _, part := range [][]byte{head, text, sum(s.name, s.number, text)} {
		if _, err := s.w.Write(part); err != nil {
			return err
		}
	}
	s.number++
	return nil
}

// Close implements io.Closer. The last piece is shorter than the others.
func (s *sealing) Close() error { return s.piece(s.buffer) }

func sum(name string, number uint32, text []byte) []byte {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint32([]byte(name), number))
	h.Write(text)
	return h.Sum(nil)[:16]
}

// Open implements backup.Sealer.
func (Sealer) Open(name string, r io.Reader) (io.Reader, error) {
	return &opening{name: name, r: r}, nil
}

type opening struct {
	name   string
	r      io.Reader
	left   []byte
	number uint32
	last   bool
}

// Read implements io.Reader.
func (o *opening) Read(p []byte) (int, error) {
	for len(o.left) == 0 {
		if o.last {
			return 0, io.EOF
		}
		if err := o.piece(); err != nil {
			return 0, err
		}
	}
	n := copy(p, o.left)
	o.left = o.left[n:]
	return n, nil
}

func (o *opening) piece() error {
	var head [4]byte
	if _, err := io.ReadFull(o.r, head[:]); err != nil {
		return ErrAltered
	}
	length := int(binary.BigEndian.Uint32(head[:]))
	if length > pieceBytes {
		return ErrAltered
	}
	text := make([]byte, length+16)
	if _, err := io.ReadFull(o.r, text); err != nil {
		return ErrAltered
	}
	if !bytes.Equal(sum(o.name, o.number, text[:length]), text[length:]) {
		return ErrAltered
	}
	o.left, o.last = text[:length], length < pieceBytes
	o.number++
	return nil
}
