package etcdfile

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/tierd/tierd/router"
)

// Keys of etcd's bucket for authentication (etcd 3.7, server/storage/schema).
const (
	authEnabled  = "authEnabled"
	authRevision = "authRevision"
)

// freshRevision is the auth revision of a store that nobody has changed.
const freshRevision = 1

// readAuth reads users, roles and whether clients have to log in. A user and a role are
// stored by tierd as etcd has them.
func (r *Reader) readAuth(tx *bolt.Tx) error {
	r.auth = make(map[string][]byte)
	if auth := tx.Bucket([]byte(bucketAuth)); auth != nil {
		if enabled := auth.Get([]byte(authEnabled)); len(enabled) == 1 && enabled[0] == 1 {
			r.state.AuthEnabled, r.auth[router.AuthEnabled] = true, []byte("1")
		}
		if text := auth.Get([]byte(authRevision)); text != nil {
			if len(text) != 8 {
				return fmt.Errorf("%w: the auth revision has %d bytes", ErrAltered, len(text))
			}
			r.state.AuthRevision = binary.BigEndian.Uint64(text)
		}
	}
	r.state.Users = r.readAuthBucket(tx, bucketAuthUsers, router.AuthUser)
	r.state.Roles = r.readAuthBucket(tx, bucketAuthRoles, router.AuthRole)
	if r.state.AuthEnabled || len(r.state.Users)+len(r.state.Roles) > 0 {
		r.auth[router.AuthRevision] = strconv.AppendUint(nil, r.state.AuthRevision, 10)
	}
	return nil
}

// readAuthBucket keeps the pairs of a bucket, and gives their names.
func (r *Reader) readAuthBucket(tx *bolt.Tx, bucket, prefix string) (all []string) {
	b := tx.Bucket([]byte(bucket))
	if b == nil {
		return nil
	}
	cursor := b.Cursor()
	for name, value := cursor.First(); name != nil; name, value = cursor.Next() {
		all = append(all, string(name))
		r.auth[prefix+string(name)] = append([]byte{}, value...)
	}
	return all
}

// Auth gives the auth data, as a keyspace has them (router.AuthData); empty if nobody ever set any.
func (r *Reader) Auth() map[string][]byte { return r.auth }

// PutAuth adds auth data, as a keyspace has them. What etcd knows nothing of is left out.
func (w *Writer) PutAuth(fields map[string][]byte) error {
	return w.update(func(tx *bolt.Tx) error {
		if err := tx.Bucket([]byte(bucketAuth)).Put([]byte(authRevision), binary.BigEndian.AppendUint64(nil, freshRevision)); err != nil {
			return fmt.Errorf("store the auth revision: %w", err)
		}
		for name, value := range fields {
			bucket, key := "", ""
			switch {
			case name == router.AuthEnabled && string(value) == "1":
				bucket, key, value = bucketAuth, authEnabled, []byte{1}
			case name == router.AuthRevision:
				revision, err := strconv.ParseUint(string(value), 10, 64)
				if err != nil {
					return fmt.Errorf("store auth data: revision %q: %w", value, err)
				}
				bucket, key, value = bucketAuth, authRevision, binary.BigEndian.AppendUint64(nil, revision)
			case strings.HasPrefix(name, router.AuthUser):
				bucket, key = bucketAuthUsers, strings.TrimPrefix(name, router.AuthUser)
			case strings.HasPrefix(name, router.AuthRole):
				bucket, key = bucketAuthRoles, strings.TrimPrefix(name, router.AuthRole)
			default:
				continue
			}
			if err := tx.Bucket([]byte(bucket)).Put([]byte(key), value); err != nil {
				return fmt.Errorf("store auth data: %q: %w", name, err)
			}
		}
		return nil
	})
}
