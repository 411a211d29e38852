package tls_test

import (
	"crypto/tls"
	"crypto/x509"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/test/cluster"
)

// killsOfRenewals is how often TestRenewalsAreKilled kills, and killWithin how long after a run was started at most: a run
// takes some tens of milliseconds.
const (
	killsOfRenewals = 60
	killWithin      = 60 * time.Millisecond
)

// TestRenewalsAreKilled: runs that replace every certificate, and authorities too, are killed anywhere. Each pair of files is
// one that belongs together and is trusted, after every kill, and the next run that may end leaves nothing of them behind.
func TestRenewalsAreKilled(t *testing.T) {
	t.Parallel()
	store, binary := filepath.Join(t.TempDir(), "store"), cluster.Binary(t, false)
	names := []string{"server", "client-a", "client-b"}
	args := []string{"pki", "renew", "--store", store, "--server-name", "localhost", "--client", "a,b", "--ca-overlap", "0s"}
	renew := func() {
		t.Helper()
		if _, err := cluster.RunTool(t.Context(), binary, nil, args...); err != nil {
			t.Fatalf("%v", err)
		}
	}
	renew()
	logs := cluster.Folder(t)
	for i := range killsOfRenewals {
		p := cluster.NewProcess(t, cluster.Command{Name: "renew", Path: binary, LogDir: logs, Args: append(append([]string(nil), args...), [][]string{{"--force"}, {"--force", "--rotate-ca"}, {}}[i%3]...)})
		p.Start()
		alarm := time.NewTimer(rand.N(killWithin))
		select {
		case <-alarm.C:
		case <-p.Exited():
		}
		alarm.Stop()
		p.Kill()
		wantUsable(t, store, names)
	}
	for range 4 {
		renew()
	}
	wantUsable(t, store, names)
	entries, err := os.ReadDir(store)
	if err != nil {
		t.Fatal(err)
	}
	// Of each pair: two links, the one they lead through, and the pairs of now and of before; and ca.crt, ca.key and the lock.
	if len(entries) > 5*len(names)+3 {
		t.Errorf("%d names are left in the store: %v", len(entries), entries)
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".next") {
			t.Errorf("%s is left in the store", entry.Name())
		}
	}
}

// wantUsable wants pairs that fit and are trusted.
func wantUsable(t *testing.T, store string, names []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(store, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	for _, name := range names {
		pair, err := tls.LoadX509KeyPair(filepath.Join(store, name+".crt"), filepath.Join(store, name+".key"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}
