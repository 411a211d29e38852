package auth

import (
	"bytes"
	"fmt"
	"slices"
	"sort"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/router"
)

// edit makes of a state the change that leads to the next one. Its errors are the
// client's. Nothing to change is an empty change.
type edit func(st *state) (router.AuthChange, error)

// draft collects a change of a state.
type draft struct {
	st     *state
	change router.AuthChange
}

func (st *state) draft() *draft {
	return &draft{st: st, change: router.AuthChange{Set: make(map[string][]byte)}}
}

// next is the auth revision after a change that counts.
func (d *draft) next() uint64 { return d.st.revision + 1 }

// counts makes the change one that the auth revision counts.
func (d *draft) counts() { d.change.Set[revisionField] = formatRevision(d.next()) }

func (d *draft) putUser(u *authpb.User) error { return d.put(userPrefix+string(u.Name), u) }

func (d *draft) putRole(r *authpb.Role) error { return d.put(rolePrefix+string(r.Name), r) }

func (d *draft) put(field string, m proto.Message) error {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return fmt.Errorf("%w: write %s: %w", router.ErrInternal, field, err)
	}
	d.change.Set[field] = value
	return nil
}

// tokensFromNow makes all tokens of a user void that were given until now.
func (d *draft) tokensFromNow(name string) { d.change.Set[sincePrefix+name] = formatRevision(d.next()) }

// enable turns authentication on. As in etcd, the auth revision does not count it.
func enable(st *state) (router.AuthChange, error) {
	d := st.draft()
	if st.enabled {
		return d.change, nil
	}
	root := st.users[rootName]
	switch {
	case root == nil:
		return d.change, rpctypes.ErrGRPCRootUserNotExist
	case !root.isRoot():
		return d.change, rpctypes.ErrGRPCRootRoleNotExist
	}
	d.change.Set[enabledField] = []byte(enabledValue)
	return d.change, nil
}

// disable turns authentication off; all tokens are void from then on.
func disable(st *state) (router.AuthChange, error) {
	d := st.draft()
	if !st.enabled {
		return d.change, nil
	}
	d.change.Delete = []string{enabledField}
	d.change.Set[enabledSinceField] = formatRevision(d.next())
	d.counts()
	return d.change, nil
}

// addUser adds a user; hash is the password's.
func addUser(name string, options *authpb.UserAddOptions, hash []byte) edit {
	return func(st *state) (router.AuthChange, error) {
		d := st.draft()
		if name == "" {
			return d.change, rpctypes.ErrGRPCUserEmpty
		}
		if st.users[name] != nil {
			return d.change, rpctypes.ErrGRPCUserAlreadyExist
		}
		if options == nil {
			options = &authpb.UserAddOptions{}
		}
		// A user of this name that was deleted has left tokens behind.
		d.tokensFromNow(name)
		d.counts()
		return d.change, d.putUser(&authpb.User{Name: []byte(name), Password: hash, Options: options})
	}
}

func deleteUser(name string) edit {
	return func(st *state) (router.AuthChange, error) {
		d := st.draft()
		if st.enabled && name == rootName {
			return d.change, rpctypes.ErrGRPCInvalidAuthMgmt
		}
		if st.users[name] == nil {
			return d.change, rpctypes.ErrGRPCUserNotFound
		}
		d.change.Delete = []string{userPrefix + name, sincePrefix + name}
		d.counts()
		return d.change, nil
	}
}

// changePassword gives a user a password's hash. A user without password keeps none,
// but its tokens become void all the same, as in etcd.
func changePassword(name string, hash func() ([]byte, error)) edit {
	return func(st *state) (router.AuthChange, error) {
		d := st.draft()
		old := st.users[name]
		if old == nil {
			return d.change, rpctypes.ErrGRPCUserNotFound
		}
		u := &authpb.User{Name: []byte(name), Roles: old.Roles, Options: old.Options}
		if !old.withoutPassword() {
			password, err := hash()
			if err != nil {
				return d.change, err
			}
			u.Password = password
		}
		d.tokensFromNow(name)
		d.counts()
		return d.change, d.putUser(u)
	}
}

// grantRole gives a user a role; root can be given without being there. A role that
// the user has changes nothing.
func grantRole(name, role string) edit {
	return func(st *state) (router.AuthChange, error) {
		d := st.draft()
		old := st.users[name]
		switch {
		case old == nil:
			return d.change, rpctypes.ErrGRPCUserNotFound
		case role != rootName && st.roles[role] == nil:
			return d.change, rpctypes.ErrGRPCRoleNotFound
		case slices.Contains(old.Roles, role):
			return d.change, nil
		}
		u := old.with(append(slices.Clone(old.Roles), role))
		slices.Sort(u.Roles)
		d.counts()
		return d.change, d.putUser(u)
	}
}

// with is the user's record with other roles.
func (u *user) with(roles []string) *authpb.User {
	return &authpb.User{Name: u.Name, Password: u.Password, Roles: roles, Options: u.Options}
}

// without are the user's roles but one.
func (u *user) without(role string) []string {
	return slices.DeleteFunc(slices.Clone(u.Roles), func(r string) bool { return r == role })
}

func revokeRole(name, role string) edit {
	return func(st *state) (router.AuthChange, error) {
		d := st.draft()
		if st.enabled && name == rootName && role == rootName {
			return d.change, rpctypes.ErrGRPCInvalidAuthMgmt
		}
		old := st.users[name]
		if old == nil {
			return d.change, rpctypes.ErrGRPCUserNotFound
		}
		left := old.without(role)
		if len(left) == len(old.Roles) {
			return d.change, rpctypes.ErrGRPCRoleNotGranted
		}
		d.counts()
		return d.change, d.putUser(old.with(left))
	}
}

func addRole(name string) edit {
	return func(st *state) (router.AuthChange, error) {
		d := st.draft()
		if name == "" {
			return d.change, rpctypes.ErrGRPCRoleEmpty
		}
		if st.roles[name] != nil {
			return d.change, rpctypes.ErrGRPCRoleAlreadyExist
		}
		d.counts()
		return d.change, d.putRole(&authpb.Role{Name: []byte(name)})
	}
}

// deleteRole deletes a role and takes it from all users.
func deleteRole(name string) edit {
	return func(st *state) (router.AuthChange, error) {
		d := st.draft()
		if st.enabled && name == rootName {
			return d.change, rpctypes.ErrGRPCInvalidAuthMgmt
		}
		if st.roles[name] == nil {
			return d.change, rpctypes.ErrGRPCRoleNotFound
		}
		d.change.Delete = []string{rolePrefix + name}
		d.counts()
		for _, u := range st.users {
			if left := u.without(name); len(left) != len(u.Roles) {
				if err := d.putUser(u.with(left)); err != nil {
					return d.change, err
				}
			}
		}
		return d.change, nil
	}
}

// grantPermission gives a role a permission, or changes the type of one. Where a role
// has several permissions that begin with one key, only the first of them is looked
// at, as in etcd; so the same range can come to stand twice.
func grantPermission(role string, granted *authpb.Permission) edit {
	return func(st *state) (router.AuthChange, error) {
		d := st.draft()
		if granted == nil {
			return d.change, rpctypes.ErrGRPCPermissionNotGiven
		}
		if !isRange(granted.Key, granted.RangeEnd) {
			return d.change, rpctypes.ErrGRPCInvalidAuthMgmt
		}
		old := st.roles[role]
		if old == nil {
			return d.change, rpctypes.ErrGRPCRoleNotFound
		}
		all := slices.Clone(old.KeyPermission)
		i := sort.Search(len(all), func(i int) bool { return bytes.Compare(all[i].Key, granted.Key) >= 0 })
		added := &authpb.Permission{PermType: granted.PermType, Key: granted.Key, RangeEnd: granted.RangeEnd}
		if i < len(all) && sameRange(all[i], granted.Key, granted.RangeEnd) {
			all[i] = added
		} else {
			all = append(all, added)
			sort.Sort(byKey(all))
		}
		d.counts()
		return d.change, d.putRole(&authpb.Role{Name: []byte(role), KeyPermission: all})
	}
}

// byKey sorts by key alone and with sort.Sort, so that permissions with equal keys
// come to stand in etcd's order.
type byKey []*authpb.Permission

func (p byKey) Len() int           { return len(p) }
func (p byKey) Less(i, j int) bool { return bytes.Compare(p[i].Key, p[j].Key) < 0 }
func (p byKey) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }

func sameRange(p *authpb.Permission, key, end []byte) bool {
	return bytes.Equal(p.Key, key) && bytes.Equal(p.RangeEnd, end)
}

func revokePermission(role string, key, end []byte) edit {
	return func(st *state) (router.AuthChange, error) {
		d := st.draft()
		old := st.roles[role]
		if old == nil {
			return d.change, rpctypes.ErrGRPCRoleNotFound
		}
		left := slices.DeleteFunc(slices.Clone(old.KeyPermission), func(p *authpb.Permission) bool { return sameRange(p, key, end) })
		if len(left) == len(old.KeyPermission) {
			return d.change, rpctypes.ErrGRPCPermissionNotGranted
		}
		d.counts()
		return d.change, d.putRole(&authpb.Role{Name: []byte(role), KeyPermission: left})
	}
}
