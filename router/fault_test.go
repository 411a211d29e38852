package router_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/router"
)

// fault is what happens to the next call of a script.
type fault int32

const (
	noFault fault = iota
	// lostRequest: the call never reaches Redis.
	lostRequest
	// lostReply: the call runs, its reply is lost.
	lostReply
)

// faults breaks the next call of one script that goes through a go-redis client.
type faults struct {
	next   atomic.Int32
	script func(args []any) bool
	hit    atomic.Int32
}

func (f *faults) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f *faults) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (f *faults) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !f.script(cmd.Args()) {
			return next(ctx, cmd)
		}
		switch fault(f.next.Swap(int32(noFault))) {
		case lostRequest:
			f.hit.Add(1)
			err := &net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}
			cmd.SetErr(err)
			return err
		case lostReply:
			f.hit.Add(1)
			if err := next(ctx, cmd); err != nil {
				return err
			}
			err := &net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

// keysOfScript is the number of KEYS that every script takes.
const keysOfScript = 26

// isCommit recognises a commit: its fourth argument after the keys is a program,
// its first a lane of sixteen bytes.
func isCommit(args []any) bool {
	if len(args) < 3+keysOfScript+5 || args[0] != "evalsha" {
		return false
	}
	lane, ok := args[3+keysOfScript].(string)
	return ok && len(lane) == 16
}

// isLeaseCall recognises a batch of calls on leases: one program, and the epoch.
func isLeaseCall(args []any) bool {
	if len(args) != 3+keysOfScript+2 || args[0] != "evalsha" {
		return false
	}
	program, ok := args[3+keysOfScript].([]byte)
	return ok && len(program)%17 == 0 && len(program) > 0
}

func openWithFaults(t *testing.T, script func([]any) bool) (*router.Keyspace, *faults) {
	t.Helper()
	_, client := startRedis(t)
	f := &faults{script: script}
	client.AddHook(f)
	return open(t, client, 1), f
}

// TestLostCommitCalls: a commit whose request or reply is lost is answered with
// what became of it, and done exactly once.
func TestLostCommitCalls(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]fault{"request": lostRequest, "reply": lostReply} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, f := openWithFaults(t, isCommit)
			put(t, k, "a", "before")
			requests := map[string]func() (int64, error){
				"put with prev_kv": func() (int64, error) {
					resp, err := k.Put(t.Context(), &pb.PutRequest{Key: []byte("a"), Value: []byte("after"), PrevKv: true})
					if err == nil && string(resp.PrevKv.GetValue()) != "before" {
						err = fmt.Errorf("prev_kv is %v", resp.PrevKv)
					}
					return resp.GetHeader().GetRevision(), err
				},
				"compare and swap": func() (int64, error) { return swap(t, k, "a", 3) },
				"delete": func() (int64, error) {
					resp, err := k.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte("a"), PrevKv: true})
					if err == nil && (resp.Deleted != 1 || string(resp.PrevKvs[0].Value) != "swapped") {
						err = fmt.Errorf("delete answered %v", resp)
					}
					return resp.GetHeader().GetRevision(), err
				},
			}
			want := int64(2)
			for _, name := range []string{"put with prev_kv", "compare and swap", "delete"} {
				f.next.Store(int32(broken))
				want++
				if got, err := requests[name](); err != nil || got != want {
					t.Fatalf("%s: revision %d, %v; want %d", name, got, err, want)
				}
			}
			if f.hit.Load() != 3 {
				t.Fatalf("%d calls were broken, want 3", f.hit.Load())
			}
			if current, _, err := k.CurrentRevision(t.Context()); err != nil || int64(current) != want {
				t.Fatalf("the keyspace is at revision %d, %v; want %d: something was done twice", current, err, want)
			}
		})
	}
}

func swap(t *testing.T, k *router.Keyspace, key string, mod int64) (int64, error) {
	resp, err := k.Txn(t.Context(), &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte(key), Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{ModRevision: mod}}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte("swapped")}}}},
	})
	if err == nil && !resp.Succeeded {
		err = errors.New("the compare failed")
	}
	return resp.GetHeader().GetRevision(), err
}

// TestLostRevoke: a revoke of a lease without keys takes no revision, so it is
// recognised as done by its outcome alone.
func TestLostRevoke(t *testing.T) {
	t.Parallel()
	for _, broken := range []fault{lostRequest, lostReply} {
		k, f := openWithFaults(t, isCommit)
		lease, _, err := k.LeaseGrant(t.Context(), 5, 60)
		if err != nil {
			t.Fatal(err)
		}
		f.next.Store(int32(broken))
		if revision, err := k.LeaseRevoke(t.Context(), lease.ID); err != nil || revision != 1 {
			t.Fatalf("revoke: revision %d, %v; want 1", revision, err)
		}
		if f.hit.Load() != 1 {
			t.Fatal("the revoke was not broken")
		}
	}
}

// TestLostLeaseCalls: calls on leases that can be made twice are; a grant whose
// reply was lost is answered by the lease that exists if nobody else can have made
// that one, and is otherwise reported as unknown, never as failed or done.
func TestLostLeaseCalls(t *testing.T) {
	t.Parallel()
	k, f := openWithFaults(t, isLeaseCall)
	f.next.Store(int32(lostReply))
	lease, _, err := k.LeaseGrant(t.Context(), 0, 60)
	if err != nil || lease.GrantedTTL != 60 {
		t.Fatalf("grant with a lost reply: %+v, %v", lease, err)
	}
	f.next.Store(int32(lostRequest))
	if _, _, err := k.LeaseGrant(t.Context(), 0, 60); !errors.Is(err, router.ErrOutcomeUnknown) {
		t.Fatalf("grant with a lost request: %v, want ErrOutcomeUnknown", err)
	}
	f.next.Store(int32(lostReply))
	if _, _, err := k.LeaseGrant(t.Context(), lease.ID, 60); !errors.Is(err, router.ErrOutcomeUnknown) {
		t.Fatalf("grant of a lease that exists, with a lost reply: %v, want ErrOutcomeUnknown", err)
	}
	for _, broken := range []fault{lostRequest, lostReply} {
		f.next.Store(int32(broken))
		if lease, _, err := k.LeaseKeepAlive(t.Context(), lease.ID); err != nil || lease.RemainingTTL != 60 {
			t.Fatalf("keep-alive: %+v, %v", lease, err)
		}
	}
	if f.hit.Load() != 5 {
		t.Fatalf("%d calls were broken, want 5", f.hit.Load())
	}
}

// TestLostCompactCalls: a compaction whose request or reply was lost is made again
// and done once; one that was refused in the meantime is not taken for done.
func TestLostCompactCalls(t *testing.T) {
	t.Parallel()
	isCompact := func(args []any) bool {
		return len(args) == 3+keysOfScript+6 && args[0] == "evalsha" && args[len(args)-5] == 500 && args[len(args)-6] != ""
	}
	k, f := openWithFaults(t, isCompact)
	put(t, k, "a", "1")
	put(t, k, "a", "2")
	for i, broken := range []fault{lostReply, lostRequest} {
		f.next.Store(int32(broken))
		if _, err := k.Compact(t.Context(), router.Revision(i+2), false); err != nil {
			t.Fatalf("compact with a lost call: %v", err)
		}
		if _, compacted, err := k.CurrentRevision(t.Context()); err != nil || compacted != router.Revision(i+2) {
			t.Fatalf("compacted at %d, %v; want %d", compacted, err, i+2)
		}
	}
	// Somebody else has compacted there already: what was lost was a refusal.
	f.next.Store(int32(lostRequest))
	if _, err := k.Compact(t.Context(), 3, false); !errors.Is(err, router.ErrOutcomeUnknown) {
		t.Fatalf("a second compaction at one revision, with a lost call: %v, want ErrOutcomeUnknown", err)
	}
	if f.hit.Load() != 3 {
		t.Fatalf("%d calls were broken, want 3", f.hit.Load())
	}
}

// TestHungRedis: while Redis hangs, a call of a client that would wait for ever is
// answered that nothing was done, or that it is unknown; afterwards all is well.
func TestHungRedis(t *testing.T) {
	t.Parallel()
	server, client := startRedis(t)
	k := open(t, client, 1)
	last := put(t, k, "a", "1")
	signal(t, server, syscall.SIGSTOP)
	failures := make(chan error, 3)
	go func() { _, err := k.Status(context.Background()); failures <- err }()
	go func() { _, err := k.Events(context.Background(), 2, 1, false); failures <- err }()
	go func() {
		_, err := k.Put(context.Background(), &pb.PutRequest{Key: []byte("a"), Value: []byte("2")})
		failures <- err
	}()
	for range cap(failures) {
		if err := <-failures; !errors.Is(err, router.ErrUnavailable) && !errors.Is(err, router.ErrOutcomeUnknown) {
			t.Errorf("a call on a hung Redis ended with %v", err)
		}
	}
	signal(t, server, syscall.SIGCONT)
	current, _, err := k.CurrentRevision(t.Context())
	if err != nil || current < last || current > last+1 {
		t.Fatalf("after the hang the keyspace is at %d, %v; it was at %d, and one write is unknown", current, err, last)
	}
	put(t, k, "a", "3")
}

// TestRecoveryIsSilentWithoutALoss: a Redis that is killed and comes back whole
// is recovered, once, without a word of corruption, and goes on where it was.
func TestRecoveryIsSilentWithoutALoss(t *testing.T) {
	t.Parallel()
	server, client := startRedis(t)
	k := open(t, client, 1)
	var last router.Revision
	for round := range 3 {
		for i := range 20 {
			last = put(t, k, fmt.Sprintf("k%d", i), strings.Repeat("x", round))
		}
		signal(t, server, syscall.SIGKILL)
		if current, _, err := k.CurrentRevision(t.Context()); err != nil || current != last {
			t.Fatalf("after the kill the keyspace is at %d, %v; want %d", current, err, last)
		}
		if got, want := k.Term(), uint64(round+2); got != want {
			t.Fatalf("term %d after %d kills, want %d", got, round+1, want)
		}
	}
}
