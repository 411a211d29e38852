package object_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tierd/tierd/test/objectstore"
	"github.com/tierd/tierd/tiers/object"
)

// behind is a store behind faults, and the server itself.
func behind(t testing.TB, faults *objectstore.Faults) (struck, direct object.Store) {
	t.Helper()
	server := objectstore.Start(t)
	endpoint := faults.Proxy(t, server.Endpoint())
	return objectstore.Open(t, objectstore.LocationAt(endpoint, "p")), objectstore.Open(t, server.Location("p"))
}

// TestConditionAndEncryptionAreAsked: what the server is asked, which not every server shows.
func TestConditionAndEncryptionAreAsked(t *testing.T) {
	t.Parallel()
	faults := &objectstore.Faults{}
	var mu sync.Mutex
	var calls []objectstore.Call
	faults.Set(func(call objectstore.Call) objectstore.Fault {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, call)
		return objectstore.None
	})
	location := objectstore.LocationAt(faults.Proxy(t, objectstore.Start(t).Endpoint()), "p")
	location.SSE, location.SSEKey = "aws:kms", "arn:aws:kms:us-east-1:1:key/2"
	store := objectstore.Open(t, location)
	create(t, store, "small", []byte("x"))
	create(t, store, "large", make([]byte, partBytes+1))
	if err := store.Replace(t.Context(), "replaced", nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, call := range calls {
		kind := call.Operation + " " + strings.TrimPrefix(call.Name, "/archive/p/")
		for _, query := range []string{"uploads", "partNumber", "uploadId"} {
			if call.Query.Has(query) {
				kind += " " + query
			}
		}
		for _, header := range []string{"If-None-Match", "X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"} {
			if value := call.Header.Get(header); value != "" {
				kind += " " + value
			}
		}
		if call.Header.Get("X-Amz-Checksum-Crc32") == "" && call.Query.Has("partNumber") {
			kind += " without a checksum"
		}
		got = append(got, kind)
	}
	slices.Sort(got[2:4]) // parts are sent at once
	const sse = " aws:kms arn:aws:kms:us-east-1:1:key/2"
	want := []string{
		"PUT small *" + sse,
		"POST large uploads" + sse,
		"PUT large partNumber uploadId", "PUT large partNumber uploadId",
		"POST large uploadId *",
		"PUT replaced" + sse,
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestEachFaultOnce: a fault that passes is not seen, except that a Create which was done
// finds its own object.
func TestEachFaultOnce(t *testing.T) {
	t.Parallel()
	faults := &objectstore.Faults{Delay: time.Millisecond}
	store, direct := behind(t, faults)
	content := bytes.Repeat([]byte("content"), 1000)
	create(t, direct, "there", content)
	for _, fault := range objectstore.Passing() {
		name := "new-" + strings.ReplaceAll(fault.String(), " ", "-")
		strike := func() { faults.Set(objectstore.Sequence(fault)) }
		strike()
		err := store.Create(t.Context(), name, bytes.NewReader(content))
		done := fault == objectstore.Unanswered || fault == objectstore.DoneButFailed
		if err != nil && !(done && errors.Is(err, object.ErrExists)) {
			t.Errorf("%s: create: got %v", fault, err)
		}
		if got := read(t, direct, name, 0); !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes were stored", fault, len(got))
		}
		strike()
		if got := read(t, store, "there", 3); !bytes.Equal(got, content[3:]) {
			t.Errorf("%s: read %d bytes", fault, len(got))
		}
		strike()
		if got := names(t, store.List(t.Context(), "there", "")); len(got) != 1 {
			t.Errorf("%s: listed %v", fault, got)
		}
		strike()
		if err := store.Remove(t.Context(), name); err != nil {
			t.Errorf("%s: remove: got %v", fault, err)
		}
		strike()
		if err := store.Remove(t.Context(), "none", name); err != nil {
			t.Errorf("%s: remove two: got %v", fault, err)
		}
	}
	t.Log(faults)
}

// TestLastingFaults: after all attempts, the error says what the caller has to know.
func TestLastingFaults(t *testing.T) {
	t.Parallel()
	faults := &objectstore.Faults{}
	store, direct := behind(t, faults)
	create(t, direct, "there", []byte("x"))
	for fault, want := range map[objectstore.Fault]struct {
		err     error
		unknown bool
	}{
		objectstore.Lost:       {object.ErrUnavailable, true},
		objectstore.Failed:     {object.ErrUnavailable, true},
		objectstore.Busy:       {object.ErrUnavailable, true},
		objectstore.Denied:     {object.ErrDenied, false},
		objectstore.Unanswered: {object.ErrUnavailable, true},
	} {
		faults.Set(func(objectstore.Call) objectstore.Fault { return fault })
		name := "new-" + fault.String()
		err := store.Create(t.Context(), name, strings.NewReader("x"))
		if !errors.Is(err, want.err) || errors.Is(err, object.ErrUnknown) != want.unknown || !strings.Contains(err.Error(), "create s3://archive/p/"+name+": ") {
			t.Errorf("%s: create: got %v", fault, err)
		}
		if err := store.Remove(t.Context(), "there"); !errors.Is(err, want.err) || errors.Is(err, object.ErrUnknown) != want.unknown {
			t.Errorf("%s: remove: got %v", fault, err)
		}
		if _, err := store.Open(t.Context(), "there", 0); !errors.Is(err, want.err) || errors.Is(err, object.ErrUnknown) {
			t.Errorf("%s: open: got %v", fault, err)
		}
		for _, err := range store.List(t.Context(), "", "") {
			if !errors.Is(err, want.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: list: got %v", fault, err)
			}
		}
	}
}

// TestBrokenBodies: a body that breaks again and again is read to its end as long as
// it advances, and otherwise ends in an error, never early.
func TestBrokenBodies(t *testing.T) {
	t.Parallel()
	faults := &objectstore.Faults{}
	store, direct := behind(t, faults)
	content := bytes.Repeat([]byte("0123456789abcdef"), 4<<16)
	create(t, direct, "there", content)
	faults.Set(objectstore.Sequence(objectstore.Truncated, objectstore.Truncated, objectstore.Lost, objectstore.Truncated, objectstore.Failed))
	if got := read(t, store, "there", 0); !bytes.Equal(got, content) {
		t.Fatalf("got %d bytes of %d", len(got), len(content))
	}
	faults.Set(func(objectstore.Call) objectstore.Fault { return objectstore.Truncated })
	body, err := store.Open(t.Context(), "there", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) >= len(content) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
}

// TestUploadsInPartsUnderFaults: an object in parts is stored whole or not at all.
func TestUploadsInPartsUnderFaults(t *testing.T) {
	t.Parallel()
	faults := &objectstore.Faults{Delay: time.Millisecond}
	store, direct := behind(t, faults)
	content := bytes.Repeat([]byte("0123456789abcdef"), (2*partBytes+100)/16)
	for seed := range uint64(8) {
		faults.Set(objectstore.Random(seed, 0.4, objectstore.All()...))
		name := fmt.Sprintf("parts-%d", seed)
		err := store.Create(t.Context(), name, bytes.NewReader(content))
		faults.Set(nil)
		body, opened := direct.Open(t.Context(), name, 0)
		switch {
		case opened == nil:
			got, read := io.ReadAll(body)
			body.Close()
			if read != nil || !bytes.Equal(got, content) {
				t.Errorf("seed %d: %d bytes were stored, %v", seed, len(got), read)
			}
			if err != nil && !errors.Is(err, object.ErrUnknown) && !errors.Is(err, object.ErrExists) {
				t.Errorf("seed %d: it is there, and Create said %v", seed, err)
			}
		case !errors.Is(opened, object.ErrNotFound):
			t.Errorf("seed %d: %v", seed, opened)
		case err == nil || errors.Is(err, object.ErrExists):
			t.Errorf("seed %d: it is not there, and Create said %v", seed, err)
		}
	}
	t.Log(faults)
}

// TestStallsEnd: a server that accepts and says nothing, or half of it, holds nobody up.
func TestStallsEnd(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/half") {
			w.Header().Set("Content-Length", "100")
			w.Header().Set("ETag", `"x"`)
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(release)
	short := 50 * time.Millisecond
	store, err := object.Open(t.Context(), objectstore.LocationAt(server.URL, "p"), object.Options{
		Credentials: objectstore.Credentials(),
		Limits:      object.Limits{Attempts: 2, BackoffMax: short, Attempt: short, Stall: short},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer store.(io.Closer).Close()
	if err := store.Create(t.Context(), "silent", strings.NewReader("x")); !errors.Is(err, object.ErrUnknown) || errors.Is(err, context.Canceled) {
		t.Errorf("create: got %v", err)
	}
	if _, err := store.Open(t.Context(), "silent", 0); !errors.Is(err, object.ErrUnavailable) || errors.Is(err, context.Canceled) {
		t.Errorf("open: got %v", err)
	}
	body, err := store.Open(t.Context(), "half", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("read: got %q, %v", got, err)
	}
}

func TestErrorsOfTheBucket(t *testing.T) {
	t.Parallel()
	server := objectstore.Start(t)
	location := server.Location("p")
	location.Bucket = "another"
	if err := objectstore.Open(t, location).Create(t.Context(), "a", strings.NewReader("")); !errors.Is(err, object.ErrUnfit) || !strings.Contains(err.Error(), "no such bucket") {
		t.Errorf("a bucket that is not there: got %v", err)
	}
	location = server.Location("p")
	location.Endpoint = "http://127.0.0.1:1"
	err := objectstore.Open(t, location).Create(t.Context(), "a", strings.NewReader(""))
	if !errors.Is(err, object.ErrUnavailable) || errors.Is(err, object.ErrUnknown) {
		t.Errorf("no server: got %v", err)
	}
	t.Log(err)
}

// TestUnfitListings: a store that lists in another order, or loses its way, is not believed.
func TestUnfitListings(t *testing.T) {
	t.Parallel()
	entry := func(key string) string { return "<Contents><Key>" + key + "</Key><Size>1</Size></Contents>" }
	for want, reply := range map[string]string{
		"order":     "<IsTruncated>false</IsTruncated>" + entry("p/b") + entry("p/a"),
		"not where": "<IsTruncated>true</IsTruncated>" + entry("p/a"),
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<ListBucketResult>"+reply+"</ListBucketResult>")
		}))
		defer server.Close()
		err := error(nil)
		for _, err = range objectstore.Open(t, objectstore.LocationAt(server.URL, "p")).List(t.Context(), "", "") {
			if err != nil {
				break
			}
		}
		if !errors.Is(err, object.ErrUnfit) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want something about %q", err, want)
		}
	}
}

// TestListsOverPages: more objects than a page holds.
func TestListsOverPages(t *testing.T) {
	t.Parallel()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.URL.Query().Get("continuation-token")
		asked = append(asked, token+" "+r.URL.Query().Get("start-after")+" "+r.URL.Query().Get("prefix"))
		next := map[string]string{"": "1", "1": "2", "2": ""}[token]
		fmt.Fprintf(w, "<ListBucketResult><IsTruncated>%t</IsTruncated><NextContinuationToken>%s</NextContinuationToken>"+
			"<Contents><Key>p/a/%[3]s0</Key><Size>1</Size></Contents><Contents><Key>p/a/%[3]s1/</Key></Contents></ListBucketResult>", next != "", next, token)
	}))
	defer server.Close()
	store := objectstore.Open(t, objectstore.LocationAt(server.URL, "p"))
	if got := names(t, store.List(t.Context(), "a/", "a/0")); !slices.Equal(got, []string{"a/10", "a/20"}) {
		t.Errorf("got %v", got)
	}
	if want := []string{" p/a/0 p/a/", "1 p/a/0 p/a/", "2 p/a/0 p/a/"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
}
