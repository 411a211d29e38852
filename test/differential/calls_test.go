package differential

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tierd/tierd/test/answers"
)

// call is one request: the full name of the method it is for, as gRPC has it, and
// what it says.
type call struct {
	method  string
	request proto.Message
}

func (c call) String() string { return fmt.Sprintf("%s{%v}", c.method, c.request) }

// system answers, by one of its servers or by several in turns.
type system struct {
	name    string
	client  *clientv3.Client
	conns   []*grpc.ClientConn
	turn    atomic.Int64
	methods map[string]protoreflect.MethodDescriptor
}

func over(name string, clients ...*clientv3.Client) *system {
	s := &system{name: name, client: clients[0], methods: answers.Methods()}
	for _, client := range clients {
		s.conns = append(s.conns, client.ActiveConnection())
	}
	return s
}

// plain is a system whose connections repeat no call. Those of a client repeat one
// that was refused because of its token, and this token is not the client's to renew.
func plain(t *testing.T, name string, clients ...*clientv3.Client) *system {
	t.Helper()
	s := &system{name: name, client: clients[0], methods: answers.Methods()}
	for _, client := range clients {
		_, address, _ := strings.Cut(client.Endpoints()[0], "://")
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := conn.Close(); err != nil {
				t.Errorf("close a connection to %s: %v", name, err)
			}
		})
		s.conns = append(s.conns, conn)
	}
	return s
}

// conn is the connection to the server whose turn it is.
func (s *system) conn() *grpc.ClientConn { return s.conns[int(s.turn.Add(1))%len(s.conns)] }

// answer makes a call and gives its one response. A stream of requests gets the
// one request, a stream of responses is put together into one.
func (s *system) answer(ctx context.Context, c call) (proto.Message, error) {
	method := s.methods[c.method]
	if method == nil {
		return nil, fmt.Errorf("no method %s", c.method)
	}
	if c.method == pb.KV_RangeStream_FullMethodName {
		stream, err := pb.NewKVClient(s.conn()).RangeStream(ctx, c.request.(*pb.RangeRequest))
		if err != nil {
			return nil, err
		}
		return collect(stream)
	}
	response, err := answers.NewMessage(method.Output())
	if err != nil {
		return nil, err
	}
	switch {
	case method.IsStreamingServer() && method.IsStreamingClient():
		return response, s.exchange(ctx, c, response)
	case method.IsStreamingServer() || method.IsStreamingClient():
		return nil, fmt.Errorf("%s is a stream with a test of its own", c.method)
	}
	if err := s.conn().Invoke(ctx, c.method, c.request, response); err != nil {
		return nil, err
	}
	return response, nil
}

// exchange sends one request on a stream, receives its response, and sees the
// stream end.
func (s *system) exchange(ctx context.Context, c call, response proto.Message) error {
	stream, err := s.conn().NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, c.method)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(c.request); err != nil {
		return err
	}
	if err := stream.RecvMsg(response); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	rest := proto.Clone(response)
	if err := stream.RecvMsg(rest); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the response came %v, error %w", rest, err)
	}
	return nil
}

// collect puts the messages of a stream into one response. How the keys are spread
// over messages is the server's choice; that header, count and more come in the
// last one only is not.
func collect(stream grpc.ServerStreamingClient[pb.RangeStreamResponse]) (proto.Message, error) {
	all := &pb.RangeResponse{}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if all.Header != nil {
			return nil, errors.New("a message came after the one with the header")
		}
		one := message.RangeResponse
		all.Kvs = append(all.Kvs, one.Kvs...)
		all.Header, all.Count, all.More = one.Header, one.Count, one.More
	}
}
