package endpoint

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/tmc/grpc-websocket-proxy/wsproxy"
	etcdgw "go.etcd.io/etcd/api/v3/etcdserverpb/gw"
	electiongw "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb/gw"
	lockgw "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb/gw"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
)

// gatewayStreams are the paths whose request body is a stream of any length.
var gatewayStreams = map[string]bool{"/v3/watch": true, "/v3/lease/keepalive": true}

// gateway serves etcd's JSON form of the services under /v3/: it turns JSON over
// HTTP, or over a websocket, into gRPC calls to this same frontend, which pass
// through its limits and metrics like any other.
type gateway struct {
	listener *bufconn.Listener
	conn     *grpc.ClientConn
	handler  http.Handler
}

func newGateway(limits *webLimits, logger *slog.Logger) (*gateway, error) {
	g := &gateway{listener: bufconn.Listen(pipeBytes)}
	conn, err := grpc.NewClient("passthrough:///gateway",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return g.listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		return nil, fmt.Errorf("create the gateway's client: %w", err)
	}
	g.conn = conn
	routes, err := gatewayRoutes(conn)
	if err != nil {
		g.close()
		return nil, err
	}
	g.handler = wsproxy.WebsocketProxy(bounded(routes, limits),
		// Streams are POST routes, and a websocket begins as a GET.
		wsproxy.WithRequestMutator(func(in, out *http.Request) *http.Request {
			out.Method = http.MethodPost
			out.RemoteAddr = in.RemoteAddr
			return out
		}),
		wsproxy.WithMaxRespBodyBufferSize(math.MaxInt32),
		wsproxy.WithLogger(proxyLog{logger}))
	return g, nil
}

// gatewayRoutes are the routes of all services, written as etcd writes JSON:
// names as in the protocol, empty fields left out, unknown fields ignored.
func gatewayRoutes(conn *grpc.ClientConn) (*runtime.ServeMux, error) {
	mux := runtime.NewServeMux(runtime.WithMetadata(gatewayMetadata), runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.HTTPBodyMarshaler{
		Marshaler: &runtime.JSONPb{
			MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true},
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true},
		},
	}))
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		etcdgw.RegisterKVHandler, etcdgw.RegisterWatchHandler, etcdgw.RegisterLeaseHandler,
		etcdgw.RegisterClusterHandler, etcdgw.RegisterMaintenanceHandler, etcdgw.RegisterAuthHandler,
		lockgw.RegisterLockHandler, electiongw.RegisterElectionHandler,
	} {
		if err := register(context.Background(), mux, conn); err != nil {
			return nil, fmt.Errorf("register gateway routes: %w", err)
		}
	}
	return mux, nil
}

// bounded limits what a request takes. JSON carries bytes as base64, so the bound of
// a body is twice that of a gRPC message.
func bounded(routes http.Handler, limits *webLimits) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { limits.serve(routes, w, r) })
}

func (g *gateway) close() {
	_ = g.conn.Close()     // fails only if closed already
	_ = g.listener.Close() // cannot fail
}

// proxyLog passes on the websocket proxy's warnings; its debug lines hold the
// payload of requests.
type proxyLog struct{ logger *slog.Logger }

func (l proxyLog) Warnln(words ...any) { l.logger.Debug("websocket", "text", fmt.Sprint(words...)) }
func (l proxyLog) Debugln(...any)      {}
