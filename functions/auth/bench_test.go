package auth

import (
	"context"
	"log/slog"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/functions/caller"
	"github.com/tierd/tierd/router"
)

// quick is a keyspace that answers at once.
type quick struct{ *keyspace }

func (q quick) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) { return nil, nil }

func (q quick) ConfirmAuth(context.Context) (router.Revision, error) { return 1, nil }

// BenchmarkGuard is what the checks add to a read: with authentication off, and on.
func BenchmarkGuard(b *testing.B) {
	for _, on := range []bool{false, true} {
		b.Run(map[bool]string{false: "off", true: "on"}[on], func(b *testing.B) {
			q := quick{newKeyspace()}
			store, err := NewStore(Settings{Token: "simple", BcryptCost: 4}, Components{API: q, Logger: slog.New(slog.DiscardHandler), Now: q.clock})
			if err != nil {
				b.Fatal(err)
			}
			s, ctx := New(store), b.Context()
			must(b, second(s.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "root", Password: "r"})),
				second(s.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})))
			if on {
				must(b, second(s.AuthEnable(ctx, &pb.AuthEnableRequest{})))
				resp, err := s.Authenticate(ctx, &pb.AuthenticateRequest{Name: "root", Password: "r"})
				must(b, err)
				ctx = caller.With(ctx, &caller.Caller{Token: resp.Token, Presented: true})
			}
			guard := store.Guard(q)
			request := &pb.RangeRequest{Key: []byte("a")}
			must(b, second(guard.Range(ctx, request)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = guard.Range(ctx, request)
			}
		})
	}
}
