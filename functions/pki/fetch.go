package pki

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrMissing means that something is not there yet.
var ErrMissing = errors.New("it is not there yet")

// FetchNames are what Fetch copies by default: what everybody trusts, and the certificates that the store can tell of.
func FetchNames(ctx context.Context, store Store) ([]string, error) {
	names, err := store.Leaves(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, Server) {
		names = append(names, Server)
	}
	return append(names, Trust), nil
}

// Fetch copies secrets to a directory, those that have changed, and says which. Nothing is written unless all of it is
// there and can be used; ErrMissing is among the errors if some of it is not there.
func Fetch(ctx context.Context, store Store, names []string, to *Directory) (changed []string, err error) {
	found := make(map[string]Secret)
	// The bundle last, so that it is no older than what has to be trusted; it is written first.
	for _, name := range trustLast(names) {
		entry, err := store.Read(ctx, name)
		if err == nil {
			err = usable(name, entry)
		}
		if err != nil {
			return nil, fmt.Errorf("fetch %s: %w", name, err)
		}
		found[name] = entry.Secret
	}
	unlock, err := to.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	for _, name := range slices.Backward(trustLast(names)) {
		there, err := to.Read(ctx, name)
		if err != nil {
			return changed, err
		}
		if there.Version == found[name].digest() {
			continue
		}
		if _, err := to.Write(ctx, name, found[name], there.Version); err != nil {
			return changed, err
		}
		changed = append(changed, name)
	}
	return changed, nil
}

// Check tells whether a directory holds secrets that can be used now.
func Check(ctx context.Context, in *Directory, names []string, now time.Time) error {
	var problems []error
	for _, name := range names {
		entry, err := in.Read(ctx, name)
		if err == nil {
			err = usable(name, entry)
		}
		if err == nil && name != Trust {
			chain, _ := parsePair(entry.Secret)
			if !now.Before(chain[0].NotAfter) {
				err = fmt.Errorf("it has expired at %s", chain[0].NotAfter.Format(time.RFC3339))
			}
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(problems...)
}

// trustLast has the bundle at the end.
func trustLast(names []string) []string {
	others := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == Trust })
	if len(others) < len(names) {
		others = append(others, Trust)
	}
	return others
}

// usable tells whether a secret is one that may be handed out.
func usable(name string, entry Entry) error {
	switch {
	case name == Authority:
		return errors.New("it is for nobody but who signs")
	case !handedOut(name):
		return fmt.Errorf("there is no %q: there are %s, %s and %sNAME", name, Trust, Server, clientPrefix)
	case entry.Version == "":
		return ErrMissing
	case name == Trust:
		_, err := parseCertificates(entry.Secret.Certificate)
		return err
	default:
		_, err := parsePair(entry.Secret)
		return err
	}
}

// handedOut tells whether a name is one of what others than the signer get.
func handedOut(name string) bool {
	client, isClient := strings.CutPrefix(name, clientPrefix)
	return name == Trust || name == Server || isClient && namePattern.MatchString(client)
}
