// Package kv answers etcd's KV service: it checks a request as etcd does, hands it
// to the router, and puts errors and headers into etcd's form. It keeps nothing.
package kv

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

// Settings are the limits of a request.
type Settings struct {
	// MaxTxnOps bounds the operations of a transaction, nested ones included, as
	// etcd counts them.
	MaxTxnOps int
	// MaxRequestBytes is the size that a message of a RangeStream aims at.
	MaxRequestBytes int
}

type server struct {
	pb.UnsafeKVServer
	api      router.API
	settings Settings
}

// New makes the KV service of a keyspace.
func New(api router.API, settings Settings) pb.KVServer {
	return &server{api: api, settings: settings}
}

func (s *server) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	if err := checkRange(r); err != nil {
		return nil, err
	}
	resp, err := s.api.Range(ctx, r)
	if err != nil {
		return nil, wire.Error(err)
	}
	wire.Fill(s.api, resp.Header)
	return resp, nil
}

func (s *server) RangeStream(r *pb.RangeRequest, stream pb.KV_RangeStreamServer) error {
	if err := checkRangeStream(r); err != nil {
		return err
	}
	err := s.api.RangePages(stream.Context(), r, s.settings.MaxRequestBytes, func(resp *pb.RangeResponse) error {
		if resp.Header != nil {
			wire.Fill(s.api, resp.Header)
		}
		return stream.Send(&pb.RangeStreamResponse{RangeResponse: resp})
	})
	return wire.Error(err)
}

func (s *server) Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	if err := checkPut(r); err != nil {
		return nil, err
	}
	resp, err := s.api.Put(ctx, r)
	if err != nil {
		return nil, wire.Error(err)
	}
	wire.Fill(s.api, resp.Header)
	return resp, nil
}

func (s *server) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	if err := checkDelete(r); err != nil {
		return nil, err
	}
	resp, err := s.api.DeleteRange(ctx, r)
	if err != nil {
		return nil, wire.Error(err)
	}
	wire.Fill(s.api, resp.Header)
	return resp, nil
}

func (s *server) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	if err := checkTxn(r, s.settings.MaxTxnOps); err != nil {
		return nil, err
	}
	resp, err := s.api.Txn(ctx, r)
	if err != nil {
		return nil, wire.Error(err)
	}
	wire.Fill(s.api, resp.Header)
	return resp, nil
}

func (s *server) Compact(ctx context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	revision, err := s.api.Compact(ctx, router.Revision(r.Revision), r.Physical)
	if err != nil {
		return nil, wire.Error(err)
	}
	return &pb.CompactionResponse{Header: wire.Header(s.api, revision)}, nil
}
