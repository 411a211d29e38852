package auth

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.etcd.io/etcd/api/v3/authpb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/router"
)

// The names of the auth data's fields; the router says what those are for that others
// read too.
const (
	enabledField      = router.AuthEnabled
	revisionField     = router.AuthRevision
	userPrefix        = router.AuthUser
	rolePrefix        = router.AuthRole
	enabledSinceField = "enabled-since" // the auth revision from which tokens count, in decimal
	sincePrefix       = "since:"        // of a user: the auth revision from which the user's tokens count

	enabledValue = "1"
)

const (
	// revisionFresh is the auth revision of a keyspace whose users nobody has changed.
	revisionFresh = 1
	rootName      = "root" // of the user and of the role that may do everything
)

// state is one version of the auth data, read. Nobody changes it.
type state struct {
	version      int64
	enabled      bool
	revision     uint64
	enabledSince uint64
	users        map[string]*user
	roles        map[string]*authpb.Role
}

// user is one user. since is the auth revision from which the user's tokens count.
type user struct {
	*authpb.User
	since uint64

	merge  sync.Once
	merged permissions
}

// parse reads auth data. Data that cannot be read are an error, and not an absence:
// a user or a role less must not become a right more.
func parse(data router.AuthData) (*state, error) {
	st := &state{
		version: data.Version, revision: revisionFresh,
		users: make(map[string]*user), roles: make(map[string]*authpb.Role),
	}
	since := make(map[string]uint64)
	for field, value := range data.Fields {
		if err := st.parseField(field, value, since); err != nil {
			return nil, fmt.Errorf("%w: auth data, version %d, field %q: %w", router.ErrInternal, data.Version, field, err)
		}
	}
	for name, revision := range since {
		if u := st.users[name]; u != nil {
			u.since = revision
		}
	}
	return st, nil
}

func (st *state) parseField(field string, value []byte, since map[string]uint64) (err error) {
	if name, ok := strings.CutPrefix(field, userPrefix); ok {
		u := &authpb.User{}
		st.users[name] = &user{User: u}
		return proto.Unmarshal(value, u)
	}
	if name, ok := strings.CutPrefix(field, rolePrefix); ok {
		r := &authpb.Role{}
		st.roles[name] = r
		return proto.Unmarshal(value, r)
	}
	if name, ok := strings.CutPrefix(field, sincePrefix); ok {
		since[name], err = parseRevision(value)
		return err
	}
	switch field {
	case enabledField:
		st.enabled = string(value) == enabledValue
		if !st.enabled {
			return fmt.Errorf("it is %q, and can only be %q or absent", value, enabledValue)
		}
	case revisionField:
		st.revision, err = parseRevision(value)
	case enabledSinceField:
		st.enabledSince, err = parseRevision(value)
	default:
		return errors.New("this release does not know it")
	}
	return err
}

func parseRevision(value []byte) (uint64, error) { return strconv.ParseUint(string(value), 10, 64) }

func formatRevision(revision uint64) []byte { return strconv.AppendUint(nil, revision, 10) }

// isRoot says whether a user may do everything: has the role root, whether that
// role exists or not. Roles are sorted.
func (u *user) isRoot() bool {
	_, found := slices.BinarySearch(u.Roles, rootName)
	return found
}

// withoutPassword says whether a user is one that has none and cannot get one.
func (u *user) withoutPassword() bool { return u.Options.GetNoPassword() }

// permissions are the user's rights, merged from all roles when first asked for.
func (st *state) permissions(u *user) *permissions {
	u.merge.Do(func() { u.merged = mergePermissions(u.Roles, st.roles) })
	return &u.merged
}
