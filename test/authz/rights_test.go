package authz

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/tierd/tierd/test/session"
)

var (
	seedFlag    = flag.Uint64("seed", 0, "seed of what is done; 0 takes the clock")
	changesFlag = flag.Int("changes", 8, "how often each right is taken and given again")
	selfFlag    = flag.Bool("self", false, "look at an etcd of one member, undisturbed, which shows that the checks ask for nothing impossible")
)

func TestMain(m *testing.M) { session.VerifyTestMain(m) }

// opsPerWindow is how many calls are to end between two changes of a right.
const opsPerWindow = 25

// TestRightsAreLinearizable: permissions, roles, passwords and users come and go.
func TestRightsAreLinearizable(t *testing.T) {
	t.Parallel()
	for _, ranges := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d shards", ranges), func(t *testing.T) {
			t.Parallel()
			p := startPlace(t, ranges)
			a := &admin{place: p, random: rand.New(rand.NewPCG(seedOf(t), 0))}
			a.setUp()
			rights := []*right{permission(1), roleOfUser(2), roleItself(3), userItself(4), passwordOfUser(5)}
			for _, r := range rights {
				r.setUp(a)
			}
			a.enable()
			p.play(rights)
		})
	}
}

// TestChecksAreLinearizable: the checks themselves are turned on and off.
func TestChecksAreLinearizable(t *testing.T) {
	t.Parallel()
	p := startPlace(t, 1)
	a := &admin{place: p, random: rand.New(rand.NewPCG(seedOf(t), 0))}
	a.setUp()
	p.play([]*right{checks()})
}

func seedOf(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	return seed
}

// play has users work while their rights come and go, and frontends are disturbed.
func (p *place) play(rights []*right) {
	p.Helper()
	seed := seedOf(p.T)
	ctx, cancel := context.WithCancel(p.Context())
	defer cancel()
	var working, changing sync.WaitGroup
	for i, r := range rights {
		r.place = p
		for worker := range 3 {
			random := rand.New(rand.NewPCG(seed, uint64(100*i+worker+1)))
			working.Go(func() { r.work(ctx, random) })
		}
		random := rand.New(rand.NewPCG(seed, uint64(100*i+50)))
		working.Go(func() { r.watch(ctx, random) })
		changing.Go(func() { r.change(&admin{place: p, random: rand.New(rand.NewPCG(seed, uint64(100*i+60)))}) })
	}
	working.Go(func() {
		pauses, kills := p.disturb(ctx, rand.New(rand.NewPCG(seed, 99)))
		p.Logf("%d pauses, %d kills", pauses, kills)
	})
	changing.Wait()
	cancel()
	working.Wait()
	p.judge(rights)
}

// judge checks all that was seen, and all that is written.
func (p *place) judge(rights []*right) {
	p.Helper()
	for _, r := range rights {
		watches := !*selfFlag // etcd goes on with a watch whose right has gone
		s, err := r.check(watches)
		p.Logf("%s: %d calls, of which %d allowed and %d denied when that was certain; %d events, %d watches ended", r.name, s.ops, s.allowed, s.denied, s.events, s.cancelled)
		if err != nil {
			p.Errorf("%s: %v", r.name, err)
		}
		if s.allowed < *changesFlag || s.denied < *changesFlag || s.events == 0 {
			p.Errorf("%s: that proves nothing: %+v", r.name, s)
		}
		if s.cancelled == 0 && watches {
			p.Errorf("%s: no watch was ended when its right had gone", r.name)
		}
	}
	p.judgeWritten(rights)
}

// judgeWritten looks at every version of every key that a user wrote.
func (p *place) judgeWritten(rights []*right) {
	p.Helper()
	a := &admin{place: p, random: rand.New(rand.NewPCG(1, 1))}
	last := a.revision()
	ctx, cancel := context.WithTimeout(with(p.Context(), p.rootToken()), callBound)
	defer cancel()
	stream, err := pb.NewWatchClient(p.any(a.random)).Watch(ctx, grpc.WaitForReady(true)) // one was killed a moment ago
	if err != nil {
		p.Fatal(err)
	}
	create := &pb.WatchCreateRequest{Key: []byte("u"), RangeEnd: []byte("v"), StartRevision: 1}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		p.Fatal(err)
	}
	progress := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
	written := 0
	for told := int64(0); told < last; {
		resp, err := stream.Recv()
		if err != nil || resp.Canceled {
			p.Fatalf("read what was written: %v, %v", err, resp)
		}
		if len(resp.Events) == 0 { // the watch has begun, or tells how far it is
			if err := stream.Send(progress); err != nil {
				p.Fatal(err)
			}
			if !resp.Created {
				told = max(told, resp.Header.Revision)
			}
		}
		for _, e := range resp.Events {
			told = max(told, e.Kv.ModRevision)
			for _, r := range rights {
				if r.wrote(e.Kv.Value) {
					written++
					if err := r.checkWritten(fmt.Sprintf("%s=%s", e.Kv.Key, e.Kv.Value), e.Kv.ModRevision); err != nil {
						p.Errorf("%s: %v", r.name, err)
					}
				}
			}
		}
	}
	if written == 0 {
		p.Error("users wrote nothing")
	}
	p.Logf("users wrote %d versions", written)
}

// setUp makes root.
func (a *admin) setUp() {
	a.Helper()
	a.do(func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := pb.NewAuthClient(conn).UserAdd(ctx, &pb.AuthUserAddRequest{Name: "root", Password: rootPassword})
		return err
	})
	a.do(func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := pb.NewAuthClient(conn).RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "root"})
		return err
	})
	a.grantRole("root", "root")
}
