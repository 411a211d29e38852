package auth

import (
	"bytes"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/pkg/v3/adt"
)

// right is what is to be done with keys.
type right bool

const (
	read  right = false
	write right = true
)

// permissions are what a user may read and write, as intervals of keys.
type permissions struct {
	reads, writes adt.IntervalTree
}

// mergePermissions unites the permissions of roles. Roles that do not exist give none.
func mergePermissions(names []string, roles map[string]*authpb.Role) permissions {
	p := permissions{reads: adt.NewIntervalTree(), writes: adt.NewIntervalTree()}
	for _, name := range names {
		for _, granted := range roles[name].GetKeyPermission() {
			keys := interval(granted.Key, granted.RangeEnd)
			if granted.PermType == authpb.Permission_READ || granted.PermType == authpb.Permission_READWRITE {
				p.reads.Insert(keys, struct{}{})
			}
			if granted.PermType == authpb.Permission_WRITE || granted.PermType == authpb.Permission_READWRITE {
				p.writes.Insert(keys, struct{}{})
			}
		}
	}
	return p
}

// allow says whether the permissions cover a key, or a range of keys: together, as
// neighbours do.
func (p *permissions) allow(key, end []byte, what right) bool {
	granted := p.reads
	if what == write {
		granted = p.writes
	}
	if len(end) == 0 {
		return granted.Intersects(interval(key, end))
	}
	return granted.Contains(interval(key, end))
}

// interval is one key, or the range [key, end); an end of one zero byte is above all keys.
func interval(key, end []byte) adt.Interval {
	switch {
	case len(end) == 0:
		return adt.NewBytesAffinePoint(key)
	case isAboveAll(end):
		return adt.NewBytesAffineInterval(key, nil)
	}
	return adt.NewBytesAffineInterval(key, end)
}

func isAboveAll(end []byte) bool { return len(end) == 1 && end[0] == 0 }

// isRange says whether a permission can be given for [key, end).
func isRange(key, end []byte) bool {
	if len(key) == 0 {
		return false
	}
	return len(end) == 0 || isAboveAll(end) || bytes.Compare(key, end) < 0
}

// identity is whom a call is made as: its user, and the auth revision that the proof
// of it is from. One that is not known brought no proof at all. given is the auth revision
// at which a simple token was given, of other proofs the last one there can be: they do
// not become void.
type identity struct {
	name     string
	revision uint64
	given    uint64
	known    bool
}

// require is the rule for calls that every user may make. As in etcd, the user need
// not exist any more.
func (st *state) require(who identity) error {
	if st.enabled && !who.known {
		return rpctypes.ErrGRPCUserEmpty
	}
	return nil
}

// admin is the rule for calls that only root may make. As in etcd, the age of a JWT
// does not matter for them.
func (st *state) admin(who identity) error {
	if !st.enabled {
		return nil
	}
	if who.name == "" {
		return rpctypes.ErrGRPCUserEmpty
	}
	u := st.users[who.name]
	switch {
	case u == nil:
		return rpctypes.ErrGRPCUserNotFound
	case !u.isRoot():
		return rpctypes.ErrGRPCPermissionDenied
	}
	return nil
}

// permit is the rule for calls on keys.
func (st *state) permit(who identity, key, end []byte, what right) error {
	switch {
	case !st.enabled:
		return nil
	case who.revision == 0:
		return rpctypes.ErrGRPCUserEmpty
	case who.revision < st.revision:
		return rpctypes.ErrGRPCAuthOldRevision
	}
	if !st.holds(who.name, key, end, what) {
		return rpctypes.ErrGRPCPermissionDenied
	}
	return nil
}

// holds says whether a user has a right, authentication being on.
func (st *state) holds(name string, key, end []byte, what right) bool {
	u := st.users[name]
	return u != nil && (u.isRoot() || st.permissions(u).allow(key, end, what))
}

// isCurrent is what etcd asks of reads when they are done: a JWT from another auth
// revision does not read, even if it is from a later one.
func (st *state) isCurrent(who identity) error {
	if st.enabled && who.revision != 0 && who.revision != st.revision {
		return rpctypes.ErrGRPCAuthOldRevision
	}
	return nil
}
