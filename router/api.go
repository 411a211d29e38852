package router

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Member is one live frontend.
type Member struct {
	ID         uint64
	Name       string
	ClientURLs []string
}

// Status is what the keyspace says of itself at one moment.
type Status struct {
	// Compacted is -1 while nothing was ever compacted.
	Revision, Compacted Revision
	// Term counts the recoveries of the hot tier; it plays the raft term's part.
	Term uint64
	// SizeBytes is the memory that the hot tier's Redis uses; SizeInUseBytes is
	// the data of this keyspace, the number that the quota is held against.
	SizeBytes, SizeInUseBytes, QuotaBytes int64
	Keys                                  int64
	// LeaderID is the id of the live member that runs the scheduled jobs: the
	// one that registered first. All frontends name the same one.
	LeaderID uint64
	Alarms   []Alarm
}

// Alarm is one raised alarm.
type Alarm struct {
	MemberID uint64
	Type     pb.AlarmType
}

// Lease is one lease as the sequencer keeps it.
type Lease struct {
	ID int64
	// GrantedTTL and RemainingTTL are in seconds.
	GrantedTTL, RemainingTTL int64
	// Keys are the attached keys, sorted; only filled when asked for.
	Keys [][]byte
}

// Version is one stored change: revision Main, Sub counting from 0 within it.
// Tombstone says that the key was deleted; then KV holds the key only.
type Version struct {
	Main      Revision
	Sub       int64
	Tombstone bool
	KV        *mvccpb.KeyValue
}

// EventPage is a run of whole revisions, in order.
type EventPage struct {
	// Events are those of revisions From..Through, all of them, in order of
	// revision and then of sub-revision. Kv.ModRevision is the event's revision.
	// PrevKv is filled when asked for, the key existed, and its version has not
	// been compacted (as etcd: state at ModRevision-1, absent if that is below
	// the compacted revision).
	Events []*mvccpb.Event
	// Through is the last revision that the page covers; From-1 if none.
	Through Revision
	// Current is the keyspace's revision when the page was read.
	Current Revision
	// Compacted is the compacted revision when the page was read (-1: never
	// compacted).
	Compacted Revision
	// Auth is the version of the auth data when the page was read, or a later one.
	Auth int64
}

// API is everything that functions/ may ask of a keyspace. *Keyspace is the one
// implementation; unit tests of functions/ may use fakes.
//
// Responses carry a header with Revision filled and nothing else; functions/wire
// fills in the rest. Calls with a context of WithAuth may answer ErrAuthChanged. Requests have been checked by the caller (sizes, empty
// keys, duplicate keys): the router trusts their shape.
type API interface {
	Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error)
	// RangePages reads like Range with etcd's RangeStream contract: pages of
	// about pageBytes, pinned to one revision; header, count and more only in
	// the last one. The request has neither sort nor revision filters.
	RangePages(ctx context.Context, r *pb.RangeRequest, pageBytes int, send func(*pb.RangeResponse) error) error
	Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error)
	DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error)
	Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error)
	// Compact makes revisions below rev unreadable, at once; with physical it
	// returns only after their records are gone. It returns the current revision.
	Compact(ctx context.Context, rev Revision, physical bool) (Revision, error)

	// Events reads the events of revisions from, from+1, ... up to the current
	// one or about maxBytes, whichever comes first (at least one revision).
	// ErrCompacted if from is below the compacted revision. from may be
	// Current+1: an empty page.
	Events(ctx context.Context, from Revision, maxBytes int, prevKV bool) (EventPage, error)
	// WaitRevision blocks until the keyspace's revision is above after, and
	// returns it. It is how followers learn of changes without polling.
	WaitRevision(ctx context.Context, after Revision) (Revision, error)
	// CurrentRevision is the linearizable current and compacted revision.
	CurrentRevision(ctx context.Context) (current, compacted Revision, err error)

	// LeaseGrant creates a lease; id 0 lets the router choose one.
	LeaseGrant(ctx context.Context, id, ttlSeconds int64) (Lease, Revision, error)
	// LeaseRevoke removes a lease and deletes its keys in one revision.
	LeaseRevoke(ctx context.Context, id int64) (Revision, error)
	// LeaseKeepAlive renews a lease. ErrLeaseNotFound for an unknown one.
	LeaseKeepAlive(ctx context.Context, id int64) (Lease, Revision, error)
	// LeaseTimeToLive describes a lease. ErrLeaseNotFound for an unknown one.
	LeaseTimeToLive(ctx context.Context, id int64, keys bool) (Lease, Revision, error)
	// Leases lists all leases, by id, without keys.
	Leases(ctx context.Context) ([]Lease, Revision, error)
	// ExpireLeases revokes leases that are due, a bounded number of them, and
	// says how many, and how long until the next one is due (at most a minute).
	ExpireLeases(ctx context.Context) (revoked int, next time.Duration, err error)

	// Members lists the live frontends, oldest registration first.
	Members(ctx context.Context) ([]Member, Revision, error)
	// Self is this frontend.
	Self() Member
	// ClusterID identifies the keyspace: the same on every frontend, for ever.
	ClusterID() uint64
	// Term is Status.Term as last seen, for response headers.
	Term() uint64
	// LastRevision is the highest revision this frontend has seen.
	LastRevision() Revision
	// LeaderID is Status.LeaderID as last seen.
	LeaderID() uint64

	Status(ctx context.Context) (Status, error)
	Alarms(ctx context.Context) ([]Alarm, error)
	RaiseAlarm(ctx context.Context, a Alarm) error
	// DisarmAlarm lowers an alarm; MemberID 0 means every member's. It returns
	// those that were lowered.
	DisarmAlarm(ctx context.Context, a Alarm) ([]Alarm, error)

	// AuthData reads the auth data.
	AuthData(ctx context.Context) (AuthData, error)
	// ChangeAuth changes auth data of version from, which get the next version. It returns when no
	// frontend can do any more what was permitted by from (see WithAuth). ErrAuthChanged if they are
	// of another version.
	ChangeAuth(ctx context.Context, from int64, change AuthChange) error
	// ConfirmAuth is the linearizable current revision, at a moment when the auth data had the
	// version that ctx is bound to.
	ConfirmAuth(ctx context.Context) (Revision, error)
	// SaveToken keeps a value under an id, for a time. UseToken gives it while that has not
	// passed, and lets it live for ttl from then on. They may be lost with a Redis, unlike data.
	SaveToken(ctx context.Context, id string, value []byte, ttl time.Duration) error
	UseToken(ctx context.Context, id string, ttl time.Duration) (value []byte, found bool, err error)

	// History yields what a snapshot of the state at revision at holds, in order of
	// (Main, Sub): all changes from the compacted revision up to at, and of those
	// below it the ones that were still alive at the compacted revision. at 0 means
	// the current revision. It returns the revisions it used.
	History(ctx context.Context, at Revision, yield func(Version) error) (HistoryInfo, error)
	// HashedHistory is the set that etcd's HashKV covers: all changes above the
	// compacted revision up to at, and of those at or below it the ones that are
	// still alive at revision at (or, if nothing at all is alive then, the ones that
	// were at the compacted revision).
	HashedHistory(ctx context.Context, at Revision, yield func(Version) error) (HistoryInfo, error)
}

// HistoryInfo names the revisions that a History call covered. Compacted is -1
// if the keyspace was never compacted.
type HistoryInfo struct {
	At, Current, Compacted Revision
}
