package differential

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/cluster"
)

const (
	// speakersMax is how many of the latest to show a password are remembered.
	speakersMax = 24
	// usersMax and rolesMax are how many names there are.
	usersMax, rolesMax = 5, 4
	// authReportMin is how many steps make it certain that calls were denied.
	authReportMin = 500
	deniedText    = "PermissionDenied: etcdserver: permission denied"
)

// kindsOfTokens are the kinds that are played with.
func kindsOfTokens() []kindOfTokens {
	return []kindOfTokens{
		{
			name:   "simple",
			option: func(*testing.T) string { return "simple" },
			shape:  regexp.MustCompile(`^[a-zA-Z]{16}\.[0-9]+$`),
		},
		{
			name:   "jwt",
			option: jwtOption,
			shape:  regexp.MustCompile(`^[\w-]+\.[\w-]+\.[\w-]+$`),
			stale:  true,
		},
	}
}

// jwtOption makes a key to sign with.
func jwtOption(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	folder := cluster.Folder(t)
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return fmt.Sprintf("jwt,pub-key=%s,priv-key=%s,sign-method=ES256,ttl=1h",
		write("public.pem", "PUBLIC KEY", public), write("private.pem", "EC PRIVATE KEY", private))
}

func (g *authGame) userName() string {
	switch {
	case g.chance(0.06):
		return "root"
	case g.chance(0.03):
		return []string{"", "nobody", "ü/\x00", strings.Repeat("long", 100)}[g.IntN(4)]
	}
	return fmt.Sprintf("u%d", g.IntN(usersMax))
}

func (g *authGame) roleName() string {
	switch {
	case g.chance(0.05):
		return "root"
	case g.chance(0.03):
		return []string{"", "none", "ü/\x00"}[g.IntN(3)]
	}
	return fmt.Sprintf("r%d", g.IntN(rolesMax))
}

// password is one of few, rarely one that cannot be.
func (g *authGame) password() string {
	switch {
	case g.chance(0.03) && (!g.enabled || g.as != nil && g.as == g.root):
		return strings.Repeat("p", 73) // longer than bcrypt takes; see differences_test.go
	case g.chance(0.03):
		return ""
	}
	return fmt.Sprintf("p%d", g.IntN(3))
}

// somebody is who makes the next call: mostly somebody with a token that counts.
func (g *authGame) somebody() *speaker {
	g.Helper()
	switch {
	case g.chance(0.03):
		return nil
	case g.chance(0.03):
		return g.impostor()
	case len(g.speakers) == 0, g.chance(0.1), g.kind.stale && g.chance(0.6):
		if s := g.authenticate(g.credentials()); s != nil {
			return s
		}
	}
	if len(g.speakers) == 0 || g.chance(0.01) {
		return nil
	}
	newest := g.speakers[max(0, len(g.speakers)-8):]
	if g.chance(0.1) {
		newest = g.speakers
	}
	return newest[g.IntN(len(newest))]
}

// impostor shows what is no token.
func (g *authGame) impostor() *speaker {
	bad := []string{"", ".", "x", "x.y", "abcdefghijklmnop.1", "a.b.c", "eyJhbGciOiJub25lIn0.eyJ1c2VybmFtZSI6InJvb3QiLCJyZXZpc2lvbiI6MX0.", "abcdefghijklmnop.-1", "..", "Bearer "}[g.IntN(10)]
	return &speaker{user: "impostor " + bad, field: []string{"token", "authorization"}[g.IntN(2)], tokens: map[*system]string{g.etcd: bad, g.tierd: bad}}
}

// credentials are mostly those of a user there is.
func (g *authGame) credentials() (name, password string) {
	name = g.userName()
	if p, ok := g.passwords[name]; ok && !g.chance(0.1) {
		return name, p
	}
	return name, g.password()
}

// permission is a right to a key or a range, rarely to what is none.
func (g *authGame) permission() *authpb.Permission {
	p := &authpb.Permission{PermType: authpb.Permission_Type(g.IntN(3)), Key: g.key()}
	switch {
	case g.chance(0.08):
		p.Key, p.RangeEnd = []byte{0}, []byte{0}
	case g.chance(0.3):
		p.Key, p.RangeEnd = []byte("k"), []byte("l")
	case g.chance(0.2):
		p.Key, p.RangeEnd = []byte("queue"), []byte("queuf")
	case g.chance(0.5):
		p.RangeEnd = g.end(p.Key)
	case g.chance(0.03):
		p.Key = nil
	case g.chance(0.02):
		p.PermType = 7
	}
	return p
}

// changeOfUsers is a call that changes users, roles, or whether they count.
func (g *authGame) changeOfUsers() call {
	switch kind := g.IntN(100); {
	case kind < 12:
		r := &pb.AuthUserAddRequest{Name: g.userName(), Password: g.password()}
		switch {
		case g.chance(0.05):
			r.Options = &authpb.UserAddOptions{NoPassword: true}
		case g.chance(0.1):
			r.Options = &authpb.UserAddOptions{}
		case g.chance(0.05):
			r.HashedPassword = g.hashed("p1") // not for clients to say
		}
		return call{pb.Auth_UserAdd_FullMethodName, r}
	case kind < 16:
		return call{pb.Auth_UserDelete_FullMethodName, &pb.AuthUserDeleteRequest{Name: g.userName()}}
	case kind < 24:
		r := &pb.AuthUserChangePasswordRequest{Name: g.userName(), Password: g.password()}
		if g.chance(0.1) {
			r.Password, r.HashedPassword = "", g.hashed("p2")
		}
		if r.Name == "root" && r.Password == "" && r.HashedPassword == "" {
			r.Password = "p1" // or nobody could log in as root any more
		}
		return call{pb.Auth_UserChangePassword_FullMethodName, r}
	case kind < 40:
		return call{pb.Auth_UserGrantRole_FullMethodName, &pb.AuthUserGrantRoleRequest{User: g.userName(), Role: g.roleName()}}
	case kind < 47:
		return call{pb.Auth_UserRevokeRole_FullMethodName, &pb.AuthUserRevokeRoleRequest{Name: g.userName(), Role: g.roleName()}}
	case kind < 58:
		return call{pb.Auth_RoleAdd_FullMethodName, &pb.AuthRoleAddRequest{Name: g.roleName()}}
	case kind < 61:
		return call{pb.Auth_RoleDelete_FullMethodName, &pb.AuthRoleDeleteRequest{Role: g.roleName()}}
	case kind < 86:
		r := &pb.AuthRoleGrantPermissionRequest{Name: g.roleName(), Perm: g.permission()}
		if g.chance(0.02) {
			r.Perm = nil
		}
		return call{pb.Auth_RoleGrantPermission_FullMethodName, r}
	case kind < 97:
		if known := g.permissionOf; len(known) > 0 && g.chance(0.8) {
			return call{pb.Auth_RoleRevokePermission_FullMethodName, proto.Clone(known[g.IntN(len(known))])}
		}
		p := g.permission()
		return call{pb.Auth_RoleRevokePermission_FullMethodName, &pb.AuthRoleRevokePermissionRequest{Role: g.roleName(), Key: p.Key, RangeEnd: p.RangeEnd}}
	case kind < 99:
		return call{pb.Auth_AuthEnable_FullMethodName, &pb.AuthEnableRequest{}}
	}
	return call{pb.Auth_AuthDisable_FullMethodName, &pb.AuthDisableRequest{}}
}

// hashed is a password as it is stored.
func (g *authGame) hashed(password string) string {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		g.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(hash)
}

// questionAboutUsers is a call that changes nothing of users and roles.
func (g *authGame) questionAboutUsers() call {
	switch g.IntN(6) {
	case 0:
		return call{pb.Auth_UserList_FullMethodName, &pb.AuthUserListRequest{}}
	case 1:
		return call{pb.Auth_RoleList_FullMethodName, &pb.AuthRoleListRequest{}}
	case 2:
		return call{pb.Auth_AuthStatus_FullMethodName, &pb.AuthStatusRequest{}}
	case 3, 4:
		name := g.userName()
		if g.as != nil && g.chance(0.5) {
			name = g.as.user
		}
		return call{pb.Auth_UserGet_FullMethodName, &pb.AuthUserGetRequest{Name: strings.ToValidUTF8(name, "")}}
	}
	return call{pb.Auth_RoleGet_FullMethodName, &pb.AuthRoleGetRequest{Role: g.roleName()}}
}

// noteUsers keeps up with users, passwords and permissions.
func (g *authGame) noteUsers(request proto.Message, err error) {
	if err != nil {
		return
	}
	switch r := request.(type) {
	case *pb.AuthEnableRequest:
		if !g.enabled {
			g.enabled, g.root = true, nil
		}
	case *pb.AuthDisableRequest:
		g.enabled, g.root = false, nil
	case *pb.AuthUserAddRequest:
		g.passwords[r.Name] = r.Password
		if r.Options.GetNoPassword() {
			g.passwords[r.Name] = ""
		}
	case *pb.AuthUserDeleteRequest:
		delete(g.passwords, r.Name)
	case *pb.AuthUserChangePasswordRequest:
		g.passwords[r.Name] = r.Password
		if r.Password == "" && r.HashedPassword != "" {
			g.passwords[r.Name] = "p2"
		}
		if r.Name == "root" {
			g.root = nil
		}
	case *pb.AuthRoleGrantPermissionRequest:
		g.permissionOf = append(g.permissionOf, &pb.AuthRoleRevokePermissionRequest{Role: r.Name, Key: r.Perm.Key, RangeEnd: r.Perm.RangeEnd})
	case *pb.AuthRoleRevokePermissionRequest:
		for i, p := range g.permissionOf {
			if p.Role == r.Role && bytes.Equal(p.Key, r.Key) && bytes.Equal(p.RangeEnd, r.RangeEnd) {
				g.permissionOf = append(g.permissionOf[:i], g.permissionOf[i+1:]...)
				return
			}
		}
	}
}

// watch has somebody watch what has happened so far.
func (g *authGame) watch() {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), watchBound)
	defer cancel()
	var streams []*watched
	for _, s := range []*system{g.etcd, g.tierd} {
		streams = append(streams, openStream(g.T, g.as.on(ctx, s), s.name, s.conn()))
	}
	for range 1 + g.IntN(3) {
		r := g.watchRequest()
		r.WatchId, r.ProgressNotify = 0, false
		r.StartRevision = min(r.StartRevision, g.revision)
		for _, s := range streams {
			s.create(g.T, proto.Clone(r).(*pb.WatchCreateRequest))
		}
	}
	for _, s := range streams {
		s.catchUp(g.T, g.revision)
	}
	if diff := cmp.Diff(streams[0].lives, streams[1].lives); diff != "" {
		g.Fatalf("step %d: %v: watches begin and end (-etcd +tierd):\n%s", g.step, g.as, diff)
	}
	if diff := cmp.Diff(streams[0].events, streams[1].events); diff != "" {
		g.Fatalf("step %d: %v: events (-etcd +tierd):\n%s", g.step, g.as, diff)
	}
	for _, lives := range streams[0].lives {
		for _, life := range lives {
			if strings.HasSuffix(life, "permission denied") {
				g.denied++
			}
		}
	}
}

// lock has somebody lock or campaign where nobody is before them, and has root take
// away what is left of it.
func (g *authGame) lock() {
	g.Helper()
	somebody, name, lease := g.as, g.name(), g.lease()
	if lease == 0 {
		lease = -1 // see chosenLeases
	}
	tidy := call{pb.KV_DeleteRange_FullMethodName, &pb.DeleteRangeRequest{Key: append(bytes.Clone(name), '/'), RangeEnd: append(bytes.Clone(name), '0')}}
	g.asRoot(func() { g.call(tidy) })
	g.as = somebody
	c := call{v3lockpb.Lock_Lock_FullMethodName, &v3lockpb.LockRequest{Name: name, Lease: lease}}
	if g.chance(0.5) {
		c = call{v3electionpb.Election_Campaign_FullMethodName, &v3electionpb.CampaignRequest{Name: name, Lease: lease, Value: g.some()}}
	}
	g.call(c)
	g.asRoot(func() { g.call(tidy) })
	g.as = somebody
}
