package auth

import (
	"context"
	"fmt"

	"github.com/tierd/tierd/functions/caller"
	"github.com/tierd/tierd/router"
)

// whole is a keyspace for calls that read all of it, which takes long.
type whole struct {
	router.API
	store *Store
}

// GuardWhole gives api to a Maintenance service. Its histories are checked when they
// begin, and are those of that moment; what else a snapshot needs it may read until it is
// done, though its token may have ended meanwhile.
func (s *Store) GuardWhole(api router.API) router.API { return &whole{API: api, store: s} }

// History implements router.API: the state at the moment when its reading was permitted.
func (w *whole) History(ctx context.Context, at router.Revision, yield func(router.Version) error) (router.HistoryInfo, error) {
	at, err := w.permittedAt(ctx, at)
	if err != nil {
		return router.HistoryInfo{}, err
	}
	return w.API.History(ctx, at, yield)
}

// HashedHistory implements router.API, like History.
func (w *whole) HashedHistory(ctx context.Context, at router.Revision, yield func(router.Version) error) (router.HistoryInfo, error) {
	at, err := w.permittedAt(ctx, at)
	if err != nil {
		return router.HistoryInfo{}, err
	}
	return w.API.HashedHistory(ctx, at, yield)
}

// permittedAt is the revision to read a history at: a call that takes long is checked
// once, and reads what was there then. at is the one asked for; 0 means the current one.
func (w *whole) permittedAt(ctx context.Context, at router.Revision) (router.Revision, error) {
	revision, err := w.store.check(ctx, (*state).admin)
	switch {
	case err != nil:
		return 0, err
	case revision == 0: // the keyspace is corrupt, which its history tells
		return at, nil
	case at > revision:
		return 0, router.ErrFutureRevision
	case at != 0:
		return at, nil
	}
	return revision, nil
}

// AuthData implements router.API: for root by those very data, because hashes of
// passwords are among them. Whom the call comes from was found when it was checked.
func (w *whole) AuthData(ctx context.Context) (router.AuthData, error) {
	data, err := w.API.AuthData(ctx)
	if err != nil {
		return data, err
	}
	st, err := parse(data)
	if err != nil {
		return router.AuthData{}, err
	}
	if err := st.admin(identity{name: caller.From(ctx).User()}); err != nil {
		return router.AuthData{}, fmt.Errorf("read auth data: %w", err)
	}
	return data, nil
}
