package maintenance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/oracle"
)

// listen serves the service on a free port, for clients that take an address.
func listen(t *testing.T, service pb.MaintenanceServer) (endpoint string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterMaintenanceServer(server, service)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "http://" + listener.Addr().String()
}

// save takes a snapshot as etcdctl does and restores it as etcdutl does, and
// starts an etcd on the result.
func saveAndRestore(t *testing.T, endpoint string) (snapshot.Status, *clientv3.Client) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snapshot.db")
	tool := snapshot.NewV3(zap.NewNop())
	version, err := tool.Save(t.Context(), clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()}, path)
	if err != nil || version != "3.7.0" {
		t.Fatalf("save: version %q: %v", version, err)
	}
	saved, err := tool.Status(path)
	if err != nil {
		t.Fatalf("status: %v", err)
	}
	options := oracle.Options{
		DataDir: cluster.Folder(t),
		PeerURL: fmt.Sprintf("http://127.0.0.1:%d", cluster.FreePorts(t, 1)[0]),
		Name:    "restored",
	}
	err = tool.Restore(snapshot.RestoreConfig{
		SnapshotPath: path, OutputDataDir: options.DataDir, Name: options.Name,
		PeerURLs: []string{options.PeerURL}, InitialCluster: options.Name + "=" + options.PeerURL,
		InitialClusterToken: "restored",
	})
	if err != nil {
		t.Fatalf("restore: %v", err)
	}
	return saved, oracle.Start(t, options).Client()
}

// sameState compares every key at every revision, and the leases.
func sameState(t *testing.T, want, got *clientv3.Client, low, high int64) {
	t.Helper()
	ctx := t.Context()
	for revision := low; revision <= high; revision++ {
		a, err := want.Get(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(revision))
		if err != nil {
			t.Fatal(err)
		}
		b, err := got.Get(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(revision))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a.Kvs, b.Kvs, protocmp.Transform()); diff != "" || a.Header.Revision != b.Header.Revision {
			t.Fatalf("at revision %d (headers %d, %d):\n%s", revision, a.Header.Revision, b.Header.Revision, diff)
		}
	}
	leases, err := want.Leases(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases.Leases {
		a, err := want.TimeToLive(ctx, l.ID, clientv3.WithAttachedKeys())
		if err != nil {
			t.Fatal(err)
		}
		b, err := got.TimeToLive(ctx, l.ID, clientv3.WithAttachedKeys())
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(a.Keys, bytes.Compare)
		slices.SortFunc(b.Keys, bytes.Compare)
		if diff := cmp.Diff(a.Keys, b.Keys); diff != "" || a.GrantedTTL != b.GrantedTTL || b.TTL <= 0 {
			t.Fatalf("lease %x: granted %d and %d, left %d, keys:\n%s", l.ID, a.GrantedTTL, b.GrantedTTL, b.TTL, diff)
		}
	}
}

// A snapshot of a copied history is a database from which a real etcd serves
// what the etcd of that history serves, down to the hashes.
func TestSnapshotRestoresToEtcd(t *testing.T) {
	t.Parallel()
	source := oracle.Start(t, oracle.Options{})
	ref := follow(t, source.Client(), 4)
	ref.write(80)
	compacted := ref.between(30, ref.current()-20)
	ref.compact(compacted)

	saved, restored := saveAndRestore(t, listen(t, serve(t, ref.copied)))
	live, err := ref.client.Get(t.Context(), "", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	if saved.Revision != ref.current() || int64(saved.TotalKey) != live.Count || saved.Version != "3.7.0" {
		t.Errorf("status says revision %d, %d keys, version %q; the keyspace has %d, %d",
			saved.Revision, saved.TotalKey, saved.Version, ref.current(), live.Count)
	}
	sameState(t, ref.client, restored, compacted, ref.current())
	sameHashes(t, ref.copied, restored, compacted)
	if _, err := restored.Get(t.Context(), "k", clientv3.WithRev(compacted-1)); !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("read below the compacted revision: %v", err)
	}

	ref.client = restored // both histories go on as one
	put, err := restored.Put(t.Context(), "after", "restore")
	if err != nil || put.Header.Revision != ref.current()+1 {
		t.Errorf("a put after the restore: %v (%v)", put, err)
	}
}

// An empty keyspace, and one whose last revision deleted the last key and was
// compacted, restore to their revisions.
func TestSnapshotOfNothing(t *testing.T) {
	t.Parallel()
	t.Run("fresh", func(t *testing.T) {
		t.Parallel()
		_, restored := saveAndRestore(t, listen(t, serve(t, &keyspace{current: 1, compacted: -1})))
		if h := hashOf(t.Context(), t, restored, 0); h.Header.Revision != 1 {
			t.Errorf("restored at revision %d, want 1", h.Header.Revision)
		}
	})
	t.Run("all deleted", func(t *testing.T) {
		t.Parallel()
		ref := follow(t, oracle.Start(t, oracle.Options{}).Client(), 5)
		ref.write(20)
		ref.deleteAll()
		ref.compact(ref.current())
		_, restored := saveAndRestore(t, listen(t, serve(t, ref.copied)))
		sameHashes(t, ref.copied, restored, ref.current())
	})
}

// stream collects what Snapshot sends; full, when set, ends it.
type stream struct {
	pb.Maintenance_SnapshotServer
	t    *testing.T
	sent []*pb.SnapshotResponse
	full error
}

func (s *stream) Context() context.Context { return s.t.Context() }

func (s *stream) Send(r *pb.SnapshotResponse) error {
	s.sent = append(s.sent, r)
	return s.full
}

// The messages count down to 0 and end with the digest of all before.
func TestSnapshotMessages(t *testing.T) {
	t.Parallel()
	out := &stream{t: t}
	if err := serve(t, small()).Snapshot(&pb.SnapshotRequest{}, out); err != nil {
		t.Fatal(err)
	}
	var content []byte
	blobs, last := out.sent[:len(out.sent)-1], out.sent[len(out.sent)-1]
	total := int(blobs[0].RemainingBytes) + len(blobs[0].Blob)
	for i, m := range blobs {
		content = append(content, m.Blob...)
		if int(m.RemainingBytes) != total-len(content) || m.Version != "3.7.0" {
			t.Errorf("message %d: %d left of %d after %d, version %q", i, m.RemainingBytes, total, len(content), m.Version)
		}
	}
	if len(content) != total || total%512 != 0 {
		t.Errorf("%d bytes announced, %d sent: not whole pages", total, len(content))
	}
	if sum := sha256.Sum256(content); !bytes.Equal(last.Blob, sum[:]) || last.RemainingBytes != 0 {
		t.Errorf("the last message is no digest of the file: %x, %d left", last.Blob, last.RemainingBytes)
	}
}

// Whatever happens, no temporary file stays.
func TestSnapshotLeavesNothing(t *testing.T) {
	t.Parallel()
	broken := errors.New("client gone")
	for name, c := range map[string]struct {
		keyspace *keyspace
		out      *stream
		code     codes.Code
	}{
		"sent":        {small(), &stream{t: t}, codes.OK},
		"send fails":  {small(), &stream{t: t, full: broken}, codes.Unavailable},
		"unreachable": {&keyspace{current: 1, compacted: -1, failure: router.ErrUnavailable}, &stream{t: t}, codes.Unavailable},
		"overtaken":   {&keyspace{current: 1, compacted: -1, failure: router.ErrCompacted}, &stream{t: t}, codes.Unavailable},
	} {
		dir := t.TempDir()
		service := New(c.keyspace, Settings{Version: testVersion, TempDir: dir}, slog.New(slog.DiscardHandler))
		if err := service.Snapshot(&pb.SnapshotRequest{}, c.out); status.Code(err) != c.code {
			t.Errorf("%s: %v, want %v", name, err, c.code)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%s: left behind %v (%v)", name, left, err)
		}
	}
}

func TestRemoveLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"tierd-snapshot-123.db", "other.db"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveLeftovers(dir); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "other.db" {
		t.Errorf("left: %v (%v)", left, err)
	}
}

// A history of more than one batch arrives whole.
func TestSnapshotOfManyBatches(t *testing.T) {
	t.Parallel()
	k := &keyspace{current: 1, compacted: -1}
	for revision := int64(2); revision <= 2*etcdfile.BatchVersionsMax+5; revision++ {
		k.apply(put(revision, fmt.Sprint(revision%1000)))
	}
	path := filepath.Join(t.TempDir(), "snapshot.db")
	tool := snapshot.NewV3(zap.NewNop())
	config := clientv3.Config{Endpoints: []string{listen(t, serve(t, k))}, Logger: zap.NewNop()}
	if _, err := tool.Save(t.Context(), config, path); err != nil {
		t.Fatal(err)
	}
	saved, err := tool.Status(path)
	if err != nil || saved.Revision != 2*etcdfile.BatchVersionsMax+5 || saved.TotalKey != 1000 {
		t.Errorf("status: %+v (%v)", saved, err)
	}
}
