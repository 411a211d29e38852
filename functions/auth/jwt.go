package auth

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/router"
)

// The claims are etcd's.
const (
	userClaim     = "username"
	revisionClaim = "revision"
	expiryClaim   = "exp"
)

// jwtFor is how long a token whose signature was checked is trusted without checking
// it again, unless it expires before that.
const jwtFor = time.Minute

// jwts are signed tokens that carry their user and the auth revision they are from.
// Nothing is kept of them but, for a short time, that a signature was good.
type jwts struct {
	method jwt.SigningMethod
	keys   jwtKeys
	ttl    time.Duration
	now    func() time.Time
	parser *jwt.Parser
	seen   *recent[jwtSeen]
}

// jwtSeen is what a good token says. expires is zero for one that never does.
type jwtSeen struct {
	who     identity
	expires time.Time
}

func newJWTs(options map[string]string, components Components) (*jwts, error) {
	set, err := readJWTOptions(options)
	if err != nil {
		return nil, fmt.Errorf("jwt: %w", err)
	}
	for _, name := range set.unknown {
		components.Logger.Warn("the token option is not known and is ignored", "option", name)
	}
	t := &jwts{
		method: set.method, keys: set.keys, ttl: set.ttl, now: components.Now,
		// The algorithm is the one of the settings, whatever a token says.
		parser: jwt.NewParser(jwt.WithValidMethods([]string{set.method.Alg()}), jwt.WithTimeFunc(components.Now)),
		seen:   newRecent[jwtSeen](),
	}
	if t.keys.sign != nil {
		if _, err := t.sign("", 0); err != nil {
			return nil, fmt.Errorf("jwt: the private key does not sign with %s: %w", t.method.Alg(), err)
		}
	}
	return t, nil
}

func (t *jwts) sign(name string, revision uint64) (string, error) {
	return jwt.NewWithClaims(t.method, jwt.MapClaims{
		userClaim: name, revisionClaim: revision, expiryClaim: t.now().Add(t.ttl).Unix(),
	}).SignedString(t.keys.sign)
}

func (t *jwts) issue(_ context.Context, st *state, name string, _ router.Revision) (string, error) {
	if t.keys.sign == nil {
		return "", status.Error(codes.Unknown, "auth: token signing attempted with verify-only key")
	}
	token, err := t.sign(name, st.revision)
	if err != nil {
		return "", fmt.Errorf("%w: sign a token: %w", router.ErrInternal, err)
	}
	return token, nil
}

// identify takes the token's word for its user and revision; whether the user exists,
// and the revision is the current one, is a matter of the call's rule, as in etcd.
func (t *jwts) identify(_ context.Context, _ *state, token string) (identity, bool, error) {
	now := t.now()
	id := digestOf(token)
	if good, _, found := t.seen.get(id, now, jwtFor, jwtFor); found && (good.expires.IsZero() || now.Before(good.expires)) {
		return good.who, true, nil
	}
	good, err := t.verify(token)
	if err != nil {
		return identity{}, false, nil // why does not concern the client
	}
	t.seen.put(id, good, now)
	return good.who, true, nil
}

var (
	errNoUser     = errors.New("no user name among the claims")
	errNoRevision = errors.New("no revision among the claims")
)

func (t *jwts) verify(token string) (jwtSeen, error) {
	claims := jwt.MapClaims{}
	if _, err := t.parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return t.keys.verify, nil }); err != nil {
		return jwtSeen{}, err
	}
	name, ok := claims[userClaim].(string)
	if !ok {
		return jwtSeen{}, errNoUser
	}
	revision, ok := claims[revisionClaim].(float64)
	if !ok || revision < 0 || revision >= math.MaxUint64 {
		return jwtSeen{}, errNoRevision
	}
	good := jwtSeen{who: identity{name: name, revision: uint64(revision), given: math.MaxUint64, known: true}}
	expires, err := claims.GetExpirationTime()
	if err != nil {
		return jwtSeen{}, err
	}
	if expires != nil {
		good.expires = expires.Time
	}
	return good, nil
}
