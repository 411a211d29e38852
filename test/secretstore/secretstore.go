// Package secretstore is AWS Secrets Manager as far as tierd calls it, for tests: secrets that were made before, whose versions are
// told apart by the tokens of their writes, and calls that fail as a test says. It is for nobody who has secrets.
package secretstore

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Fault is what becomes of a call.
type Fault int

const (
	// None is a call that is carried out and answered.
	None Fault = iota
	// Lost calls do nothing, unanswered ones are done; both fail, with an error after which the SDK tries again.
	Lost
	Unanswered
)

// Secret is what was written to one: its versions by their names, which are the tokens of writes, and the current one.
type Secret struct {
	Versions map[string]string
	Current  string
}

// Value is that of the current version.
func (s *Secret) Value() string { return s.Versions[s.Current] }

// Manager answers as Secrets Manager does. Its fields are for before it is used, or while nobody uses it.
type Manager struct {
	// Secrets are there by their names.
	Secrets map[string]*Secret
	// Faults decides of each call; nil of none.
	Faults func(operation, id string) Fault
	// Final makes errors of faults such that the SDK does not try again.
	Final bool
	// Before is called before a write is carried out; nil for nothing.
	Before func(id string)

	mu    sync.Mutex
	asked []string
}

// New has secrets without values under a prefix.
func New(prefix string, names ...string) *Manager {
	m := &Manager{Secrets: make(map[string]*Secret)}
	for _, name := range names {
		m.Add(prefix + "/" + name)
	}
	return m
}

// Add makes a secret without a value.
func (m *Manager) Add(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Secrets[id] = &Secret{Versions: make(map[string]string)}
}

// Serve serves it until the test ends, and says where.
func (m *Manager) Serve(tb testing.TB) (url string) {
	tb.Helper()
	server := httptest.NewServer(m)
	tb.Cleanup(server.Close)
	return server.URL
}

// Asked are the calls since the last time, "operation name".
func (m *Manager) Asked() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked := m.asked
	m.asked = nil
	return asked
}

type call struct {
	SecretID           string `json:"SecretId"`
	SecretString       string
	ClientRequestToken string
}

// ServeHTTP implements http.Handler.
func (m *Manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "secretsmanager.")
	var in call
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if operation == "PutSecretValue" && m.Before != nil {
		m.Before(in.SecretID)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, operation+" "+in.SecretID)
	what := None
	if m.Faults != nil {
		what = m.Faults(operation, in.SecretID)
	}
	failed := func() {
		if m.Final {
			Refuse(w, http.StatusBadRequest, "EncryptionFailure")
			return
		}
		Refuse(w, http.StatusInternalServerError, "InternalServiceError")
	}
	if what == Lost {
		failed()
		return
	}
	status, reply := m.answer(operation, in)
	switch {
	case what == Unanswered:
		failed()
	case status != "":
		Refuse(w, http.StatusBadRequest, status)
	default:
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(reply)
	}
}

// Refuse answers with an error of AWS.
func Refuse(w http.ResponseWriter, code int, kind string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": kind, "Message": "no"})
}

// answer carries a call out.
func (m *Manager) answer(operation string, in call) (refusal string, reply map[string]string) {
	s := m.Secrets[in.SecretID]
	switch {
	case s == nil:
		return "ResourceNotFoundException", nil
	case operation == "GetSecretValue" && s.Current == "":
		return "ResourceNotFoundException", nil
	case operation == "GetSecretValue":
		return "", map[string]string{"Name": in.SecretID, "VersionId": s.Current, "SecretString": s.Versions[s.Current]}
	case operation != "PutSecretValue" || len(in.ClientRequestToken) < 32 || len(in.ClientRequestToken) > 64:
		return "InvalidRequestException", nil
	}
	there, known := s.Versions[in.ClientRequestToken]
	if known && there != in.SecretString {
		return "ResourceExistsException", nil
	}
	if !known {
		s.Versions[in.ClientRequestToken], s.Current = in.SecretString, in.ClientRequestToken
	}
	return "", map[string]string{"Name": in.SecretID, "VersionId": in.ClientRequestToken}
}
