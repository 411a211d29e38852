// Package archivetest has what tests of the archive need: a store in memory in which objects can be lost,
// altered and made unreachable, a sealer without keys, and a model of a log to compare what is read
// with. Only tests import it.
package archivetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tierd/tierd/tiers/object"
)

// Store is an object.Store in memory.
type Store struct {
	mu      sync.Mutex
	objects map[string]stored
	now     time.Time
	// Before, if it is set, is called before each call, with its name ("create", "open", "list", "remove") and
	// the object's; its error is the call's. It may be changed while nobody uses the store.
	Before func(call, name string) error
	// After is as Before, after the call was carried out: its reply is lost.
	After func(call, name string) error
}

type stored struct {
	body     []byte
	modified time.Time
}

// NewStore makes an empty store.
func NewStore() *Store {
	return &Store{objects: make(map[string]stored), now: time.UnixMilli(1_700_000_000_000)}
}

// SetNow sets the time at which what follows is stored.
func (s *Store) SetNow(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

func (s *Store) hook(hook func(string, string) error, call, name string) error {
	if hook == nil {
		return nil
	}
	return hook(call, name)
}

// Create implements object.Store.
func (s *Store) Create(ctx context.Context, name string, body io.Reader) error {
	if err := s.hook(s.Before, "create", name); err != nil {
		return err
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	s.mu.Lock()
	_, exists := s.objects[name]
	if !exists {
		s.objects[name] = stored{text, s.now}
	}
	s.mu.Unlock()
	if exists {
		return fmt.Errorf("create %s: %w", name, object.ErrExists)
	}
	return s.hook(s.After, "create", name)
}

// Replace implements object.Store.
func (s *Store) Replace(ctx context.Context, name string, body []byte) error {
	s.Put(name, body)
	return nil
}

// Put stores an object whatever was there.
func (s *Store) Put(name string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[name] = stored{bytes.Clone(body), s.now}
}

// Get is the body of an object.
func (s *Store) Get(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[name].body
}

// Names are those of all objects, in order.
func (s *Store) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// Open implements object.Store.
func (s *Store) Open(ctx context.Context, name string, from int64) (io.ReadCloser, error) {
	if err := s.hook(s.Before, "open", name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.objects[name]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", name, object.ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(found.body[min(from, int64(len(found.body))):])), nil
}

// List implements object.Store.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		if err := s.hook(s.Before, "list", prefix); err != nil {
			yield(object.Info{}, err)
			return
		}
		for _, name := range s.Names() {
			if !strings.HasPrefix(name, prefix) || name <= after {
				continue
			}
			s.mu.Lock()
			found, ok := s.objects[name]
			s.mu.Unlock()
			if ok && !yield(object.Info{Name: name, Size: int64(len(found.body)), Modified: found.modified}, nil) {
				return
			}
		}
	}
}

// Remove implements object.Store.
func (s *Store) Remove(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := s.hook(s.Before, "remove", name); err != nil {
			return err
		}
		s.mu.Lock()
		delete(s.objects, name)
		s.mu.Unlock()
	}
	return nil
}
