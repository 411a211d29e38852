package pki

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// Item is a certificate in a store.
type Item struct {
	Name string
	// For is whom or what the certificate is for, By who has signed it.
	For, By string
	Expires time.Time
	// Problem says why it cannot be used; empty if it can.
	Problem string
}

// List tells what is in a store, without what signs: what is trusted, and certificates of servers and clients. Those of
// clients are asked for besides what the store can tell of.
func List(ctx context.Context, store Store, clients []string, now time.Time) ([]Item, error) {
	names, err := store.Leaves(ctx)
	if err != nil {
		return nil, err
	}
	names = append([]string{Trust, Server}, names...)
	for _, client := range clients {
		names = append(names, ClientEntry(client))
	}
	var items []Item
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			continue
		}
		entry, err := store.Read(ctx, name)
		if err != nil {
			return items, fmt.Errorf("read %s: %w", name, err)
		}
		items = append(items, listed(name, entry, now)...)
	}
	return items, nil
}

// listed are the items of an entry.
func listed(name string, entry Entry, now time.Time) []Item {
	if entry.Version == "" {
		return []Item{{Name: name, Problem: ErrMissing.Error()}}
	}
	certificates, err := parseCertificates(entry.Secret.Certificate)
	if name != Trust && err == nil {
		certificates, err = parsePair(entry.Secret)
	}
	if err != nil {
		return []Item{{Name: name, Problem: err.Error()}}
	}
	if name != Trust {
		certificates = certificates[:1]
	}
	var items []Item
	for _, c := range certificates {
		item := Item{Name: name, For: subject(c), By: c.Issuer.CommonName, Expires: c.NotAfter}
		if !now.Before(c.NotAfter) {
			item.Problem = "expired"
		}
		items = append(items, item)
	}
	return items
}

// subject is whom a certificate is for, in words.
func subject(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	text := ""
	for _, host := range hostsOf(c) {
		if text != "" {
			text += ","
		}
		text += host
	}
	return text
}
