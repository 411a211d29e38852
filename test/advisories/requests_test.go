package advisories

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/test/cluster"
)

// ofRequests are advisories on requests, of browsers and of those who mean harm.
func ofRequests() []advisory {
	return []advisory{
		{"GHSA-5gjm-fj42-x983", "CVE-2018-1098", "a page in a browser could write keys with a form", forms},
		{"GHSA-wf43-55jj-vwq8", "CVE-2018-1099", "a page in a browser could read answers under a name that it made mean the server", foreignNames},
		{"GHSA-mh63-6h87-95cp", "CVE-2025-30204", "a token of very many dots took very much memory (golang-jwt, fixed in etcd by a new version)", manyDots},
		{"GHSA-p77j-4mvh-x3m3", "CVE-2026-33186", "a path without its first slash got past rules on paths (grpc-go, fixed in etcd by a new version)", pathsWithoutSlash},
		{"etcd#22139", "", "operations inside nested transactions did not count towards what a request may cost", nestedOperations},
		{"etcd#22143", "", "clients of HTTP could take forever over their headers", slowHeaders},
		{"etcd#22147", "", "the handler of other members' lease requests read bodies of any size", memberHandlers},
	}
}

const putJSON = `{"key":"c2VjcmV0","value":"eA=="}`

func forms(t *testing.T, s *services) {
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"} {
		header := map[string]string{"Content-Type": kind, "Origin": "http://evil.example"}
		for _, path := range []string{"/v3/kv/put", "/v3beta/kv/put"} {
			if code, body, _ := post(t, web(nil), s.plain.Endpoint()+path, putJSON, header); code == http.StatusOK {
				t.Errorf("%s to %s is answered with %d, %s", kind, path, code, body)
			}
		}
		if code, body, _ := post(t, web(nil), s.plain.Endpoint()+"/v2/keys/queue", "value=x", header); code != http.StatusNotFound {
			t.Errorf("the keys of version 2 answer with %d, %s", code, body)
		}
	}
	s.secretIsAsItWas(t)
}

func (s *services) secretIsAsItWas(t *testing.T) {
	t.Helper()
	resp, err := pb.NewKVClient(s.conn).Range(s.ctx(t, "root"), &pb.RangeRequest{Key: []byte("secret")})
	if err != nil || len(resp.Kvs) != 1 || resp.Kvs[0].Version != 1 {
		t.Errorf("the key is %v, %v", resp, err)
	}
}

func foreignNames(t *testing.T, s *services) {
	header := map[string]string{"Host": "evil.example", "Origin": "http://evil.example"}
	strict := cluster.StartFrontend(t, cluster.FrontendOptions{Name: "strict", HotTier: s.redis.DatabaseURL(3), Args: []string{
		"--object-tier", "none", "--host-whitelist", "127.0.0.1", "--cors", "https://console.example",
	}})
	for path, body := range map[string]string{"/v3/kv/range": rangeJSON, "/v3/kv/put": putJSON, "/v3/maintenance/status": "{}", "/v3/cluster/member/list": "{}"} {
		if code, text, _ := post(t, web(nil), s.plain.Endpoint()+path, body, header); code == http.StatusOK {
			t.Errorf("%s under a foreign name is answered with %d, %s", path, code, text)
		}
		if code, text, _ := post(t, web(nil), strict.Endpoint()+path, body, header); code != http.StatusMisdirectedRequest {
			t.Errorf("without users, %s under a foreign name is answered with %d, %s", path, code, text)
		}
		code, text, got := post(t, web(nil), strict.Endpoint()+path, body, map[string]string{"Origin": "http://evil.example"})
		if code != http.StatusOK || got.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s is answered with %d, %s, headers %v", path, code, text, got)
		}
	}
	s.secretIsAsItWas(t)
}

func manyDots(t *testing.T, s *services) {
	one := *s
	for _, dots := range []int{3, 1000, 6000} {
		one.token = map[string]string{"mallory": strings.Repeat(".", dots)}
		_, err := pb.NewKVClient(s.conn).Range(one.ctx(t, "mallory"), &pb.RangeRequest{Key: []byte("a")})
		refused(t, fmt.Sprintf("a token of %d dots", dots), "invalid auth token", err)
	}
}

func pathsWithoutSlash(t *testing.T, s *services) {
	for _, method := range []string{"etcdserverpb.KV/Range", "//etcdserverpb.KV/Range", "/etcdserverpb.KV//Range"} {
		var resp pb.RangeResponse
		err := s.conn.Invoke(s.ctx(t, ""), method, &pb.RangeRequest{Key: []byte("secret")}, &resp)
		if err == nil || len(resp.Kvs) > 0 {
			t.Errorf("%s is answered with %v", method, &resp)
		}
	}
}

func nestedOperations(t *testing.T, s *services) {
	r := &pb.TxnRequest{}
	for range 200 { // above --max-txn-ops
		r.Success = append(r.Success, opRange(&pb.RangeRequest{Key: []byte("both")}))
	}
	for depth := range 3 {
		refused(t, fmt.Sprintf("too many operations at depth %d", depth), "too many operations in txn request", s.txn(t, r))
		r = &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: r}}}}
	}
}

// slowHeaders: a client that does not end its headers is let go, without an answer.
func slowHeaders(t *testing.T, s *services) {
	_, address, _ := strings.Cut(s.plain.Endpoint(), "://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // it is closed already
	if _, err := io.WriteString(conn, "POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err == nil && strings.Contains(string(answer), "200 OK") {
		t.Errorf("half of a request is answered with %q", answer)
	}
}

func memberHandlers(t *testing.T, s *services) {
	for _, path := range []string{"/leases", "/leases/internal", "/raft", "/members", "/v2/members", "/downgrade/enabled"} {
		if code, body, _ := post(t, web(nil), s.plain.Endpoint()+path, "x", nil); code != http.StatusNotFound {
			t.Errorf("%s answers with %d, %s", path, code, body)
		}
	}
}
