package differential

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	gocmp "github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/answers"
	"github.com/tierd/tierd/test/cluster"
)

// scene is a step of several calls that belong together.
func (g *game) scene() {
	g.Helper()
	switch g.IntN(6) {
	case 0, 1, 2:
		g.queue()
	case 3:
		g.observe()
	case 4:
		g.shortLease()
	case 5:
		g.noSpace()
	}
}

// compareHashes compares HashKV of at most that many revisions, the current one
// among them; of all that can be asked for, if there are no more.
func (g *game) compareHashes(limit int) {
	g.Helper()
	low := max(1, g.compacted)
	count := g.revision - low + 1
	for i := range min(count, int64(limit)) {
		revision := g.revision - i
		if count > int64(limit) && i > 0 {
			revision = low + g.Int64N(count)
		}
		if !g.remembered(revision) {
			g.both(call{pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{Revision: revision}})
		}
	}
}

// shortLease grants a lease as short as they come, and ends it before it can end
// anything itself.
func (g *game) shortLease() {
	g.Helper()
	const id = 5
	ttl := []int64{0, 1, 2, 3, -1, math.MinInt64}[g.IntN(6)]
	g.both(call{pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: id, TTL: ttl}})
	for _, s := range []*system{g.etcd, g.tierd} {
		if _, err := s.client.Revoke(g.Context(), id); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			g.Fatal(err)
		}
	}
	if last := len(g.leases) - 1; g.leases[last] == id {
		g.leases = g.leases[:last]
	}
}

// noSpace makes some requests while the NOSPACE alarm is up.
func (g *game) noSpace() {
	g.Helper()
	alarm := func(action pb.AlarmRequest_AlarmAction, member uint64) {
		g.both(call{pb.Maintenance_Alarm_FullMethodName, &pb.AlarmRequest{Action: action, MemberID: member, Alarm: pb.AlarmType_NOSPACE}})
	}
	members := []uint64{5, math.MaxUint64}
	for _, member := range members[:1+g.IntN(2)] {
		alarm(pb.AlarmRequest_ACTIVATE, member)
	}
	for range 20 {
		g.both(g.next())
	}
	alarm(pb.AlarmRequest_GET, 0)
	for _, member := range members {
		alarm(pb.AlarmRequest_DEACTIVATE, member)
	}
}

// compareSnapshots compares all versions in the database files that both send.
func (g *game) compareSnapshots() {
	g.Helper()
	if g.compacted < g.revision { // so that etcd has dropped what is compacted
		g.both(call{pb.KV_Compact_FullMethodName, &pb.CompactionRequest{Revision: g.compacted + 1 + g.Int64N(g.revision-g.compacted), Physical: true}})
	}
	want, got := g.versions(g.etcd), g.versions(g.tierd)
	if diff := gocmp.Diff(want, got); diff != "" {
		g.Fatalf("versions in the snapshots (-etcd +tierd):\n%s", diff)
	}
	g.count(pb.Maintenance_Snapshot_FullMethodName, nil)
}

// versions are the versions in a snapshot, by the name of each.
func (g *game) versions(s *system) map[string]string {
	g.Helper()
	snapshot, err := s.client.Snapshot(g.Context())
	if err != nil {
		g.Fatal(err)
	}
	data, err := io.ReadAll(snapshot)
	if err := errors.Join(err, snapshot.Close()); err != nil {
		g.Fatal(err)
	}
	const sumBytes = 32 // SHA-256, after the file
	path := filepath.Join(cluster.Folder(g), "snapshot.db")
	if err := os.WriteFile(path, data[:len(data)-sumBytes], 0o600); err != nil {
		g.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		g.Fatal(err)
	}
	all := make(map[string]string)
	err = db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("key")).ForEach(func(name, version []byte) error {
			all[string(name)] = string(version)
			return nil
		})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		g.Fatal(err)
	}
	return all
}

// chosenLeases has the systems choose ids, which differ, and are parts of keys:
// nothing that depends on them can be compared afterwards.
func (g *game) chosenLeases() {
	g.Helper()
	for _, c := range []call{
		{pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{TTL: 100}},
		{v3lockpb.Lock_Lock_FullMethodName, &v3lockpb.LockRequest{Name: []byte("chosen")}},
		{v3electionpb.Election_Campaign_FullMethodName, &v3electionpb.CampaignRequest{Name: []byte("taken"), Value: []byte("v")}},
		{v3electionpb.Election_Proclaim_FullMethodName, &v3electionpb.ProclaimRequest{Leader: &v3electionpb.LeaderKey{Name: []byte("no")}}},
		{v3electionpb.Election_Resign_FullMethodName, &v3electionpb.ResignRequest{Leader: &v3electionpb.LeaderKey{Name: []byte("no"), Key: []byte("none")}}},
	} {
		want, wantErr := g.etcd.answer(g.Context(), c)
		got, gotErr := g.tierd.answer(g.Context(), c)
		for _, m := range []proto.Message{want, got} {
			g.hideLease(c, m)
		}
		g.judge(c, want, wantErr, got, gotErr)
	}
}

// hideLease puts the same id into every answer that holds a chosen one.
func (g *game) hideLease(c call, m proto.Message) {
	g.Helper()
	hide := func(key []byte, name string, id int64) []byte {
		want := queueKey([]byte(name), id)
		if id != 0 && !bytes.Equal(key, want) || !bytes.HasPrefix(key, []byte(name+"/")) {
			g.Fatalf("%v is answered with key %q, want %q", c, key, want)
		}
		return []byte(name)
	}
	switch r := m.(type) {
	case *pb.LeaseGrantResponse:
		if r.ID <= 0 {
			g.Fatalf("%v is answered with id %d", c, r.ID)
		}
		r.ID = 1
	case *v3lockpb.LockResponse:
		r.Key = hide(r.Key, "chosen", 0)
	case *v3electionpb.CampaignResponse:
		r.Leader.Key = hide(r.Leader.Key, "taken", r.Leader.Lease)
		r.Leader.Lease = 1
	}
}

// corrupted raises the CORRUPT alarm, after which both systems refuse to write and
// tierd to read, too.
func (g *game) corrupted() {
	g.Helper()
	alarm := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 5, Alarm: pb.AlarmType_CORRUPT}
	g.both(call{pb.Maintenance_Alarm_FullMethodName, alarm})
	alarm.Action = pb.AlarmRequest_GET
	g.both(call{pb.Maintenance_Alarm_FullMethodName, alarm})
	put := &pb.PutRequest{Key: []byte("k"), Value: []byte("v")}
	for _, c := range []call{
		{pb.KV_Put_FullMethodName, put},
		{pb.KV_DeleteRange_FullMethodName, &pb.DeleteRangeRequest{Key: []byte("k")}},
		{pb.KV_Txn_FullMethodName, single(put)},
		{pb.KV_Compact_FullMethodName, &pb.CompactionRequest{Revision: g.revision}},
		{pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: 1, TTL: 100}},
		{pb.Lease_LeaseRevoke_FullMethodName, &pb.LeaseRevokeRequest{ID: g.lease()}},
	} {
		g.both(c)
	}
	_, err := g.tierd.answer(g.Context(), call{pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte("k")}})
	if !strings.Contains(answers.ErrorText(err), rpctypes.ErrorDesc(rpctypes.ErrGRPCCorrupt)) {
		g.Errorf("tierd answers a read with %v while CORRUPT is up", err)
	}
}
