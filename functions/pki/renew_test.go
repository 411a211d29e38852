package pki_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/functions/pki"
)

// bench is a store in a directory, and a clock.
type bench struct {
	t     *testing.T
	dir   string
	store pki.Store
	now   time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	return &bench{t: t, dir: dir, store: pki.NewDirectory(dir), now: time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)}
}

const (
	validity = 90 * 24 * time.Hour
	overlap  = 7 * 24 * time.Hour
)

// wanted is a frontend's certificate and those of two clients.
func wanted() pki.Wanted {
	return pki.Wanted{
		ServerNames: []string{"tierd.example", "10.0.0.1"},
		Clients:     []pki.Client{{Name: "apiserver", CommonName: "kube-apiserver"}, {Name: "root", CommonName: "root"}},
		Validity:    validity, AuthorityValidity: 40 * validity, Overlap: overlap,
	}
}

// renew runs once and gives what was written.
func (b *bench) renew(w pki.Wanted) []string {
	b.t.Helper()
	report, err := pki.Renew(b.t.Context(), b.parts(), w)
	if err != nil {
		b.t.Fatal(err)
	}
	b.holds()
	var written []string
	for _, a := range report.Actions {
		if a.Changed {
			written = append(written, a.Name)
		}
	}
	return written
}

func (b *bench) parts() pki.Components {
	return pki.Components{Store: b.store, Now: func() time.Time { return b.now }, Random: rand.Reader}
}

func (b *bench) entry(name string) pki.Entry {
	b.t.Helper()
	entry, err := b.store.Read(b.t.Context(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return entry
}

// leaf is a certificate that is there, with its key.
func (b *bench) leaf(name string) *x509.Certificate {
	b.t.Helper()
	entry := b.entry(name)
	pair, err := tls.X509KeyPair(entry.Secret.Certificate, entry.Secret.Key)
	if err != nil {
		b.t.Fatalf("%s: %v", name, err)
	}
	return pair.Leaf
}

// trusted are the authorities that everybody trusts.
func (b *bench) trusted() []*x509.Certificate {
	b.t.Helper()
	var found []*x509.Certificate
	for rest := b.entry(pki.Trust).Secret.Certificate; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return found
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			b.t.Fatal(err)
		}
		found = append(found, c)
	}
}

// verify tells whether a certificate is trusted for a use.
func (b *bench) verify(c *x509.Certificate, use x509.ExtKeyUsage) error {
	pool := x509.NewCertPool()
	for _, authority := range b.trusted() {
		pool.AddCert(authority)
	}
	_, err := c.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: b.now, KeyUsages: []x509.ExtKeyUsage{use}})
	return err
}

// holds checks what has to be so at every moment: each pair is one, and is trusted.
func (b *bench) holds() {
	b.t.Helper()
	names, err := b.store.Leaves(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, name := range names {
		if b.entry(name).Version == "" {
			continue
		}
		if err := b.verify(b.leaf(name), x509.ExtKeyUsageClientAuth); err != nil {
			b.t.Errorf("%s is not trusted: %v", name, err)
		}
	}
}

// each is everything that a first run makes.
func each() []string { return []string{"ca-key", "ca", "server", "client-apiserver", "client-root"} }

// leaves are those of them that are not authorities.
func leaves() []string { return each()[2:] }

func (b *bench) wants(got, want []string) {
	b.t.Helper()
	if !slices.Equal(got, want) {
		b.t.Errorf("the run wrote %q, want %q", got, want)
	}
}

func TestFirstRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.wants(b.renew(wanted()), each())
	b.wants(b.renew(wanted()), nil)
	server, client := b.leaf("server"), b.leaf("client-apiserver")
	if err := b.verify(server, x509.ExtKeyUsageServerAuth); err != nil {
		t.Errorf("the server's certificate: %v", err)
	}
	for _, host := range []string{"tierd.example", "10.0.0.1"} {
		if err := server.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if server.Subject.CommonName != "" {
		t.Errorf("the server is the user %q", server.Subject.CommonName)
	}
	if client.Subject.CommonName != "kube-apiserver" || b.verify(client, x509.ExtKeyUsageServerAuth) == nil {
		t.Errorf("the client's certificate is for %q, or passes for a server", client.Subject.CommonName)
	}
	for _, c := range append(b.trusted(), server, client) {
		if early := b.now.Sub(c.NotBefore); early != 5*time.Minute {
			t.Errorf("%v is valid since %v ago", c.Subject, early)
		}
	}
	if server.SerialNumber.BitLen() < 64 || server.SerialNumber.Cmp(client.SerialNumber) == 0 {
		t.Errorf("the serial numbers are %v and %v", server.SerialNumber, client.SerialNumber)
	}
}

func TestFilesAndModes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.renew(wanted())
	for name, mode := range map[string]os.FileMode{
		"ca.crt": 0o644, "ca.key": 0o600, "server.crt": 0o644, "server.key": 0o600, "client-root.crt": 0o644, "client-root.key": 0o600,
	} {
		info, err := os.Stat(filepath.Join(b.dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(b.dir, "server.crt"), filepath.Join(b.dir, "server.key")); err != nil {
		t.Error(err)
	}
}

func TestLeavesAreRenewedWhenDue(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.renew(wanted())
	before := b.leaf("server")
	b.now = b.now.Add(validity*2/3 - time.Hour)
	b.wants(b.renew(wanted()), nil)
	b.now = b.now.Add(2 * time.Hour)
	b.wants(b.renew(wanted()), leaves())
	if after := b.leaf("server"); after.SerialNumber.Cmp(before.SerialNumber) == 0 || bytes.Equal(after.RawSubjectPublicKeyInfo, before.RawSubjectPublicKeyInfo) {
		t.Error("the certificate or its key is the same")
	}
	// A run that names nothing renews what is there, for the names that it has.
	b.now = b.now.Add(validity * 3 / 4)
	b.wants(b.renew(pki.Wanted{Validity: validity, AuthorityValidity: 40 * validity, Overlap: overlap}), []string{"client-apiserver", "client-root", "server"})
	if got := b.leaf("client-apiserver").Subject.CommonName; got != "kube-apiserver" {
		t.Errorf("the client has become %q", got)
	}
	if err := b.leaf("server").VerifyHostname("tierd.example"); err != nil {
		t.Error(err)
	}
}

func TestNamesChange(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.renew(wanted())
	w := wanted()
	w.ServerNames = append(w.ServerNames, "other.example")
	w.Clients[1].CommonName = "admin"
	w.Clients = append(w.Clients, pki.Client{Name: "new", CommonName: "new"})
	b.wants(b.renew(w), []string{"server", "client-root", "client-new"})
	b.wants(b.renew(w), nil)
	w.Force = true
	b.wants(b.renew(w), []string{"server", "client-apiserver", "client-root", "client-new"})
}

// A change of authorities takes one step in a run, with time between them.
func TestAuthorityIsReplaced(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.renew(wanted())
	old := b.trusted()[0]
	w := wanted()
	w.Rotate = true
	b.now = b.now.Add(24 * time.Hour)
	b.wants(b.renew(w), []string{"ca-key", "ca"})
	b.wants(b.renew(w), nil) // once more is the same change
	w.Rotate, w.Force = false, true
	b.wants(b.renew(w), leaves()) // the old one signs until the new one is known everywhere
	if got := len(b.trusted()); got != 2 || b.leaf("server").CheckSignatureFrom(old) != nil {
		t.Fatalf("%d authorities are trusted, and the old one signs no more", got)
	}
	w.Force = false
	b.now = b.now.Add(overlap)
	b.wants(b.renew(w), leaves())
	if b.leaf("server").CheckSignatureFrom(old) == nil {
		t.Error("the old authority still signs")
	}
	b.wants(b.renew(w), nil) // the old certificates may be in use
	b.now = b.now.Add(overlap)
	b.wants(b.renew(w), []string{"ca"})
	if got := b.trusted(); len(got) != 1 || got[0].Equal(old) {
		t.Errorf("%d authorities are trusted", len(got))
	}
	if keys := strings.Count(string(b.entry(pki.Authority).Secret.Key), "BEGIN"); keys != 1 {
		t.Errorf("%d keys are kept", keys)
	}
}

// With no time between them, three runs do it.
func TestAuthorityIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.renew(wanted())
	w := wanted()
	w.Overlap, w.Rotate = 0, true
	b.wants(b.renew(w), []string{"ca-key", "ca"})
	w.Rotate = false
	b.wants(b.renew(w), leaves())
	b.wants(b.renew(w), []string{"ca"})
	b.wants(b.renew(w), nil)
}

// Years of daily runs, in which everything is always trusted and valid, whatever was copied a week ago.
func TestYears(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store = newMemory()
	w := wanted()
	w.AuthorityValidity = 6 * validity
	authorities := make(map[string]bool)
	var bundles [][]*x509.Certificate
	var servers []*x509.Certificate
	for day := range 3 * 365 {
		b.renew(w)
		bundles, servers = append(bundles, b.trusted()), append(servers, b.leaf("server"))
		authorities[b.trusted()[0].Subject.CommonName] = true
		if len(bundles[day]) > 2 {
			t.Fatalf("on day %d, %d authorities are trusted", day, len(bundles[day]))
		}
		for _, pair := range [][2]int{{day, day}, {day, max(0, day-6)}, {max(0, day-6), day}} {
			pool := x509.NewCertPool()
			for _, c := range bundles[pair[0]] {
				pool.AddCert(c)
			}
			if _, err := servers[pair[1]].Verify(x509.VerifyOptions{Roots: pool, CurrentTime: b.now}); err != nil {
				t.Fatalf("on day %d, who has the bundle of day %d does not trust the server of day %d: %v", day, pair[0], pair[1], err)
			}
		}
		b.now = b.now.Add(24 * time.Hour)
	}
	if len(authorities) < 3 {
		t.Errorf("there were %d authorities", len(authorities))
	}
}
