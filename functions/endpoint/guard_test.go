package endpoint

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/router"
)

func rangeOp() *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("k")}}}
}

func putOp(value []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("k"), Value: value}}}
}

// The measured size is that of etcd's proposal, to the byte.
func TestWriteSize(t *testing.T) {
	t.Parallel()
	header := &pb.RequestHeader{ID: math.MaxUint64}
	bcrypted, err := bcrypt.GenerateFromPassword([]byte("p"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	hash := base64.StdEncoding.EncodeToString(bcrypted)
	for _, n := range []int{0, 100, 200, 20_000, 3_000_000} {
		value := make([]byte, n)
		put := &pb.PutRequest{Key: []byte("k"), Value: value}
		txn := &pb.TxnRequest{Success: []*pb.RequestOp{rangeOp(), putOp(value)}}
		del := &pb.DeleteRangeRequest{Key: append([]byte("k"), value...)}
		grant := &pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: &authpb.Permission{Key: value}}
		user := &pb.AuthUserAddRequest{Name: string(value), Password: "p"}
		hashed := &pb.AuthUserAddRequest{Name: string(value), HashedPassword: hash}
		change := &pb.AuthUserChangePasswordRequest{Name: string(value), Password: "p", HashedPassword: "x"}
		changed := &pb.AuthUserChangePasswordRequest{Name: string(value), HashedPassword: hash}
		for _, c := range []struct {
			request  any
			proposal *pb.InternalRaftRequest
		}{
			{put, &pb.InternalRaftRequest{Header: header, Put: put}},
			{txn, &pb.InternalRaftRequest{Header: header, Txn: txn}},
			{del, &pb.InternalRaftRequest{Header: header, DeleteRange: del}},
			{grant, &pb.InternalRaftRequest{Header: header, AuthRoleGrantPermission: grant}},
			{user, &pb.InternalRaftRequest{Header: header, AuthUserAdd: hashed}},
			{change, &pb.InternalRaftRequest{Header: header, AuthUserChangePassword: changed}},
			{changed, &pb.InternalRaftRequest{Header: header, AuthUserChangePassword: changed}},
		} {
			if got, want := writeSize(c.request), proto.Size(c.proposal); got != want {
				t.Errorf("writeSize(%T of %d bytes) = %d, want %d", c.request, n, got, want)
			}
		}
	}
	reads := &pb.TxnRequest{Success: []*pb.RequestOp{rangeOp()}, Failure: []*pb.RequestOp{rangeOp()}}
	if got := writeSize(reads); got != 0 {
		t.Errorf("a transaction of reads has size %d", got)
	}
	if got := writeSize(&pb.RangeRequest{Key: make([]byte, 100)}); got != 0 {
		t.Errorf("a range has size %d", got)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	kv := pb.NewKVClient(f.conn)
	put := func(n int) error {
		_, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("k"), Value: make([]byte, n)})
		return err
	}
	framing := writeSize(&pb.PutRequest{Key: []byte("k"), Value: make([]byte, MaxRequestBytesDefault)}) - MaxRequestBytesDefault
	if err := put(MaxRequestBytesDefault - framing); err != nil {
		t.Errorf("the largest put: %v", err)
	}
	wantStatus(t, "a put one byte larger", put(MaxRequestBytesDefault-framing+1), codes.InvalidArgument, "etcdserver: request is too large")
	wantStatus(t, "a put beyond the message size", put(MaxRequestBytesDefault+overheadBytes), codes.ResourceExhausted, "received message larger than max")
	if err := put(1); err != nil {
		t.Errorf("the connection did not survive: %v", err)
	}
}

// The Go client repeats any call that ends with Canceled or DeadlineExceeded
// before its own context does; a frontend must not cause that.
func TestOwnTimeLimitsDoNotLookLikeTheClients(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	put := func(serverError error) error {
		f.services.putError = serverError
		_, err := pb.NewKVClient(f.conn).Put(t.Context(), &pb.PutRequest{Key: []byte("fail")})
		return err
	}
	for _, err := range []error{
		context.DeadlineExceeded, context.Canceled, fmt.Errorf("put: %w", context.DeadlineExceeded),
		status.Error(codes.DeadlineExceeded, "x"), rpctypes.ErrGRPCCanceled,
		fmt.Errorf("%w: %w", router.ErrOutcomeUnknown, context.DeadlineExceeded),
	} {
		wantStatus(t, err.Error(), put(err), codes.Unavailable, "etcdserver: request timed out")
	}
	// Handlers may leave the translation to the guard.
	wantStatus(t, "raw sentinel", put(fmt.Errorf("put: %w", router.ErrNoSpace)), codes.ResourceExhausted, "database space exceeded")
	wantStatus(t, "raw error", put(errors.New("surprise")), codes.Unavailable, "surprise")
}

func TestRequireLeader(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	required := metadata.AppendToOutgoingContext(t.Context(), rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader)
	client := pb.NewWatchClient(f.conn)
	stream, err := client.Watch(required)
	if err != nil {
		t.Fatal(err)
	}
	create := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k")}}}
	if err := stream.Send(create); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	patient := f.watch(t)

	f.keyspace.fail(router.ErrUnavailable)
	for range probesMissedMax - 1 {
		f.pulse.probe(t.Context())
	}
	if f.pulse.lost() {
		t.Error("lost after fewer missed probes than allowed")
	}
	f.pulse.probe(t.Context())
	_, err = stream.Recv()
	wantStatus(t, "a watch that requires a leader", err, codes.Unavailable, "etcdserver: no leader")
	_, err = pb.NewKVClient(f.conn).Range(required, &pb.RangeRequest{Key: []byte("k")})
	wantStatus(t, "a range that requires a leader", err, codes.Unavailable, "etcdserver: no leader")
	if _, err = pb.NewKVClient(f.conn).Put(t.Context(), &pb.PutRequest{Key: []byte("k")}); err != nil {
		t.Errorf("a put without the requirement: %v", err)
	}
	if resp, err := patient.Recv(); err != nil || len(resp.Events) != 1 {
		t.Errorf("a watch without the requirement: %v, %v", resp, err)
	}
	if n := f.value(t, "etcd_server_has_leader"); n != "0" {
		t.Errorf("etcd_server_has_leader = %s", n)
	}

	f.keyspace.fail(nil)
	f.pulse.probe(t.Context())
	if _, err = pb.NewKVClient(f.conn).Range(required, &pb.RangeRequest{Key: []byte("k")}); err != nil {
		t.Errorf("after the hot tier is back: %v", err)
	}
}

func TestClientVersions(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	call := func(version string) error {
		ctx := metadata.AppendToOutgoingContext(t.Context(), rpctypes.MetadataClientAPIVersionKey, version)
		_, err := pb.NewKVClient(f.conn).Range(ctx, &pb.RangeRequest{Key: []byte("k")})
		return err
	}
	for i := range clientVersionsMax + 5 {
		if err := call(fmt.Sprintf("3.%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.value(t, `etcd_server_client_requests_total{client_api_version="3.0",type="unary"}`); n != "1" {
		t.Errorf("version 3.0 was counted %s times", n)
	}
	if n := f.value(t, `etcd_server_client_requests_total{client_api_version="other",type="unary"}`); n != "5" {
		t.Errorf("the versions beyond the bound were counted %s times", n)
	}
}

// A client that sends many messages on a stream is received from throughout.
func TestStreamsReceive(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	stream, err := pb.NewLeaseClient(f.conn).LeaseKeepAlive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for id := range int64(100) {
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
			t.Fatal(err)
		}
		if resp, err := stream.Recv(); err != nil || resp.ID != id {
			t.Fatalf("%d: %v, %v", id, resp, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err == nil || !strings.Contains(err.Error(), "EOF") {
		t.Errorf("the end = %v", err)
	}
}
