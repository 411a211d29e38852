package router

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tierd/tierd/tiers/hot"
)

// ErrAuthChanged: the call was bound to a version of the auth data that is not the current
// one; nothing was done.
var ErrAuthChanged = errors.New("auth data have changed")

// Names of fields of the auth data that etcd has, too. The router does not look at them; those who
// bring auth data to and from an etcd, and those who use them, agree on them here.
const (
	// AuthEnabled is "1" while clients have to prove who they are, and absent else.
	AuthEnabled = "enabled"
	// AuthRevision is etcd's auth revision, in decimal; absent for that of a fresh store.
	AuthRevision = "revision"
	// AuthUser and AuthRole stand before the name of a user and of a role, which are stored as etcd's
	// authpb.User and authpb.Role.
	AuthUser = "user:"
	AuthRole = "role:"
)

// AuthData are the auth data of a keyspace: fields whose meaning the callers know. The
// router keeps them, in one order with everything else that happens to the keyspace.
type AuthData struct {
	// Version counts the changes, 0 being none.
	Version int64
	Fields  map[string][]byte
}

// AuthChange is a change of auth data.
type AuthChange struct {
	Set    map[string][]byte
	Delete []string
}

// AuthField is one field of a change: what it is set to, or that it is removed.
type AuthField = hot.AuthField

// fields are the changes in order of the names, so that the same change is the same bytes.
func (c AuthChange) fields() []AuthField {
	fields := make([]AuthField, 0, len(c.Set)+len(c.Delete))
	for _, name := range slices.Sorted(maps.Keys(c.Set)) {
		fields = append(fields, AuthField{Name: name, Value: c.Set[name]})
	}
	for _, name := range c.Delete {
		fields = append(fields, AuthField{Name: name, Removed: true})
	}
	return fields
}

type authVersion struct{}

// WithAuth binds every call of API that is made with the context to a version of the auth
// data: it answers ErrAuthChanged, and has done nothing, unless the version is this one at the
// instant the call takes effect. So what was permitted by that version is done under it.
//
// A change of auth data begins a new epoch of the shard map, and all shards refuse calls
// that were routed in an earlier one; that makes the binding as strict as routing is.
func WithAuth(ctx context.Context, version int64) context.Context {
	return context.WithValue(ctx, authVersion{}, version)
}

// AuthOf is the version of the auth data that the calls made with a context are bound to.
func AuthOf(ctx context.Context) (version int64, bound bool) {
	version, bound = ctx.Value(authVersion{}).(int64)
	return version, bound
}

// withoutAuth is for what is still to be done after a call has taken effect.
func withoutAuth(ctx context.Context) context.Context {
	if ctx.Value(authVersion{}) == nil {
		return ctx
	}
	return context.WithValue(ctx, authVersion{}, nil)
}

// route is the shard map that a call is to go by, or ErrAuthChanged if the call is bound to
// other auth data than that map's.
func (k *Keyspace) route(ctx context.Context) (*shardMap, error) {
	m := k.shardMap()
	bound, ok := AuthOf(ctx)
	if !ok || bound == m.auth {
		return m, nil
	}
	if bound > m.auth { // the caller has heard of it first
		if err := k.reloadMap(ctx); err != nil {
			return nil, err
		}
		if m = k.shardMap(); bound == m.auth {
			return m, nil
		}
	}
	return nil, ErrAuthChanged
}

// AuthData implements API.
func (k *Keyspace) AuthData(ctx context.Context) (AuthData, error) {
	version, fields, err := k.hot.Auth(ctx)
	if err != nil {
		return AuthData{}, translate(err)
	}
	data := AuthData{Version: version, Fields: make(map[string][]byte, len(fields))}
	for name, value := range fields {
		data.Fields[name] = []byte(value)
	}
	return data, nil
}

// ConfirmAuth implements API.
func (k *Keyspace) ConfirmAuth(ctx context.Context) (Revision, error) {
	now, err := k.latest(ctx)
	if err != nil {
		return 0, err
	}
	// The map is at least as new as the answer now, and versions only grow.
	if _, err := k.route(ctx); err != nil {
		return 0, err
	}
	return now.revision, nil
}

// ChangeAuth implements API. It is decided as a change of the shard map is, while all shards stand still,
// and returns when all of them refuse what was permitted before.
func (k *Keyspace) ChangeAuth(ctx context.Context, from int64, change AuthChange) error {
	if err := k.refresh(WithAuth(ctx, from), change.fields()); err != nil {
		return fmt.Errorf("change auth data: %w", err)
	}
	return nil
}

// owners are the home shard and all that own keys, in order.
func (v *mapVersion) owners() []hot.Shard {
	owners := slices.Sorted(maps.Keys(v.Places))
	if !slices.Contains(owners, hot.HomeShard) {
		owners = append(owners, hot.HomeShard)
	}
	return owners
}

// succeeded is the card of a version that takes this one's place in the map, and says the same.
func (v *mapVersion) succeeded() mapCard {
	next := v.clone()
	next.AfterFirst = v.AfterFirst || v.since > 0 && v.epoch == firstEpoch+1
	return next
}

// SaveToken implements API.
func (k *Keyspace) SaveToken(ctx context.Context, id string, value []byte, ttl time.Duration) error {
	return translate(k.hot.SaveToken(ctx, id, value, ttl))
}

// UseToken implements API.
func (k *Keyspace) UseToken(ctx context.Context, id string, ttl time.Duration) (value []byte, found bool, err error) {
	value, found, err = k.hot.UseToken(ctx, id, ttl)
	return value, found, translate(err)
}
