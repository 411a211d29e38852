package vault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/backup/seal"
	"github.com/tierd/tierd/backup/vault"
	"github.com/tierd/tierd/router"
)

var _ router.Sealing = (*vault.Vault)(nil)

// master is a key file of the test's own.
func master(t testing.TB, name string) seal.Master {
	t.Helper()
	m, err := seal.OpenKeyFile(filepath.Join(t.TempDir(), name), true, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// clock is a time that the test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func open(keyspace string, m seal.Master, insist bool, now func() time.Time) *vault.Vault {
	return vault.New(vault.Settings{Keyspace: keyspace, Insist: insist}, vault.Components{
		Master: func(context.Context, bool) (seal.Master, error) {
			if m == nil {
				return nil, errors.New("no key file")
			}
			return m, nil
		}, Random: rand.Reader, Now: now})
}

// configured is a vault that goes by a setting.
func configured(t testing.TB, keyspace string, m seal.Master, text string) *vault.Vault {
	t.Helper()
	v := open(keyspace, m, false, newClock().Now)
	if err := v.Configure(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	return v
}

// setting is one by which values are sealed.
func setting(t testing.TB, keyspace string, m seal.Master) string {
	t.Helper()
	text, err := open(keyspace, m, false, newClock().Now).TurnOn(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func sealed(t testing.TB, v *vault.Vault, key, value string) []byte {
	t.Helper()
	stored, is, err := v.Seal([]byte(key), []byte(value))
	if err != nil || !is {
		t.Fatalf("seal: sealed %v, error %v", is, err)
	}
	return stored
}

// TestSealedValues: what was sealed opens for its key, in its keyspace, with its data key, as it was, and
// in no other way.
func TestSealedValues(t *testing.T) {
	t.Parallel()
	m := master(t, "key")
	text := setting(t, "one", m)
	v, again := configured(t, "one", m, text), configured(t, "one", m, text)
	rapid.Check(t, func(r *rapid.T) {
		key, value := rapid.SliceOf(rapid.Byte()).Draw(r, "key"), rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(r, "value")
		stored, is, err := v.Seal(key, value)
		if err != nil || !is || len(stored) != len(value)+vault.Overhead || !v.Current(stored, true) || v.Current(stored, false) {
			r.Fatalf("seal gave %d bytes for %d, sealed %v, error %v", len(stored), len(value), is, err)
		}
		if len(value) > 8 && bytes.Contains(stored, value) {
			r.Fatal("the value is in what is stored")
		}
		if opened, err := again.Open(t.Context(), key, stored); err != nil || !bytes.Equal(opened, value) {
			r.Fatalf("opened as %x: %v", opened, err)
		}
		if _, err := v.Open(t.Context(), append([]byte("x"), key...), stored); !errors.Is(err, router.ErrSealAltered) {
			r.Fatalf("opened for another key: %v", err)
		}
		at := rapid.IntRange(5, len(stored)-1).Draw(r, "at")
		stored[at] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
		if _, err := v.Open(t.Context(), key, stored); !errors.Is(err, router.ErrSealAltered) {
			r.Fatalf("opened after a change: %v", err)
		}
	})
	if bytes.Equal(sealed(t, v, "k", "v"), sealed(t, v, "k", "v")) {
		t.Error("the same value is sealed to the same bytes")
	}
}

// TestBoundToKeyspace: neither a value nor a data key opens in a keyspace of another name.
func TestBoundToKeyspace(t *testing.T) {
	t.Parallel()
	m := master(t, "key")
	text := setting(t, "one", m)
	if err := open("two", m, false, newClock().Now).Configure(t.Context(), text); !errors.Is(err, router.ErrSealKey) {
		t.Errorf("the keys of another keyspace: %v", err)
	}
	if err := open("one", master(t, "other"), false, newClock().Now).Configure(t.Context(), text); !errors.Is(err, router.ErrSealKey) {
		t.Errorf("another master key: %v", err)
	}
	if err := open("one", nil, false, newClock().Now).Configure(t.Context(), text); !errors.Is(err, router.ErrSealKey) {
		t.Errorf("no master key: %v", err)
	}
}

// TestRotation: values of a former key stay readable until that key is dropped, and in this process after it;
// numbers are not used twice.
func TestRotation(t *testing.T) {
	t.Parallel()
	m, clock := master(t, "key"), newClock()
	v := open("one", m, false, clock.Now)
	steps := func(text string, err error) string {
		t.Helper()
		if err == nil {
			err = v.Configure(t.Context(), text)
		}
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	text := steps(v.TurnOn(t.Context(), ""))
	first := sealed(t, v, "k", "one")
	clock.pass(time.Hour)
	text = steps(v.Rotate(t.Context(), text))
	second := sealed(t, v, "k", "two")
	if v.Current(first, true) || !v.Current(second, true) || v.Current([]byte("plain"), false) {
		t.Error("what is current is not known")
	}
	for want, stored := range map[string][]byte{"one": first, "two": second} {
		if got, err := configured(t, "one", m, text).Open(t.Context(), []byte("k"), stored); err != nil || string(got) != want {
			t.Errorf("%q, error %v, want %s", got, err, want)
		}
	}
	if err := v.Plain(t.Context()); err != nil {
		t.Errorf("a plain value where not all are sealed: %v", err)
	}
	text = steps(vault.Settle(text))
	if err := v.Plain(t.Context()); !errors.Is(err, router.ErrSealAltered) {
		t.Errorf("a plain value where all are sealed: %v", err)
	}
	if next, err := v.Rotate(t.Context(), text); err != nil || configured(t, "one", m, next).Plain(t.Context()) == nil {
		t.Errorf("a plain value while all are sealed anew is taken: %v", err)
	}
	state, err := vault.Describe(text)
	if err != nil || !state.On || !state.Settled || state.Current != 2 || len(state.Keys) != 1 || !state.Keys[0].Made.Equal(clock.Now()) {
		t.Errorf("the state is %+v, error %v", state, err)
	}
	if _, err := configured(t, "one", m, text).Open(t.Context(), []byte("k"), first); !errors.Is(err, router.ErrSealKey) {
		t.Errorf("a value of a key that was dropped: %v", err)
	}
	if _, err := v.Open(t.Context(), []byte("k"), first); err != nil {
		t.Errorf("a value of a key that this process knew: %v", err)
	}
	text = steps(vault.TurnOff(text))
	if err := v.Plain(t.Context()); err != nil {
		t.Errorf("a plain value where values are plain: %v", err)
	}
	if stored, is, err := v.Seal([]byte("k"), []byte("three")); is || err != nil || string(stored) != "three" || v.On() {
		t.Errorf("turned off, %q is stored, sealed %v, error %v", stored, is, err)
	}
	text = steps(vault.Settle(text))
	text = steps(v.TurnOn(t.Context(), text))
	if state, err = vault.Describe(text); err != nil || state.Current != 3 {
		t.Errorf("the state is %+v, error %v", state, err)
	}
}

// TestRewrap: another master key takes the place of the first, and no value is sealed anew.
func TestRewrap(t *testing.T) {
	t.Parallel()
	before, after := master(t, "before"), master(t, "after")
	text := setting(t, "one", before)
	v := configured(t, "one", before, text)
	stored := sealed(t, v, "k", "value")
	next, n, err := v.Rewrap(t.Context(), text, after)
	if err != nil || n != 1 || strings.Contains(next, before.ID()) {
		t.Fatalf("%d keys, error %v: %s", n, err, next)
	}
	if got, err := configured(t, "one", after, next).Open(t.Context(), []byte("k"), stored); err != nil || string(got) != "value" {
		t.Errorf("%q, error %v", got, err)
	}
	if again, n, err := v.Rewrap(t.Context(), next, after); err != nil || n != 0 || again != next {
		t.Errorf("a second time: %d keys, error %v", n, err)
	}
	if err := v.Configure(t.Context(), next); err != nil {
		t.Errorf("a process that knows the data key needs no master key: %v", err)
	}
}

// TestInsist: what was told never to store a value plain does not, whatever the keyspace says.
func TestInsist(t *testing.T) {
	t.Parallel()
	v := open("one", master(t, "key"), true, newClock().Now)
	if _, _, err := v.Seal([]byte("k"), []byte("v")); !errors.Is(err, router.ErrSealKey) || !v.On() {
		t.Errorf("seal: %v", err)
	}
}

// TestUnknownKey: a key that is not known is looked for, once in a while.
func TestUnknownKey(t *testing.T) {
	t.Parallel()
	m, clock := master(t, "key"), newClock()
	writer := open("one", m, false, clock.Now)
	text := setting(t, "one", m)
	if err := writer.Configure(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	stored := sealed(t, writer, "k", "value")
	reader, looks, found := open("one", m, false, clock.Now), 0, ""
	reader.OnUnknownKey(func(ctx context.Context) error {
		looks++
		return reader.Configure(ctx, found)
	})
	for range 3 {
		if _, err := reader.Open(t.Context(), []byte("k"), stored); !errors.Is(err, router.ErrSealKey) {
			t.Errorf("a value of an unknown key: %v", err)
		}
	}
	if looks != 1 {
		t.Errorf("the key was looked for %d times", looks)
	}
	found = text
	clock.pass(2 * time.Second)
	if got, err := reader.Open(t.Context(), []byte("k"), stored); err != nil || string(got) != "value" || looks != 2 {
		t.Errorf("%q, error %v, after %d looks", got, err, looks)
	}
}

// TestSettingsRefused: a setting that does not say what it must is refused, and the one before holds.
func TestSettingsRefused(t *testing.T) {
	t.Parallel()
	m := master(t, "key")
	text := setting(t, "one", m)
	var card map[string]any
	if err := json.Unmarshal([]byte(text), &card); err != nil {
		t.Fatal(err)
	}
	v := configured(t, "one", m, text)
	for name, change := range map[string]string{
		"not JSON":             "{",
		"another format":       strings.Replace(text, `"format":1`, `"format":2`, 1),
		"no key of the number": strings.Replace(text, `"current":1`, `"current":2`, 1),
		"another number":       strings.ReplaceAll(strings.Replace(text, `"id":1`, `"id":2`, 1), `"current":1`, `"current":2`),
		"too long":             text + strings.Repeat(" ", 64<<10),
	} {
		if err := v.Configure(t.Context(), change); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if stored := sealed(t, v, "k", "v"); !v.Current(stored, true) {
		t.Error("the setting before does not hold")
	}
}

// FuzzOpen: nothing but what was sealed opens.
func FuzzOpen(f *testing.F) {
	m := master(f, "key")
	v := configured(f, "one", m, setting(f, "one", m))
	stored := sealed(f, v, "key", "value")
	f.Add(stored)
	f.Add(stored[:20])
	f.Add(stored[:44])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := v.Open(t.Context(), []byte("key"), data)
		if err == nil && (!bytes.Equal(data, stored) || string(got) != "value") {
			t.Fatalf("%x opens as %q", data, got)
		}
	})
}

// FuzzSetting: whatever stands beside the shard map is a setting or an error.
func FuzzSetting(f *testing.F) {
	m := master(f, "key")
	f.Add(setting(f, "one", m))
	f.Add("")
	f.Add(`{"format":1,"on":true,"current":1,"keys":[{"id":1,"wrapped":"AAAA"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		v := open("one", m, false, newClock().Now)
		if err := v.Configure(t.Context(), text); err == nil {
			if _, _, err := v.Seal([]byte("k"), []byte("v")); err != nil {
				t.Fatalf("%q is taken, and seals nothing: %v", text, err)
			}
		}
		_, _ = vault.Describe(text)
		_, _ = vault.Settle(text)
		_, _ = vault.TurnOff(text)
	})
}

func BenchmarkSeal(b *testing.B) {
	m := master(b, "key")
	v := configured(b, "one", m, setting(b, "one", m))
	key, value := []byte("/registry/configmaps/default/one-of-many"), make([]byte, 1024)
	stored, _, err := v.Seal(key, value)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := v.Seal(key, value); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Open(b.Context(), key, stored); err != nil {
				b.Fatal(err)
			}
		}
	})
}
