package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/router"
)

// passwordsMax bounds the passwords that wait to be hashed or compared; each takes the
// processor for tens of milliseconds.
const passwordsMax = 1024

const (
	// noSalt and noDigest are the lengths of bcrypt's salt and digest as text.
	noSalt, noDigest = 22, 31
	bcryptDigit      = "a"
)

// passwords hashes and compares passwords, a few at a time.
type passwords struct {
	cost    int
	turns   chan struct{}
	waiting atomic.Int64
	// nobody is a hash that no password has, for users that do not exist.
	nobody []byte
}

func newPasswords(cost, processors int) *passwords {
	return &passwords{
		cost: cost, turns: make(chan struct{}, max(1, processors/2)),
		nobody: fmt.Appendf(nil, "$2a$%02d$%s%s", cost, strings.Repeat(bcryptDigit, noSalt), strings.Repeat(bcryptDigit, noDigest)),
	}
}

// turn waits until one more password may be worked on; done ends that.
func (p *passwords) turn(ctx context.Context) (done func(), err error) {
	if p.waiting.Add(1) > passwordsMax {
		p.waiting.Add(-1)
		return nil, fmt.Errorf("check a password: %w", router.ErrTooManyRequests)
	}
	select {
	case p.turns <- struct{}{}:
		return func() { <-p.turns; p.waiting.Add(-1) }, nil
	case <-ctx.Done():
		p.waiting.Add(-1)
		return nil, fmt.Errorf("check a password: %w", ctx.Err())
	}
}

// hash is the hash of a new password. A password that bcrypt does not take is refused
// with bcrypt's words, as etcd does.
func (p *passwords) hash(ctx context.Context, password string) ([]byte, error) {
	done, err := p.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), p.cost)
	if errors.Is(err, bcrypt.ErrPasswordTooLong) {
		return nil, status.Error(codes.Unknown, err.Error())
	}
	if err != nil {
		return nil, fmt.Errorf("hash a password: %w", err)
	}
	return hash, nil
}

// match says whether hash is the password's.
func (p *passwords) match(ctx context.Context, hash []byte, password string) (bool, error) {
	done, err := p.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	return bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil, nil
}
