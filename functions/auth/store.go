package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"golang.org/x/crypto/bcrypt"

	"github.com/tierd/tierd/functions/caller"
	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

const (
	// attemptsMax bounds how often a call is decided anew because the auth data have
	// changed meanwhile.
	attemptsMax = 64
	// changesMax bounds the changes of auth data that wait for their turn.
	changesMax = 1024
)

// API is the part of router.API that authentication itself needs.
type API interface {
	wire.Identity
	CurrentRevision(ctx context.Context) (current, compacted router.Revision, err error)
	AuthData(ctx context.Context) (router.AuthData, error)
	ChangeAuth(ctx context.Context, from int64, change router.AuthChange) error
	ConfirmAuth(ctx context.Context) (router.Revision, error)
	SaveToken(ctx context.Context, id string, value []byte, ttl time.Duration) error
	UseToken(ctx context.Context, id string, ttl time.Duration) (value []byte, found bool, err error)
}

// Settings are the values a user may change.
type Settings struct {
	// Token says how users prove who they are after they gave their password, as etcd's
	// --auth-token: "simple", or "jwt,pub-key=FILE,priv-key=FILE,sign-method=METHOD,ttl=DURATION".
	// With none at all nobody can authenticate but by a certificate.
	Token string
	// TokenTTL is how long a simple token lives without use; 0 means etcd's 5 minutes.
	TokenTTL time.Duration
	// BcryptCost is the cost of the hashes of passwords, as a power of two; 0 means
	// bcrypt's default, and so does what bcrypt does not know.
	BcryptCost int
}

// Components are what a store is built from.
type Components struct {
	API    API
	Logger *slog.Logger
	Now    func() time.Time
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Store decides on calls. It keeps the version of the auth data that it has seen last,
// and nothing else that a restart would miss: whatever is decided on that version is
// done only if it is still the current one.
type Store struct {
	api       API
	logger    *slog.Logger
	tokens    provider
	passwords *passwords
	metrics   *metrics
	state     atomic.Pointer[state]
	// loading is the reading under way, nil if there is none; loadMu guards it.
	loadMu  sync.Mutex
	loading *load
	// changing lets one goroutine change the auth data.
	changing chan struct{}
	// waiting counts the changes that wait or are under way.
	waiting atomic.Int64
}

// NewStore makes a store. An error is one of the settings.
func NewStore(settings Settings, components Components) (*Store, error) {
	tokens, err := newProvider(settings, components)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	cost := settings.BcryptCost
	if cost == 0 {
		cost = bcrypt.DefaultCost
	}
	if cost < bcrypt.MinCost || cost > bcrypt.MaxCost {
		components.Logger.Warn("the bcrypt cost is not one that there is; the default is taken",
			"asked", cost, "least", bcrypt.MinCost, "most", bcrypt.MaxCost, "default", bcrypt.DefaultCost)
		cost = bcrypt.DefaultCost
	}
	s := &Store{
		api: components.API, logger: components.Logger, tokens: tokens,
		passwords: newPasswords(cost, runtime.GOMAXPROCS(0)),
		changing:  make(chan struct{}, 1),
	}
	if s.metrics, err = newMetrics(components.Metrics, s); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	return s, nil
}

// Enabled tells whether authentication is on, by what this frontend has seen last: for what a client is told, not for
// what it may do.
func (s *Store) Enabled(ctx context.Context) (bool, error) {
	st, err := s.current(ctx)
	return err == nil && st.enabled, err
}

// refusal is an error that was decided on a state alone.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// refuse marks an error as decided here; nil stays nil.
func refuse(err error) error {
	if err == nil {
		return nil
	}
	return refusal{err}
}

// decide runs do on a state, with a context that is bound to it, until nothing has
// changed meanwhile. What do refuses is refused only if the state was the current one:
// what was granted counts from the moment that the grant was answered.
func (s *Store) decide(ctx context.Context, do func(ctx context.Context, st *state) error) error {
	st, err := s.current(ctx)
	for range attemptsMax {
		if err != nil {
			return err
		}
		bound := router.WithAuth(ctx, st.version)
		err = do(bound, st)
		if refused := (refusal{}); errors.As(err, &refused) {
			if _, err = s.api.ConfirmAuth(bound); err == nil {
				s.metrics.refused(refused.error)
				return refused.error
			}
		}
		if !s.outdated(bound, err) {
			return err
		}
		s.metrics.again.Inc()
		st, err = s.reload(ctx, st)
	}
	return fmt.Errorf("auth data have changed %d times meanwhile: %w", attemptsMax, router.ErrTooManyRequests)
}

// begun is an error of a call whose answer has been sent in part.
type begun struct{ error }

func (b begun) Unwrap() error { return b.error }

// outdated says whether a call that was bound to a version of the auth data is to be
// decided anew. That goes for errors too which tell something of the keyspace, and which
// the router can know without having looked whether the version is the current one.
func (s *Store) outdated(bound context.Context, err error) bool {
	// What may have been done, or answered in part, is not done again, whatever else the error says.
	if err == nil || errors.Is(err, router.ErrOutcomeUnknown) || errors.As(err, &begun{}) {
		return false
	}
	for _, told := range [...]error{
		router.ErrCompacted, router.ErrFutureRevision, router.ErrKeyNotFound, router.ErrNoSpace,
		router.ErrLeaseNotFound, router.ErrLeaseExists, router.ErrLeaseTTLTooLarge, router.ErrTooManyKeys,
	} {
		if errors.Is(err, told) {
			_, changed := s.api.ConfirmAuth(bound)
			return errors.Is(changed, router.ErrAuthChanged)
		}
	}
	return errors.Is(err, router.ErrAuthChanged)
}

// identify finds out whom a call is made as. While authentication is off that is nobody.
func (s *Store) identify(ctx context.Context, st *state) (identity, error) {
	c := caller.From(ctx)
	if !st.enabled {
		return identity{}, nil
	}
	if !c.Presented {
		if c.CommonName == "" {
			return identity{}, nil
		}
		c.SetUser(c.CommonName)
		return identity{name: c.CommonName, revision: st.revision, given: math.MaxUint64, known: true}, nil
	}
	who, valid, err := s.tokens.identify(ctx, st, c.Token)
	if err != nil {
		return identity{}, fmt.Errorf("look up a token: %w", err)
	}
	if !valid {
		return identity{}, refuse(rpctypes.ErrGRPCInvalidAuthToken)
	}
	c.SetUser(who.name)
	return who, nil
}

// rule is what a call needs of its user.
type rule func(st *state, who identity) error

// check says whether the call of ctx may be made, and the revision at a moment when it
// might: 0 if the keyspace is corrupt.
func (s *Store) check(ctx context.Context, needs rule) (revision router.Revision, err error) {
	err = s.decide(ctx, func(bound context.Context, st *state) error {
		who, err := s.identify(bound, st)
		if err != nil {
			return err
		}
		if err := needs(st, who); err != nil {
			return refuse(err)
		}
		revision, err = s.api.ConfirmAuth(bound)
		if errors.Is(err, router.ErrCorrupt) {
			return nil // nothing of the keyspace is served; that it is so, and its members, may be told
		}
		return err
	})
	return revision, err
}

// change makes a change of the auth data, for root. It returns when no frontend honours
// any more what the change takes away.
func (s *Store) change(ctx context.Context, makes edit) (router.Revision, error) {
	if s.waiting.Add(1) > changesMax {
		s.waiting.Add(-1)
		return 0, fmt.Errorf("change auth data: %w", router.ErrTooManyRequests)
	}
	defer s.waiting.Add(-1)
	// One at a time: changes exclude each other, and one that lost would begin again.
	select {
	case s.changing <- struct{}{}:
		defer func() { <-s.changing }()
	case <-ctx.Done():
		return 0, fmt.Errorf("change auth data: %w", ctx.Err())
	}
	var changed *state
	err := s.decide(ctx, func(bound context.Context, st *state) error {
		who, err := s.identify(bound, st)
		if err != nil {
			return err
		}
		if err := st.admin(who); err != nil {
			return refuse(err)
		}
		change, err := makes(st)
		if err != nil {
			return refuse(err)
		}
		changed = st
		if len(change.Set)+len(change.Delete) == 0 {
			_, err = s.api.ConfirmAuth(bound)
			return err
		}
		return s.api.ChangeAuth(ctx, st.version, change)
	})
	if err != nil {
		return 0, err
	}
	if _, err := s.reload(ctx, changed); err != nil {
		s.logger.Debug("the changed auth data will be read later", "cause", err)
	}
	current, _, err := s.api.CurrentRevision(ctx)
	return current, err
}
