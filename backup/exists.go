package backup

import "github.com/tierd/tierd/tiers/object"

// ErrExists: what was to be stored is there already, with another content; of an epoch: another writer
// has had it, or a later one.
var ErrExists = object.ErrExists
