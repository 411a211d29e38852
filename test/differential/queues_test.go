package differential

import (
	"bytes"
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/cluster"
)

const (
	// settleBound is how long a state may take to appear; far above what is normal.
	settleBound = time.Minute
	// leaveBound is how long a call that was given up may take to leave its queue. One
	// that was given up before it knew that it is in it leaves its key: the game then
	// removes it, at the same revision.
	leaveBound = 2 * time.Second
)

// queued are the keys of a queue, the oldest first. Both systems hold the same.
func (g *game) queued(name []byte) []*mvccpb.KeyValue {
	g.Helper()
	prefix := append(bytes.Clone(name), '/')
	end := bytes.Clone(prefix)
	end[len(end)-1]++
	resp, err := g.both(call{pb.KV_Range_FullMethodName, &pb.RangeRequest{
		Key: prefix, RangeEnd: end, SortOrder: pb.RangeRequest_ASCEND, SortTarget: pb.RangeRequest_CREATE,
	}})
	if err != nil {
		g.Fatal(err)
	}
	return resp.(*pb.RangeResponse).Kvs
}

// queue has somebody lock, or campaign: at once where nobody is before them, and
// otherwise until those have gone or the call is given up.
func (g *game) queue() {
	g.Helper()
	name, lease := g.name(), g.lease()
	if lease == 0 {
		lease = -1 // see chosenLeases
	}
	c := call{v3lockpb.Lock_Lock_FullMethodName, &v3lockpb.LockRequest{Name: name, Lease: lease}}
	if g.chance(0.5) {
		c = call{v3electionpb.Election_Campaign_FullMethodName, &v3electionpb.CampaignRequest{Name: name, Lease: lease, Value: g.some()}}
	}
	key := queueKey(name, lease)
	line := g.queued(name)
	switch place := place(line, key); {
	case len(line) == 0 || place == 0 || !g.leased(lease):
		g.both(c) // not waiting: first, or refused
	case place < 0:
		g.wait(c, name, key)
	}
}

// place is where a key stands in a queue; -1: nowhere.
func place(line []*mvccpb.KeyValue, key []byte) int {
	for i, kv := range line {
		if bytes.Equal(kv.Key, key) {
			return i
		}
	}
	return -1
}

// leased says that a lease exists.
func (g *game) leased(id int64) bool {
	resp, err := g.both(call{pb.Lease_LeaseTimeToLive_FullMethodName, &pb.LeaseTimeToLiveRequest{ID: id}})
	return err == nil && resp.(*pb.LeaseTimeToLiveResponse).TTL >= 0
}

// reply is how a call ended.
type reply struct {
	message proto.Message
	err     error
}

// wait makes a call that waits in a queue, on both systems, and either gives it up
// or removes those before it.
func (g *game) wait(c call, name, key []byte) {
	g.Helper()
	ctx, cancel := context.WithCancel(g.Context())
	defer cancel()
	systems := []*system{g.etcd, g.tierd}
	replies := make([]chan reply, len(systems))
	for i, s := range systems {
		replies[i] = make(chan reply, 1)
		go func() {
			message, err := s.answer(ctx, c)
			replies[i] <- reply{message, err}
		}()
		g.awaitKey(s, key, replies[i])
	}
	if g.chance(0.5) {
		cancel()
		for _, s := range systems {
			g.awaitNoKey(s, key)
		}
	} else {
		for {
			line := g.queued(name)
			if place(line, key) <= 0 {
				break
			}
			g.release(name, line[0])
		}
	}
	want, got := <-replies[0], <-replies[1]
	g.judge(c, want.message, want.err, got.message, got.err)
	g.queued(name)
}

func (g *game) awaitKey(s *system, key []byte, early chan reply) {
	g.Helper()
	cluster.Await(g, settleBound, s.name+" queues a call", func() error {
		select {
		case r := <-early:
			g.Fatalf("step %d: %s answered a call that had to wait: %v, %v", g.step, s.name, r.message, r.err)
		default:
		}
		if !g.holds(s, key) {
			return errors.New("its key is not there")
		}
		return nil
	})
}

func (g *game) awaitNoKey(s *system, key []byte) {
	g.Helper()
	err := cluster.Poll(leaveBound, func() error {
		if g.holds(s, key) {
			return errors.New("its key is still there")
		}
		return nil
	})
	if err == nil {
		return
	}
	if _, err := s.client.Delete(g.Context(), string(key)); err != nil {
		g.Fatal(err)
	}
}

func (g *game) holds(s *system, key []byte) bool {
	resp, err := s.client.Get(g.Context(), string(key))
	if err != nil {
		g.Fatal(err)
	}
	return len(resp.Kvs) == 1
}

// release removes the oldest key of a queue in one of the ways there are.
func (g *game) release(name []byte, first *mvccpb.KeyValue) {
	g.Helper()
	switch g.IntN(3) {
	case 0:
		g.both(call{v3lockpb.Lock_Unlock_FullMethodName, &v3lockpb.UnlockRequest{Key: first.Key}})
	case 1:
		if lease := first.Lease; lease != 0 {
			g.both(call{v3electionpb.Election_Resign_FullMethodName, &v3electionpb.ResignRequest{Leader: &v3electionpb.LeaderKey{
				Name: name, Key: first.Key, Rev: first.CreateRevision, Lease: lease,
			}}})
			return
		}
	}
	g.both(call{pb.KV_DeleteRange_FullMethodName, &pb.DeleteRangeRequest{Key: first.Key}})
}

// observe follows an election on both systems while leaders come, speak and go.
func (g *game) observe() {
	g.Helper()
	name := g.name()
	if len(g.queued(name)) == 0 {
		g.campaign(name)
	}
	ctx, cancel := context.WithCancel(g.Context())
	defer cancel()
	streams := make([]grpc.ServerStreamingClient[v3electionpb.LeaderResponse], 0, 2)
	for _, s := range []*system{g.etcd, g.tierd} {
		stream, err := v3electionpb.NewElectionClient(s.conn()).Observe(ctx, &v3electionpb.LeaderRequest{Name: name})
		if err != nil {
			g.Fatal(err)
		}
		streams = append(streams, stream)
	}
	for range 4 {
		line := g.queued(name)
		if len(line) == 0 {
			if g.campaign(name); len(g.queued(name)) == 0 {
				return // no lease to campaign with
			}
		}
		// One answer at a time: what is overtaken by the next may be left out.
		g.observed(name, streams)
		g.change(name)
	}
}

// observed compares the next message of both streams.
func (g *game) observed(name []byte, streams []grpc.ServerStreamingClient[v3electionpb.LeaderResponse]) {
	g.Helper()
	want, wantErr := streams[0].Recv()
	got, gotErr := streams[1].Recv()
	g.judge(call{v3electionpb.Election_Observe_FullMethodName, &v3electionpb.LeaderRequest{Name: name}}, want, wantErr, got, gotErr)
}

// change has the leader speak again, or go.
func (g *game) change(name []byte) {
	g.Helper()
	first := g.queued(name)[0]
	if first.Lease == 0 || g.chance(0.5) {
		g.release(name, first)
		return
	}
	leader := &v3electionpb.LeaderKey{Name: name, Key: first.Key, Rev: first.CreateRevision, Lease: first.Lease}
	if _, err := g.both(call{v3electionpb.Election_Proclaim_FullMethodName, &v3electionpb.ProclaimRequest{Leader: leader, Value: g.some()}}); err != nil {
		g.release(name, first) // its lease is gone
	}
}

// campaign makes somebody the leader of an election without one, if it can.
func (g *game) campaign(name []byte) {
	g.Helper()
	id := g.Int64N(20) + 1000
	g.both(call{pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: id, TTL: 1000}})
	g.both(call{v3electionpb.Election_Campaign_FullMethodName, &v3electionpb.CampaignRequest{Name: name, Lease: id, Value: g.some()}})
}
