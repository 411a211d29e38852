package pki_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tierd/tierd/functions/pki"
)

// memory is a store without files, whose writes can fail.
type memory struct {
	mu      sync.Mutex
	entries map[string]pki.Entry
	writes  int
	// fail is the number of a write, from 1, that fails; done tells whether it is carried out all the same.
	fail int
	done bool
}

var errBroken = errors.New("the connection is gone")

func (m *memory) Lock(context.Context) (func() error, error) { return func() error { return nil }, nil }

func (m *memory) Leaves(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m.entries)), func(name string) bool { return name == pki.Trust || name == pki.Authority }), nil
}

func (m *memory) Read(_ context.Context, name string) (pki.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries[name], nil
}

func (m *memory) Write(_ context.Context, name string, s pki.Secret, version string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries[name].Version != version {
		return "", pki.ErrChanged
	}
	m.writes++
	next := fmt.Sprint(m.writes)
	if m.writes != m.fail || m.done {
		m.entries[name] = pki.Entry{Secret: s, Version: next}
	}
	if m.writes == m.fail {
		return "", errBroken
	}
	return next, nil
}

func newMemory() *memory { return &memory{entries: make(map[string]pki.Entry)} }

// Each write of a whole life (the first run, a renewal, a change of authorities) fails once, before or after it was done. What
// is there can be used at every moment, and the next runs bring it to its end.
func TestEachWriteFails(t *testing.T) {
	t.Parallel()
	runs := []func(*pki.Wanted){
		func(*pki.Wanted) {}, func(w *pki.Wanted) { w.Force = true }, func(w *pki.Wanted) { w.Rotate = true },
		func(*pki.Wanted) {}, func(*pki.Wanted) {}, func(*pki.Wanted) {},
	}
	life := func(t *testing.T, m *memory) (failures int) {
		b := newBench(t)
		b.store = m
		for _, change := range runs {
			w := wanted()
			w.Overlap = 0
			change(&w)
			_, err := pki.Renew(t.Context(), b.parts(), w)
			b.holds()
			if err != nil && !errors.Is(err, errBroken) {
				t.Fatal(err)
			}
			if err != nil {
				failures++
				_, err = pki.Renew(t.Context(), b.parts(), w)
				b.holds()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			w := wanted()
			w.Overlap = 0
			b.renew(w)
		}
		if got := len(b.trusted()); got != 1 {
			t.Errorf("%d authorities are trusted in the end", got)
		}
		if keys := strings.Count(string(b.entry(pki.Authority).Secret.Key), "BEGIN"); keys != 1 {
			t.Errorf("%d keys are kept in the end", keys)
		}
		return failures
	}
	whole := newMemory()
	life(t, whole)
	if whole.writes < 12 {
		t.Fatalf("a life has %d writes", whole.writes)
	}
	for number := range whole.writes {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d done %v", number+1, done), func(t *testing.T) {
				t.Parallel()
				m := newMemory()
				m.fail, m.done = number+1, done
				if life(t, m) != 1 {
					t.Error("no write has failed")
				}
			})
		}
	}
}

// Runs at once in one directory wait for each other.
func TestRunsAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var running sync.WaitGroup
	var mu sync.Mutex
	written := make(map[string]int)
	for range 4 {
		running.Go(func() {
			parts := b.parts()
			parts.Store = pki.NewDirectory(b.dir)
			report, err := pki.Renew(t.Context(), parts, wanted())
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			for _, a := range report.Actions {
				if a.Changed {
					written[a.Name]++
				}
			}
		})
	}
	running.Wait()
	b.holds()
	for _, name := range each() {
		if written[name] != 1 {
			t.Errorf("%s was written %d times", name, written[name])
		}
	}
}

// A run that cannot have the directory ends when it is told to.
func TestLockIsHeld(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	unlock, err := b.store.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := pki.Renew(ctx, b.parts(), wanted()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	b.wants(b.renew(wanted()), each())
}

// What killed runs have left of pairs goes with the next run, also if that writes nothing.
func TestLeftoversGo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.renew(wanted())
	now, err := os.Readlink(filepath.Join(b.dir, ".server"))
	if err != nil {
		t.Fatal(err)
	}
	pairs := func() (names []string) {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(b.dir, ".server-*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			names = append(names, filepath.Base(path))
		}
		return names
	}
	start := time.Now()
	for i, name := range []string{".server-0000000000000001", ".server-0000000000000002", ".server-0000000000000003"} {
		path := filepath.Join(b.dir, name)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, start, start.Add(time.Duration([]int{1, 3, 2}[i])*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	b.renew(wanted()) // nothing is due, and nothing written
	want := []string{".server-0000000000000002", now}
	slices.Sort(want)
	if got := pairs(); !slices.Equal(got, want) {
		t.Errorf("pairs that are left: %v, want the one in use and the last other one: %v", got, want)
	}
}

// What is broken is made anew, but for what others trust.
func TestBrokenFiles(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.renew(wanted())
	at := func(name string) string { return filepath.Join(b.dir, name) }
	if err := os.Remove(at("server.key")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("client-root.crt"), []byte("-----BEGIN"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.wants(b.renew(wanted()), []string{"server", "client-root"})
	for _, name := range []string{"ca.crt", "ca.key"} {
		good, err := os.ReadFile(at(name))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range [][]byte{[]byte("x"), good[:len(good)/2], bytes.Repeat(good, 5)[:len(good)*5-20], append([]byte("no PEM"), good[100:]...)} {
			if err := os.WriteFile(at(name), text, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := pki.Renew(t.Context(), b.parts(), wanted()); !errors.Is(err, pki.ErrUnreadable) {
				t.Errorf("%s with %d of %d bytes: %v", name, len(text), len(good), err)
			}
		}
		if err := os.WriteFile(at(name), good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.wants(b.renew(wanted()), nil)
	// A client whose files say nothing of its names keeps nobody else from being renewed.
	if err := os.WriteFile(at("client-lost.crt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(validity * 3 / 4)
	report, err := pki.Renew(t.Context(), b.parts(), wanted())
	if err == nil || !strings.Contains(err.Error(), "client-lost") || len(report.Actions) != 3 {
		t.Errorf("got %v after %+v", err, report)
	}
}

// An authority that somebody else has put into the bundle stays there.
func TestForeignAuthoritiesStay(t *testing.T) {
	t.Parallel()
	other := newBench(t)
	other.renew(wanted())
	foreign, _, _ := bytes.Cut(other.entry(pki.Trust).Secret.Certificate, []byte("\n")) // without the line of this package
	foreign = bytes.TrimPrefix(other.entry(pki.Trust).Secret.Certificate, foreign)
	b := newBench(t)
	b.renew(wanted())
	entry := b.entry(pki.Trust)
	if _, err := b.store.Write(t.Context(), pki.Trust, pki.Secret{Certificate: slices.Concat(entry.Secret.Certificate, foreign)}, entry.Version); err != nil {
		t.Fatal(err)
	}
	w := wanted()
	w.Overlap, w.Rotate = 0, true
	for range 4 {
		b.renew(w)
		w.Rotate = false
	}
	trusted := b.trusted()
	if len(trusted) != 2 || !trusted[0].Equal(other.trusted()[0]) {
		t.Errorf("%d authorities are trusted, or not the one from outside", len(trusted))
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*pki.Wanted){
		"a client's name":            func(w *pki.Wanted) { w.Clients[0].Name = "../x" },
		"a client's name must":       func(w *pki.Wanted) { w.Clients[0].Name = "" },
		"no common name":             func(w *pki.Wanted) { w.Clients[0].CommonName = "" },
		"named twice":                func(w *pki.Wanted) { w.Clients[0].Name = "root" },
		"a server's name":            func(w *pki.Wanted) { w.ServerNames[0] = "https://x" },
		"the validity must":          func(w *pki.Wanted) { w.Validity = 0 },
		"the authority's validity":   func(w *pki.Wanted) { w.AuthorityValidity = validity },
		"the time to renew":          func(w *pki.Wanted) { w.RenewBefore = validity },
		"the overlap of authorities": func(w *pki.Wanted) { w.Overlap = validity },
	} {
		w := wanted()
		change(&w)
		if err := w.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", want, err)
		}
	}
	w := wanted()
	w.ServerNames = []string{"*.tierd.example", "localhost", "::1", "a-b.c"}
	if err := w.Check(); err != nil {
		t.Error(err)
	}
}

func TestSecretsPrintAsNothing(t *testing.T) {
	t.Parallel()
	s := pki.Secret{Certificate: []byte("CERT"), Key: []byte("KEY")}
	if text := fmt.Sprintf("%v %+v %#v %s", s, pki.Entry{Secret: s}, s, &s); strings.Contains(text, "KEY") || strings.Contains(text, "75") {
		t.Errorf("it prints as %s", text)
	}
}
