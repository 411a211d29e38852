package seal_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/tierd/tierd/backup/seal"
)

// kmsServer answers Encrypt and Decrypt as KMS does: what it encrypts opens with the same key
// and the same context only. Its ciphertext is the plaintext's, which is enough here: what it
// was asked is what the test looks at.
type kmsServer struct {
	mu    sync.Mutex
	asked []string
	fail  string
}

type kmsMessage struct {
	KeyID             string `json:"KeyId"`
	Plaintext         string
	CiphertextBlob    string
	EncryptionContext map[string]string
}

func (s *kmsServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in kmsMessage
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, operation+" "+in.KeyID+" "+in.EncryptionContext["tierd"])
	refuse := func(kind string) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": kind, "message": "no"})
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	// The replicas of a multi-Region key have one material.
	material := in.KeyID
	if _, replicated, found := strings.Cut(in.KeyID, "key/mrk-"); found {
		material = replicated
	}
	bound := material + "|" + in.EncryptionContext["tierd"] + "|"
	switch {
	case s.fail != "":
		refuse(s.fail)
	case operation == "Encrypt":
		_ = json.NewEncoder(w).Encode(kmsMessage{KeyID: in.KeyID, CiphertextBlob: base64.StdEncoding.EncodeToString([]byte(bound + in.Plaintext))})
	case operation == "Decrypt":
		text, err := base64.StdEncoding.DecodeString(in.CiphertextBlob)
		plain, found := strings.CutPrefix(string(text), bound)
		if err != nil || !found {
			refuse("InvalidCiphertextException")
			return
		}
		_ = json.NewEncoder(w).Encode(kmsMessage{KeyID: in.KeyID, Plaintext: plain})
	}
}

const kmsARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

func newKMS(t *testing.T, server http.Handler) seal.Master {
	t.Helper()
	return newKMSNamed(t, server, kmsARN)
}

func newKMSNamed(t *testing.T, server http.Handler, name string) seal.Master {
	t.Helper()
	s := httptest.NewServer(server)
	t.Cleanup(s.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	master, err := seal.NewKMS(t.Context(), name, seal.KMSOptions{
		Endpoint: s.URL, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""), Client: &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	return master
}

func TestKMS(t *testing.T) {
	t.Parallel()
	server := &kmsServer{}
	store, master := newStore(t), newKMS(t, server)
	object := sealed(t, newKeyring(t, store, master), "ks/log/1", []byte("content"))
	if got, err := opened(newKeyring(t, store, master), "ks/log/1", bytes.NewReader(object)); err != nil || string(got) != "content" {
		t.Fatalf("got %q, %v", got, err)
	}
	// The context says what is decrypted, and is in the log of KMS: docs/archive-format.md.
	const bound = " " + kmsARN + " tierd wrapping key, format 1, keyspace ks, ks/keys/0000000000000001.000001"
	want := []string{"Encrypt" + bound, "Decrypt" + bound, "Decrypt" + bound}
	if got := strings.Join(server.asked, "\n"); got != strings.Join(want, "\n") {
		t.Fatalf("asked\n%s", got)
	}
	rotate(t, store, master, newMaster(t))

	other := newStore(t)
	newKeyring(t, other, newMaster(t))
	if _, err := seal.OpenKeyring(t.Context(), other, master, "ks", rand.Reader, false); !errors.Is(err, seal.ErrKey) || !strings.Contains(err.Error(), kmsARN) {
		t.Fatalf("keys of another master: got %v", err)
	}
}

func TestErrorsOfKMS(t *testing.T) {
	t.Parallel()
	server := &kmsServer{}
	master := newKMS(t, server)
	for kind, want := range map[string]error{
		"InvalidCiphertextException": seal.ErrAltered, "IncorrectKeyException": seal.ErrKey, "AccessDeniedException": nil,
	} {
		server.mu.Lock()
		server.fail = kind
		server.mu.Unlock()
		_, err := master.Unwrap(t.Context(), []byte("x"), []byte("y"))
		if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), kmsARN) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v", kind, err)
		}
		if want == nil && (errors.Is(err, seal.ErrAltered) || errors.Is(err, seal.ErrKey)) {
			t.Errorf("%s is taken for more than it is: %v", kind, err)
		}
	}
}

func TestKMSIsNamedByItsARN(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "alias/x", "1234abcd-12ab-34cd-56ef-1234567890ab", "arn:aws:kms:eu-west-1:1:alias/x", "arn:aws:s3:::bucket"} {
		if _, err := seal.NewKMS(t.Context(), name, seal.KMSOptions{}); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

// TestReplicaOfAMultiRegionKey: the archive of one region is read with the key's replica in another
// one, and by no other key.
func TestReplicaOfAMultiRegionKey(t *testing.T) {
	t.Parallel()
	server, store := &kmsServer{}, newStore(t)
	const key = "key/mrk-1234abcd12ab34cd56ef1234567890ab"
	first := newKMSNamed(t, server, "arn:aws:kms:eu-west-1:111122223333:"+key)
	object := sealed(t, newKeyring(t, store, first), "ks/log/1", []byte("content"))
	replica := newKMSNamed(t, server, "arn:aws:kms:eu-central-1:111122223333:"+key)
	if got, err := opened(newKeyring(t, store, replica), "ks/log/1", bytes.NewReader(object)); err != nil || string(got) != "content" {
		t.Fatalf("got %q, %v", got, err)
	}
	rotate(t, store, first, replica)
	for _, name := range []string{
		"arn:aws:kms:eu-central-1:999922223333:" + key,
		"arn:aws:kms:eu-central-1:111122223333:key/mrk-ffffabcd12ab34cd56ef1234567890ab",
		strings.Replace(kmsARN, "eu-west-1", "eu-central-1", 1),
	} {
		other := newKMSNamed(t, server, name)
		if _, err := seal.OpenKeyring(t.Context(), store, other, "ks", rand.Reader, false); !errors.Is(err, seal.ErrKey) {
			t.Errorf("%s opened the keys: %v", name, err)
		}
	}
}
