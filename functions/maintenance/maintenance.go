// Package maintenance is etcd's Maintenance service: what the keyspace says of
// itself, its alarms, its hashes, and a snapshot of it as an etcd database file.
//
// It promises that HashKV is the number that etcd computes for the same history
// (up to the one case named at HashKV), and that a snapshot is a file which
// etcd's own tools accept and from which a real etcd serves the same keys,
// revisions, versions and leases. What an etcd member has and a frontend has
// not is refused by name: there is no raft leader to move and no data format
// to downgrade. Nothing is accepted and ignored.
//
// No state outlives a call. A snapshot is built in a temporary file, whose name
// is removed before its first byte is sent; a process killed while it builds one
// leaves that file behind, and RemoveLeftovers clears it away.
package maintenance

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

// snapshotsConcurrentMax is how many snapshots one frontend builds at a time;
// further ones wait. Each takes the keyspace's size in temporary disk space.
const snapshotsConcurrentMax = 2

// API is the part of router.API that this service needs.
type API interface {
	wire.Identity
	CurrentRevision(ctx context.Context) (current, compacted router.Revision, err error)
	History(ctx context.Context, at router.Revision, yield func(router.Version) error) (router.HistoryInfo, error)
	HashedHistory(ctx context.Context, at router.Revision, yield func(router.Version) error) (router.HistoryInfo, error)
	Leases(ctx context.Context) ([]router.Lease, router.Revision, error)
	AuthData(ctx context.Context) (router.AuthData, error)
	Status(ctx context.Context) (router.Status, error)
	Alarms(ctx context.Context) ([]router.Alarm, error)
	RaiseAlarm(ctx context.Context, a router.Alarm) error
	DisarmAlarm(ctx context.Context, a router.Alarm) ([]router.Alarm, error)
}

// Settings are the values that differ between deployments and releases.
type Settings struct {
	// Version is the etcd version whose protocol is spoken, such as "3.7.3".
	Version string
	// TempDir is where snapshots are built; empty means the system's folder for
	// temporary files. It needs as much room as the keyspace is large.
	TempDir string
}

// storageVersion is the version of etcd's data format: that of the release
// without its patch number.
func (s Settings) storageVersion() string {
	parts := strings.SplitN(s.Version, ".", 3)
	if len(parts) < 2 {
		return s.Version
	}
	return parts[0] + "." + parts[1] + ".0"
}

type server struct {
	pb.UnsafeMaintenanceServer
	api      API
	settings Settings
	logger   *slog.Logger
	// building has one element for every snapshot being built.
	building chan struct{}
}

// New makes the service.
func New(api API, settings Settings, logger *slog.Logger) pb.MaintenanceServer {
	return &server{
		api: api, settings: settings, logger: logger,
		building: make(chan struct{}, snapshotsConcurrentMax),
	}
}

// Status describes the keyspace as an etcd member describes itself. There is no
// raft log: its index is the revision, which grows as an index does, and its
// term counts the recoveries of the hot tier.
func (s *server) Status(ctx context.Context, _ *pb.StatusRequest) (*pb.StatusResponse, error) {
	st, err := s.api.Status(ctx)
	if err != nil {
		return nil, wire.Error(fmt.Errorf("status: %w", err))
	}
	resp := &pb.StatusResponse{
		Header:           wire.Header(s.api, st.Revision),
		Version:          s.settings.Version,
		StorageVersion:   s.settings.storageVersion(),
		DbSize:           st.SizeBytes,
		DbSizeInUse:      st.SizeInUseBytes,
		DbSizeQuota:      st.QuotaBytes,
		Leader:           st.LeaderID,
		RaftIndex:        uint64(st.Revision),
		RaftAppliedIndex: uint64(st.Revision),
		RaftTerm:         st.Term,
		DowngradeInfo:    &pb.DowngradeInfo{Enabled: false},
	}
	if st.LeaderID == 0 {
		resp.Errors = append(resp.Errors, rpctypes.ErrorDesc(rpctypes.ErrGRPCNoLeader))
	}
	for _, a := range st.Alarms {
		resp.Errors = append(resp.Errors, alarmMember(a).String())
	}
	return resp, nil
}

// Defragment succeeds at once, and truthfully: after an etcd defragmentation the
// member has no unused pages, and the hot tier never has any. Redis returns the
// memory of deleted and compacted records by itself, and rewrites its log by
// itself. The keyspace must be reachable, so that the answer of a frontend that
// knows nothing is not a success.
func (s *server) Defragment(ctx context.Context, _ *pb.DefragmentRequest) (*pb.DefragmentResponse, error) {
	if _, _, err := s.api.CurrentRevision(ctx); err != nil {
		return nil, wire.Error(fmt.Errorf("defragment: %w", err))
	}
	return &pb.DefragmentResponse{}, nil // without a header, as etcd's
}

// MoveLeader is refused: frontends are equal and elect nobody. The leader that
// Status names is only the oldest live frontend, which runs the scheduled jobs.
func (s *server) MoveLeader(context.Context, *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error) {
	return nil, status.Error(codes.Unimplemented, "etcdserver: MoveLeader is not supported: "+
		"frontends keep no state and elect no raft leader, so any of them can be stopped at any time without moving anything")
}

// Downgrade is refused, whichever action is asked for: frontends hold no data in
// a format that a version could change.
func (s *server) Downgrade(_ context.Context, r *pb.DowngradeRequest) (*pb.DowngradeResponse, error) {
	return nil, status.Error(codes.Unimplemented, fmt.Sprintf("etcdserver: Downgrade (%s) is not supported: "+
		"a frontend holds no data directory whose version could be lowered; start the frontends of the version that you want instead",
		strings.ToLower(r.GetAction().String())))
}
