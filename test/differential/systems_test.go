package differential

import (
	"context"
	"errors"
	"fmt"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// over makes a system of a server that a client is connected to.
func over(client *clientv3.Client) system {
	conn := client.ActiveConnection()
	kv, lease, maintenance := pb.NewKVClient(conn), pb.NewLeaseClient(conn), pb.NewMaintenanceClient(conn)
	return func(ctx context.Context, request proto.Message) (proto.Message, error) {
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
