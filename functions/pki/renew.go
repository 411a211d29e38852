package pki

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Renew makes a store hold what is wanted, as far as one run goes. It is for running each day.
func Renew(ctx context.Context, parts Components, wanted Wanted) (report Report, err error) {
	if err := wanted.Check(); err != nil {
		return Report{}, err
	}
	if wanted.Rotate && parts.Signer != nil {
		return Report{}, errors.New("an authority that lives elsewhere is replaced by naming another one")
	}
	unlock, err := parts.Store.Lock(ctx)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	for range attemptsMax {
		r := &run{parts: parts, wanted: wanted, now: parts.Now()}
		err = r.all(ctx)
		if !errors.Is(err, ErrChanged) {
			report.Actions = append(report.Actions, r.actions...)
			return report, err
		}
		// What this attempt has written stays; the next one goes on from what is there now.
		report.Actions = append(report.Actions, slices.DeleteFunc(r.actions, func(a Action) bool { return !a.Changed })...)
		if paused := pause(ctx); paused != nil {
			return report, errors.Join(err, paused)
		}
	}
	return report, err
}

// pause gives others the time to end what they write.
func pause(ctx context.Context) error {
	timer := time.NewTimer(changedPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// signer is one who may sign in this run.
type signer struct {
	Signer
	anchor *x509.Certificate
}

// run is one attempt.
type run struct {
	parts   Components
	wanted  Wanted
	now     time.Time
	actions []Action

	trusted        bundle
	trustedVersion string
	// authorities are those of the store, the oldest first, without those of which nothing but the key was left over; added
	// is the one that became trusted in this run.
	authorities        []*authority
	authoritiesVersion string
	leftover           bool
	added              *x509.Certificate
	// signers are who may sign, the oldest first; chosen is the place of who does, settled whether everybody may be
	// expected to trust it.
	signers []signer
	chosen  int
	settled bool
}

func (r *run) all(ctx context.Context) error {
	steps := []func(context.Context) error{r.readTrust, r.findSigners, r.trustNewest, r.choose, r.renewLeaves}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// note takes down what was done or found.
func (r *run) note(name string, changed bool, expires time.Time, format string, args ...any) {
	r.actions = append(r.actions, Action{Name: name, What: fmt.Sprintf(format, args...), Expires: expires, Changed: changed})
}

func (r *run) readTrust(ctx context.Context) error {
	entry, err := r.parts.Store.Read(ctx, Trust)
	if err != nil || entry.Version == "" {
		return err
	}
	r.trustedVersion = entry.Version
	if r.trusted, err = parseBundle(entry.Secret.Certificate); err != nil {
		return fmt.Errorf("read %s: %w: %w", Trust, ErrUnreadable, err)
	}
	return nil
}

// findSigners reads who may sign, and makes an authority where one is missing, due or wanted.
func (r *run) findSigners(ctx context.Context) error {
	if r.parts.Signer != nil {
		anchor, err := r.parts.Signer.Anchor(ctx)
		if err != nil {
			return err
		}
		r.signers = []signer{{Signer: r.parts.Signer, anchor: anchor}}
		return nil
	}
	if err := r.readAuthorities(ctx); err != nil {
		return err
	}
	if why := r.needsAuthority(); why != "" {
		made, err := newAuthority(r.now, r.wanted.AuthorityValidity, r.parts.Random)
		if err != nil {
			return err
		}
		r.authorities = append(r.authorities, made)
		if err := r.writeAuthorities(ctx); err != nil {
			return err
		}
		r.note(Authority, true, made.certificate.NotAfter, "made, %s: %s", why, made.certificate.Subject.CommonName)
	}
	for _, a := range r.authorities {
		r.signers = append(r.signers, signer{Signer: a, anchor: a.certificate})
	}
	return nil
}

func (r *run) readAuthorities(ctx context.Context) error {
	entry, err := r.parts.Store.Read(ctx, Authority)
	if err != nil || entry.Version == "" {
		return err
	}
	r.authoritiesVersion = entry.Version
	if r.authorities, err = parseAuthorities(entry.Secret, r.parts.Random); err != nil {
		return fmt.Errorf("read %s: %w: %w", Authority, ErrUnreadable, err)
	}
	// Those that are not trusted any more are what a run has left that ended before it took them out; only the newest
	// may be one that is not trusted yet.
	all := r.authorities
	newest := all[len(all)-1]
	r.authorities = slices.DeleteFunc(slices.Clone(all), func(a *authority) bool { return a != newest && r.trusted.find(a.certificate) < 0 })
	r.leftover = len(r.authorities) < len(all)
	return nil
}

// needsAuthority says why another authority has to be made, if so.
func (r *run) needsAuthority() string {
	if len(r.authorities) == 0 {
		return "as there was none"
	}
	newest := r.authorities[len(r.authorities)-1].certificate
	full := len(r.authorities) == authoritiesMax
	switch lifetime := newest.NotAfter.Sub(newest.NotBefore); {
	case r.wanted.Rotate && len(r.authorities) > 1:
		r.note(Authority, false, newest.NotAfter, "kept, as a change to %s is under way", newest.Subject.CommonName)
	case r.wanted.Rotate:
		return "as wanted"
	case newest.NotAfter.Sub(r.now) < lifetime/3 && !full:
		return "as the last one ends soon"
	}
	return ""
}

func (r *run) writeAuthorities(ctx context.Context) error {
	secret, err := encodeAuthorities(r.authorities)
	if err != nil {
		return err
	}
	version, err := r.parts.Store.Write(ctx, Authority, secret, r.authoritiesVersion)
	if err != nil {
		return fmt.Errorf("write %s: %w", Authority, err)
	}
	r.authoritiesVersion = version
	return nil
}

// trustNewest has everybody trust who signs next.
func (r *run) trustNewest(ctx context.Context) error {
	newest := r.signers[len(r.signers)-1].anchor
	if r.trusted.find(newest) >= 0 {
		return nil
	}
	r.added = newest
	r.trusted = append(r.trusted, anchor{certificate: newest, since: r.now, ours: true})
	if err := r.writeTrust(ctx); err != nil {
		return err
	}
	r.note(Trust, true, newest.NotAfter, "trusts %s", newest.Subject.CommonName)
	return nil
}

func (r *run) writeTrust(ctx context.Context) error {
	version, err := r.parts.Store.Write(ctx, Trust, Secret{Certificate: r.trusted.encode()}, r.trustedVersion)
	if err != nil {
		return fmt.Errorf("write %s: %w", Trust, err)
	}
	r.trustedVersion = version
	return nil
}

// choose finds who signs: the newest that has been trusted for long enough, or else the oldest.
func (r *run) choose(context.Context) error {
	for i, s := range slices.Backward(r.signers) {
		at := r.trusted.find(s.anchor)
		if at < 0 || s.anchor.Equal(r.added) || !r.now.Before(s.anchor.NotAfter) {
			continue
		}
		if !r.now.Before(r.trusted[at].since.Add(r.wanted.Overlap)) {
			r.chosen, r.settled = i, true
			return nil
		}
	}
	r.chosen = slices.IndexFunc(r.signers, func(s signer) bool { return r.now.Before(s.anchor.NotAfter) })
	if r.chosen < 0 {
		return errors.New("the authority has expired")
	}
	r.settled = r.trusted.first(r.signers[r.chosen].anchor, r.now)
	return nil
}
