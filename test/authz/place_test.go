package authz

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/oracle"
	"github.com/tierd/tierd/test/shards"
)

const (
	// callBound is how long a call may take; above all pauses.
	callBound = 60 * time.Second
	// frontends is how many there are.
	frontends = 4
	// reconnectMax is how long a connection to a frontend that was away stays away.
	reconnectMax = 100 * time.Millisecond
)

// place is where everything happens: some frontends, or one etcd.
type place struct {
	*testing.T
	conns     []*grpc.ClientConn
	frontends []*cluster.Frontend
	// root holds the token of root, which changes when the checks are turned on.
	mu   sync.Mutex
	root string
}

// startPlace starts frontends whose keys lie on so many shards.
func startPlace(t *testing.T, ranges int) *place {
	t.Helper()
	p := &place{T: t}
	if *selfFlag {
		etcd := oracle.Start(t, oracle.Options{Configure: func(c *embed.Config) { c.BcryptCost = uint(bcrypt.MinCost) }})
		p.dial(etcd.Endpoint())
		return p
	}
	c := cluster.Start(t, cluster.Options{
		Frontends: frontends, Databases: ranges,
		Args: []string{"--balance=false", "--object-tier", "none", "--bcrypt-cost", fmt.Sprint(bcrypt.MinCost)},
	})
	if ranges > 1 {
		// Boundaries go through the middle of what users write.
		shards.Spread(t, c, []string{"u1/5", "u3", "u4/5"}[:ranges-1]...)
	}
	p.frontends = c.Frontends
	for _, f := range c.Frontends {
		p.dial(f.Endpoint())
	}
	return p
}

func (p *place) dial(endpoint string) {
	p.Helper()
	_, address, _ := strings.Cut(endpoint, "://")
	quick := backoff.DefaultConfig
	quick.BaseDelay, quick.MaxDelay = reconnectMax/10, reconnectMax
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: quick, MinConnectTimeout: callBound}))
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		if err := conn.Close(); err != nil {
			p.Errorf("close a connection: %v", err)
		}
	})
	p.conns = append(p.conns, conn)
}

// any is a connection to any frontend.
func (p *place) any(random *rand.Rand) *grpc.ClientConn { return p.conns[random.IntN(len(p.conns))] }

// rootToken is the token of root, "" while there is none.
func (p *place) rootToken() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.root
}

func (p *place) setRoot(token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.root = token
}

// with puts a token into a context.
func with(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "token", token)
}

// admin makes the calls of root.
type admin struct {
	*place
	random *rand.Rand
}

// do makes a call until it is answered. Through a frontend that was killed meanwhile it
// may have been done or not: when it is made again, being told that it is done is fine.
func (a *admin) do(call func(ctx context.Context, conn *grpc.ClientConn) error, done ...error) {
	a.Helper()
	for attempt := 0; ; attempt++ {
		ctx, cancel := context.WithTimeout(a.Context(), callBound)
		err := call(with(ctx, a.rootToken()), a.any(a.random))
		cancel()
		switch {
		case err == nil || a.Context().Err() != nil:
			return
		case attempt > 0 && isOneOf(err, done):
			return
		case !isTransient(err):
			a.Errorf("administrator: %v", err)
			return
		}
	}
}

func isOneOf(err error, some []error) bool {
	for _, one := range some {
		if strings.Contains(err.Error(), grpcText(one)) {
			return true
		}
	}
	return false
}

// revision is one at which everything is that was written before.
func (a *admin) revision() (revision int64) {
	a.Helper()
	a.do(func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("none")})
		revision = resp.GetHeader().GetRevision()
		return err
	})
	return revision
}

// authenticate shows a password and gives the token.
func (a *admin) authenticate(user, password string) (token string) {
	a.Helper()
	a.do(func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := pb.NewAuthClient(conn).Authenticate(ctx, &pb.AuthenticateRequest{Name: user, Password: password})
		token = resp.GetToken()
		return err
	})
	return token
}

// disturb pauses and kills frontends until ctx ends, one at a time.
func (p *place) disturb(ctx context.Context, random *rand.Rand) (pauses, kills int) {
	p.Helper()
	for len(p.frontends) > 0 && ctx.Err() == nil {
		f := p.frontends[random.IntN(len(p.frontends))]
		switch {
		case random.IntN(5) == 0:
			f.Kill()
			f.Start()
			f.AwaitReady()
			kills++
		default:
			f.Pause()
			wait(ctx, random, 400*time.Millisecond)
			f.Resume()
			pauses++
		}
		wait(ctx, random, 100*time.Millisecond)
	}
	return pauses, kills
}

// wait lets a random time pass, so that a fault lasts, or none is there.
func wait(ctx context.Context, random *rand.Rand, most time.Duration) {
	timer := time.NewTimer(time.Duration(random.Int64N(int64(most))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
