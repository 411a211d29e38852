package tls_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tierd/tierd/functions/certs"
	"github.com/tierd/tierd/test/cluster"
)

// deployment has its certificates from tierd pki: a store, and two directories that are kept like it, the frontends' and
// the clients'.
type deployment struct {
	t                        *testing.T
	binary                   string
	store, frontend, clients string
}

func deploy(t *testing.T) *deployment {
	t.Helper()
	dir := t.TempDir()
	d := &deployment{
		t: t, binary: cluster.Binary(t, true),
		store: filepath.Join(dir, "store"), frontend: filepath.Join(dir, "frontend"), clients: filepath.Join(dir, "clients"),
	}
	d.follow("frontend", d.frontend, "ca,server")
	d.follow("clients", d.clients, "ca,client-load")
	d.renew("--server-name", "localhost,127.0.0.1", "--client", "load,other=somebody")
	return d
}

// follow keeps a directory like the store, from before there is anything.
func (d *deployment) follow(name, to, only string) {
	d.t.Helper()
	p := cluster.NewProcess(d.t, cluster.Command{
		Name: name, Path: d.binary, LogDir: cluster.Folder(d.t),
		Args: []string{"pki", "fetch", "--store", d.store, "--to", to, "--only", only, "--wait", "1m", "--watch", "50ms"},
	})
	p.Start()
}

// renew runs once, and waits until both directories have what is in the store then.
func (d *deployment) renew(arguments ...string) {
	d.t.Helper()
	out, err := cluster.RunTool(d.t.Context(), d.binary, nil, append([]string{"pki", "renew", "--store", d.store}, arguments...)...)
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	d.t.Logf("%q:\n%s", arguments, out)
	for _, name := range []string{"ca.crt", "server.crt", "server.key"} {
		d.awaitSame(d.frontend, name)
	}
	for _, name := range []string{"ca.crt", "client-load.crt", "client-load.key"} {
		d.awaitSame(d.clients, name)
	}
}

func (d *deployment) awaitSame(in, name string) {
	d.t.Helper()
	cluster.Await(d.t, bound, name+" is fetched", func() error {
		want, err := os.ReadFile(filepath.Join(d.store, name))
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join(in, name))
		if err == nil && !bytes.Equal(got, want) {
			err = errors.New("it is another one")
		}
		return err
	})
}

// client is a client that reads its files for each connection; now false is for one that keeps what it has read.
func (d *deployment) client(now bool) *tls.Config {
	d.t.Helper()
	at := func(name string) string { return filepath.Join(d.clients, name) }
	store, err := certs.Open(certs.Files{Cert: at("client-load.crt"), Key: at("client-load.key"), CA: at("ca.crt")},
		certs.Components{Use: "test", Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		d.t.Fatal(err)
	}
	first := store.Current()
	material := func() *certs.Material {
		if now {
			return store.Current()
		}
		return first
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return material().Certificate, nil
		},
		// Verified below, by the authorities of this moment.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: material().Authorities, DNSName: "localhost"})
			return err
		},
	}
}

// inStore is the serial number of a certificate that is in the store.
func (d *deployment) inStore(name string) string {
	d.t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(d.store, name+".crt"), filepath.Join(d.store, name+".key"))
	if err != nil {
		d.t.Fatal(err)
	}
	return pair.Leaf.SerialNumber.String()
}

// TestRenewalUnderLoad: certificates are renewed and the authority is replaced by tierd pki while clients go on, each write
// over a connection of its own. None fails, what was open stays open, and the old authority's certificates are good for nothing
// in the end.
func TestRenewalUnderLoad(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	config := d.client(true)
	at := func(name string) string { return filepath.Join(d.frontend, name) }
	f := &frontend{Frontend: cluster.StartFrontend(t, cluster.FrontendOptions{Race: true, TLS: config, Args: []string{
		"--cert-file", at("server.crt"), "--key-file", at("server.key"), "--trusted-ca-file", at("ca.crt"), "--client-cert-auth",
	}})}
	old := d.client(false)
	before := openStream(t, f.Address(), config, "a")
	l := startLoad(t, f.Address(), config)
	l.await(t)
	for _, arguments := range [][]string{
		{"--force"}, {"--server-name", "localhost,127.0.0.1,::1"},
		{"--rotate-ca", "--ca-overlap", "0s"}, {"--ca-overlap", "0s"}, {"--ca-overlap", "0s"},
		{"--force"},
	} {
		d.renew(arguments...)
		cluster.Await(t, bound, "the new certificate is served", func() error {
			if got := served(t, f, config); got != d.inStore("server") {
				return errors.New("it is " + got)
			}
			return nil
		})
		l.await(t)
	}
	l.stop()
	if failures := l.failures.Load(); failures != 0 {
		t.Errorf("%d of %d writes failed, the last with: %v", failures, l.writes.Load(), l.last.Load())
	}
	after := openStream(t, f.Address(), config, "b")
	before.brings(t, "a", after)
	after.brings(t, "b", before)
	expectPut(t, f, old, "a client of the authority that is gone", false)
	if text, err := os.ReadFile(at("ca.crt")); err != nil || bytes.Count(text, []byte("BEGIN CERTIFICATE")) != 1 {
		t.Errorf("%d authorities are trusted in the end: %v", bytes.Count(text, []byte("BEGIN CERTIFICATE")), err)
	}
}
