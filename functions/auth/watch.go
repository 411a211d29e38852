package auth

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/caller"
	"github.com/tierd/tierd/router"
)

// PermitWatch says whether the caller of ctx may watch a key or a range, by the current
// auth data: of which version they are, and who holds the right. refused is etcd's
// error if not; err says that this could not be found out.
func (s *Store) PermitWatch(ctx context.Context, key, end []byte) (holder string, version int64, refused, err error) {
	err = s.decide(ctx, func(bound context.Context, st *state) error {
		who, err := s.identify(bound, st)
		if err != nil {
			return err
		}
		if err := st.permit(who, key, end, read); err != nil {
			return refuse(err)
		}
		if !st.enabled {
			who = certified(ctx)
		}
		holder, version = who.holder(), st.version
		_, err = s.api.ConfirmAuth(bound)
		return err
	})
	if err == nil {
		return holder, version, nil, nil
	}
	if _, told := status.FromError(err); told { // only refusals carry one
		return "", 0, err, nil
	}
	return "", 0, nil, fmt.Errorf("permit a watch: %w", err)
}

// certified is the user whom a caller's certificate names, who may go on watching when
// authentication is switched on. Callers with tokens are nobody's while it is off.
func certified(ctx context.Context) identity {
	c := caller.From(ctx)
	if c.Presented {
		return identity{}
	}
	return identity{name: c.CommonName, given: math.MaxUint64}
}

// holder is an identity as the feed keeps it for a watch: the user, and since when its
// proof counts.
func (who identity) holder() string { return strconv.FormatUint(who.given, 10) + " " + who.name }

func parseHolder(holder string) (name string, given uint64) {
	number, name, _ := strings.Cut(holder, " ")
	given, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return "", 0 // nobody's
	}
	return name, given
}

// Know returns when MayWatch answers by the auth data of a version, or of a later one.
func (s *Store) Know(ctx context.Context, version int64) error {
	for range attemptsMax {
		st, err := s.current(ctx)
		if err != nil {
			return err
		}
		if st.version >= version {
			return nil
		}
		if _, err := s.reload(ctx, st); err != nil {
			return err
		}
	}
	return errors.Join(errBehind, router.ErrUnavailable)
}

var errBehind = errors.New("the auth data that can be read are older than what is known of them")

// MayWatch says whether a holder may see the events of a key or a range, by the auth
// data that this frontend has seen last: whether its user has the right, and its token
// counts. A token that has only grown old does not end a watch.
func (s *Store) MayWatch(holder string, key, end []byte) bool {
	st := s.state.Load()
	if st == nil || !st.enabled {
		return st != nil
	}
	name, given := parseHolder(holder)
	return st.counts(name, given) && st.holds(name, key, end, read)
}
