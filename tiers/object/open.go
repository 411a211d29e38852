package object

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// nameBytesMax bounds a name; with a prefix it stays below the 1,024 that S3 takes.
const nameBytesMax = 512

// Options are what a Store needs beside its place. The zero value is right for use.
type Options struct {
	// Now is the clock, by which left-over files are old; nil for time.Now.
	Now func() time.Time
	// Random names files that are being written; nil for crypto/rand.
	Random io.Reader
	// Credentials replaces what the environment says; nil for the chain of the AWS SDK.
	Credentials aws.CredentialsProvider
	// Transport replaces the HTTP client's; nil for one of the store's own. One that is
	// given has to bound the time until a reply begins.
	Transport http.RoundTripper
	// Limits bounds the calls of an s3:// store.
	Limits Limits
}

// Limits bound calls on S3. Zero values stand for the defaults named.
type Limits struct {
	// Attempts is how often a call is tried in all (5).
	Attempts int
	// BackoffMax bounds the wait before another attempt (5 s).
	BackoffMax time.Duration
	// FirstByte bounds the time from the last byte of a request to the first of its reply (15 s).
	FirstByte time.Duration
	// Stall bounds the time in which a body that is being read brings nothing (15 s).
	Stall time.Duration
	// Attempt bounds one attempt but for reading a body: it has to be enough to send a part (60 s).
	Attempt time.Duration
}

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Limits.Attempts == 0 {
		o.Limits.Attempts = 5
	}
	for _, d := range []struct {
		value   *time.Duration
		instead time.Duration
	}{
		{&o.Limits.BackoffMax, 5 * time.Second},
		{&o.Limits.FirstByte, 15 * time.Second},
		{&o.Limits.Stall, 15 * time.Second},
		{&o.Limits.Attempt, time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.instead
		}
	}
	return o
}

// Open opens the store at a place. A directory is made by the first object that is stored
// there; a bucket has to exist, which the first call finds out. The Store of an s3:// place is an io.Closer, too,
// which ends its idle connections.
func Open(ctx context.Context, location Location, options Options) (Store, error) {
	options = options.withDefaults()
	switch location.Kind {
	case KindFile:
		return openFiles(location, options)
	case KindS3:
		return openS3(ctx, location, options)
	default:
		return nil, errors.New("there is no object tier")
	}
}

// checkName says what is wrong with the name of an object.
func checkName(name string) error {
	if len(name) > nameBytesMax {
		return fmt.Errorf("the name of an object has %d bytes, more than %d", len(name), nameBytesMax)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' {
			return fmt.Errorf("%q is no name of an object: a part is empty or begins with a dot", name)
		}
	}
	if at := strings.IndexFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/", r))
	}); at >= 0 {
		return fmt.Errorf("%q is no name of an object: letters, digits, dots, underscores, hyphens and slashes are", name)
	}
	return nil
}

// failed is the error of an operation on one object: what was done, where, what that
// means to the caller (a sentinel) and why.
func failed(operation, place string, meaning, cause error) error {
	if cause == nil {
		return fmt.Errorf("%s %s: %w", operation, place, meaning)
	}
	return fmt.Errorf("%s %s: %w: %w", operation, place, meaning, cause)
}
