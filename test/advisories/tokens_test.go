package advisories

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tierd/tierd/test/cluster"
)

// ofTokens are fixes of tokens, and of what happens to them when users change.
func ofTokens() []advisory {
	return []advisory{
		{"etcd#15676", "", "a signed token without a user or a revision ended the process", tokensWithoutClaims},
		{"etcd#15512", "", "changing the password of some users ended the process", changedPasswords},
		{"etcd#8695", "", "logging in while authentication was being switched off ended the process", switchedMeanwhile},
		{"etcd#18437", "", "a token that one member had just given was refused by the others", tokensElsewhere},
	}
}

func tokensWithoutClaims(t *testing.T, s *services) {
	secret := []byte(strings.Repeat("k", 32))
	file := filepath.Join(cluster.Folder(t), "secret")
	if err := os.WriteFile(file, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	f := cluster.StartFrontend(t, cluster.FrontendOptions{Name: "signed", HotTier: s.redis.DatabaseURL(4), Args: []string{
		"--object-tier", "none", "--auth-token", "jwt,priv-key=" + file + ",sign-method=HS256,ttl=1h",
	}})
	conn := dial(t, f.Endpoint(), insecure.NewCredentials())
	s.makeUsers(t, conn, false)
	one := *s
	read := func(claims jwt.MapClaims) error {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
		if err != nil {
			t.Fatal(err)
		}
		one.token = map[string]string{"somebody": token}
		_, err = pb.NewKVClient(conn).Range(one.ctx(t, "somebody"), &pb.RangeRequest{Key: []byte("secret")})
		return err
	}
	later := time.Now().Add(time.Hour).Unix()
	now, err := pb.NewAuthClient(conn).AuthStatus(s.ctx(t, ""), &pb.AuthStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for what, claims := range map[string]jwt.MapClaims{
		"no claims":          {},
		"no user":            {"revision": now.AuthRevision, "exp": later},
		"no revision":        {"username": "root", "exp": later},
		"a user that is 1":   {"username": 1, "revision": now.AuthRevision, "exp": later},
		"a revision of text": {"username": "root", "revision": "1000", "exp": later},
		"no user at all":     {"username": nil, "revision": nil, "exp": later},
		"an end in the past": {"username": "root", "revision": now.AuthRevision, "exp": 1},
	} {
		refused(t, "a token with "+what, "invalid auth token", read(claims))
	}
	granted(t, "a token as it should be", read(jwt.MapClaims{"username": "root", "revision": now.AuthRevision, "exp": later}))
	if err := f.Ready(); err != nil {
		t.Error(err)
	}
}

// changedPasswords: users without options, without a password, and of none.
func changedPasswords(t *testing.T, s *services) {
	auth := pb.NewAuthClient(s.conn)
	_, err := auth.UserAdd(s.ctx(t, "root"), &pb.AuthUserAddRequest{Name: "bare", Password: "x"}) // no options
	granted(t, "a new user", err)
	for _, r := range []*pb.AuthUserChangePasswordRequest{
		{Name: "bare", Password: "y"}, {Name: "bare"}, {Name: "bare", HashedPassword: "not base64!"}, {Name: "bare", HashedPassword: "AAAA"}, {Name: "nobody", Password: "y"}, {},
	} {
		_, _ = auth.UserChangePassword(s.ctx(t, "root"), r) // answered or refused, as etcd does: test/differential compares it
		_, err := auth.Authenticate(s.ctx(t, ""), &pb.AuthenticateRequest{Name: "bare", Password: "x"})
		refused(t, fmt.Sprintf("the first password after %v", r), "authentication failed", err)
	}
}

// pair starts two frontends on a database.
func (s *services) pair(t *testing.T, database int) [2]pb.AuthClient {
	t.Helper()
	var clients [2]pb.AuthClient
	for i := range clients {
		f := cluster.StartFrontend(t, cluster.FrontendOptions{Name: fmt.Sprintf("pair-%d-%d", database, i), HotTier: s.redis.DatabaseURL(database), Args: []string{
			"--object-tier", "none", "--bcrypt-cost", fmt.Sprint(bcrypt.MinCost),
		}})
		conn := dial(t, f.Endpoint(), insecure.NewCredentials())
		if i == 0 {
			s.makeUsers(t, conn, false)
		}
		clients[i] = pb.NewAuthClient(conn)
		t.Cleanup(func() {
			if err := f.Ready(); err != nil || strings.Contains(f.Log(), "panic") {
				t.Errorf("%s is harmed: %v", f.Name(), err)
			}
		})
	}
	return clients
}

const logins = 60

func switchedMeanwhile(t *testing.T, s *services) {
	clients := s.pair(t, 5)
	var working sync.WaitGroup
	for i := range 4 {
		working.Go(func() {
			for range logins {
				// It is let in or not, as it happens; that nothing breaks is what is asked.
				_, _ = clients[i%2].Authenticate(s.ctx(t, ""), &pb.AuthenticateRequest{Name: "alice", Password: alicePassword})
			}
		})
	}
	one := *s
	for range logins / 6 {
		resp, err := clients[0].Authenticate(s.ctx(t, ""), &pb.AuthenticateRequest{Name: "root", Password: rootPassword})
		if err != nil {
			t.Fatal(err)
		}
		one.token = map[string]string{"root": resp.Token}
		_, err = clients[1].AuthDisable(one.ctx(t, "root"), &pb.AuthDisableRequest{})
		granted(t, "switching off", err)
		_, err = clients[0].AuthEnable(s.ctx(t, ""), &pb.AuthEnableRequest{})
		granted(t, "switching on", err)
	}
	working.Wait()
}

func tokensElsewhere(t *testing.T, s *services) {
	clients := s.pair(t, 6)
	one := *s
	for i := range logins {
		resp, err := clients[i%2].Authenticate(s.ctx(t, ""), &pb.AuthenticateRequest{Name: "root", Password: rootPassword})
		if err != nil {
			t.Fatal(err)
		}
		one.token = map[string]string{"root": resp.Token}
		_, err = clients[1-i%2].UserList(one.ctx(t, "root"), &pb.AuthUserListRequest{})
		granted(t, "a token of the other frontend", err)
	}
}
