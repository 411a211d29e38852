package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/http"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/tierd/tierd/functions/caller"
)

func TestCallerOverGRPC(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	for name, c := range map[string]struct {
		metadata  []string
		token     string
		presented bool
	}{
		"none":          {},
		"token":         {metadata: []string{"token", "abc.1"}, token: "abc.1", presented: true},
		"bearer":        {metadata: []string{"authorization", "Bearer abc.1"}, token: "abc.1", presented: true},
		"empty":         {metadata: []string{"token", ""}, presented: true},
		"both":          {metadata: []string{"authorization", "x", "token", "y"}, token: "y", presented: true},
		"forged fields": {metadata: []string{addressField, "192.0.2.1:1", loanField, "1"}},
	} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), c.metadata...)
		if _, err := pb.NewKVClient(f.conn).Range(ctx, &pb.RangeRequest{Key: []byte("who")}); err != nil {
			t.Fatal(err)
		}
		got := <-f.services.who
		if got.Token != c.token || got.Presented != c.presented || got.ViaGateway || got.CommonName != "" {
			t.Errorf("%s: %+v", name, got)
		}
		if host, port, err := net.SplitHostPort(got.Address); err != nil || host != "127.0.0.1" || port == "0" {
			t.Errorf("%s: address %q", name, got.Address)
		}
	}
}

func TestCallerThroughTheGateway(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/v3/kv/range", strings.NewReader(`{"key":"d2hv"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "abc.1")
	r.Header.Set("Grpc-Metadata-"+addressField, "192.0.2.1:1") // does not count
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // nothing in it matters
	got := <-f.services.who
	if !got.ViaGateway || got.Token != "abc.1" || !strings.HasPrefix(got.Address, "127.0.0.1:") {
		t.Errorf("%+v", got)
	}
}

// What a lock does through the loopback is done as its caller, and only as long as it lasts.
func TestCallerThroughTheLoopback(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "token", "abc.1")
	if _, err := v3lockpb.NewLockClient(f.conn).Unlock(ctx, &v3lockpb.UnlockRequest{Key: []byte("who")}); err != nil {
		t.Fatal(err)
	}
	if got := <-f.services.who; got.Token != "abc.1" || !strings.HasPrefix(got.Address, "127.0.0.1:") {
		t.Errorf("%+v", got)
	}
	f.loopback.loans.lent.Range(func(number, _ any) bool {
		t.Errorf("loan %v was not given back", number)
		return true
	})
	stale := metadata.AppendToOutgoingContext(t.Context(), loanField, "1")
	if _, err := f.loopback.client.Get(stale, "who"); err != nil {
		t.Fatal(err)
	}
	if got := <-f.services.who; got.Token != "" || got.Presented {
		t.Errorf("a loan that is over made a call as %+v", got)
	}
}

func TestCommonName(t *testing.T) {
	t.Parallel()
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: "alice"}}
	verified := credentials.TLSInfo{State: tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{nil, {leaf}}}}
	shown := credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}}
	remote := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711}
	for name, c := range map[string]struct {
		info    credentials.AuthInfo
		off     bool
		gateway bool
		want    string
	}{
		"verified":          {info: verified, want: "alice"},
		"not verified":      {info: shown},
		"plain":             {},
		"not asked for":     {info: verified, off: true},
		"through a gateway": {info: verified, gateway: true},
	} {
		ctx := peer.NewContext(context.Background(), &peer.Peer{Addr: remote, AuthInfo: c.info})
		if c.gateway {
			ctx = metadata.NewIncomingContext(ctx, metadata.Pairs(gatewayField, "application/json"))
		}
		got := caller.From(identified(ctx, !c.off))
		if got.CommonName != c.want || got.ViaGateway != c.gateway || got.Address != "192.0.2.1:4711" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
