package certs_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/tierd/tierd/functions/certs"
	"github.com/tierd/tierd/test/pki"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines collects a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

// place is an authority, a server's files, and a store that reads them.
type place struct {
	authority *pki.Authority
	own       pki.Pair
	files     certs.Files
	log       *lines
	registry  *prometheus.Registry
	store     *certs.Store
}

func open(t *testing.T) *place {
	t.Helper()
	p := &place{authority: pki.New(t, t.TempDir(), "authority"), log: &lines{}, registry: prometheus.NewRegistry()}
	p.own = p.authority.Server("server")
	p.files = certs.Files{Cert: p.own.Cert, Key: p.own.Key, CA: p.authority.File(), CRL: p.authority.Revoke("crl")}
	metrics, err := certs.NewMetrics(p.registry)
	if err != nil {
		t.Fatal(err)
	}
	p.store, err = certs.Open(p.files, certs.Components{
		Use: "server", Logger: slog.New(slog.NewTextHandler(p.log, nil)), Now: time.Now, Metrics: metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// value is that of a series with these values of labels, in their order by name.
func (p *place) value(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var values []string
			for _, label := range m.GetLabel() {
				values = append(values, label.GetValue())
			}
			if family.GetName() == name && strings.Join(values, " ") == strings.Join(labels, " ") {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no series %s with %q", name, labels)
	return 0
}

func (p *place) serial() string { return p.store.Current().Certificate.Leaf.SerialNumber.String() }

func TestFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	p := open(t)
	if before := p.store.Current(); p.store.Current() != before {
		t.Error("files that are the same gave something else")
	}
	second := p.authority.Server("server")
	if got := p.serial(); got != second.Leaf.SerialNumber.String() {
		t.Errorf("the certificate is %s, want %s", got, second.Leaf.SerialNumber)
	}
	if got := p.value(t, "tierd_certificate_expiry_timestamp_seconds", "server", "certificate"); got != float64(second.Leaf.NotAfter.Unix()) {
		t.Errorf("the certificate is said to expire at %v, want %v", got, second.Leaf.NotAfter)
	}
	other := pki.New(t, t.TempDir(), "other")
	client := other.Client("alice")
	verify := func() error {
		_, err := client.Leaf.Verify(x509.VerifyOptions{Roots: p.store.Current().Authorities, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		return err
	}
	if verify() == nil {
		t.Error("a foreign client is trusted")
	}
	pki.Write(t, p.files.CA, append(p.authority.PEM(), other.PEM()...))
	if err := verify(); err != nil {
		t.Errorf("a client of the authority that came second: %v", err)
	}
	chain := []*x509.Certificate{client.Leaf}
	if p.store.Current().Revoked(chain) != nil {
		t.Error("a client is revoked that nobody revoked")
	}
	p.authority.Revoke("crl", client)
	if p.store.Current().Revoked(chain) != client.Leaf {
		t.Error("a client that was revoked is not")
	}
	if got := p.log.count("were read again"); got != 3 {
		t.Errorf("the log told %d times that files were read again, want 3", got)
	}
}

// What cannot be used changes nothing but the log and the metrics, and is told of once.
func TestHalfWrittenFiles(t *testing.T) {
	t.Parallel()
	p := open(t)
	revoked := p.authority.Client("revoked")
	p.authority.Revoke("crl", revoked)
	before := p.store.Current()
	whole := func(path string) []byte {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	another := p.authority.Server("another")
	for _, c := range []struct {
		name, path, what string
		content          []byte
	}{
		{"half a certificate", p.files.Cert, "certificate", whole(p.files.Cert)[:100]},
		{"a certificate without its key", p.files.Cert, "certificate", whole(another.Cert)},
		{"no key", p.files.Key, "certificate", nil},
		{"authorities that are cut off", p.files.CA, "authorities", append(whole(p.files.CA), whole(p.files.CA)[:50]...)},
		{"no authorities", p.files.CA, "authorities", nil},
		{"half a list", p.files.CRL, "revocations", whole(p.files.CRL)[:50]},
		{"no list", p.files.CRL, "revocations", nil},
		{"half a list in PEM", p.files.CRL, "revocations", []byte("-----BEGIN X509 CRL-----\nMIIB")},
	} {
		good := whole(c.path)
		pki.Write(t, c.path, c.content)
		told := p.log.count("cannot be used")
		for range 3 {
			if p.store.Current() != before {
				t.Errorf("%s was used", c.name)
			}
		}
		if got := p.log.count("cannot be used"); got != told+1 {
			t.Errorf("%s: the log told of it %d times", c.name, got-told)
		}
		if got := p.value(t, "tierd_certificate_stale", "server", c.what); got != 1 {
			t.Errorf("%s: stale is %v", c.name, got)
		}
		pki.Write(t, c.path, good)
		before = p.store.Current()
		if got := p.value(t, "tierd_certificate_stale", "server", c.what); got != 0 {
			t.Errorf("%s, mended: stale is %v", c.name, got)
		}
	}
	if before.Revoked([]*x509.Certificate{revoked.Leaf}) == nil {
		t.Error("what was revoked is not any more")
	}
	for _, secret := range []string{"PRIVATE KEY", strings.Split(string(whole(p.files.Key)), "\n")[1]} {
		if p.log.count(secret) != 0 {
			t.Error("the log holds a key")
		}
	}
}

func TestMissingFiles(t *testing.T) {
	t.Parallel()
	p := open(t)
	before := p.store.Current()
	if err := os.Rename(p.files.Key, p.files.Key+".away"); err != nil {
		t.Fatal(err)
	}
	if p.store.Current() != before || p.value(t, "tierd_certificate_stale", "server", "certificate") != 1 {
		t.Error("a key that is gone was not told of, or changed something")
	}
	if err := os.Rename(p.files.Key+".away", p.files.Key); err != nil {
		t.Fatal(err)
	}
	if p.store.Current() != before || p.value(t, "tierd_certificate_stale", "server", "certificate") != 0 {
		t.Error("a key that is back was not found")
	}
}

// What has expired is used all the same, as in etcd, for there may be nothing else; but it is told.
func TestExpired(t *testing.T) {
	t.Parallel()
	p := open(t)
	expired := p.authority.Issue(pki.Subject{File: "server", CommonName: "tierd", Expires: time.Now().Add(-time.Minute)})
	if got := p.serial(); got != expired.Leaf.SerialNumber.String() || p.log.count("has expired") != 1 {
		t.Errorf("the certificate is %s, want %s; the log told %d times that it has expired", got, expired.Leaf.SerialNumber, p.log.count("has expired"))
	}
}

// Links that are switched, as those of a secret that Kubernetes mounts, are followed.
func TestLinksAreSwitched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var serials []string
	for _, name := range []string{"1", "2"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		serials = append(serials, pki.New(t, filepath.Join(dir, name), "authority").Server("server").Leaf.SerialNumber.String())
	}
	link := func(to string) {
		t.Helper()
		next := filepath.Join(dir, "next")
		if err := os.Symlink(to, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
	}
	link("1")
	store, err := certs.Open(certs.Files{Cert: filepath.Join(dir, "data/server.pem"), Key: filepath.Join(dir, "data/server-key.pem")},
		certs.Components{Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range serials {
		link([]string{"1", "2"}[i])
		if got := store.Current().Certificate.Leaf.SerialNumber.String(); got != want {
			t.Errorf("the certificate is %s, want %s", got, want)
		}
	}
}

func TestListsInPEM(t *testing.T) {
	t.Parallel()
	p := open(t)
	first, second := p.authority.Client("first"), p.authority.Client("second")
	var content []byte
	for _, pair := range []pki.Pair{first, second} {
		der, err := os.ReadFile(p.authority.Revoke("one", pair))
		if err != nil {
			t.Fatal(err)
		}
		content = append(content, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	pki.Write(t, p.files.CRL, content)
	for _, pair := range []pki.Pair{first, second} {
		if p.store.Current().Revoked([]*x509.Certificate{p.own.Leaf, pair.Leaf}) != pair.Leaf {
			t.Errorf("%s is not revoked", pair.Leaf.Subject.CommonName)
		}
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	p := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	changed := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.store.Watch(ctx, time.Millisecond, func() { changed <- struct{}{} })
	}()
	<-changed // the beginning
	p.authority.Server("server")
	<-changed
	cancel()
	<-done
}

func TestWhatIsWrongAtTheStart(t *testing.T) {
	t.Parallel()
	p := open(t)
	parts := certs.Components{Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	for want, files := range map[string]certs.Files{
		"only work together":        {Cert: p.files.Cert},
		"no such file or directory": {CA: p.files.CA + ".missing"},
		"holds no certificate":      {CA: p.files.Key},
		"x509":                      {CRL: p.files.Key + ".bad"},
	} {
		pki.Write(t, p.files.Key+".bad", []byte("bad"))
		if _, err := certs.Open(files, parts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", files, err, want)
		}
	}
}

func TestSelfSigned(t *testing.T) {
	t.Parallel()
	dir, now := filepath.Join(t.TempDir(), "a", "b"), time.Now()
	files, made, err := certs.SelfSigned(dir, []string{"localhost", "127.0.0.1", "", "localhost"}, time.Hour, now)
	if err != nil || !made {
		t.Fatal(made, err)
	}
	store, err := certs.Open(files, certs.Components{Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	leaf := store.Current().Certificate.Leaf
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	for _, host := range []string{"localhost", "127.0.0.1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: host, CurrentTime: now.Add(time.Minute)}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if info, err := os.Stat(files.Key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info.Mode(), err)
	}
	if _, made, err = certs.SelfSigned(dir, nil, time.Hour, now.Add(time.Minute)); err != nil || made {
		t.Errorf("one that is valid was made anew (%v), %v", made, err)
	}
	if _, made, err = certs.SelfSigned(dir, nil, time.Hour, now.Add(2*time.Hour)); err != nil || !made {
		t.Errorf("one that has expired was kept (%v), %v", !made, err)
	}
}

// The document lists every series.
func TestEverySeriesIsDocumented(t *testing.T) {
	t.Parallel()
	p := open(t)
	doc, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	families, err := p.registry.Gather()
	if err != nil || len(families) != 3 {
		t.Fatalf("%d series, %v", len(families), err)
	}
	for _, family := range families {
		if !bytes.Contains(doc, []byte("`"+family.GetName()+"`")) {
			t.Errorf("%s is not in docs/metrics.md", family.GetName())
		}
	}
}
