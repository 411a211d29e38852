package object

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// What a call on a Store can be refused for.
var (
	// ErrNotFound: there is no object of that name.
	ErrNotFound = errors.New("no such object")
	// ErrExists: there is an object of that name, which Create leaves as it is.
	ErrExists = errors.New("the object exists")
	// ErrUnknown: the reply was lost, so the object may have been stored, or removed.
	ErrUnknown = errors.New("outcome unknown")
	// ErrDenied: the store does not let this process do that.
	ErrDenied = errors.New("access denied")
	// ErrUnavailable: the store cannot be reached, or cannot serve now.
	ErrUnavailable = errors.New("the object tier is not available")
	// ErrUnfit: the store does not do what the archive needs of it.
	ErrUnfit = errors.New("the store cannot be used")
)

// Info is what a listing says of an object.
type Info struct {
	// Name is the one under which it was stored, without the location's prefix.
	Name string
	// Size is in bytes.
	Size     int64
	Modified time.Time
}

// Store holds objects: immutable bytes under names. A name is parts of letters,
// digits, dots, underscores and hyphens with slashes between; no name may be the
// beginning of another one up to a slash. Names are listed in the order of their bytes.
//
// What is read after Create has answered is what was created (S3 has been consistent so
// since 2020). Each call is repeated where that is safe, a bounded number of times.
type Store interface {
	// Create stores an object in one piece: either all of body is there or nothing. ErrExists
	// if the name is taken. Memory is bounded whatever the length of the body. ErrUnknown:
	// whoever chooses names that nobody else does may call again and take ErrExists for done.
	Create(ctx context.Context, name string, body io.Reader) error
	// Replace is Create for a small object that may be there.
	Replace(ctx context.Context, name string, body []byte) error
	// Open reads an object from a byte on. A body that ends early is an error
	// (io.ErrUnexpectedEOF), never a short read that looks complete. ErrNotFound.
	Open(ctx context.Context, name string, from int64) (io.ReadCloser, error)
	// List lists objects whose names begin with prefix, in order, those after the name
	// after only ("" for all). An error ends it.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]
	// Remove removes objects; one that is not there is no error.
	Remove(ctx context.Context, names ...string) error
}
