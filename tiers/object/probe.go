package object

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// probeIDBytes makes the names of probes of processes that begin at once differ.
const probeIDBytes = 16

// probeAttempts is how often a probe is created whose creation was not answered.
const probeAttempts = 3

// Probe proves that a store refuses to create an object twice and lists and returns what is
// there, with an object under prefix that it removes again. random is for its name. ErrUnfit says what the
// store did wrong; other errors are those of the calls.
func Probe(ctx context.Context, store Store, prefix string, random io.Reader) error {
	id := make([]byte, 2*probeIDBytes)
	if _, err := io.ReadFull(random, id); err != nil {
		return fmt.Errorf("probe the object tier: choose a name: %w", err)
	}
	name := prefix + "probe-" + hex.EncodeToString(id[:probeIDBytes])
	content := []byte(hex.EncodeToString(id[probeIDBytes:]))
	err := probe(ctx, store, name, content)
	// Also after a failure, and after the context's end: nothing is to stay.
	if removed := store.Remove(context.WithoutCancel(ctx), name); err == nil {
		err = removed
	}
	if err == nil {
		err = probeGone(ctx, store, name)
	}
	if err != nil {
		return fmt.Errorf("probe the object tier: %w", err)
	}
	return nil
}

func probe(ctx context.Context, store Store, name string, content []byte) error {
	if err := probeCreate(ctx, store, name, content); err != nil {
		return err
	}
	err := store.Create(ctx, name, bytes.NewReader([]byte("a second object of that name")))
	switch {
	case err == nil:
		return fmt.Errorf("%w: it took a second object of the name %s (it does not honour If-None-Match)", ErrUnfit, name)
	case !errors.Is(err, ErrExists):
		return err
	}
	if err := probeContent(ctx, store, name, content); err != nil {
		return err
	}
	for info, err := range store.List(ctx, name, "") {
		if err != nil {
			return err
		}
		if info.Name == name && info.Size == int64(len(content)) {
			return nil
		}
	}
	return fmt.Errorf("%w: it does not list %s, which it holds", ErrUnfit, name)
}

// probeCreate creates the object. Its name is nobody else's: one that is there is this one's.
func probeCreate(ctx context.Context, store Store, name string, content []byte) (err error) {
	for range probeAttempts {
		err = store.Create(ctx, name, bytes.NewReader(content))
		if err == nil || errors.Is(err, ErrExists) {
			return nil
		}
		if !errors.Is(err, ErrUnknown) {
			return err
		}
	}
	return err
}

func probeContent(ctx context.Context, store Store, name string, content []byte) error {
	body, err := store.Open(ctx, name, 1)
	if err != nil {
		return err
	}
	defer body.Close()
	got, err := io.ReadAll(io.LimitReader(body, int64(len(content))+1))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, content[1:]) {
		return fmt.Errorf("%w: from byte 1 of %s on it returns %d other bytes than those that were stored", ErrUnfit, name, len(got))
	}
	return nil
}

func probeGone(ctx context.Context, store Store, name string) error {
	body, err := store.Open(ctx, name, 0)
	switch {
	case err == nil:
		body.Close()
		return fmt.Errorf("%w: it still returns %s, which was removed", ErrUnfit, name)
	case !errors.Is(err, ErrNotFound):
		return err
	}
	return nil
}
