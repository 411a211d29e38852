package main

import (
	"context"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// chunkBytes is about how large a part of a streamed range is.
const chunkBytes = 1 << 20

// kvServer answers reads from folders and counts writes.
type kvServer struct {
	pb.UnimplementedKVServer

	revision atomic.Int64
	folders  folders
	watches  *watchServer
}

func newKVServer(watches *watchServer) *kvServer {
	s := &kvServer{watches: watches}
	s.revision.Store(1000)
	return s
}

func (s *kvServer) header() *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: 1 << 62, MemberId: 1 << 61, RaftTerm: 2, Revision: s.revision.Load()}
}

// Range returns one key, or a folder's keys up to the limit.
func (s *kvServer) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	folder, err := s.folders.of(r.Key)
	if err != nil {
		return nil, err
	}
	response := &pb.RangeResponse{Header: s.header(), Count: 1}
	if len(r.RangeEnd) == 0 {
		response.Kvs = []*mvccpb.KeyValue{folder.kv(r.Key)}
		return response, nil
	}
	response.Kvs = folder.from(r.Key)
	response.Count = int64(len(response.Kvs))
	if r.Limit > 0 && r.Limit < response.Count {
		response.Kvs, response.More = response.Kvs[:r.Limit], true
	}
	return response, nil
}

// RangeStream returns a folder's keys in parts, the totals in the last one.
func (s *kvServer) RangeStream(r *pb.RangeRequest, stream pb.KV_RangeStreamServer) error {
	folder, err := s.folders.of(r.Key)
	if err != nil {
		return err
	}
	kvs := folder.from(r.Key)
	count, part := int64(len(kvs)), max(1, chunkBytes/(len(folder.value)+96))
	for len(kvs) > part {
		if err := stream.Send(&pb.RangeStreamResponse{RangeResponse: &pb.RangeResponse{Kvs: kvs[:part]}}); err != nil {
			return err
		}
		kvs = kvs[part:]
	}
	return stream.Send(&pb.RangeStreamResponse{RangeResponse: &pb.RangeResponse{Header: s.header(), Kvs: kvs, Count: count}})
}

// Put takes the next revision and tells the watchers.
func (s *kvServer) Put(_ context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	revision := s.revision.Add(1)
	s.watches.publish(r, revision)
	return &pb.PutResponse{Header: s.header()}, nil
}

// Txn holds every condition to be true, and answers each operation.
func (s *kvServer) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	response := &pb.TxnResponse{Succeeded: true}
	for _, op := range r.Success {
		switch request := op.Request.(type) {
		case *pb.RequestOp_RequestPut:
			put, err := s.Put(ctx, request.RequestPut)
			if err != nil {
				return nil, err
			}
			response.Responses = append(response.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: put}})
		case *pb.RequestOp_RequestRange:
			read, err := s.Range(ctx, request.RequestRange)
			if err != nil {
				return nil, err
			}
			response.Responses = append(response.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: read}})
		}
	}
	response.Header = s.header()
	return response, nil
}

// Compact has nothing to do.
func (s *kvServer) Compact(context.Context, *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	return &pb.CompactionResponse{Header: s.header()}, nil
}
