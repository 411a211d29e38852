package amazon_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"go.uber.org/goleak"

	"github.com/tierd/tierd/functions/pki"
	"github.com/tierd/tierd/functions/pki/amazon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fault is what becomes of a call.
type fault int

const (
	none fault = iota
	// lost calls do nothing, unanswered ones are done; both fail, with an error after which the SDK tries again.
	lost
	unanswered
)

// secret is one of the fake's: its versions by their tokens, and the current one.
type secret struct {
	versions map[string]string
	current  string
}

// manager answers as Secrets Manager does, for secrets that were made before.
type manager struct {
	mu      sync.Mutex
	secrets map[string]*secret
	asked   []string
	// faults decides of each call, nil of none.
	faults func(operation, id string) fault
	// final makes errors of faults such that the SDK does not try again.
	final bool
	// before is called before a write is carried out, outside of the lock; nil for nothing.
	before func(id string)
}

// newManager has empty secrets under a prefix.
func newManager(names ...string) *manager {
	m := &manager{secrets: make(map[string]*secret)}
	for _, name := range names {
		m.secrets["tierd/pki/"+name] = &secret{versions: make(map[string]string)}
	}
	return m
}

type call struct {
	SecretID           string `json:"SecretId"`
	SecretString       string
	ClientRequestToken string
}

func (m *manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "secretsmanager.")
	var in call
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if operation == "PutSecretValue" && m.before != nil {
		m.before(in.SecretID)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, operation+" "+in.SecretID)
	what := none
	if m.faults != nil {
		what = m.faults(operation, in.SecretID)
	}
	failed := func() {
		if m.final {
			refuse(w, http.StatusBadRequest, "EncryptionFailure")
			return
		}
		refuse(w, http.StatusInternalServerError, "InternalServiceError")
	}
	if what == lost {
		failed()
		return
	}
	status, reply := m.answer(operation, in)
	switch {
	case what == unanswered:
		failed()
	case status != "":
		refuse(w, http.StatusBadRequest, status)
	default:
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(reply)
	}
}

func refuse(w http.ResponseWriter, code int, kind string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": kind, "Message": "no"})
}

// answer carries a call out.
func (m *manager) answer(operation string, in call) (refusal string, reply map[string]string) {
	s := m.secrets[in.SecretID]
	switch {
	case s == nil:
		return "ResourceNotFoundException", nil
	case operation == "GetSecretValue" && s.current == "":
		return "ResourceNotFoundException", nil
	case operation == "GetSecretValue":
		return "", map[string]string{"Name": in.SecretID, "VersionId": s.current, "SecretString": s.versions[s.current]}
	case operation != "PutSecretValue" || len(in.ClientRequestToken) < 32 || len(in.ClientRequestToken) > 64:
		return "InvalidRequestException", nil
	}
	there, known := s.versions[in.ClientRequestToken]
	if known && there != in.SecretString {
		return "ResourceExistsException", nil
	}
	if !known {
		s.versions[in.ClientRequestToken], s.current = in.SecretString, in.ClientRequestToken
	}
	return "", map[string]string{"Name": in.SecretID, "VersionId": in.ClientRequestToken}
}

// serve serves a fake service, and says how to reach it.
func serve(t *testing.T, handler http.Handler) amazon.Options {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return amazon.Options{
		Endpoint: server.URL, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""), Client: &http.Client{Transport: transport},
	}
}

// store is the store in a fake.
func store(t *testing.T, m *manager) *amazon.Secrets {
	t.Helper()
	s, err := amazon.NewSecrets(t.Context(), amazon.Place{Prefix: "tierd/pki", Region: "eu-west-1"}, serve(t, m))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func read(t *testing.T, s pki.Store, name string) pki.Entry {
	t.Helper()
	entry, err := s.Read(context.WithoutCancel(t.Context()), name)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}
