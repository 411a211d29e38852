package differential

import (
	"context"
	"errors"
	"fmt"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// The calls that are compared, as a gRPC client offers them.
type (
	kvCalls interface {
		RangeStream(context.Context, *pb.RangeRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[pb.RangeStreamResponse], error)
		Range(context.Context, *pb.RangeRequest, ...grpc.CallOption) (*pb.RangeResponse, error)
		Put(context.Context, *pb.PutRequest, ...grpc.CallOption) (*pb.PutResponse, error)
		DeleteRange(context.Context, *pb.DeleteRangeRequest, ...grpc.CallOption) (*pb.DeleteRangeResponse, error)
		Txn(context.Context, *pb.TxnRequest, ...grpc.CallOption) (*pb.TxnResponse, error)
		Compact(context.Context, *pb.CompactionRequest, ...grpc.CallOption) (*pb.CompactionResponse, error)
	}
	leaseCalls interface {
		LeaseGrant(context.Context, *pb.LeaseGrantRequest, ...grpc.CallOption) (*pb.LeaseGrantResponse, error)
		LeaseRevoke(context.Context, *pb.LeaseRevokeRequest, ...grpc.CallOption) (*pb.LeaseRevokeResponse, error)
		LeaseTimeToLive(context.Context, *pb.LeaseTimeToLiveRequest, ...grpc.CallOption) (*pb.LeaseTimeToLiveResponse, error)
	}
	maintenanceCalls interface {
		HashKV(context.Context, *pb.HashKVRequest, ...grpc.CallOption) (*pb.HashKVResponse, error)
	}
)

// dispatch makes a system of a server's services.
func dispatch(kv kvCalls, lease leaseCalls, maintenance maintenanceCalls) system {
	return func(ctx context.Context, request proto.Message) (proto.Message, error) {
		if s, ok := request.(*streamed); ok {
			request = &streamed{proto.Clone(s.RangeRequest).(*pb.RangeRequest)}
		} else {
			request = proto.Clone(request) // a server may keep or change its own
		}
		switch r := request.(type) {
		case *streamed:
			stream, err := kv.RangeStream(ctx, r.RangeRequest)
			if err != nil {
				return nil, err
			}
			return collect(stream)
		case *pb.RangeRequest:
			return kv.Range(ctx, r)
		case *pb.PutRequest:
			return kv.Put(ctx, r)
		case *pb.DeleteRangeRequest:
			return kv.DeleteRange(ctx, r)
		case *pb.TxnRequest:
			return kv.Txn(ctx, r)
		case *pb.CompactionRequest:
			return kv.Compact(ctx, r)
		case *pb.LeaseGrantRequest:
			return lease.LeaseGrant(ctx, r)
		case *pb.LeaseRevokeRequest:
			return lease.LeaseRevoke(ctx, r)
		case *pb.LeaseTimeToLiveRequest:
			return lease.LeaseTimeToLive(ctx, r)
		case *pb.HashKVRequest:
			return maintenance.HashKV(ctx, r)
		}
		return nil, fmt.Errorf("no service answers %T", request)
	}
}

// streamed asks for a range as a stream.
type streamed struct{ *pb.RangeRequest }

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

// received is a response as a client gets it: over the wire, where an empty list
// and no list are the same.
func received[M proto.Message](m M, err error) (M, error) {
	if err != nil {
		return m, err
	}
	return proto.Clone(m).(M), nil
}

// localKV calls the KV service without a network.
type localKV struct{ pb.KVServer }

func (l localKV) RangeStream(ctx context.Context, r *pb.RangeRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[pb.RangeStreamResponse], error) {
	stream := &localStream{ctx: ctx}
	return stream, l.KVServer.RangeStream(r, stream)
}

// localStream is both ends of a stream: what the server sends is kept for the
// client to receive.
type localStream struct {
	grpc.ServerStream
	grpc.ClientStream
	ctx      context.Context
	messages []*pb.RangeStreamResponse
}

func (s *localStream) Context() context.Context { return s.ctx }

func (s *localStream) Send(m *pb.RangeStreamResponse) error {
	s.messages = append(s.messages, proto.Clone(m).(*pb.RangeStreamResponse))
	return nil
}

func (s *localStream) Recv() (*pb.RangeStreamResponse, error) {
	if len(s.messages) == 0 {
		return nil, io.EOF
	}
	m := s.messages[0]
	s.messages = s.messages[1:]
	return m, nil
}

func (s *localStream) SendMsg(any) error { return errors.ErrUnsupported }
func (s *localStream) RecvMsg(any) error { return errors.ErrUnsupported }

func (l localKV) Range(ctx context.Context, r *pb.RangeRequest, _ ...grpc.CallOption) (*pb.RangeResponse, error) {
	return received(l.KVServer.Range(ctx, r))
}

func (l localKV) Put(ctx context.Context, r *pb.PutRequest, _ ...grpc.CallOption) (*pb.PutResponse, error) {
	return received(l.KVServer.Put(ctx, r))
}

func (l localKV) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest, _ ...grpc.CallOption) (*pb.DeleteRangeResponse, error) {
	return received(l.KVServer.DeleteRange(ctx, r))
}

func (l localKV) Txn(ctx context.Context, r *pb.TxnRequest, _ ...grpc.CallOption) (*pb.TxnResponse, error) {
	return received(l.KVServer.Txn(ctx, r))
}

func (l localKV) Compact(ctx context.Context, r *pb.CompactionRequest, _ ...grpc.CallOption) (*pb.CompactionResponse, error) {
	return received(l.KVServer.Compact(ctx, r))
}

// localLease calls the Lease service without a network.
type localLease struct{ pb.LeaseServer }

func (l localLease) LeaseGrant(ctx context.Context, r *pb.LeaseGrantRequest, _ ...grpc.CallOption) (*pb.LeaseGrantResponse, error) {
	return received(l.LeaseServer.LeaseGrant(ctx, r))
}

func (l localLease) LeaseRevoke(ctx context.Context, r *pb.LeaseRevokeRequest, _ ...grpc.CallOption) (*pb.LeaseRevokeResponse, error) {
	return received(l.LeaseServer.LeaseRevoke(ctx, r))
}

func (l localLease) LeaseTimeToLive(ctx context.Context, r *pb.LeaseTimeToLiveRequest, _ ...grpc.CallOption) (*pb.LeaseTimeToLiveResponse, error) {
	return received(l.LeaseServer.LeaseTimeToLive(ctx, r))
}

// localMaintenance calls the Maintenance service without a network.
type localMaintenance struct{ pb.MaintenanceServer }

func (l localMaintenance) HashKV(ctx context.Context, r *pb.HashKVRequest, _ ...grpc.CallOption) (*pb.HashKVResponse, error) {
	return received(l.MaintenanceServer.HashKV(ctx, r))
}
