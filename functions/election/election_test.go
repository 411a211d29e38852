package election_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/functions/election"
	"github.com/tierd/tierd/test/session"
)

// service is an Election service and what it works on.
type service struct {
	session.Service
	election v3electionpb.ElectionClient
}

func serviceOf(s session.Service) service {
	return service{Service: s, election: v3electionpb.NewElectionClient(s.Conn)}
}

// etcds is etcd's own service.
func etcds(t *testing.T) service { return serviceOf(session.Reference(t)) }

// ours is the service under test.
func ours(t *testing.T) service {
	return serviceOf(session.Serve(t, func(server *grpc.Server, client *clientv3.Client, draining <-chan struct{}) {
		v3electionpb.RegisterElectionServer(server, election.New(client, draining))
	}))
}

// recorder writes down answers, without what differs from one etcd to another.
type recorder struct{ lines []string }

type answer interface {
	proto.Message
	GetHeader() *pb.ResponseHeader
}

func (r *recorder) record(what string, a answer, err error) {
	line := fmt.Sprintf("%s: at %d, %v %q", what, a.GetHeader().GetRevision(), status.Code(err), status.Convert(err).Message())
	if led, ok := a.(*v3electionpb.CampaignResponse); ok {
		l := led.GetLeader()
		line += fmt.Sprintf(", leader %q %q %d %x", l.GetName(), l.GetKey(), l.GetRev(), l.GetLease())
	}
	if seen, ok := a.(*v3electionpb.LeaderResponse); ok {
		kv := seen.GetKv()
		line += fmt.Sprintf(", key %q = %q created %d modified %d lease %x", kv.GetKey(), kv.GetValue(), kv.GetCreateRevision(), kv.GetModRevision(), kv.GetLease())
	}
	r.lines = append(r.lines, line)
}

func (s service) campaign(t *testing.T, lease int64, value string) (*v3electionpb.CampaignResponse, error) {
	t.Helper()
	return s.election.Campaign(t.Context(), &v3electionpb.CampaignRequest{Name: []byte("name"), Lease: lease, Value: []byte(value)})
}

// transcript is what a fixed series of calls answers.
func transcript(t *testing.T, s service) []string {
	t.Helper()
	ctx, rec := t.Context(), &recorder{}
	asked := &v3electionpb.LeaderRequest{Name: []byte("name")}
	observed, err := s.election.Observe(ctx, asked)
	if err != nil {
		t.Fatal(err)
	}
	observe := func() {
		r, err := observed.Recv()
		rec.record("observe", r, err)
	}
	none, err := s.election.Leader(ctx, asked)
	rec.record("leader of nobody", none, err)
	led, err := s.campaign(t, s.Grant(t, 0x11), "one")
	rec.record("campaign", led, err)
	observe()
	again, err := s.campaign(t, 0x11, "one again")
	rec.record("campaign again", again, err)
	observe()
	unknown, err := s.campaign(t, 0x99, "unknown")
	rec.record("campaign with an unknown lease", unknown, err)
	leader, err := s.election.Leader(ctx, asked)
	rec.record("leader", leader, err)
	proclaimed, err := s.election.Proclaim(ctx, &v3electionpb.ProclaimRequest{Leader: led.Leader, Value: []byte("two")})
	rec.record("proclaim", proclaimed, err)
	observe()
	nobody, err := s.election.Proclaim(ctx, &v3electionpb.ProclaimRequest{Value: []byte("three")})
	rec.record("proclaim as nobody", nobody, err)
	for _, what := range []string{"resign", "resign again"} {
		resigned, err := s.election.Resign(ctx, &v3electionpb.ResignRequest{Leader: led.Leader})
		rec.record(what, resigned, err)
	}
	resigned, err := s.election.Resign(ctx, &v3electionpb.ResignRequest{})
	rec.record("resign as nobody", resigned, err)
	late, err := s.election.Proclaim(ctx, &v3electionpb.ProclaimRequest{Leader: led.Leader, Value: []byte("late")})
	rec.record("proclaim after the resignation", late, err)
	next, err := s.campaign(t, s.Grant(t, 0x22), "next")
	rec.record("campaign of another", next, err)
	observe()
	return rec.lines
}

func TestAnswersAsEtcd(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(transcript(t, etcds(t)), transcript(t, ours(t))); diff != "" {
		t.Error(diff)
	}
}

func TestALeaseIsChosen(t *testing.T) {
	t.Parallel()
	s := ours(t)
	led, err := s.campaign(t, 0, "value")
	if err != nil {
		t.Fatal(err)
	}
	ttl, err := s.Etcd.TimeToLive(t.Context(), clientv3.LeaseID(led.Leader.Lease), clientv3.WithAttachedKeys())
	if err != nil || ttl.GrantedTTL != 60 || len(ttl.Keys) != 1 || string(ttl.Keys[0]) != string(led.Leader.Key) {
		t.Errorf("the lease of %v: %v (%v)", led.Leader, ttl, err)
	}
}

// A candidate that waits is elected when the leader resigns; one that gives up
// leaves the queue, and one that waits when the frontend drains goes elsewhere.
func TestCandidatesWait(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(service, context.CancelFunc, *v3electionpb.LeaderKey) error
		code codes.Code
	}{
		"until the leader resigns": {func(s service, _ context.CancelFunc, l *v3electionpb.LeaderKey) error {
			_, err := s.election.Resign(context.Background(), &v3electionpb.ResignRequest{Leader: l})
			return err
		}, codes.OK},
		"until they give up":        {func(_ service, cancel context.CancelFunc, _ *v3electionpb.LeaderKey) error { cancel(); return nil }, codes.Canceled},
		"until the frontend drains": {func(s service, _ context.CancelFunc, _ *v3electionpb.LeaderKey) error { s.Drain(); return nil }, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ours(t)
			led, err := s.campaign(t, s.Grant(t, 1), "one")
			if err != nil {
				t.Fatal(err)
			}
			<-s.Queued
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			queue := s.Etcd.Watch(t.Context(), "name/2")
			request := &v3electionpb.CampaignRequest{Name: []byte("name"), Lease: s.Grant(t, 2), Value: []byte("two")}
			waited := make(chan error, 1)
			go func() {
				_, err := s.election.Campaign(ctx, request)
				waited <- err
			}()
			if r := <-queue; len(r.Events) != 1 || r.Events[0].Type != clientv3.EventTypePut {
				t.Fatalf("the candidate did not queue: %v", r)
			}
			<-s.Queued
			if err := c.end(s, cancel, led.Leader); err != nil {
				t.Fatal(err)
			}
			if err := <-waited; status.Code(err) != c.code {
				t.Fatalf("the campaign: %v, want %v", err, c.code)
			}
			if c.code == codes.OK {
				return
			}
			if r := <-queue; len(r.Events) != 1 || r.Events[0].Type != clientv3.EventTypeDelete {
				t.Errorf("the candidate did not leave the queue: %v", r)
			}
		})
	}
}

// A drain ends an observer as Unavailable, so that it goes elsewhere.
func TestDrainEndsObservers(t *testing.T) {
	t.Parallel()
	s := ours(t)
	if _, err := s.campaign(t, s.Grant(t, 1), "one"); err != nil {
		t.Fatal(err)
	}
	observed, err := s.election.Observe(t.Context(), &v3electionpb.LeaderRequest{Name: []byte("name")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := observed.Recv(); err != nil {
		t.Fatal(err)
	}
	s.Drain()
	if _, err := observed.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
}
