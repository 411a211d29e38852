//go:build e2e

package kubernetes_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// requestBound ends a request whose answer does not come, as when the store is
// down: its outcome is unknown then.
const requestBound = 10 * time.Second

// apiClient speaks plain HTTP to the API server, so that tests see versions,
// continue tokens and status codes as they are.
type apiClient struct {
	t       *testing.T
	address string
	client  *http.Client
}

// object is the part of a Kubernetes object that the tests look at.
type object struct {
	Kind     string            `json:"kind,omitempty"`
	Metadata metadata          `json:"metadata"`
	Data     map[string]string `json:"data,omitempty"`
	// Code is set when the object is a Status.
	Code    int    `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

type metadata struct {
	Name            string            `json:"name,omitempty"`
	Namespace       string            `json:"namespace,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"`
}

type list struct {
	Metadata struct {
		ResourceVersion    string `json:"resourceVersion"`
		Continue           string `json:"continue"`
		RemainingItemCount int64  `json:"remainingItemCount"`
	} `json:"metadata"`
	Items []object `json:"items"`
}

// event is one line of a watch.
type event struct {
	Type   string `json:"type"`
	Object object `json:"object"`
}

// statusError is an answer that is not a success.
type statusError struct {
	code int
	body string
}

// Error says what the server answered.
func (e *statusError) Error() string { return fmt.Sprintf("HTTP %d: %.300s", e.code, e.body) }

func newAPIClient(t *testing.T, address string, pool *x509.CertPool) *apiClient {
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 16,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &apiClient{t: t, address: address, client: &http.Client{Transport: transport}}
}

func (c *apiClient) request(ctx context.Context, method, path, contentType string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.address+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+adminToken)
	request.Header.Set("Accept", "application/json")
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	return c.client.Do(request)
}

// do makes a request within the bound and returns the body of a success.
func (c *apiClient) do(method, path, contentType string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestBound)
	defer cancel()
	response, err := c.request(ctx, method, path, contentType, body)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return nil, &statusError{code: response.StatusCode, body: string(answer)}
	}
	return answer, nil
}

func (c *apiClient) get(path string) ([]byte, error) { return c.do(http.MethodGet, path, "", nil) }

// mustList lists, and fails the test if that fails.
func (c *apiClient) mustList(path string) list {
	c.t.Helper()
	listed, err := c.list(path)
	if err != nil {
		c.t.Fatalf("GET %s: %v", path, err)
	}
	return listed
}

func (c *apiClient) list(path string) (list, error) {
	body, err := c.get(path)
	if err != nil {
		return list{}, err
	}
	return decode[list](body)
}

// configMaps is the path of the ConfigMaps of a namespace.
func configMaps(namespace string) string { return "/api/v1/namespaces/" + namespace + "/configmaps" }

// createConfigMap creates a ConfigMap that holds one value.
func (c *apiClient) createConfigMap(namespace, name, value string) (object, error) {
	return c.write(http.MethodPost, configMaps(namespace), object{
		Metadata: metadata{Name: name}, Data: map[string]string{"value": value},
	})
}

// replaceConfigMap writes an object on the condition that it has not changed
// since its resource version.
func (c *apiClient) replaceConfigMap(namespace string, changed object) (object, error) {
	return c.write(http.MethodPut, configMaps(namespace)+"/"+changed.Metadata.Name, changed)
}

func (c *apiClient) write(method, path string, written object) (object, error) {
	body, err := json.Marshal(written)
	if err != nil {
		return object{}, err
	}
	answer, err := c.do(method, path, "application/json", body)
	if err != nil {
		return object{}, err
	}
	return decode[object](answer)
}

// deleteConfigMap deletes one ConfigMap.
func (c *apiClient) deleteConfigMap(namespace, name string) error {
	_, err := c.do(http.MethodDelete, configMaps(namespace)+"/"+name, "", nil)
	return err
}

func decode[T any](body []byte) (T, error) {
	var value T
	if err := json.Unmarshal(body, &value); err != nil {
		return value, fmt.Errorf("decode %.200q: %w", body, err)
	}
	return value, nil
}

// version is the resource version as the number that it is.
func (o object) version(t *testing.T) int64 {
	t.Helper()
	return parseVersion(t, o.Metadata.ResourceVersion)
}

func parseVersion(t *testing.T, text string) int64 {
	t.Helper()
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("resource version %q: %v", text, err)
	}
	return number
}

// watch streams events to handle until it returns false, the stream ends or ctx
// does. The error tells a stream that could not be opened.
func (c *apiClient) watch(ctx context.Context, path string, handle func(event) bool) error {
	response, err := c.request(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(response.Body) // the code says enough without it
		return &statusError{code: response.StatusCode, body: string(body)}
	}
	decoder := json.NewDecoder(response.Body)
	for {
		var next event
		if err := decoder.Decode(&next); err != nil {
			return nil // the server or the caller ended the stream
		}
		if !handle(next) {
			return nil
		}
	}
}
