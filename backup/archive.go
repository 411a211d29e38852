package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/tierd/tierd/tiers/object"
)

// Bounds of what an Archive repeats.
const (
	// attemptsMax is how often one object is stored, or gone on with in reading, before the
	// call fails.
	attemptsMax = 4
	// progressBytes is how much has to be read until a broken transfer is forgiven.
	progressBytes = 1 << 20
	// firstPause is the time before the second attempt; it doubles.
	firstPause = 100 * time.Millisecond
)

// Sealer encrypts objects and proves on reading that they are what was stored under that
// name; *seal.Keyring is one.
type Sealer interface {
	// Seal encrypts what is written to the result into w. The object is complete after Close.
	Seal(name string, w io.Writer) (io.WriteCloser, error)
	// Open decrypts r. What the result reads has been authenticated.
	Open(name string, r io.Reader) (io.Reader, error)
}

// Archive is the archive of one keyspace in an object store. It holds no state, and may be used
// by any number of goroutines and processes; who may write is settled elsewhere
// (router.Archivist), and what an outdated writer leaves behind is told apart by its epoch.
type Archive struct {
	store    object.Store
	keys     Sealer
	keyspace string
	pause    time.Duration
}

// New makes the handle of the archive of a keyspace. It calls nothing.
func New(store object.Store, keys Sealer, keyspace string) *Archive {
	return &Archive{store: store, keys: keys, keyspace: keyspace, pause: firstPause}
}

// Keyspace is the name of the keyspace whose archive it is.
func (a *Archive) Keyspace() string { return a.keyspace }

// Remove removes objects of the archive. One that is not there is no error.
func (a *Archive) Remove(ctx context.Context, names ...string) error {
	if err := a.store.Remove(ctx, names...); err != nil {
		return fmt.Errorf("remove from the archive: %w", err)
	}
	return nil
}

// wait pauses before the attempt of that number, counted from 1.
func (a *Archive) wait(ctx context.Context, attempt int) error {
	timer := time.NewTimer(a.pause << (attempt - 1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// createSmall stores an object whose content is in memory. Where the outcome is unknown it asks
// again, a bounded number of times: it is the only one who writes this name, so an
// object that is there and reads as content is its own.
func (a *Archive) createSmall(ctx context.Context, name string, content []byte) error {
	var sealed bytes.Buffer
	sealed.Grow(len(content)/2 + 1<<10) // what is compressed well takes less
	if err := a.sealInto(&sealed, name, content); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	for attempt := 1; ; attempt++ {
		err := a.store.Create(ctx, name, bytes.NewReader(sealed.Bytes()))
		switch {
		case err == nil:
			return nil
		case errors.Is(err, object.ErrExists):
			return a.expect(ctx, name, content)
		case !errors.Is(err, object.ErrUnknown) || attempt == attemptsMax:
			return fmt.Errorf("store %s: %w", name, err)
		}
		if stopped := a.wait(ctx, attempt); stopped != nil {
			return fmt.Errorf("store %s: %w", name, err)
		}
	}
}

func (a *Archive) sealInto(w io.Writer, name string, content []byte) error {
	plain, err := a.keys.Seal(name, w)
	if err != nil {
		return err
	}
	if _, err := plain.Write(content); err != nil {
		return err
	}
	return plain.Close()
}

// expect tells whether an object that exists holds that content: ErrExists if it does not.
func (a *Archive) expect(ctx context.Context, name string, content []byte) error {
	reader, err := a.open(ctx, name)
	if err != nil {
		return err
	}
	defer reader.Close()
	found, err := io.ReadAll(io.LimitReader(reader, int64(len(content))+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if !bytes.Equal(found, content) {
		return fmt.Errorf("store %s: %w with other content", name, object.ErrExists)
	}
	return nil
}

// createStream stores an object whose content write makes, without holding it in memory. It
// is not repeated: write may not be.
func (a *Archive) createStream(ctx context.Context, name string, write func(io.Writer) error) error {
	reader, writer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := a.sealStream(writer, name, write)
		// With an error the store's body fails, so that nothing is stored.
		writer.CloseWithError(err)
		done <- err
	}()
	err := a.store.Create(ctx, name, reader)
	reader.CloseWithError(errAbandoned)
	if made := <-done; made != nil && !errors.Is(made, errAbandoned) {
		return fmt.Errorf("store %s: %w", name, made)
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	return nil
}

// errAbandoned is what the writing side sees when the store takes no more.
var errAbandoned = errors.New("the store has stopped reading")

func (a *Archive) sealStream(w io.Writer, name string, write func(io.Writer) error) error {
	plain, err := a.keys.Seal(name, w)
	if err != nil {
		return err
	}
	if err := write(plain); err != nil {
		return err
	}
	return plain.Close()
}

// open reads the plaintext of an object.
func (a *Archive) open(ctx context.Context, name string) (io.ReadCloser, error) {
	return a.openCounted(ctx, name, nil)
}

// openCounted is open; progress, if there is one, counts the bytes read.
func (a *Archive) openCounted(ctx context.Context, name string, progress *atomic.Int64) (io.ReadCloser, error) {
	body := &resuming{archive: a, ctx: ctx, name: name, progress: progress}
	if err := body.reopen(); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	plain, err := a.keys.Open(name, body)
	if err != nil {
		body.Close()
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{plain, body}, nil
}

// resuming reads an object's bytes, and goes on where it was when the transfer breaks.
type resuming struct {
	archive *Archive
	// ctx is that of the call that reads the object to its end.
	ctx    context.Context
	name   string
	body   io.ReadCloser
	offset int64
	// broken counts the times that the transfer broke since the offset good.
	broken int
	good   int64
	// progress may be nil.
	progress *atomic.Int64
}

func (r *resuming) reopen() error {
	body, err := r.archive.store.Open(r.ctx, r.name, r.offset)
	if err != nil {
		return err
	}
	r.body = body
	return nil
}

// Read implements io.Reader.
func (r *resuming) Read(p []byte) (int, error) {
	for {
		n, err := r.body.Read(p)
		r.offset += int64(n)
		if r.progress != nil {
			r.progress.Add(int64(n))
		}
		if n > 0 || err == nil || errors.Is(err, io.EOF) {
			return n, endOnly(n, err)
		}
		if r.offset-r.good >= progressBytes {
			r.broken, r.good = 0, r.offset
		}
		if r.broken++; r.broken >= attemptsMax || r.ctx.Err() != nil {
			return 0, err
		}
		if r.archive.wait(r.ctx, r.broken) != nil {
			return 0, err
		}
		again, failed := r.archive.store.Open(r.ctx, r.name, r.offset)
		if failed != nil {
			return 0, fmt.Errorf("%w; gone on with: %w", err, failed)
		}
		r.body.Close()
		r.body = again
	}
}

// endOnly is the error to return beside n bytes: a broken transfer is met again by the next
// read, which then goes on.
func endOnly(n int, err error) error {
	if n > 0 && !errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Close implements io.Closer.
func (r *resuming) Close() error { return r.body.Close() }
