package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// keyFiles are the files of one key.
type keyFiles struct {
	public, private string
	secret          any
}

func writeKey(t *testing.T, name string, private, public any) keyFiles {
	t.Helper()
	dir := t.TempDir()
	write := func(file, kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name+file)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	privateDER, privateErr := x509.MarshalPKCS8PrivateKey(private)
	publicDER, publicErr := x509.MarshalPKIXPublicKey(public)
	return keyFiles{
		private: write(".key", "PRIVATE KEY", privateDER, privateErr),
		public:  write(".pub", "PUBLIC KEY", publicDER, publicErr), secret: private,
	}
}

func rsaKey(t *testing.T) keyFiles {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return writeKey(t, "rsa", key, key.Public())
}

func ecKey(t *testing.T) keyFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return writeKey(t, "ec", key, key.Public())
}

func edKey(t *testing.T) keyFiles {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return writeKey(t, "ed", key, public)
}

func TestJWTOfEveryKind(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a secret of some length"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, e, d := rsaKey(t), ecKey(t), edKey(t)
	for _, spec := range []string{
		"sign-method=RS256,priv-key=" + r.private + ",pub-key=" + r.public, "sign-method=PS512,priv-key=" + r.private,
		"sign-method=ES256,priv-key=" + e.private + ",pub-key=" + e.public, "sign-method=EdDSA,priv-key=" + d.private,
		"sign-method=HS256,priv-key=" + secret,
	} {
		k, _ := enabled(t)
		f := newFrontend(t, k, func(s *Settings) { s.Token = "jwt,ttl=2m," + spec })
		alice := f.login(t, "alice", "a")
		must(t, second(f.guard.Put(alice, &pb.PutRequest{Key: []byte("a")})))
		k.pass(2*time.Minute + time.Second)
		if err := second(f.guard.Put(alice, &pb.PutRequest{Key: []byte("a")})); !errors.Is(err, rpctypes.ErrGRPCInvalidAuthToken) {
			t.Errorf("%s: after its time: %v", spec, err)
		}
	}
}

// TestHostileJWTs: what is not signed with the method and the key of the settings, or
// says too little, is nobody's.
func TestHostileJWTs(t *testing.T) {
	t.Parallel()
	key, other := rsaKey(t), rsaKey(t)
	k, _ := enabled(t)
	f := newFrontend(t, k, func(s *Settings) { s.Token = "jwt,sign-method=RS256,priv-key=" + key.private })
	revision := f.revision(t)
	now := k.clock()
	claims := func(change map[string]any) jwt.MapClaims {
		c := jwt.MapClaims{"username": "alice", "revision": revision, "exp": now.Add(time.Minute).Unix()}
		for name, value := range change {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
		return c
	}
	public, err := os.ReadFile(key.public)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		method jwt.SigningMethod
		key    any
		claims jwt.MapClaims
		valid  bool
	}{
		"good":                    {jwt.SigningMethodRS256, key.secret, claims(nil), true},
		"never expires":           {jwt.SigningMethodRS256, key.secret, claims(map[string]any{"exp": nil}), true}, // as in etcd
		"unsigned":                {jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(nil), false},
		"public key as a secret":  {jwt.SigningMethodHS256, public, claims(nil), false},
		"another method":          {jwt.SigningMethodRS512, key.secret, claims(nil), false},
		"another kind of padding": {jwt.SigningMethodPS256, key.secret, claims(nil), false},
		"another key":             {jwt.SigningMethodRS256, other.secret, claims(nil), false},
		"expired":                 {jwt.SigningMethodRS256, key.secret, claims(map[string]any{"exp": now.Add(-time.Second).Unix()}), false},
		"expiry is a word":        {jwt.SigningMethodRS256, key.secret, claims(map[string]any{"exp": "never"}), false},
		"not yet":                 {jwt.SigningMethodRS256, key.secret, claims(map[string]any{"nbf": now.Add(time.Hour).Unix()}), false},
		"no user":                 {jwt.SigningMethodRS256, key.secret, claims(map[string]any{"username": nil}), false},
		"user is a number":        {jwt.SigningMethodRS256, key.secret, claims(map[string]any{"username": 7}), false},
		"no revision":             {jwt.SigningMethodRS256, key.secret, claims(map[string]any{"revision": nil}), false},
		"revision is a word":      {jwt.SigningMethodRS256, key.secret, claims(map[string]any{"revision": "9"}), false},
		"revision is negative":    {jwt.SigningMethodRS256, key.secret, claims(map[string]any{"revision": -1}), false},
		"revision is huge":        {jwt.SigningMethodRS256, key.secret, claims(map[string]any{"revision": 1e300}), false},
	} {
		token, err := jwt.NewWithClaims(c.method, c.claims).SignedString(c.key)
		if err != nil {
			t.Fatal(err)
		}
		err = second(f.guard.Range(as(t, token), &pb.RangeRequest{Key: []byte("a")}))
		if c.valid && err != nil || !c.valid && !errors.Is(err, rpctypes.ErrGRPCInvalidAuthToken) {
			t.Errorf("%s: %v, valid is to be %v", name, err, c.valid)
		}
	}
}

func (f frontend) revision(t *testing.T) uint64 {
	t.Helper()
	resp, err := f.AuthStatus(t.Context(), &pb.AuthStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return resp.AuthRevision
}

// TestRevisionOfJWT: a signed token is for one auth revision, and calls on keys with
// another are refused; calls for root are not, as in etcd.
func TestRevisionOfJWT(t *testing.T) {
	t.Parallel()
	key := edKey(t)
	k, _ := enabled(t)
	f := newFrontend(t, k, func(s *Settings) { s.Token = "jwt,sign-method=EdDSA,priv-key=" + key.private })
	root := f.login(t, "root", "r")
	from := func(revision uint64) context.Context {
		token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"username": "root", "revision": revision}).SignedString(key.secret)
		if err != nil {
			t.Fatal(err)
		}
		return as(t, token)
	}
	later := from(f.revision(t) + 1)
	must(t, second(f.guard.Put(later, &pb.PutRequest{Key: []byte("a")})))
	if err := second(f.guard.Range(later, &pb.RangeRequest{Key: []byte("a")})); !errors.Is(err, rpctypes.ErrGRPCAuthOldRevision) {
		t.Errorf("a read with a token from a later revision: %v", err)
	}
	if err := second(f.guard.Put(from(0), &pb.PutRequest{Key: []byte("a")})); !errors.Is(err, rpctypes.ErrGRPCUserEmpty) {
		t.Errorf("a put with a token from revision 0: %v", err)
	}
	must(t, second(f.RoleAdd(root, &pb.AuthRoleAddRequest{Name: "another"})))
	if err := second(f.guard.Put(root, &pb.PutRequest{Key: []byte("a")})); !errors.Is(err, rpctypes.ErrGRPCAuthOldRevision) {
		t.Errorf("a put with a token from before a change: %v", err)
	}
	must(t, second(f.UserList(root, &pb.AuthUserListRequest{})))
}

func TestVerifyOnlyKey(t *testing.T) {
	t.Parallel()
	key := ecKey(t)
	k, _ := enabled(t)
	signs := newFrontend(t, k, func(s *Settings) { s.Token = "jwt,sign-method=ES256,priv-key=" + key.private })
	verifies := newFrontend(t, k, func(s *Settings) { s.Token = "jwt,sign-method=ES256,pub-key=" + key.public })
	must(t, second(verifies.guard.Range(signs.login(t, "alice", "a"), &pb.RangeRequest{Key: []byte("a")})))
	err := second(verifies.Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "alice", Password: "a"}))
	if status.Code(err) != codes.Unknown {
		t.Errorf("authenticate = %v", err)
	}
}

func TestTokenSettings(t *testing.T) {
	t.Parallel()
	r, e, other := rsaKey(t), ecKey(t), rsaKey(t)
	for spec, ok := range map[string]bool{
		"simple": true, "simple,anything=1": true, "": true, "opaque": false, "jwt": false, "jwt,": false,
		"jwt,sign-method=RS256": false, "jwt,sign-method=none": false, "jwt,sign-method=HS256": false, "jwt,sign-method=rs256": false,
		"jwt,sign-method=RS256,priv-key=" + r.private:                              true,
		"jwt,sign-method=RS256,priv-key=" + r.private + ",new=1":                   true,
		"jwt,sign-method=RS256,pub-key=" + r.public:                                true,
		"jwt,sign-method=RS256,priv-key=" + r.private + ",pub-key=" + other.public: false,
		"jwt,sign-method=RS256,priv-key=" + e.private:                              false,
		"jwt,sign-method=ES384,priv-key=" + e.private:                              false, // another curve
		"jwt,sign-method=ES256,pub-key=" + r.public:                                false,
		"jwt,sign-method=RS256,priv-key=/no/such/file":                             false,
		"jwt,sign-method=RS256,sign-method=RS256,priv-key=" + r.private:            false,
		"jwt,sign-method=RS256,ttl=0s,priv-key=" + r.private:                       false,
		"jwt,sign-method=RS256,ttl=soon,priv-key=" + r.private:                     false,
		"jwt,sign-method=RS256,ttl=10m,priv-key=" + r.private:                      true,
		"jwt,sign-method=RS256=,priv-key=" + r.private:                             false,
	} {
		if err := CheckToken(spec); (err == nil) != ok {
			t.Errorf("%s: %v, ok is to be %v", spec, err, ok)
		}
	}
}

// FuzzTokens: no token makes its reading panic, or is anybody's.
func FuzzTokens(f *testing.F) {
	dir := f.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("a secret of some length"), 0o600); err != nil {
		f.Fatal(err)
	}
	k := newKeyspace()
	signed, err := newProvider(Settings{Token: "jwt,sign-method=HS256,priv-key=" + secret}, Components{Now: k.clock})
	if err != nil {
		f.Fatal(err)
	}
	simple := newSimpleTokens(k, time.Minute, k.clock)
	good, err := jwt.NewWithClaims(jwt.SigningMethodHS384, jwt.MapClaims{"username": "root", "revision": 1}).SignedString([]byte("a secret of some length"))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{good, "eyJhbGciOiJub25lIn0.e30.", "abcdefghijklmnop.1", "..", "", fmt.Sprint(1 << 60)} {
		f.Add(seed)
	}
	st := &state{enabled: true}
	f.Fuzz(func(t *testing.T, token string) {
		for name, p := range map[string]provider{"jwt": signed, "simple": simple} {
			if who, valid, err := p.identify(context.Background(), st, token); valid || err != nil {
				t.Fatalf("%s: %q is %v (%v)", name, token, who, err)
			}
		}
	})
}
