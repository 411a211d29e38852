package pki

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// leaf is what a certificate of a server or a client should be.
type leaf struct {
	name string
	// hosts are a server's names, commonName a client's; both empty for what is there already.
	hosts      []string
	commonName string
}

// renewLeaves renews what is due, and then lets go of authorities that nothing needs any more.
func (r *run) renewLeaves(ctx context.Context) error {
	leaves, err := r.leaves(ctx)
	if err != nil {
		return err
	}
	inUse := make([][]*x509.Certificate, 0, len(leaves))
	replaced := false
	var failures []error
	for _, l := range leaves {
		chain, made, err := r.renewLeaf(ctx, l)
		switch {
		case errors.Is(err, ErrChanged) || ctx.Err() != nil:
			return fmt.Errorf("renew %s: %w", l.name, err)
		case err != nil: // the others shall not expire for it
			failures = append(failures, fmt.Errorf("renew %s: %w", l.name, err))
			continue
		}
		inUse, replaced = append(inUse, chain), replaced || made
	}
	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	if replaced || r.added != nil {
		return nil // one step in each run
	}
	return r.letGo(ctx, inUse)
}

// leaves are those that are wanted, and those that are there besides.
func (r *run) leaves(ctx context.Context) ([]leaf, error) {
	var leaves []leaf
	if len(r.wanted.ServerNames) > 0 {
		leaves = append(leaves, leaf{name: Server, hosts: sortedHosts(r.wanted.ServerNames)})
	}
	for _, c := range r.wanted.Clients {
		leaves = append(leaves, leaf{name: ClientEntry(c.Name), commonName: c.CommonName})
	}
	there, err := r.parts.Store.Leaves(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range there {
		if !slices.ContainsFunc(leaves, func(l leaf) bool { return l.name == name }) {
			leaves = append(leaves, leaf{name: name})
		}
	}
	return leaves, nil
}

// renewLeaf renews one, if it has to be, and gives what is in the store then.
func (r *run) renewLeaf(ctx context.Context, l leaf) (chain []*x509.Certificate, made bool, err error) {
	entry, err := r.parts.Store.Read(ctx, l.name)
	if err != nil {
		return nil, false, err
	}
	chain, unusable := parsePair(entry.Secret)
	why, urgent := r.due(l, entry, chain, unusable)
	switch {
	case why == "":
		r.note(l.name, false, chain[0].NotAfter, "kept")
		return chain, false, nil
	case !r.settled && !urgent:
		r.note(l.name, false, chain[0].NotAfter, "kept, although %s: its new authority is not trusted for long enough", why)
		return chain, false, nil
	case unusable != nil && len(l.hosts) == 0 && l.commonName == "":
		return nil, false, fmt.Errorf("%s, and its names are not known: %w", why, unusable)
	}
	if len(l.hosts) == 0 && l.commonName == "" {
		l.hosts, l.commonName = hostsOf(chain[0]), chain[0].Subject.CommonName
	}
	secret, err := r.issue(ctx, l)
	if err != nil {
		return nil, false, err
	}
	if chain, err = parsePair(secret); err != nil {
		return nil, false, fmt.Errorf("read what was signed: %w", err)
	}
	if _, err := r.parts.Store.Write(ctx, l.name, secret, entry.Version); err != nil {
		return nil, false, err
	}
	r.note(l.name, true, chain[0].NotAfter, "made, as %s", why)
	return chain, true, nil
}

// due says why a certificate has to be replaced, if so, and whether that cannot wait.
func (r *run) due(l leaf, entry Entry, chain []*x509.Certificate, unusable error) (why string, urgent bool) {
	switch {
	case entry.Version == "":
		return "there was none", true
	case unusable != nil:
		return "it could not be used", true
	case !r.now.Before(chain[0].NotAfter):
		return "it had expired", true
	case len(l.hosts) > 0 && !slices.Equal(l.hosts, hostsOf(chain[0])):
		return "it was for " + strings.Join(hostsOf(chain[0]), ", "), false
	case l.commonName != "" && l.commonName != chain[0].Subject.CommonName:
		return "it was for " + chain[0].Subject.CommonName, false
	case !r.signedByNow(chain):
		return "its authority is on its way out", false
	case r.wanted.Force:
		return "wanted", false
	case chain[0].NotAfter.Sub(r.now) <= r.wanted.renewBefore() && r.ends().After(chain[0].NotAfter.Add(backdated)):
		return "it was due", false
	}
	return "", false
}

// signedByNow tells whether a certificate is from who signs now, or from one that comes after.
func (r *run) signedByNow(chain []*x509.Certificate) bool {
	return slices.ContainsFunc(r.signers[r.chosen:], func(s signer) bool { return leadsTo(chain, s.anchor) })
}

// ends is when a certificate ends that is made now.
func (r *run) ends() time.Time {
	ends := r.now.Add(r.wanted.Validity)
	if last := r.signers[r.chosen].anchor.NotAfter; last.Before(ends) {
		return last
	}
	return ends
}

// issue makes a key and has its certificate signed.
func (r *run) issue(ctx context.Context, l leaf) (Secret, error) {
	serial, err := newSerial(r.parts.Random)
	if err != nil {
		return Secret{}, err
	}
	key, err := newKey(r.parts.Random)
	if err != nil {
		return Secret{}, err
	}
	template := l.template()
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, r.now.Add(-backdated), r.ends()
	certificate, err := r.signers[r.chosen].Sign(ctx, template, key)
	if err != nil {
		return Secret{}, err
	}
	encoded, err := encodeKey(key)
	return Secret{Certificate: certificate, Key: encoded}, err
}

// template is what a certificate says beside its time. A frontend's may identify a client as well, as etcd's own do, so that
// it serves an etcd too; it has no common name, and so is no user.
func (l leaf) template() *x509.Certificate {
	template := &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"tierd"}, CommonName: l.commonName},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	for _, host := range l.hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if l.name == Server {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	return template
}

// letGo takes authorities out of what is trusted that have signed nothing which may be in use.
func (r *run) letGo(ctx context.Context, inUse [][]*x509.Certificate) error {
	for _, chain := range inUse {
		if r.now.Before(chain[0].NotBefore.Add(backdated + r.wanted.Overlap)) {
			return nil // the one before may be in use still
		}
	}
	keep := func(a anchor) bool {
		return !a.ours ||
			slices.ContainsFunc(r.signers[r.chosen:], func(s signer) bool { return s.anchor.Equal(a.certificate) }) ||
			slices.ContainsFunc(inUse, func(chain []*x509.Certificate) bool { return leadsTo(chain, a.certificate) })
	}
	var gone []anchor
	for _, a := range r.trusted {
		if !keep(a) {
			gone = append(gone, a)
		}
	}
	if len(gone) > 0 {
		r.trusted = slices.DeleteFunc(slices.Clone(r.trusted), func(a anchor) bool { return !keep(a) })
		if err := r.writeTrust(ctx); err != nil {
			return err
		}
	}
	for _, a := range gone {
		r.note(Trust, true, time.Time{}, "trusts %s no more", a.certificate.Subject.CommonName)
	}
	return r.forgetKeys(ctx)
}

// forgetKeys takes the keys of authorities out of the store that are trusted no more.
func (r *run) forgetKeys(ctx context.Context) error {
	left := slices.DeleteFunc(slices.Clone(r.authorities), func(a *authority) bool { return r.trusted.find(a.certificate) < 0 })
	if len(left) == len(r.authorities) && !r.leftover {
		return nil
	}
	r.authorities = left
	return r.writeAuthorities(ctx)
}
