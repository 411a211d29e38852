// Package auth is etcd's authentication and authorization: its Auth service, and the
// checks that stand before every other service.
//
// Users, roles and the switch are the auth data of the keyspace, of which the router
// keeps one version after the other. A frontend reads a version, decides on it in
// memory, with etcd's rules, and has the call done bound to that version: if it is no
// longer the current one at the instant the call takes effect, the call is not done, and
// is decided again. A refusal is confirmed in the same way. The package promises:
//
//   - Every call is decided as if that and its effect were one step. What a change took
//     away, no frontend does any more once the change was answered; what it gave, every
//     frontend does from then on.
//   - Auth data that cannot be read permit nothing.
//   - The codes and texts of refusals are etcd's, and so is their order.
//   - Passwords are kept as bcrypt hashes, and tokens as digests; neither comes into a
//     log or the text of an error.
//   - Users that do not exist cost as much time as wrong passwords.
//
// A crash loses nothing: the versions are the router's, tokens are in Redis or signed.
package auth

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

// passwordGiven is what etcd says, without a code, of a password for a user who is to
// have none, or of one that is not base64.
const passwordGiven = "auth: authentication failed, password was given for no password user"

// Server answers etcd's Auth RPCs.
type Server struct {
	store *Store
	// A new RPC of the protocol becomes a compile error.
	pb.UnsafeAuthServer
}

var _ pb.AuthServer = (*Server)(nil)

// New is the Auth service of a store.
func New(store *Store) *Server { return &Server{store: store} }

// header is that of an answer given at a revision.
func (s *Server) header(revision router.Revision) *pb.ResponseHeader {
	return wire.Header(s.store.api, revision)
}

// change makes a change, named for errors.
func (s *Server) change(ctx context.Context, what string, makes edit) (*pb.ResponseHeader, error) {
	revision, err := s.store.change(ctx, makes)
	if err != nil {
		return nil, wire.Error(fmt.Errorf("%s: %w", what, err))
	}
	return s.header(revision), nil
}

// read answers from a state, for those whom needs lets.
func (s *Server) read(ctx context.Context, what string, answer func(*state, identity) error) (*pb.ResponseHeader, error) {
	revision, err := s.store.check(ctx, answer)
	if err != nil {
		return nil, wire.Error(fmt.Errorf("%s: %w", what, err))
	}
	return s.header(revision), nil
}

// AuthEnable turns authentication on.
func (s *Server) AuthEnable(ctx context.Context, _ *pb.AuthEnableRequest) (*pb.AuthEnableResponse, error) {
	header, err := s.change(ctx, "enable authentication", enable)
	if err != nil {
		return nil, err
	}
	return &pb.AuthEnableResponse{Header: header}, nil
}

// AuthDisable turns authentication off.
func (s *Server) AuthDisable(ctx context.Context, _ *pb.AuthDisableRequest) (*pb.AuthDisableResponse, error) {
	header, err := s.change(ctx, "disable authentication", disable)
	if err != nil {
		return nil, err
	}
	return &pb.AuthDisableResponse{Header: header}, nil
}

// AuthStatus is for everybody; a wrong token is refused all the same.
func (s *Server) AuthStatus(ctx context.Context, _ *pb.AuthStatusRequest) (*pb.AuthStatusResponse, error) {
	resp := &pb.AuthStatusResponse{}
	var err error
	resp.Header, err = s.read(ctx, "auth status", func(st *state, _ identity) error {
		resp.Enabled, resp.AuthRevision = st.enabled, st.revision
		return nil
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// Authenticate gives a user a token for its password.
func (s *Server) Authenticate(ctx context.Context, r *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	resp := &pb.AuthenticateResponse{}
	var matched []byte // the hash that the password was found to match
	err := s.store.decide(ctx, func(bound context.Context, st *state) error {
		if !st.enabled {
			return refuse(rpctypes.ErrGRPCAuthNotEnabled)
		}
		hash, err := s.store.passwordOf(st, r.Name)
		if err != nil {
			return refuse(err)
		}
		if matched == nil || !slices.Equal(matched, hash) {
			ok, err := s.store.passwords.match(ctx, hash, r.Password)
			if err != nil {
				return err
			}
			if !ok {
				return refuse(rpctypes.ErrGRPCAuthFailed)
			}
			matched = hash
		}
		revision, err := s.store.api.ConfirmAuth(bound)
		if err != nil {
			return err
		}
		resp.Header = s.header(revision)
		resp.Token, err = s.store.tokens.issue(ctx, st, r.Name, revision)
		return err
	})
	if err != nil {
		s.store.metrics.logins.WithLabelValues(loginRefused).Inc()
		return nil, wire.Error(fmt.Errorf("authenticate: %w", err))
	}
	s.store.metrics.logins.WithLabelValues(loginGranted).Inc()
	return resp, nil
}

// passwordOf is the hash that a user's password is to match; for a user that does not
// exist it is one that no password does.
func (s *Store) passwordOf(st *state, name string) ([]byte, error) {
	u := st.users[name]
	switch {
	case u == nil:
		return s.passwords.nobody, nil
	case u.withoutPassword():
		return nil, status.Error(codes.Unknown, passwordGiven)
	}
	return u.Password, nil
}

// UserAdd adds a user. The password is hashed here, whatever hash the request brings.
func (s *Server) UserAdd(ctx context.Context, r *pb.AuthUserAddRequest) (*pb.AuthUserAddResponse, error) {
	if _, err := s.store.check(ctx, (*state).admin); err != nil {
		return nil, wire.Error(fmt.Errorf("add a user: %w", err)) // before the work of hashing
	}
	var hash []byte
	if !r.Options.GetNoPassword() {
		var err error
		if hash, err = s.store.passwords.hash(ctx, r.Password); err != nil {
			return nil, wire.Error(err)
		}
	}
	header, err := s.change(ctx, "add a user", addUser(r.Name, r.Options, hash))
	if err != nil {
		return nil, err
	}
	return &pb.AuthUserAddResponse{Header: header}, nil
}

// UserGet tells a user's roles, to root and to the user.
func (s *Server) UserGet(ctx context.Context, r *pb.AuthUserGetRequest) (*pb.AuthUserGetResponse, error) {
	resp := &pb.AuthUserGetResponse{}
	var err error
	resp.Header, err = s.read(ctx, "get a user", func(st *state, who identity) error {
		if err := st.admin(who); err != nil && r.Name != who.name {
			return err
		}
		u := st.users[r.Name]
		if u == nil {
			return rpctypes.ErrGRPCUserNotFound
		}
		resp.Roles = slices.Clone(u.Roles)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// UserList lists the users, by name.
func (s *Server) UserList(ctx context.Context, _ *pb.AuthUserListRequest) (*pb.AuthUserListResponse, error) {
	resp := &pb.AuthUserListResponse{}
	var err error
	resp.Header, err = s.read(ctx, "list users", func(st *state, who identity) error {
		resp.Users = slices.Sorted(maps.Keys(st.users))
		return st.admin(who)
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// UserDelete deletes a user, and with it its tokens.
func (s *Server) UserDelete(ctx context.Context, r *pb.AuthUserDeleteRequest) (*pb.AuthUserDeleteResponse, error) {
	header, err := s.change(ctx, "delete a user", deleteUser(r.Name))
	if err != nil {
		return nil, err
	}
	return &pb.AuthUserDeleteResponse{Header: header}, nil
}

// UserChangePassword gives a user a password, or the hash of one.
func (s *Server) UserChangePassword(ctx context.Context, r *pb.AuthUserChangePasswordRequest) (*pb.AuthUserChangePasswordResponse, error) {
	if _, err := s.store.check(ctx, (*state).admin); err != nil {
		return nil, wire.Error(fmt.Errorf("change a password: %w", err)) // before the work of hashing
	}
	hash := func() ([]byte, error) {
		hash, err := base64.StdEncoding.DecodeString(r.HashedPassword)
		if err != nil {
			return nil, status.Error(codes.Unknown, passwordGiven)
		}
		return hash, nil
	}
	if r.Password != "" {
		hashed, err := s.store.passwords.hash(ctx, r.Password)
		if err != nil {
			return nil, wire.Error(err)
		}
		hash = func() ([]byte, error) { return hashed, nil }
	}
	header, err := s.change(ctx, "change a password", changePassword(r.Name, hash))
	if err != nil {
		return nil, err
	}
	return &pb.AuthUserChangePasswordResponse{Header: header}, nil
}

// UserGrantRole gives a user a role.
func (s *Server) UserGrantRole(ctx context.Context, r *pb.AuthUserGrantRoleRequest) (*pb.AuthUserGrantRoleResponse, error) {
	header, err := s.change(ctx, "grant a role", grantRole(r.User, r.Role))
	if err != nil {
		return nil, err
	}
	return &pb.AuthUserGrantRoleResponse{Header: header}, nil
}

// UserRevokeRole takes a role from a user.
func (s *Server) UserRevokeRole(ctx context.Context, r *pb.AuthUserRevokeRoleRequest) (*pb.AuthUserRevokeRoleResponse, error) {
	header, err := s.change(ctx, "revoke a role", revokeRole(r.Name, r.Role))
	if err != nil {
		return nil, err
	}
	return &pb.AuthUserRevokeRoleResponse{Header: header}, nil
}
