package maintenance

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/goleak"

	"github.com/tierd/tierd/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testVersion is the release that the tests say they speak.
const testVersion = "3.7.3"

// keyspace is a fake router.API: a list of versions with a compaction.
type keyspace struct {
	mu        sync.Mutex
	versions  []router.Version
	current   router.Revision
	compacted router.Revision
	leases    []router.Lease
	status    router.Status
	alarms    []router.Alarm
	disarmErr error
	// duringHistory runs once, in the middle of the next History.
	duringHistory func(*keyspace)
	// failure, when set, is what every call returns.
	failure error
}

var _ API = (*keyspace)(nil)

func (k *keyspace) ClusterID() uint64   { return 0xc1 }
func (k *keyspace) Self() router.Member { return router.Member{ID: 0xa1, Name: "one"} }
func (k *keyspace) Term() uint64        { return 7 }
func (k *keyspace) LastRevision() router.Revision {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// apply appends one revision of events.
func (k *keyspace) apply(events ...*mvccpb.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, e := range events {
		v := router.Version{Main: router.Revision(e.Kv.ModRevision), Sub: int64(i), KV: e.Kv}
		if e.Type == mvccpb.Event_DELETE {
			v.Tombstone, v.KV = true, &mvccpb.KeyValue{Key: e.Kv.Key}
		}
		k.versions = append(k.versions, v)
		k.current = v.Main
	}
}

func (k *keyspace) compact(at router.Revision) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.compacted = at
}

func (k *keyspace) CurrentRevision(context.Context) (router.Revision, router.Revision, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current, k.compacted, k.failure
}

// kept are the versions at or below the compacted revision that are alive at a
// revision; all is whether anything at all is alive there.
func (k *keyspace) kept(at router.Revision) (versions []router.Version, anything bool) {
	last := make(map[string]router.Version)
	for _, v := range k.versions {
		if v.Main <= at {
			last[string(v.KV.Key)] = v
		}
	}
	for _, v := range k.versions {
		alive := !v.Tombstone && last[string(v.KV.Key)] == v
		anything = anything || alive
		if alive && v.Main <= k.compacted {
			versions = append(versions, v)
		}
	}
	return versions, anything
}

// since are the versions above the compacted revision, up to a revision.
func (k *keyspace) since(at router.Revision) []router.Version {
	return slices.DeleteFunc(slices.Clone(k.versions), func(v router.Version) bool {
		return v.Main <= k.compacted || v.Main > at
	})
}

func (k *keyspace) History(_ context.Context, at router.Revision, yield func(router.Version) error) (router.HistoryInfo, error) {
	return k.read(at, yield, func(at router.Revision) []router.Version {
		old, _ := k.kept(k.compacted)
		return append(old, k.since(at)...)
	})
}

func (k *keyspace) HashedHistory(_ context.Context, at router.Revision, yield func(router.Version) error) (router.HistoryInfo, error) {
	return k.read(at, yield, func(at router.Revision) []router.Version {
		old, anything := k.kept(at)
		if !anything {
			old, _ = k.kept(k.compacted)
		}
		return append(old, k.since(at)...)
	})
}

func (k *keyspace) read(at router.Revision, yield func(router.Version) error, list func(at router.Revision) []router.Version) (router.HistoryInfo, error) {
	k.mu.Lock()
	if at == 0 {
		at = k.current
	}
	info := router.HistoryInfo{At: at, Current: k.current, Compacted: k.compacted}
	if at < k.compacted {
		k.mu.Unlock()
		return info, router.ErrCompacted
	}
	if at > k.current {
		k.mu.Unlock()
		return info, router.ErrFutureRevision
	}
	versions, during := list(at), k.duringHistory
	k.duringHistory = nil
	k.mu.Unlock()
	for i, v := range versions {
		if i == len(versions)/2 && during != nil {
			during(k)
		}
		if err := yield(v); err != nil {
			return router.HistoryInfo{}, err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.compacted != info.Compacted {
		return info, router.ErrCompacted
	}
	return info, k.failure
}

func (k *keyspace) AuthData(context.Context) (router.AuthData, error) {
	return router.AuthData{}, nil
}

func (k *keyspace) Leases(context.Context) ([]router.Lease, router.Revision, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.leases, k.current, k.failure
}

func (k *keyspace) Status(context.Context) (router.Status, error) { return k.status, k.failure }

func (k *keyspace) Alarms(context.Context) ([]router.Alarm, error) { return k.alarms, k.failure }

func (k *keyspace) RaiseAlarm(_ context.Context, a router.Alarm) error {
	if !slices.Contains(k.alarms, a) {
		k.alarms = append(k.alarms, a)
	}
	return k.failure
}

func (k *keyspace) DisarmAlarm(_ context.Context, a router.Alarm) ([]router.Alarm, error) {
	var lowered []router.Alarm
	k.alarms = slices.DeleteFunc(k.alarms, func(have router.Alarm) bool {
		match := have.Type == a.Type && (a.MemberID == 0 || have.MemberID == a.MemberID)
		if match {
			lowered = append(lowered, have)
		}
		return match
	})
	return lowered, errors.Join(k.disarmErr, k.failure)
}

// serve is the service under test on a keyspace.
func serve(t *testing.T, k *keyspace) pb.MaintenanceServer {
	t.Helper()
	return New(k, Settings{Version: testVersion, TempDir: t.TempDir()}, slog.New(slog.DiscardHandler))
}
