package authz

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
)

const rootPassword = "of root"

func grpcText(err error) string { return rpctypes.ErrorDesc(err) }

// right is one that comes and goes: what a user may do below its own prefix.
type right struct {
	*history
	*place
	name string
	// prefix is what the keys begin with, user is who has the right: nobody, if that is "".
	prefix, user string
	// prepare makes what stays. take and give change something and return when that
	// was answered.
	prepare, take, give func(a *admin, r *right)
	// renewed says that giving makes new credentials, and those before never count again.
	renewed bool

	credentials sync.Mutex
	tokens      []string // of each generation
	password    string
}

func newRight(number int, name string, take, give func(*admin, *right)) *right {
	return &right{
		history: newHistory(), name: name, prefix: fmt.Sprintf("u%d", number), user: fmt.Sprintf("u%d", number), password: "first", take: take, give: give,
		prepare: func(a *admin, r *right) { a.addUser(r.user, r.password); a.addRole(r.role()); give(a, r) },
	}
}

func (r *right) role() string { return "of " + r.user }

// reach is the range that the right is about.
func (r *right) reach() (key, end []byte) { return []byte(r.prefix + "/"), []byte(r.prefix + "0") }

// wrote says that a value is one of the user's.
func (r *right) wrote(value []byte) bool { return bytes.HasPrefix(value, []byte(r.prefix+" ")) }

// setUp makes the user, with the right, before the checks are turned on.
func (r *right) setUp(a *admin) { r.prepare(a, r) }

// token is the newest credential, or at times an old one, and its generation.
func (r *right) token(old bool) (string, int) {
	r.credentials.Lock()
	defer r.credentials.Unlock()
	last := len(r.tokens) - 1
	if old && last > 0 {
		last--
	}
	if last < 0 {
		return "", 0
	}
	return r.tokens[last], last
}

// renew shows the password and uses the new token from then on.
func (r *right) renew(a *admin) {
	token := a.authenticate(r.user, r.password)
	r.credentials.Lock()
	defer r.credentials.Unlock()
	r.tokens = append(r.tokens, token)
}

// generation is that of the newest credential.
func (r *right) generation() int { _, g := r.token(false); return g }

// change takes and gives the right, and writes down when.
func (r *right) change(a *admin) {
	if r.user != "" {
		r.renew(a)
	}
	for range *changesFlag {
		given := time.Now()
		r.awaitOps(opsPerWindow)
		sent, generation := time.Now(), r.generation()
		// What was given says nothing about credentials that had gone before.
		r.noteWindow(window{there: true, from: given, to: sent, of: r.about(generation)})
		r.take(a, r)
		taken := time.Now()
		after := a.revision()
		r.awaitOps(opsPerWindow)
		until := a.revision()
		r.noteWindow(window{from: taken, to: time.Now(), after: after, until: until, of: always()})
		if r.renewed {
			r.noteWindow(window{from: taken, to: forever(), of: generations{0, generation}})
		}
		r.give(a, r)
		if r.renewed {
			r.renew(a)
		}
	}
}

// about are the credentials that count while the right is there.
func (r *right) about(generation int) generations {
	if r.renewed {
		return generations{generation, generation}
	}
	return always()
}

func permission(number int) *right {
	return newRight(number, "permission of a role",
		func(a *admin, r *right) {
			key, end := r.reach()
			a.do(func(ctx context.Context, conn *grpc.ClientConn) error {
				_, err := pb.NewAuthClient(conn).RoleRevokePermission(ctx, &pb.AuthRoleRevokePermissionRequest{Role: r.role(), Key: key, RangeEnd: end})
				return err
			}, rpctypes.ErrPermissionNotGranted)
		},
		func(a *admin, r *right) { a.grantPermission(r); a.grantRole(r.user, r.role()) })
}

func roleOfUser(number int) *right {
	r := newRight(number, "role of a user",
		func(a *admin, r *right) {
			a.do(func(ctx context.Context, conn *grpc.ClientConn) error {
				_, err := pb.NewAuthClient(conn).UserRevokeRole(ctx, &pb.AuthUserRevokeRoleRequest{Name: r.user, Role: r.role()})
				return err
			}, rpctypes.ErrRoleNotGranted)
		},
		func(a *admin, r *right) { a.grantRole(r.user, r.role()) })
	r.prepare = func(a *admin, r *right) {
		a.addUser(r.user, r.password)
		a.addRole(r.role())
		a.grantPermission(r)
		a.grantRole(r.user, r.role())
	}
	return r
}

func roleItself(number int) *right {
	r := newRight(number, "role",
		func(a *admin, r *right) {
			a.do(func(ctx context.Context, conn *grpc.ClientConn) error {
				_, err := pb.NewAuthClient(conn).RoleDelete(ctx, &pb.AuthRoleDeleteRequest{Role: r.role()})
				return err
			}, rpctypes.ErrRoleNotFound)
		},
		func(a *admin, r *right) { a.addRole(r.role()); a.grantPermission(r); a.grantRole(r.user, r.role()) })
	r.prepare = func(a *admin, r *right) { a.addUser(r.user, r.password); r.give(a, r) }
	return r
}

func userItself(number int) *right {
	r := newRight(number, "user",
		func(a *admin, r *right) {
			a.do(func(ctx context.Context, conn *grpc.ClientConn) error {
				_, err := pb.NewAuthClient(conn).UserDelete(ctx, &pb.AuthUserDeleteRequest{Name: r.user})
				return err
			}, rpctypes.ErrUserNotFound)
		},
		func(a *admin, r *right) { a.addUser(r.user, r.password); a.grantRole(r.user, r.role()) })
	r.renewed = true
	r.prepare = func(a *admin, r *right) { a.addRole(r.role()); a.grantPermission(r); r.give(a, r) }
	return r
}

func passwordOfUser(number int) *right {
	r := newRight(number, "password",
		func(a *admin, r *right) {
			r.password += "+"
			a.do(func(ctx context.Context, conn *grpc.ClientConn) error {
				_, err := pb.NewAuthClient(conn).UserChangePassword(ctx, &pb.AuthUserChangePasswordRequest{Name: r.user, Password: r.password})
				return err
			})
		},
		func(*admin, *right) {})
	r.renewed = true
	r.prepare = func(a *admin, r *right) {
		a.addUser(r.user, r.password)
		a.addRole(r.role())
		a.grantPermission(r)
		a.grantRole(r.user, r.role())
	}
	return r
}

// checks is what anybody may do while nobody is asked who they are.
func checks() *right {
	r := newRight(0, "no checks", func(a *admin, _ *right) { a.enable() }, func(a *admin, _ *right) {
		a.do(func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := pb.NewAuthClient(conn).AuthDisable(ctx, &pb.AuthDisableRequest{})
			return err
		}, rpctypes.ErrUserEmpty, rpctypes.ErrInvalidAuthToken)
	})
	r.user = ""
	return r
}

// enable turns the checks on, and lets root in.
func (a *admin) enable() {
	a.Helper()
	a.do(func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := pb.NewAuthClient(conn).AuthEnable(ctx, &pb.AuthEnableRequest{})
		return err
	}, rpctypes.ErrUserEmpty, rpctypes.ErrInvalidAuthToken)
	a.setRoot(a.authenticate("root", rootPassword))
}

func (a *admin) addUser(name, password string) {
	a.do(func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := pb.NewAuthClient(conn).UserAdd(ctx, &pb.AuthUserAddRequest{Name: name, Password: password})
		return err
	}, rpctypes.ErrUserAlreadyExist)
}

func (a *admin) addRole(name string) {
	a.do(func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := pb.NewAuthClient(conn).RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: name})
		return err
	}, rpctypes.ErrRoleAlreadyExist)
}

func (a *admin) grantRole(user, role string) {
	a.do(func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := pb.NewAuthClient(conn).UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: user, Role: role})
		return err
	})
}

func (a *admin) grantPermission(r *right) {
	key, end := r.reach()
	a.do(func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := pb.NewAuthClient(conn).RoleGrantPermission(ctx, &pb.AuthRoleGrantPermissionRequest{
			Name: r.role(), Perm: &authpb.Permission{PermType: authpb.Permission_READWRITE, Key: key, RangeEnd: end},
		})
		return err
	})
}
