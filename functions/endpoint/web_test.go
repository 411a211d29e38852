package endpoint

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/oracle"
)

// exchange is one HTTP request, and the whole answer but for what must differ:
// dates, and the ids of the cluster and its member.
type exchange struct{ method, path, body string }

var identities = regexp.MustCompile(`("(cluster_id|member_id|raft_term)":)"[0-9]+"`)

func (e exchange) on(t *testing.T, server string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), e.method, server+e.path, strings.NewReader(e.body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Header.Del("Date")
	// The JSON library puts blanks at random after commas, so that nobody
	// depends on them; the length goes with them.
	resp.Header.Del("Content-Length")
	body := identities.ReplaceAllString(strings.ReplaceAll(string(raw), ", \"", ",\""), `$1"-"`)
	// etcd runs its checks in random order.
	if lines := strings.SplitAfter(body, "\n"); strings.HasPrefix(body, "[") {
		body = sorted(lines)
	}
	return fmt.Sprintf("%s\n%v\n%s", resp.Status, resp.Header, body)
}

func sorted(lines []string) string {
	for i := range lines {
		for j := i; j > 0 && lines[j] < lines[j-1]; j-- {
			lines[j], lines[j-1] = lines[j-1], lines[j]
		}
	}
	return strings.Join(lines, "")
}

// Every HTTP answer equals real etcd's: status, headers and body.
func TestHTTPAsEtcd(t *testing.T) {
	t.Parallel()
	etcd := oracle.Start(t, oracle.Options{})
	cluster.Await(t, time.Minute, "etcd agrees on its cluster version and on that of its storage", func() error {
		_, body := get(t, etcd.Endpoint()+"/version")
		if !strings.Contains(body, `"etcdcluster":"3.7.0"`) || !strings.Contains(body, `"storage":"3.7.0"`) {
			return errors.New(body)
		}
		return nil
	})
	f := start(t, nil)
	for _, e := range []exchange{
		{"GET", "/version", ""},
		{"GET", "/health", ""},
		{"GET", "/health?serializable=true", ""},
		{"GET", "/health?exclude=NOSPACE", ""},
		{"GET", "/livez", ""},
		{"GET", "/livez?verbose", ""},
		{"GET", "/livez/serializable_read?verbose", ""},
		{"GET", "/readyz", ""},
		{"GET", "/readyz?verbose", ""},
		{"GET", "/readyz?verbose=1&exclude=serializable_read&exclude=nonsense", ""},
		{"GET", "/readyz?exclude=linearizable_read", ""},
		{"GET", "/readyz/ping", ""},
		{"GET", "/readyz/serializable_read", ""},
		{"GET", "/readyz/linearizable_read?verbose", ""},
		{"GET", "/readyz/data_corruption", ""},
		{"GET", "/readyz/non_learner", ""},
		{"GET", "/nothing", ""},
		{"POST", "/health", ""},
		{"POST", "/readyz", ""},
		{"PUT", "/version", ""},
		{"OPTIONS", "/v3/kv/range", ""},
		{"GET", "/v3/kv/range", ""},
		{"POST", "/v3/nothing", "{}"},
		{"POST", "/v3/kv/put", `{"key":"Zm9v","value":"YmFy"}`},
		{"POST", "/v3/kv/range", `{"key":"Zm9v"}`},
		{"POST", "/v3/kv/range", `{"key":"Zm9v","unheard_of":1}`},
		{"POST", "/v3beta/kv/range", `{"key":"Zm9v"}`},
		{"POST", "/v3/kv/range", `{}`},
		{"POST", "/v3/kv/range", `junk`},
		{"POST", "/v3/auth/status", `{}`},
		{"POST", "/v3/auth/disable", `{}`},
		{"POST", "/v3/auth/authenticate", `{"name":"root","password":"x"}`},
		{"POST", "/v3/lease/keepalive", `{"ID":7}`},
	} {
		if got, want := e.on(t, f.url), e.on(t, etcd.Endpoint()); got != want {
			t.Errorf("%s %s %s\ngot  %s\netcd %s", e.method, e.path, e.body, got, want)
		}
	}
}

// The answers of a frontend in trouble; etcd's texts, which are not so easily
// had from a healthy etcd.
func TestUnhealthy(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	expect := func(path string, wantCode int, want string) {
		t.Helper()
		if code, body := get(t, f.url+path); code != wantCode || body != want {
			t.Errorf("%s = %d %q, want %d %q", path, code, body, wantCode, want)
		}
	}
	f.keyspace.raise(pb.AlarmType_NOSPACE)
	expect("/health", 503, `{"health":"false","reason":"ALARM NOSPACE"}`+"\n")
	expect("/health?exclude=NOSPACE", 200, `{"health":"true","reason":""}`)
	expect("/readyz", 200, "ok\n")
	f.keyspace.raise(pb.AlarmType_CORRUPT)
	expect("/health?exclude=NOSPACE", 503, `{"health":"false","reason":"ALARM CORRUPT"}`+"\n")
	expect("/readyz", 503, "[-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n"+
		"[+]linearizable_read ok\n[+]non_learner ok\n\n")
	expect("/readyz?exclude=data_corruption", 200, "ok\n")
	expect("/livez", 200, "ok\n")

	f.keyspace.raise()
	f.keyspace.fail(fmt.Errorf("%w: dial redis.internal:6379: refused", router.ErrUnavailable))
	expect("/readyz/linearizable_read", 503, "[-]linearizable_read failed: etcdserver: no leader\n\n")
	expect("/health", 503, `{"health":"false","reason":"RANGE ERROR:etcdserver: no leader"}`+"\n")
	expect("/livez", 200, "ok\n")
	for range probesMissedMax {
		f.pulse.probe(t.Context())
	}
	expect("/health", 503, `{"health":"false","reason":"RAFT NO LEADER"}`+"\n")
	expect("/health?serializable=true", 503, `{"health":"false","reason":"RANGE ERROR:etcdserver: no leader"}`+"\n")

	f.keyspace.fail(errors.New("stuck"))
	expect("/livez", 503, "[-]serializable_read failed: etcdserver: stuck\n\n")
	if n := f.value(t, `etcd_server_health_failures`); n != "5" {
		t.Errorf("%s failures counted", n)
	}
	if n := f.value(t, `etcd_server_healthcheck{name="serializable_read",type="livez"}`); n != "0" {
		t.Errorf("the last livez check was recorded as %s", n)
	}
}

// A watch over HTTP brings each event on a line of its own.
func TestGatewayWatch(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", f.url+"/v3/watch", strings.NewReader(`{"create_request":{"key":"aw=="}}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Fatalf("got %q, want %q", lines.Text(), want)
		}
	}
	next(`"created":true`)
	put := exchange{"POST", "/v3/kv/put", `{"key":"aw==","value":"djE="}`}
	put.on(t, f.url)
	next(`"events":[{"kv":{"key":"aw==","create_revision":"2","mod_revision":"2","version":"1","value":"djE="}}]`)
}

func TestGatewayWebsocket(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	conn, resp, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(f.url, "http")+"/v3/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	defer func() { _ = conn.Close() }()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"create_request":{"key":"aw=="}}`)); err != nil {
		t.Fatal(err)
	}
	if _, line, err := conn.ReadMessage(); err != nil || !strings.Contains(string(line), `"created":true`) {
		t.Errorf("watch: %q, %v", line, err)
	}
}

func TestGatewayBoundsBodies(t *testing.T) {
	t.Parallel()
	f := start(t, func(s *Settings, _ *Components) { s.MaxRequestBytes = 1000 })
	put := func(n int) string {
		return exchange{"POST", "/v3/kv/put", `{"key":"aw==","value":"` + strings.Repeat("AAAA", n/3) + `"}`}.on(t, f.url)
	}
	if got := put(2100); !strings.Contains(got, "400 Bad Request") || !strings.Contains(got, "etcdserver: request is too large") {
		t.Errorf("a large put: %s", got)
	}
	if got := put(2 * overheadBytes); !strings.Contains(got, "http: request body too large") {
		t.Errorf("a huge put: %s", got)
	}
}

func TestMetricsAddress(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	metrics := "http://" + f.MetricsAddrs()[0].String()
	for path, want := range map[string]string{
		"/metrics": "etcd_server_has_leader 1", "/health": `"health":"true"`, "/livez": "ok", "/readyz": "ok",
		"/debug/pprof/": "goroutine", "/debug/pprof/cmdline": "endpoint",
	} {
		if code, body := get(t, metrics+path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s = %d %q", path, code, body)
		}
	}
	if code, _ := get(t, metrics+"/version"); code != 404 {
		t.Errorf("/version on the metrics address: %d", code)
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap"} {
		if code, _ := get(t, f.url+path); code != 404 {
			t.Errorf("%s on the client address: %d", path, code)
		}
	}
	quiet := start(t, func(s *Settings, _ *Components) { s.EnablePprof = false })
	if code, _ := get(t, "http://"+quiet.MetricsAddrs()[0].String()+"/debug/pprof/"); code != 404 {
		t.Errorf("profiles without the setting: %d", code)
	}
}
