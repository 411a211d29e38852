package amazon_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tierd/tierd/functions/pki"
	"github.com/tierd/tierd/functions/pki/amazon"
	"github.com/tierd/tierd/test/secretstore"
)

const day = 24 * time.Hour

// all are the secrets of a deployment with one client.
func all() []string { return []string{pki.Authority, pki.Trust, pki.Server, "client-apiserver"} }

func wanted() pki.Wanted {
	return pki.Wanted{
		ServerNames: []string{"tierd.example"}, Clients: []pki.Client{{Name: "apiserver", CommonName: "kube-apiserver"}},
		Validity: 90 * day, AuthorityValidity: 3650 * day, Overlap: 7 * day,
	}
}

func parts(s pki.Store) pki.Components {
	return pki.Components{Store: s, Now: time.Now, Random: rand.Reader}
}

// usable checks that each pair is one, and trusted.
func usable(t *testing.T, s pki.Store, now time.Time) {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(read(t, s, pki.Trust).Secret.Certificate) {
		t.Fatal("nobody is trusted")
	}
	for _, name := range []string{pki.Server, "client-apiserver"} {
		entry := read(t, s, name)
		pair, err := tls.X509KeyPair(entry.Secret.Certificate, entry.Secret.Key)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecretsHoldEverything(t *testing.T) {
	t.Parallel()
	m := newManager(all()...)
	s := store(t, m)
	if _, err := pki.Renew(t.Context(), parts(s), wanted()); err != nil {
		t.Fatal(err)
	}
	usable(t, s, time.Now())
	text := m.Secrets["tierd/pki/server"].Value()
	if !strings.HasPrefix(text, `{"certificate":"-----BEGIN CERTIFICATE`) || !strings.Contains(text, `"key":"-----BEGIN PRIVATE KEY`) {
		t.Errorf("the secret is %.60s...", text)
	}
	if text := m.Secrets["tierd/pki/ca"].Value(); strings.Contains(text, "PRIVATE") || strings.Contains(text, `"key"`) {
		t.Error("what everybody reads has a key")
	}
	m.Asked()
	report, err := pki.Renew(t.Context(), parts(s), wanted())
	if err != nil || report.Changed() {
		t.Errorf("a second run: %+v, %v", report, err)
	}
	asked := m.Asked()
	if want := []string{"GetSecretValue tierd/pki/ca", "GetSecretValue tierd/pki/ca-key", "GetSecretValue tierd/pki/server", "GetSecretValue tierd/pki/client-apiserver"}; !slices.Equal(asked, want) {
		t.Errorf("it asked %q, want %q", asked, want)
	}
}

// A secret that nobody has made is told of by its name, and what was made before is used by the next run.
func TestMissingSecret(t *testing.T) {
	t.Parallel()
	m := newManager(pki.Authority, pki.Trust, pki.Server)
	s := store(t, m)
	_, err := pki.Renew(t.Context(), parts(s), wanted())
	if err == nil || !strings.Contains(err.Error(), "there is no secret tierd/pki/client-apiserver") {
		t.Fatalf("got %v", err)
	}
	server := read(t, s, pki.Server)
	m.Add("tierd/pki/client-apiserver")
	if _, err := pki.Renew(t.Context(), parts(s), wanted()); err != nil {
		t.Fatal(err)
	}
	usable(t, s, time.Now())
	if read(t, s, pki.Server).Version != server.Version {
		t.Error("the server's certificate was made again")
	}
}

// Every write is lost, or done and its answer lost: once, which the repetition mends, and for a whole run, which the next
// run mends. No pair is ever torn.
func TestLostWrites(t *testing.T) {
	t.Parallel()
	for _, name := range all() {
		for what, kind := range map[string]secretstore.Fault{"lost": secretstore.Lost, "unanswered": secretstore.Unanswered} {
			for times, count := range map[string]int{"once": 1, "always": 1 << 20} {
				t.Run(name+" "+what+" "+times, func(t *testing.T) {
					t.Parallel()
					m := newManager(all()...)
					left := count
					m.Final = times == "always"
					m.Faults = func(operation, id string) secretstore.Fault {
						if operation == "PutSecretValue" && id == "tierd/pki/"+name && left > 0 {
							left--
							return kind
						}
						return secretstore.None
					}
					s := store(t, m)
					_, err := pki.Renew(t.Context(), parts(s), wanted())
					if (err == nil) != (times == "once") {
						t.Fatalf("the run ended with %v", err)
					}
					if err != nil && strings.Contains(err.Error(), "PRIVATE") {
						t.Error("the error has a key")
					}
					m.Faults = nil
					if _, err := pki.Renew(t.Context(), parts(s), wanted()); err != nil {
						t.Fatal(err)
					}
					usable(t, s, time.Now())
					if got := len(m.Secrets["tierd/pki/"+pki.Authority].Versions); got != 1 {
						t.Errorf("%d authorities were made", got)
					}
				})
			}
		}
	}
}

// Runs at once make one authority and one certificate for each name.
func TestRunsAtOnce(t *testing.T) {
	t.Parallel()
	m := newManager(all()...)
	s := store(t, m)
	// All of them have seen that there is no authority before the first one writes it.
	const runs = 4
	var gate sync.WaitGroup
	gate.Add(runs)
	arrived := make(chan struct{}, runs)
	for range runs {
		arrived <- struct{}{}
	}
	m.Before = func(id string) {
		if id != "tierd/pki/"+pki.Authority {
			return
		}
		select {
		case <-arrived:
			gate.Done()
			gate.Wait()
		default:
		}
	}
	var running sync.WaitGroup
	for range runs {
		running.Go(func() {
			if _, err := pki.Renew(t.Context(), parts(s), wanted()); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	usable(t, s, time.Now())
	for name, secret := range m.Secrets {
		if len(secret.Versions) != 1 {
			t.Errorf("%s has %d versions", name, len(secret.Versions))
		}
	}
}

func TestWriteOfWhatHasChanged(t *testing.T) {
	t.Parallel()
	s := store(t, newManager(all()...))
	one, other := pki.Secret{Certificate: []byte("one")}, pki.Secret{Certificate: []byte("other")}
	first, err := s.Write(t.Context(), pki.Trust, one, "")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Write(t.Context(), pki.Trust, one, ""); err != nil || again != first {
		t.Errorf("a repetition: %q, %v", again, err)
	}
	if _, err := s.Write(t.Context(), pki.Trust, other, ""); !errors.Is(err, pki.ErrChanged) {
		t.Errorf("a write that has not seen the first one: %v", err)
	}
	if _, err := s.Write(t.Context(), pki.Trust, other, first); err != nil {
		t.Error(err)
	}
	if got := string(read(t, s, pki.Trust).Secret.Certificate); got != "other" {
		t.Errorf("it is %q", got)
	}
}

// An authority that cannot be read is never replaced.
func TestUnreadableAuthority(t *testing.T) {
	t.Parallel()
	m := newManager(all()...)
	s := store(t, m)
	if _, err := pki.Renew(t.Context(), parts(s), wanted()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{pki.Authority, pki.Trust} {
		secret := m.Secrets["tierd/pki/"+name]
		good := secret.Versions[secret.Current]
		for what, text := range map[string]string{"no JSON": "PRIVATE-KEY", "nothing": "{}", "half of it": good[:len(good)/2] + `"}`} {
			secret.Versions[secret.Current] = text
			if _, err := pki.Renew(t.Context(), parts(s), wanted()); !errors.Is(err, pki.ErrUnreadable) || strings.Contains(err.Error(), "PRIVATE-KEY") {
				t.Errorf("%s with %s: %v", name, what, err)
			}
		}
		secret.Versions[secret.Current] = good
	}
	if _, err := pki.Renew(t.Context(), parts(s), wanted()); err != nil {
		t.Error(err)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]amazon.Place{
		"secretsmanager://tierd?region=eu-west-1":          {Prefix: "tierd", Region: "eu-west-1"},
		"secretsmanager://Tierd-prod/pki?region=us-east-1": {Prefix: "Tierd-prod/pki", Region: "us-east-1"},
		"secretsmanager://a/b/c":                           {Prefix: "a/b/c"},
	} {
		if got, err := amazon.ParsePlace(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"secretsmanager://", "secretsmanager:///a", "secretsmanager://a//b", "secretsmanager://a/?region=b", "secretsmanager://a?zone=b", "secretsmanager://u@a", "s3://a", "secretsmanager://a?region=b&region=c", "secretsmanager://a b"} {
		if got, err := amazon.ParsePlace(text); err == nil {
			t.Errorf("%s is taken for %+v", text, got)
		}
	}
}
