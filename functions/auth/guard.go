package auth

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/router"
)

// guarded is a keyspace on which each call is made only if its caller may.
type guarded struct{ whole }

// Guard gives api to the calls of clients: each is checked against the auth data, and
// done only while those are the current ones, so that it is as if the check and the
// call were one. Calls that clients cannot make (the events of the feed, the expiry of
// leases) pass as they are, and so do those of which package auth checks the whole RPC
// (see Maintenance and Cluster). While authentication is off that costs a context's value.
func (s *Store) Guard(api router.API) router.API { return &guarded{whole{API: api, store: s}} }

// off gives a context for a call that needs no check: authentication was off when this
// frontend last looked, and the call is refused if that is not so any more.
func (g *guarded) off(ctx context.Context) (bound context.Context, off bool) {
	st := g.store.state.Load()
	if st == nil || st.enabled {
		return ctx, false
	}
	return router.WithAuth(ctx, st.version), true
}

// needs asks for the rights of a call; its errors are refusals, or failures of what it
// had to look up.
type needs func(ctx context.Context, st *state, who identity) error

// allowed makes a call if its caller may.
func allowed[T any](ctx context.Context, g *guarded, may needs, call func(context.Context) (T, error)) (T, error) {
	var answer T
	err := g.store.decide(ctx, func(bound context.Context, st *state) error {
		who, err := g.store.identify(bound, st)
		if err != nil {
			return err
		}
		if err := may(bound, st, who); err != nil {
			return err
		}
		answer, err = call(bound)
		return err
	})
	return answer, err
}

// allowedRead is allowed for reads, of which etcd asks a little more.
func allowedRead[T any](ctx context.Context, g *guarded, may needs, call func(context.Context) (T, error)) (T, error) {
	return allowed(ctx, g, func(ctx context.Context, st *state, who identity) error {
		if err := may(ctx, st, who); err != nil {
			return err
		}
		return refuse(st.isCurrent(who))
	}, call)
}

func mayRead(key, end []byte) needs {
	return func(_ context.Context, st *state, who identity) error { return refuse(st.permit(who, key, end, read)) }
}

func mayAdminister(_ context.Context, st *state, who identity) error { return refuse(st.admin(who)) }

func mayCall(_ context.Context, st *state, who identity) error { return refuse(st.require(who)) }

// Range implements router.API.
func (g *guarded) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	if bound, off := g.off(ctx); off {
		if resp, err := g.API.Range(bound, r); !g.store.outdated(bound, err) {
			return resp, err
		}
	}
	return allowedRead(ctx, g, mayRead(r.Key, r.RangeEnd), func(ctx context.Context) (*pb.RangeResponse, error) { return g.API.Range(ctx, r) })
}

// RangePages implements router.API. It takes effect with its first page, and is not
// decided again after that.
func (g *guarded) RangePages(ctx context.Context, r *pb.RangeRequest, pageBytes int, send func(*pb.RangeResponse) error) error {
	pages := func(ctx context.Context) (struct{}, error) {
		sent := false
		err := g.API.RangePages(ctx, r, pageBytes, func(resp *pb.RangeResponse) error {
			sent = true
			return send(resp)
		})
		if err != nil && sent {
			err = begun{err}
		}
		return struct{}{}, err
	}
	if bound, off := g.off(ctx); off {
		if _, err := pages(bound); !g.store.outdated(bound, err) {
			return err
		}
	}
	_, err := allowedRead(ctx, g, mayRead(r.Key, r.RangeEnd), pages)
	return err
}

// Put implements router.API.
func (g *guarded) Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	if bound, off := g.off(ctx); off {
		if resp, err := g.API.Put(bound, r); !g.store.outdated(bound, err) {
			return resp, err
		}
	}
	return allowed(ctx, g, func(ctx context.Context, st *state, who identity) error {
		return g.checker(ctx, st, who).put(r)
	}, func(ctx context.Context) (*pb.PutResponse, error) { return g.API.Put(ctx, r) })
}

// DeleteRange implements router.API.
func (g *guarded) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	if bound, off := g.off(ctx); off {
		if resp, err := g.API.DeleteRange(bound, r); !g.store.outdated(bound, err) {
			return resp, err
		}
	}
	return allowed(ctx, g, func(ctx context.Context, st *state, who identity) error {
		return g.checker(ctx, st, who).deletion(r)
	}, func(ctx context.Context) (*pb.DeleteRangeResponse, error) { return g.API.DeleteRange(ctx, r) })
}

// Txn implements router.API.
func (g *guarded) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	if bound, off := g.off(ctx); off {
		if resp, err := g.API.Txn(bound, r); !g.store.outdated(bound, err) {
			return resp, err
		}
	}
	return allowed(ctx, g, func(ctx context.Context, st *state, who identity) error {
		if err := g.checker(ctx, st, who).txn(r); err != nil {
			return err
		}
		if !readsOnly(r) {
			return nil
		}
		return refuse(st.isCurrent(who))
	}, func(ctx context.Context) (*pb.TxnResponse, error) { return g.API.Txn(ctx, r) })
}

// Compact implements router.API.
func (g *guarded) Compact(ctx context.Context, rev router.Revision, physical bool) (router.Revision, error) {
	return allowed(ctx, g, mayAdminister, func(ctx context.Context) (router.Revision, error) { return g.API.Compact(ctx, rev, physical) })
}
