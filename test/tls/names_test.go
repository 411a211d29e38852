package tls_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/test/pki"
)

// TestNamesAsInEtcd: whom a client is taken for, by its certificate and its token, over gRPC and through the gateway, is as in
// etcd, to the words of the answers.
func TestNamesAsInEtcd(t *testing.T) {
	t.Parallel()
	p := startBoth(t, settings{})
	root, alice := p.authority.TLS(p.authority.Client("root")), p.authority.TLS(p.authority.Client("alice"))
	nameless := p.authority.TLS(p.authority.Issue(pki.Subject{File: "nameless"}))
	stranger := p.authority.TLS(p.authority.Client("stranger"))
	answers := make(map[string][]string)
	for server, to := range map[string]target{"etcd": p.etcd, "tierd": p.tierd} {
		enable(t, to, root)
		note := func(what, answer string) {
			answers[server] = append(answers[server], what+": "+answer)
		}
		for name, config := range map[string]*tls.Config{"root": root, "alice": alice, "nameless": nameless, "stranger": stranger} {
			token := authenticate(t, to, nameless, "alice", "pw")
			note(name+" over gRPC", rangeAs(t, to, config))
			note(name+" over gRPC with alice's token", rangeAs(t, to, config, rpctypes.TokenFieldNameGRPC, token))
			note(name+" over gRPC with a wrong token", rangeAs(t, to, config, rpctypes.TokenFieldNameGRPC, "wrong.1"))
			note(name+" over gRPC, as if from a gateway", rangeAs(t, to, config, "grpcgateway-accept", "x"))
			note(name+" through the gateway", rangeByHTTP(t, to, config, ""))
			note(name+" through the gateway with alice's token", rangeByHTTP(t, to, config, token))
		}
	}
	for _, line := range answers["tierd"] {
		what, answer, _ := strings.Cut(line, ": ")
		if nobody(what) {
			if !strings.Contains(answer, rpctypes.ErrorDesc(rpctypes.ErrGRPCUserEmpty)) {
				t.Errorf("tierd: %s", line)
			}
			continue
		}
		if !slices.Contains(answers["etcd"], line) {
			t.Errorf("tierd: %s\netcd: %s", line, find(answers["etcd"], what+": "))
		}
	}
	if !slices.Contains(answers["etcd"], "alice over gRPC: 1 keys") {
		t.Errorf("alice's certificate does not let her in: %q", answers["etcd"])
	}
}

// nobody tells whether a client shows neither name nor token, and etcd takes it for somebody all the same: for a user without a
// name, or, through its gateway, for the user that the server's own certificate names. It has no rights there; here it is told why.
func nobody(what string) bool {
	return what == "nameless over gRPC" || what == "nameless through the gateway"
}

// find is the line that begins so.
func find(lines []string, start string) string {
	if i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, start) }); i >= 0 {
		return lines[i]
	}
	return "nothing"
}

// enable makes root, and alice who may read "k", and turns authentication on.
func enable(t *testing.T, to target, config *tls.Config) {
	t.Helper()
	conn, err := grpc.NewClient(to.address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	auth := pb.NewAuthClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	steps := []func() error{
		func() error { _, err := pb.NewKVClient(conn).Put(ctx, &pb.PutRequest{Key: []byte("k")}); return err },
		func() error {
			_, err := auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "root", Password: "pw"})
			return err
		},
		func() error {
			_, err := auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "alice", Password: "pw"})
			return err
		},
		func() error { _, err := auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "root"}); return err },
		func() error { _, err := auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "reader"}); return err },
		func() error {
			_, err := auth.RoleGrantPermission(ctx, &pb.AuthRoleGrantPermissionRequest{Name: "reader", Perm: &authpb.Permission{PermType: authpb.Permission_READ, Key: []byte("k")}})
			return err
		},
		func() error {
			_, err := auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
			return err
		},
		func() error {
			_, err := auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "alice", Role: "reader"})
			return err
		},
		func() error { _, err := auth.AuthEnable(ctx, &pb.AuthEnableRequest{}); return err },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
}

// authenticate is a user's token.
func authenticate(t *testing.T, to target, config *tls.Config, name, password string) string {
	t.Helper()
	body := post(t, to, config, "/v3/auth/authenticate", fmt.Sprintf(`{"name":%q,"password":%q}`, name, password), "")
	var answer struct{ Token string }
	_, text, _ := strings.Cut(body, " ")
	if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Token == "" {
		t.Fatalf("authenticate %s: %q, %v", name, body, err)
	}
	return answer.Token
}

// rangeAs reads the key over gRPC, with metadata, and says what came of it.
func rangeAs(t *testing.T, to target, config *tls.Config, fields ...string) string {
	t.Helper()
	conn, err := grpc.NewClient(to.address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), fields...), bound)
	defer cancel()
	got, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("k")})
	if err != nil {
		return fmt.Sprint(status.Code(err), " ", status.Convert(err).Message())
	}
	return fmt.Sprintf("%d keys", len(got.Kvs))
}

// rangeByHTTP is rangeAs through the gateway.
func rangeByHTTP(t *testing.T, to target, config *tls.Config, token string) string {
	t.Helper()
	answer := post(t, to, config, "/v3/kv/range", `{"key":"aw=="}`, token)
	code, text, _ := strings.Cut(answer, " ")
	var got struct {
		Count   string
		Code    int
		Message string
	}
	if json.Unmarshal([]byte(text), &got) == nil {
		return fmt.Sprintf("%s %s keys, %d %s", code, got.Count, got.Code, got.Message)
	}
	return answer
}

// post is the status and the body of an answer.
func post(t *testing.T, to target, config *tls.Config, path, body, token string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+to.address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", token)
	}
	response, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", response.StatusCode, text)
}
