// Package differential runs the same random requests on tierd and on a real etcd
// and compares the answers field by field; only ids and the raft term may differ.
package differential

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/oracle"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "seed of the requests; 0 takes the clock")
	stepsFlag = flag.Int("steps", 2500, "requests per run")
)

// system answers one request, whatever service it belongs to.
type system func(context.Context, proto.Message) (proto.Message, error)

func TestSameAnswersAsEtcd(t *testing.T) {
	t.Parallel()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with: go test ./test/differential -seed %d -steps %d", seed, *stepsFlag)
	tierd, etcd := over(cluster.Start(t, cluster.Options{}).Client()), over(oracle.Start(t, oracle.Options{}).Client())
	g := &generator{Rand: mathrand.New(mathrand.NewPCG(seed, 0)), revision: 1, compacted: -1, compactions: make(map[int64]bool)}
	for step := range *stepsFlag {
		request := g.next(step)
		want, wantErr := etcd(t.Context(), request)
		got, gotErr := tierd(t.Context(), request)
		if diff := compare(want, wantErr, got, gotErr); diff != "" {
			t.Fatalf("step %d: %T{%v}\n(-etcd +tierd):\n%s", step, request, request, diff)
		}
		g.learn(request, want, wantErr)
	}
}

// next is the next request.
func (g *generator) next(step int) proto.Message {
	switch kind := g.IntN(100); {
	case kind < 22:
		return g.putRequest()
	case kind < 40:
		return g.rangeRequest()
	case kind < 45:
		return g.streamRequest()
	case kind < 55:
		return g.deleteRequest()
	case kind < 84:
		return g.txnRequest(nestingMax)
	case kind < 86:
		return g.compactionRequest()
	case kind < 90:
		return g.hashRequest()
	case kind < 94:
		return &pb.LeaseGrantRequest{ID: g.Int64N(20) + 1000, TTL: g.Int64N(1000) + 1000}
	case kind < 96:
		return &pb.LeaseRevokeRequest{ID: g.lease()}
	case kind < 97:
		return &pb.LeaseGrantRequest{ID: 7, TTL: math.MaxInt64}
	}
	return &pb.LeaseTimeToLiveRequest{ID: g.lease(), Keys: true}
}

// learn keeps up with where the store stands.
func (g *generator) learn(request, answer proto.Message, err error) {
	if err != nil {
		return
	}
	if h, ok := answer.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		g.revision = max(g.revision, h.GetHeader().GetRevision())
	}
	switch r := request.(type) {
	case *pb.CompactionRequest:
		g.compacted = r.Revision
		g.compactions[r.Revision] = true
	case *pb.LeaseGrantRequest:
		g.leases = append(g.leases, r.ID)
	}
}

func compare(want proto.Message, wantErr error, got proto.Message, gotErr error) string {
	if diff := cmp.Diff(errorText(wantErr), errorText(gotErr)); diff != "" || wantErr != nil {
		return diff
	}
	normalise(want.ProtoReflect())
	normalise(got.ProtoReflect())
	return cmp.Diff(want, got, protocmp.Transform())
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("%v: %s", status.Code(err), status.Convert(err).Message())
}

// normalise clears what may differ, at any depth: ids and the raft term of
// headers, the seconds that a lease has left, and the order of its keys.
func normalise(m protoreflect.Message) {
	if h, ok := m.Interface().(*pb.ResponseHeader); ok {
		h.ClusterId, h.MemberId, h.RaftTerm = 0, 0, 0
		return
	}
	if l, ok := m.Interface().(*pb.LeaseTimeToLiveResponse); ok {
		l.TTL = min(l.TTL, 1)
		slices.SortFunc(l.Keys, bytes.Compare) // etcd's come in any order
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.IsList() && field.Kind() == protoreflect.MessageKind:
			for i := range v.List().Len() {
				normalise(v.List().Get(i).Message())
			}
		case !field.IsList() && !field.IsMap() && field.Kind() == protoreflect.MessageKind:
			normalise(v.Message())
		}
		return true
	})
}
