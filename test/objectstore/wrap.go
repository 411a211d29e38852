package objectstore

import (
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/tierd/tierd/tiers/object"
)

// Wrap is a store that is struck by faults, in the way in which a Store reports them after
// its own attempts. Slow is the only one that a caller does not see.
func (f *Faults) Wrap(store object.Store) object.Store { return &struck{faults: f, store: store} }

type struck struct {
	faults *Faults
	store  object.Store
}

// meaning is the error of a call that changes something; nil for none, or that the call
// is to be done without one.
func (s *struck) meaning(ctx context.Context, fault Fault) error {
	switch fault {
	case Lost, Unanswered, DoneButFailed, Truncated:
		return object.ErrUnknown
	case Failed, Busy:
		return object.ErrUnavailable
	case Denied:
		return object.ErrDenied
	case Slow:
		if !pause(ctx, s.faults.Delay) {
			return ctx.Err()
		}
	}
	return nil
}

func struckBy(operation, name string, fault Fault, err error) error {
	return fmt.Errorf("%s %s: %w: a fault of the test (%s)", operation, name, err, fault)
}

// change makes a call that changes something.
func (s *struck) change(ctx context.Context, operation, name string, do, drop func() error) error {
	fault := s.faults.next(Call{Operation: operation, Name: name})
	err := s.meaning(ctx, fault)
	done := drop
	if err == nil || fault == Unanswered || fault == DoneButFailed {
		done = do
	}
	if outcome := done(); err == nil || outcome != nil {
		return outcome
	}
	return struckBy(operation, name, fault, err)
}

// Create implements object.Store.
func (s *struck) Create(ctx context.Context, name string, body io.Reader) error {
	return s.change(ctx, "create", name,
		func() error { return s.store.Create(ctx, name, body) },
		func() error { _, err := io.Copy(io.Discard, body); return err })
}

// Replace implements object.Store.
func (s *struck) Replace(ctx context.Context, name string, body []byte) error {
	return s.change(ctx, "replace", name,
		func() error { return s.store.Replace(ctx, name, body) },
		func() error { return nil })
}

// Remove implements object.Store. One that is cut removes the first half.
func (s *struck) Remove(ctx context.Context, names ...string) error {
	first := ""
	if len(names) > 0 {
		first = names[0]
	}
	return s.change(ctx, "remove", first,
		func() error { return s.store.Remove(ctx, names...) },
		func() error { return s.store.Remove(ctx, names[:len(names)/2]...) })
}

// refusal is the error of a call that changes nothing.
func (s *struck) refusal(ctx context.Context, operation, name string, fault Fault) error {
	switch err := s.meaning(ctx, fault); {
	case err == nil, fault == Truncated:
		return nil
	case fault == Denied, fault == Slow:
		return struckBy(operation, name, fault, err)
	default:
		return struckBy(operation, name, fault, object.ErrUnavailable)
	}
}

// Open implements object.Store.
func (s *struck) Open(ctx context.Context, name string, from int64) (io.ReadCloser, error) {
	fault := s.faults.next(Call{Operation: "open", Name: name})
	if err := s.refusal(ctx, "open", name, fault); err != nil {
		return nil, err
	}
	body, err := s.store.Open(ctx, name, from)
	if err != nil || fault != Truncated {
		return body, err
	}
	defer body.Close()
	whole, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(&cut{name: name, left: whole[:len(whole)/2]}), nil
}

// cut is a body that breaks.
type cut struct {
	name string
	left []byte
}

func (c *cut) Read(p []byte) (int, error) {
	if len(c.left) == 0 {
		return 0, struckBy("read", c.name, Truncated, fmt.Errorf("%w: %w", object.ErrUnavailable, io.ErrUnexpectedEOF))
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

// List implements object.Store. One that is cut ends after the first object.
func (s *struck) List(ctx context.Context, prefix, after string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		fault := s.faults.next(Call{Operation: "list", Name: prefix})
		if err := s.refusal(ctx, "list", prefix, fault); err != nil {
			yield(object.Info{}, err)
			return
		}
		for info, err := range s.store.List(ctx, prefix, after) {
			if !yield(info, err) {
				return
			}
			if fault == Truncated {
				break
			}
		}
		if fault == Truncated {
			yield(object.Info{}, struckBy("list", prefix, fault, object.ErrUnavailable))
		}
	}
}
