package seal

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	// compressWindow bounds how far back compression looks, and with it the memory that
	// writing and reading one object take: a few times as much.
	compressWindow = 4 << 20
	// readWindowMax is the largest window that a reader makes room for.
	readWindowMax = 8 << 20
)

// Seal encrypts what is written to the result, to be stored under name, and writes it to w.
// The object is complete when Close has returned nil; w stays open.
func (k *Keyring) Seal(name string, w io.Writer) (io.WriteCloser, error) {
	writer, err := k.seal(name, w)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", name, err)
	}
	return writer, nil
}

func (k *Keyring) seal(name string, w io.Writer) (*writer, error) {
	id, key := k.newest()
	dataKey := make([]byte, keyBytes)
	if _, err := io.ReadFull(k.random, dataKey); err != nil {
		return nil, fmt.Errorf("choose a data key: %w", err)
	}
	h := header{key: id}
	bound, err := associated(h.fixed(), k.keyspace, name)
	if err != nil {
		return nil, err
	}
	if h.wrapped, err = wrap(key, dataKey, bound); err != nil {
		return nil, fmt.Errorf("encrypt the data key: %w", err)
	}
	if bound, err = associated(h.bytes(), k.keyspace, name); err != nil {
		return nil, err
	}
	if _, err := w.Write(h.bytes()); err != nil {
		return nil, err
	}
	cipher, err := streaming(dataKey)
	if err != nil {
		return nil, err
	}
	encrypted, err := cipher.NewEncryptingWriter(w, bound)
	if err != nil {
		return nil, err
	}
	compressed, err := k.encoder(encrypted)
	if err != nil {
		return nil, err
	}
	return &writer{name: name, keyring: k, compressed: compressed, encrypted: encrypted}, nil
}

// encoder takes one that is not in use, or makes one.
func (k *Keyring) encoder(w io.Writer) (*zstd.Encoder, error) {
	if encoder, ok := k.encoders.Get().(*zstd.Encoder); ok {
		encoder.Reset(w)
		return encoder, nil
	}
	// Of one thread: it needs no closing. An empty object has a frame, too, so that none at all
	// is found.
	// It is done beside serving, and to the log twice or three times as segments are merged: what slower levels save is
	// some parts in a hundred.
	return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(compressWindow),
		zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true), zstd.WithEncoderCRC(true))
}

// writer is an object being sealed.
type writer struct {
	name       string
	keyring    *Keyring
	compressed *zstd.Encoder // nil once closed
	encrypted  io.WriteCloser
}

func (w *writer) Write(p []byte) (int, error) {
	if w.compressed == nil {
		return 0, fmt.Errorf("seal %s: it is closed", w.name)
	}
	n, err := w.compressed.Write(p)
	if err != nil {
		return n, fmt.Errorf("seal %s: %w", w.name, err)
	}
	return n, nil
}

func (w *writer) Close() error {
	if w.compressed == nil {
		return nil
	}
	err := w.compressed.Close()
	if err == nil {
		err = w.encrypted.Close()
		w.keyring.encoders.Put(w.compressed)
	}
	w.compressed = nil
	if err != nil {
		return fmt.Errorf("seal %s: %w", w.name, err)
	}
	return nil
}

// Open decrypts the object that r reads, which was stored under name. It needs no closing.
// ErrKey if its wrapping key is not in the keyring (which Refresh may change),
// ErrAltered, now or when reading, if it is not what was sealed. Errors of r are
// returned as they are, wrapped.
func (k *Keyring) Open(name string, r io.Reader) (io.Reader, error) {
	source := &source{r: r}
	opened, err := k.open(name, source)
	if err != nil {
		return nil, source.explain("open", name, err)
	}
	return opened, nil
}

func (k *Keyring) open(name string, from *source) (*reader, error) {
	h, err := readHeader(from)
	if err != nil {
		return nil, err
	}
	key, err := k.find(h.key)
	if err != nil {
		return nil, err
	}
	bound, err := associated(h.fixed(), k.keyspace, name)
	if err != nil {
		return nil, err
	}
	dataKey, err := unwrap(key, h.wrapped, bound)
	if err != nil {
		return nil, fmt.Errorf("its data key: %w", err)
	}
	if bound, err = associated(h.bytes(), k.keyspace, name); err != nil {
		return nil, err
	}
	cipher, err := streaming(dataKey)
	if err != nil {
		return nil, err
	}
	from.read = 0
	decrypted, err := cipher.NewDecryptingReader(from, bound)
	if err != nil {
		return nil, err
	}
	expanded, err := k.decoder(wholeStream{from: from, decrypted: decrypted})
	if err != nil {
		return nil, err
	}
	return &reader{name: name, keyring: k, source: from, expanded: expanded}, nil
}

// decoder takes one that is not in use, or makes one.
func (k *Keyring) decoder(r io.Reader) (*zstd.Decoder, error) {
	if decoder, ok := k.decoders.Get().(*zstd.Decoder); ok {
		return decoder, decoder.Reset(r)
	}
	// Of one thread: it needs no closing.
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(readWindowMax))
}

// reader is an object being opened.
type reader struct {
	name     string
	keyring  *Keyring
	source   *source
	expanded *zstd.Decoder
	err      error // how it ended, nil before
}

func (r *reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.expanded.Read(p)
	if err == nil {
		return n, nil
	}
	if err == io.EOF {
		r.keyring.decoders.Put(r.expanded)
		r.err = io.EOF
	} else {
		r.err = r.source.explain("read", r.name, err)
	}
	r.expanded = nil
	return n, r.err
}

// source counts what is read of an object, and keeps what reading it failed with apart from
// what its bytes fail with.
type source struct {
	r    io.Reader
	read int64
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.read += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// explain is the error of an object.
func (s *source) explain(operation, name string, err error) error {
	switch {
	case s.err != nil:
		return fmt.Errorf("%s %s: %w", operation, name, s.err)
	case errors.Is(err, ErrKey):
		return fmt.Errorf("%s %s: %w", operation, name, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		// As a text: the caller's own source did not end early.
		return fmt.Errorf("%s %s: %w: %w", operation, name, ErrAltered, errCut)
	default:
		return fmt.Errorf("%s %s: %w: %w", operation, name, ErrAltered, err)
	}
}

// wholeStream takes the end of a decrypted stream for the end only if a segment can end
// there. The stream's cipher takes one that has a single byte after a whole segment, or
// nothing after its header, for complete.
type wholeStream struct {
	from      *source
	decrypted io.Reader
}

func (w wholeStream) Read(p []byte) (int, error) {
	n, err := w.decrypted.Read(p)
	if err != io.EOF {
		return n, err
	}
	last := w.from.read % segmentBytes
	if w.from.read < streamHeaderBytes+tagBytes || last > 0 && last < tagBytes {
		// None of io's, which decompression might take for an end.
		return n, errCut
	}
	return n, io.EOF
}

var errCut = errors.New("it ends too early")
