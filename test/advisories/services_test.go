package advisories

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/pki"
)

const (
	// bound is how long anything may take; far above what is normal.
	bound = time.Minute
	// The passwords are words that are found nowhere else.
	rootPassword, alicePassword = "Zaunkoenig-of-root", "Rotkehlchen-of-alice"
	deniedText                  = "etcdserver: permission denied"
	nobodyText                  = "etcdserver: user name is empty"
)

// services are the frontends that the tests ask: one without TLS whose users have
// passwords, and one with TLS whose users are the names of certificates. Both have the
// users root and alice, who may read "a" and "both", and write "w" and "both".
type services struct {
	plain, secure *cluster.Frontend
	redis         *cluster.Redis
	// folder holds the archive and the audit log.
	folder string
	// conn reaches plain; token are the users' tokens there.
	conn  *grpc.ClientConn
	token map[string]string
	// authority is that of secure; mallory's certificate of it is revoked.
	authority *pki.Authority
	mallory   pki.Pair
	metrics   string
}

func start(t *testing.T) *services {
	t.Helper()
	s := &services{folder: cluster.Folder(t), token: make(map[string]string), redis: cluster.StartRedis(t, cluster.RedisOptions{})}
	s.plain = cluster.StartFrontend(t, cluster.FrontendOptions{Name: "plain", HotTier: s.redis.URL(), Args: []string{
		"--bcrypt-cost", fmt.Sprint(bcrypt.MinCost), "--log-level", "debug", "--audit-log", s.auditLog("plain"),
		"--object-tier", "file://" + filepath.Join(s.folder, "archive"),
	}})
	s.conn = dial(t, s.plain.Endpoint(), insecure.NewCredentials())
	s.makeUsers(t, s.conn, false)
	for user, password := range map[string]string{"root": rootPassword, "alice": alicePassword} {
		resp, err := pb.NewAuthClient(s.conn).Authenticate(t.Context(), &pb.AuthenticateRequest{Name: user, Password: password})
		if err != nil {
			t.Fatal(err)
		}
		s.token[user] = resp.Token
	}
	s.startSecure(t)
	return s
}

func (s *services) auditLog(name string) string { return filepath.Join(s.folder, name+".audit") }

func (s *services) startSecure(t *testing.T) {
	t.Helper()
	s.authority = pki.New(t, cluster.Folder(t), "authority")
	own := s.authority.Server("server")
	// The name is that of somebody who may do everything.
	s.mallory = s.authority.Issue(pki.Subject{File: "mallory", CommonName: "root"})
	s.metrics = fmt.Sprintf("127.0.0.1:%d", cluster.FreePort(t))
	s.secure = cluster.StartFrontend(t, cluster.FrontendOptions{Name: "secure", HotTier: s.redis.DatabaseURL(1), TLS: s.authority.TLS(s.authority.Client("prober")), Args: []string{
		"--cert-file", own.Cert, "--key-file", own.Key, "--trusted-ca-file", s.authority.File(), "--client-cert-auth",
		"--client-crl-file", s.authority.Revoke("crl", s.mallory), "--listen-metrics-urls", "https://" + s.metrics,
		"--object-tier", "none", "--audit-log", s.auditLog("secure"),
	}})
	s.makeUsers(t, s.as(t, "root"), true)
}

// as is a connection to secure with a certificate of a name.
func (s *services) as(t *testing.T, name string) *grpc.ClientConn {
	t.Helper()
	return s.with(t, s.authority.TLS(s.authority.Client(name)))
}

func (s *services) with(t *testing.T, config *tls.Config) *grpc.ClientConn {
	t.Helper()
	return dial(t, s.secure.Endpoint(), credentials.NewTLS(config))
}

func dial(t *testing.T, endpoint string, secret credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	_, address, _ := strings.Cut(endpoint, "://")
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(secret))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close a connection: %v", err)
		}
	})
	return conn
}

// makeUsers makes the users and some keys, and turns the checks on.
func (s *services) makeUsers(t *testing.T, conn *grpc.ClientConn, certificates bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	auth, kv := pb.NewAuthClient(conn), pb.NewKVClient(conn)
	do := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for user, password := range map[string]string{"root": rootPassword, "alice": alicePassword} {
		r := &pb.AuthUserAddRequest{Name: user, Password: password, Options: &authpb.UserAddOptions{NoPassword: certificates}}
		do(auth.UserAdd(ctx, r))
		do(auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: user}))
		do(auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: user, Role: user}))
	}
	for key, kind := range map[string]authpb.Permission_Type{"a": authpb.Permission_READ, "both": authpb.Permission_READWRITE, "w": authpb.Permission_WRITE} {
		do(auth.RoleGrantPermission(ctx, &pb.AuthRoleGrantPermissionRequest{Name: "alice", Perm: &authpb.Permission{Key: []byte(key), PermType: kind}}))
	}
	do(pb.NewLeaseClient(conn).LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: leaseOfSecret, TTL: 3600}))
	for _, key := range []string{"a", "ab", "both", "w"} {
		do(kv.Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte("value of " + key)}))
	}
	do(kv.Put(ctx, &pb.PutRequest{Key: []byte("secret"), Value: []byte("secret"), Lease: leaseOfSecret}))
	do(auth.AuthEnable(ctx, &pb.AuthEnableRequest{}))
}

// leaseOfSecret is the lease that the key "secret" hangs on.
const leaseOfSecret = 4711

// ctx makes calls on conn a user's; "" is nobody's.
func (s *services) ctx(t *testing.T, user string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	t.Cleanup(cancel)
	if user == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "token", s.token[user])
}

// refused fails the test unless a call was refused with a text.
func refused(t *testing.T, what, text string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(status.Convert(err).Message(), text) {
		t.Errorf("%s: %v, want %q", what, err, text)
	}
}

// granted fails the test unless a call was answered: that it is refused to others says
// something only then.
func granted(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// post sends JSON to the gateway and gives status and body.
func post(t *testing.T, client *http.Client, url, body string, header map[string]string) (int, string, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
		if name == "Host" {
			request.Host = value
		}
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text), response.Header
}

// web is a client of HTTP that keeps nothing open.
func web(config *tls.Config) *http.Client {
	return &http.Client{Timeout: bound, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
}

// unharmed checks that both frontends still serve, and that nothing in them panicked.
func (s *services) unharmed(t *testing.T) {
	t.Helper()
	for _, f := range []*cluster.Frontend{s.plain, s.secure} {
		if err := f.Ready(); err != nil {
			t.Error(err)
		}
		for _, word := range []string{"panic", "goroutine "} {
			if strings.Contains(f.Log(), word) {
				t.Errorf("the log of %s holds %q", f.Name(), word)
			}
		}
	}
}

// usage fails the test unless a command line is refused with exit code 2 and words in the sentence.
func usage(t *testing.T, words string, arguments ...string) {
	t.Helper()
	_, err := cluster.RunTool(t.Context(), cluster.Binary(t, false), nil, arguments...)
	var failure *cluster.ToolError
	if !errors.As(err, &failure) || failure.Code != 2 || !strings.Contains(failure.Text, words) {
		t.Errorf("tierd %v: %v, want code 2 and %q", arguments, err, words)
	}
}
