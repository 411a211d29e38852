package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/tierd/tierd/router"
)

const (
	simpleTTLDefault = 300 * time.Second
	// simpleLetters is how many letters a token begins with; there are 52 of them, so
	// they are worth 91 bits.
	simpleLetters = 16
	letters       = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	// askEvery is which part of a token's life may pass until Redis is asked to prolong
	// it: a quarter. trustFor is how many such parts a token is used while somebody else asks.
	askEvery = 4
	trustFor = 3
)

// simpleToken is what is kept of a token, under the token's digest.
type simpleToken struct {
	User string `json:"user"`
	// Revision is the auth revision when the token was given.
	Revision uint64 `json:"revision"`
}

// digest is what a token is known by wherever it is kept.
type digest [sha256.Size]byte

func digestOf(token string) digest { return sha256.Sum256([]byte(token)) }

func (d digest) String() string { return hex.EncodeToString(d[:]) }

// simpleTokens are random and opaque. Redis has them, so every frontend knows them; a
// frontend remembers those that it saw lately. Tokens that a change of the auth data has
// made void are told by their revision.
type simpleTokens struct {
	api  API
	ttl  time.Duration
	now  func() time.Time
	seen *recent[simpleToken]
}

func newSimpleTokens(api API, ttl time.Duration, now func() time.Time) *simpleTokens {
	if ttl <= 0 {
		ttl = simpleTTLDefault
	}
	return &simpleTokens{api: api, ttl: ttl, now: now, seen: newRecent[simpleToken]()}
}

func (t *simpleTokens) issue(ctx context.Context, st *state, name string, at router.Revision) (string, error) {
	token, err := newSimpleToken(at)
	if err != nil {
		return "", err
	}
	kept := simpleToken{User: name, Revision: st.revision}
	value, err := json.Marshal(kept)
	if err != nil {
		return "", fmt.Errorf("write a token: %w", err)
	}
	if err := t.api.SaveToken(ctx, digestOf(token).String(), value, t.ttl); err != nil {
		return "", fmt.Errorf("keep a token: %w", err)
	}
	t.seen.put(digestOf(token), kept, t.now())
	return token, nil
}

// newSimpleToken draws a token, which looks like etcd's.
func newSimpleToken(at router.Revision) (string, error) {
	var text strings.Builder
	for range simpleLetters {
		i, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			return "", fmt.Errorf("draw a token: %w", err)
		}
		text.WriteByte(letters[i.Int64()])
	}
	text.WriteByte('.')
	text.WriteString(strconv.FormatInt(int64(at), 10))
	return text.String(), nil
}

// looksSimple says whether a token could be one that was given: others are nobody's,
// and Redis is not asked.
func looksSimple(token string) bool {
	drawn, number, found := strings.Cut(token, ".")
	if !found || len(drawn) != simpleLetters || strings.Trim(drawn, letters) != "" {
		return false
	}
	_, err := strconv.ParseUint(number, 10, 64)
	return err == nil
}

func (t *simpleTokens) identify(ctx context.Context, st *state, token string) (identity, bool, error) {
	if !looksSimple(token) {
		return identity{}, false, nil
	}
	kept, found, err := t.lookUp(ctx, digestOf(token))
	if err != nil || !found {
		return identity{}, false, err
	}
	if !st.counts(kept.User, kept.Revision) {
		return identity{}, false, nil
	}
	return identity{name: kept.User, revision: st.revision, given: kept.Revision, known: true}, true, nil
}

// counts says whether a token counts that was given to a user at an auth revision.
func (st *state) counts(name string, given uint64) bool {
	u := st.users[name]
	return u != nil && given >= u.since && given >= st.enabledSince
}

// lookUp finds what is kept of a token, and prolongs its life, which ends ttl after
// Redis was last asked.
func (t *simpleTokens) lookUp(ctx context.Context, id digest) (simpleToken, bool, error) {
	now := t.now()
	part := t.ttl / askEvery
	kept, mine, found := t.seen.get(id, now, part, trustFor*part)
	if found && !mine {
		return kept, true, nil
	}
	value, found, err := t.api.UseToken(ctx, id.String(), t.ttl)
	if err != nil {
		t.seen.release(id)
		return simpleToken{}, false, err
	}
	if !found {
		t.seen.drop(id)
		return simpleToken{}, false, nil
	}
	if err := json.Unmarshal(value, &kept); err != nil {
		return simpleToken{}, false, fmt.Errorf("%w: read what is kept of a token: %w", router.ErrInternal, err)
	}
	t.seen.put(id, kept, now)
	return kept, true, nil
}
