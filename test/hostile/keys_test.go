package hostile

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
)

// prefixEnd is the end that clients compute for a prefix: the next one, and no end
// for a prefix of 0xff alone.
func prefixEnd(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return []byte{0}
}

// TestHostileKeys reads every range between two hostile keys, at revisions before
// and after each was written, changed and deleted, and after compaction.
func TestHostileKeys(t *testing.T) {
	t.Parallel()
	p := startPair(t, 0)
	keys := hostileBytes()
	var revision int64
	write := func(method string, request func(key []byte) any) {
		for i, key := range keys {
			switch r := request(key).(type) {
			case *pb.PutRequest:
				r.Value = fmt.Append(nil, i)
				_, _ = p.both(method, r) // refused for the empty key
			case *pb.DeleteRangeRequest:
				_, _ = p.both(method, r)
			}
		}
		resp, err := p.both(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte("a"), CountOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		revision = resp.(*pb.RangeResponse).Header.Revision
		p.readHostile(keys, revision)
	}
	put := func(key []byte) any { return &pb.PutRequest{Key: key, PrevKv: true} }
	write(pb.KV_Put_FullMethodName, put)
	write(pb.KV_Put_FullMethodName, put)
	first := revision
	write(pb.KV_DeleteRange_FullMethodName, func(key []byte) any {
		return &pb.DeleteRangeRequest{Key: key, RangeEnd: append(bytes.Clone(key), 0), PrevKv: true}
	})
	write(pb.KV_Put_FullMethodName, put)
	_, _ = p.both(pb.KV_Compact_FullMethodName, &pb.CompactionRequest{Revision: first - 5, Physical: true})
	p.readHostile(keys, first)
	write(pb.KV_DeleteRange_FullMethodName, func(key []byte) any {
		return &pb.DeleteRangeRequest{Key: key, RangeEnd: prefixEnd(key), PrevKv: true}
	})
	p.unharmed()
}

// readHostile reads ranges of all kinds over the keys, at some revisions up to one.
func (p *pair) readHostile(keys [][]byte, revision int64) {
	p.Helper()
	random := rand.New(rand.NewPCG(uint64(revision), 0)) // the same on each run
	read := func(key, end []byte) {
		for _, r := range []*pb.RangeRequest{
			{}, {Revision: revision - random.Int64N(int64(len(keys)))}, {CountOnly: true}, {KeysOnly: true, Limit: 2},
		} {
			r.Key, r.RangeEnd = key, end
			_, _ = p.both(pb.KV_Range_FullMethodName, r)
		}
	}
	for _, key := range keys {
		read(key, nil)
		read(key, prefixEnd(key))
		read(key, []byte{0})
		read(key, append(bytes.Clone(key), 0))
		for range 4 {
			read(key, keys[random.IntN(len(keys))])
		}
	}
}

// TestHostileNames takes locks and leads elections under hostile names.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	p := startPair(t, 0)
	const lease = -2
	_, _ = p.both(pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: lease, TTL: 5000})
	for _, name := range hostileBytes() {
		locked, err := p.both(v3lockpb.Lock_Lock_FullMethodName, &v3lockpb.LockRequest{Name: name, Lease: lease})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = p.both(v3lockpb.Lock_Unlock_FullMethodName, &v3lockpb.UnlockRequest{Key: locked.(*v3lockpb.LockResponse).Key})
		elected, err := p.both(v3electionpb.Election_Campaign_FullMethodName, &v3electionpb.CampaignRequest{Name: name, Lease: lease, Value: name})
		if err != nil {
			t.Fatal(err)
		}
		leader := elected.(*v3electionpb.CampaignResponse).Leader
		_, _ = p.both(v3electionpb.Election_Leader_FullMethodName, &v3electionpb.LeaderRequest{Name: name})
		_, _ = p.both(v3electionpb.Election_Proclaim_FullMethodName, &v3electionpb.ProclaimRequest{Leader: leader, Value: []byte("next")})
		_, _ = p.both(v3electionpb.Election_Resign_FullMethodName, &v3electionpb.ResignRequest{Leader: leader})
		_, _ = p.both(v3electionpb.Election_Leader_FullMethodName, &v3electionpb.LeaderRequest{Name: name})
	}
	p.unharmed()
}

// TestManyWatches opens thousands of watches of hostile ranges on one stream, and
// compares what each delivers.
func TestManyWatches(t *testing.T) {
	t.Parallel()
	const watches = 3000
	p := startPair(t, 0)
	keys := hostileBytes()
	var delivered []map[int64][]string
	var streams []pb.Watch_WatchClient
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	for _, s := range []*server{p.etcd, p.tierd} {
		stream, err := pb.NewWatchClient(s.conn).Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, stream)
		delivered = append(delivered, openMany(t, stream, keys, watches))
	}
	for _, key := range keys[1:] {
		p.both(pb.KV_Put_FullMethodName, &pb.PutRequest{Key: key, Value: key})
	}
	resp, err := p.both(pb.KV_DeleteRange_FullMethodName, &pb.DeleteRangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	if err != nil {
		t.Fatal(err)
	}
	last := resp.(*pb.DeleteRangeResponse).Header.Revision
	for i, stream := range streams {
		collectMany(t, stream, delivered[i], last)
	}
	if diff := gocmp.Diff(delivered[0], delivered[1]); diff != "" {
		t.Errorf("events of each watch (-etcd +tierd):\n%s", diff)
	}
	p.unharmed()
}

// openMany opens watches and gives what was said of those that were refused.
func openMany(t *testing.T, stream pb.Watch_WatchClient, keys [][]byte, watches int) map[int64][]string {
	t.Helper()
	said := make(map[int64][]string)
	for i := range watches {
		create := &pb.WatchCreateRequest{Key: keys[i%len(keys)], PrevKv: i%3 == 0, WatchId: int64(i + 1)}
		switch i % 4 {
		case 1:
			create.RangeEnd = prefixEnd(create.Key)
		case 2:
			create.RangeEnd = keys[(i/len(keys)*7+i)%len(keys)]
		case 3:
			create.RangeEnd = []byte{0}
		}
		if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
			t.Fatal(err)
		}
		response, err := stream.Recv()
		if err != nil || !response.Created {
			t.Fatalf("watch %d is answered with %v, %v", i+1, response, err)
		}
		if response.Canceled {
			said[int64(i+1)] = append(said[int64(i+1)], response.CancelReason)
		}
	}
	return said
}

// collectMany receives until the stream says that all its watches are complete up
// to a revision. It asks again and again: etcd does not answer while one is behind.
func collectMany(t *testing.T, stream pb.Watch_WatchClient, said map[int64][]string, last int64) {
	t.Helper()
	asking := make(chan struct{})
	asked := make(chan error, 1)
	go func() { asked <- askProgress(stream, asking) }()
	for {
		response, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if len(response.Events) == 0 && response.Header.Revision >= last {
			break
		}
		for _, e := range response.Events {
			said[response.WatchId] = append(said[response.WatchId], fmt.Sprint(e.Type, e.Kv, e.PrevKv))
		}
	}
	close(asking)
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
}

// askInterval is how often progress is asked for.
const askInterval = 50 * time.Millisecond

func askProgress(stream pb.Watch_WatchClient, stop chan struct{}) error {
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-tick.C:
			request := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
			if err := stream.Send(request); err != nil {
				return err
			}
		}
	}
}
