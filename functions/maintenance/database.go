package maintenance

import (
	"context"
	"fmt"

	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/router"
)

// fill writes the current state of a keyspace to a database file.
func fill(ctx context.Context, file *etcdfile.Writer, api API, storageVersion string) (router.HistoryInfo, error) {
	// Leases are read on both sides of the history, and both lists are kept:
	// whichever lease a key of it names is in one of them, whether it was granted
	// or revoked meanwhile. One too many expires without keys.
	if err := copyLeases(ctx, file, api); err != nil {
		return router.HistoryInfo{}, err
	}
	info, err := api.History(ctx, 0, file.PutVersion)
	if err != nil {
		return info, fmt.Errorf("read the history: %w", err)
	}
	if err := copyLeases(ctx, file, api); err != nil {
		return info, err
	}
	auth, err := api.AuthData(ctx)
	if err != nil {
		return info, fmt.Errorf("read users and roles: %w", err)
	}
	if err := file.PutAuth(auth.Fields); err != nil {
		return info, fmt.Errorf("copy users and roles: %w", err)
	}
	m := etcdfile.Meta{Revision: info.At, Compacted: info.Compacted, Term: api.Term(), StorageVersion: storageVersion}
	if err := file.PutMeta(m); err != nil {
		return info, fmt.Errorf("describe the database: %w", err)
	}
	return info, nil
}

func copyLeases(ctx context.Context, file *etcdfile.Writer, api API) error {
	leases, _, err := api.Leases(ctx)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	if err := file.PutLeases(leases); err != nil {
		return fmt.Errorf("copy leases: %w", err)
	}
	return nil
}
