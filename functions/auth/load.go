package auth

import (
	"context"
	"errors"
	"fmt"
)

// load is one reading of the auth data, for all who wait for it.
type load struct {
	done chan struct{}
	err  error // set before done is closed
}

// current is the state to decide on: the one seen last.
func (s *Store) current(ctx context.Context) (*state, error) {
	if st := s.state.Load(); st != nil {
		return st, nil
	}
	return s.reload(ctx, nil)
}

// reload reads the auth data, unless somebody else has since old was found to be out
// of date. Those who ask at once share one reading, and its failure.
func (s *Store) reload(ctx context.Context, old *state) (*state, error) {
	for {
		s.loadMu.Lock()
		if st := s.state.Load(); st != old {
			s.loadMu.Unlock()
			return st, nil
		}
		shared := s.loading
		if shared == nil {
			s.loading = &load{done: make(chan struct{})}
			s.loadMu.Unlock()
			return s.read(ctx, old)
		}
		s.loadMu.Unlock()
		select {
		case <-shared.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("read auth data: %w", ctx.Err())
		}
		// Who read for all may have gone away, which is no failure of the others.
		if err := shared.err; err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			return nil, err
		}
	}
}

// read does the reading that reload has announced.
func (s *Store) read(ctx context.Context, old *state) (st *state, err error) {
	defer func() {
		s.loadMu.Lock()
		defer s.loadMu.Unlock()
		if err == nil {
			s.state.Store(st)
		}
		s.loading.err = err
		close(s.loading.done)
		s.loading = nil
	}()
	data, err := s.api.AuthData(ctx)
	if err != nil {
		return nil, fmt.Errorf("read auth data: %w", err)
	}
	if st, err = parse(data); err != nil {
		return nil, err
	}
	if old != nil && old.enabled != st.enabled {
		s.logger.Info("authentication was switched", "enabled", st.enabled, "auth_revision", st.revision)
	}
	return st, nil
}
