package seal

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Create seals what write writes and creates the object in the store, both as it comes: memory is
// bounded. An error of write leaves no object. Errors are write's, and those of Store.Create.
func (k *Keyring) Create(ctx context.Context, name string, write func(io.Writer) error) error {
	from, to := io.Pipe()
	// The outcome is there before the store can see it.
	written := make(chan error, 1)
	go func() {
		err := k.writeTo(name, to, write)
		written <- err
		if err != nil {
			err = &writeError{err}
		}
		// Nil is the end.
		to.CloseWithError(err)
	}()
	err := k.store.Create(ctx, name, from)
	from.CloseWithError(errAbandoned)
	cause := <-written
	if cause != nil && (err == nil || errors.As(err, new(*writeError))) {
		// The store's error only says that reading failed.
		return fmt.Errorf("create %s: %w", name, cause)
	}
	return err
}

// writeError marks what the store is told when writing failed.
type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }

// errAbandoned: the store reads no more.
var errAbandoned = errors.New("the store reads no more")

func (k *Keyring) writeTo(name string, w io.Writer, write func(io.Writer) error) error {
	sealed, err := k.Seal(name, w)
	if err != nil {
		return err
	}
	if err := write(sealed); err != nil {
		return err
	}
	return sealed.Close()
}

// Get opens an object of the store and decrypts it. If its wrapping key is not in the keyring,
// the keys are read anew first.
func (k *Keyring) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	opened, err := k.get(ctx, name)
	if errors.Is(err, ErrKey) {
		if err := k.Refresh(ctx); err != nil {
			return nil, fmt.Errorf("open %s: %w", name, err)
		}
		opened, err = k.get(ctx, name)
	}
	return opened, err
}

func (k *Keyring) get(ctx context.Context, name string) (io.ReadCloser, error) {
	body, err := k.store.Open(ctx, name, 0)
	if err != nil {
		return nil, err
	}
	opened, err := k.Open(name, body)
	if err != nil {
		return nil, errors.Join(err, body.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{opened, body}, nil
}
