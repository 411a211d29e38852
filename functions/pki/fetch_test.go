package pki_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tierd/tierd/functions/pki"
)

func TestFetch(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := filepath.Join(t.TempDir(), "to")
	to := pki.NewDirectory(dir)
	names, err := pki.FetchNames(t.Context(), b.store)
	if err != nil || !slices.Equal(names, []string{"server", "ca"}) {
		t.Fatalf("%q, %v", names, err)
	}
	fetch := func(names ...string) ([]string, error) { return pki.Fetch(t.Context(), b.store, names, to) }
	if _, err := fetch(names...); !errors.Is(err, pki.ErrMissing) {
		t.Errorf("from an empty store: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
	b.renew(wanted())
	if changed, err := fetch("client-root", "server", "ca"); err != nil || !slices.Equal(changed, []string{"ca", "server", "client-root"}) {
		t.Errorf("%q, %v", changed, err)
	}
	if changed, err := fetch("client-root", "server", "ca"); err != nil || len(changed) != 0 {
		t.Errorf("a second time: %q, %v", changed, err)
	}
	if err := pki.Check(t.Context(), to, []string{"ca", "server", "client-root"}, b.now); err != nil {
		t.Error(err)
	}
	if err := pki.Check(t.Context(), to, []string{"ca", "server", "client-apiserver"}, b.now); !errors.Is(err, pki.ErrMissing) {
		t.Errorf("of what was not fetched: %v", err)
	}
	if err := pki.Check(t.Context(), to, []string{"server"}, b.now.Add(validity)); err == nil {
		t.Error("what has expired can be used")
	}
	for _, name := range []string{pki.Authority, "client-../x", "other", ""} {
		if _, err := fetch(name, "ca"); err == nil {
			t.Errorf("%q was fetched", name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "ca.key")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the authority's key was fetched: %v", err)
	}
	w := wanted()
	w.Force = true
	b.renew(w)
	if changed, err := fetch("ca", "client-root"); err != nil || !slices.Equal(changed, []string{"client-root"}) {
		t.Errorf("%q, %v", changed, err)
	}
}

// torn is a store whose pair does not fit.
type torn struct{ pki.Store }

func (s torn) Read(ctx context.Context, name string) (pki.Entry, error) {
	entry, err := s.Store.Read(ctx, name)
	if other, _ := s.Store.Read(ctx, "client-root"); name == pki.Server {
		entry.Secret.Key = other.Secret.Key
	}
	return entry, err
}

// What cannot be used is not handed out, nor is anything beside it.
func TestFetchOfATornPair(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.renew(wanted())
	to := pki.NewDirectory(filepath.Join(t.TempDir(), "to"))
	if changed, err := pki.Fetch(t.Context(), torn{b.store}, []string{"client-root", "server", "ca"}, to); err == nil || len(changed) != 0 {
		t.Errorf("%q, %v", changed, err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	list := func(clients ...string) (names []string, problems int) {
		t.Helper()
		items, err := pki.List(t.Context(), b.store, clients, b.now)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			names = append(names, i.Name+" "+i.For)
			if i.Problem != "" {
				problems++
			}
		}
		return names, problems
	}
	if names, problems := list(); problems != 2 {
		t.Errorf("%d problems with %q", problems, names)
	}
	b.renew(wanted())
	authority := b.trusted()[0].Subject.CommonName
	want := []string{"ca " + authority, "server 10.0.0.1,tierd.example", "client-apiserver kube-apiserver", "client-root root"}
	if names, problems := list("root"); problems != 0 || !slices.Equal(names, want) {
		t.Errorf("%d problems with %q, want %q", problems, names, want)
	}
	b.now = b.now.Add(validity)
	if names, problems := list(); problems != 3 {
		t.Errorf("%d problems with %q", problems, names)
	}
}
