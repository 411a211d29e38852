// Package pki makes the certificates of a deployment and renews them: an authority, the certificate of its frontends, and
// one for each of its clients, in a store that is a directory or a service.
//
// It promises:
//
//   - Renew may run at any time, twice, at once, or be killed anywhere. What is good stays; what is missing, due or for
//     other names is made; what was begun is completed by the next run.
//   - A certificate and its key change together, in the store and in the directory that Fetch writes.
//   - Whoever trusts what "ca" holds trusts each certificate in the store, at every moment: an authority is trusted for a
//     while before it signs, and as long as something that it has signed may be in use.
//   - One run takes one step of a change of authorities, so that there is time between two steps in which what is in the
//     store reaches everybody.
//   - No key is in an error, a report or a log.
//
// It never deletes a certificate of a server or a client, and never replaces an authority's key that it cannot read: that
// would cut off everybody who trusts it.
package pki

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
)

// Names of what is in a store, beside those of clients.
const (
	// Trust is the bundle of certificates of authorities that everybody trusts. It has no key.
	Trust = "ca"
	// Authority is what signs: certificates of authorities with their keys, the newest last. Only Renew reads it.
	Authority = "ca-key"
	// Server is what frontends are served with.
	Server = "server"
	// clientPrefix starts the names of clients' certificates.
	clientPrefix = "client-"
)

const (
	// backdated is how long before it is made a certificate begins to be valid, for clocks that are behind.
	backdated = 5 * time.Minute
	// attemptsMax is how often a run begins anew because another one has changed the store.
	attemptsMax = 5
	// changedPause is the time before that.
	changedPause = 200 * time.Millisecond
	// authoritiesMax is how many authorities may sign at a time, of which all but the newest are on their way out.
	authoritiesMax = 4
	// lifetimesOfLeaves is how many lifetimes of a leaf an authority must last at least.
	lifetimesOfLeaves = 3
	// clientsMax bounds the clients of a deployment.
	clientsMax = 256
)

var (
	// ErrChanged means that another one has written meanwhile; nothing was written.
	ErrChanged = errors.New("it was changed by somebody else meanwhile")
	// ErrUnreadable means that an authority is in the store and cannot be used.
	ErrUnreadable = errors.New("it cannot be read, and is left alone")
)

// Secret is a certificate with its key, or without; both in PEM. It prints as nothing.
type Secret struct{ Certificate, Key []byte }

// String keeps keys out of logs.
func (Secret) String() string { return "(a certificate and its key)" }

// GoString keeps keys out of logs.
func (s Secret) GoString() string { return s.String() }

// Entry is what a store holds under a name. Version is its own, and empty if there is nothing.
type Entry struct {
	Secret  Secret
	Version string
}

// Store keeps secrets by their names. Each is read and written as a whole.
type Store interface {
	// Read gives what is there; nothing is no error.
	Read(ctx context.Context, name string) (Entry, error)
	// Write replaces what had the version, empty for nothing, and gives the new one; ErrChanged if something else is there.
	// After another error it may have been done.
	Write(ctx context.Context, name string, secret Secret, version string) (string, error)
	// Lock keeps other runs out until it is undone, if the store can.
	Lock(ctx context.Context) (unlock func() error, err error)
	// Leaves are the names of servers' and clients' certificates that are there, as far as the store can tell.
	Leaves(ctx context.Context) ([]string, error)
}

// Signer is an authority that lives elsewhere.
type Signer interface {
	// Anchor is the certificate that has to be trusted.
	Anchor(ctx context.Context) (*x509.Certificate, error)
	// Sign makes the certificate of a template for a key's public half, followed by what leads to the anchor; PEM.
	Sign(ctx context.Context, template *x509.Certificate, key crypto.Signer) ([]byte, error)
}

// Client is one who gets a certificate.
type Client struct {
	// Name is part of the names of files and secrets.
	Name string
	// CommonName is the user whom the certificate stands for.
	CommonName string
}

// Wanted is what a store should hold.
type Wanted struct {
	// ServerNames are host names and addresses of the frontends; empty leaves the server's certificate as it is, but for
	// its time.
	ServerNames []string
	Clients     []Client
	// Validity is how long certificates of servers and clients last, AuthorityValidity those of authorities.
	Validity, AuthorityValidity time.Duration
	// RenewBefore is how long before its end a certificate is replaced; 0 for a third of Validity.
	RenewBefore time.Duration
	// Overlap is how long an authority is trusted before it signs, and after it was last used: the time in which what is
	// in the store reaches everybody.
	Overlap time.Duration
	// Force replaces certificates of servers and clients that are not due; Rotate begins with a new authority.
	Force, Rotate bool
}

// namePattern is what clients may be called.
var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Check tells what of the settings cannot be.
func (w Wanted) Check() error {
	if len(w.Clients) > clientsMax {
		return fmt.Errorf("there are %d clients, more than %d", len(w.Clients), clientsMax)
	}
	seen := make(map[string]bool)
	for _, c := range w.Clients {
		switch {
		case !namePattern.MatchString(c.Name):
			return fmt.Errorf("a client's name must be lower-case letters, digits and hyphens, not %q", c.Name)
		case c.CommonName == "":
			return fmt.Errorf("the client %s has no common name", c.Name)
		case seen[c.Name]:
			return fmt.Errorf("the client %s is named twice", c.Name)
		}
		seen[c.Name] = true
	}
	for _, name := range w.ServerNames {
		if err := checkHost(name); err != nil {
			return err
		}
	}
	switch {
	case w.Validity <= 0:
		return fmt.Errorf("the validity must be more than 0, not %v", w.Validity)
	case w.AuthorityValidity < lifetimesOfLeaves*w.Validity:
		return fmt.Errorf("the authority's validity must be at least %d times that of certificates, %v, not %v", lifetimesOfLeaves, w.Validity, w.AuthorityValidity)
	case w.RenewBefore < 0 || w.RenewBefore >= w.Validity:
		return fmt.Errorf("the time to renew before the end must be less than the validity, %v, not %v", w.Validity, w.RenewBefore)
	case w.Overlap < 0 || w.Overlap >= w.Validity:
		return fmt.Errorf("the overlap of authorities must be less than the validity, %v, not %v", w.Validity, w.Overlap)
	}
	return nil
}

// renewBefore is RenewBefore or what it means.
func (w Wanted) renewBefore() time.Duration {
	if w.RenewBefore > 0 {
		return w.RenewBefore
	}
	return w.Validity / 3
}

// ClientEntry is the name under which a client's certificate is kept.
func ClientEntry(name string) string { return clientPrefix + name }

// Components are what Renew works with.
type Components struct {
	Store Store
	// Signer is an authority that lives elsewhere; nil for one in the store.
	Signer Signer
	Now    func() time.Time
	Random io.Reader
}

// Action is one thing that a run has done or found.
type Action struct {
	// Name is that in the store, What what became of it, in words.
	Name, What string
	// Expires is when it ends; zero if that has no meaning.
	Expires time.Time
	// Changed tells that the run has written it.
	Changed bool
}

// Report is what a run has done, in its order.
type Report struct{ Actions []Action }

// Changed tells whether the run has written anything.
func (r Report) Changed() bool {
	for _, a := range r.Actions {
		if a.Changed {
			return true
		}
	}
	return false
}
