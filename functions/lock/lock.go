// Package lock is etcd's Lock service: a queue of keys under one name, each
// attached to its holder's lease, of which the oldest is the lock.
//
// It promises what etcd's service promises: the lock is held for as long as its
// key exists, which ends with an unlock or with the lease. It keeps no state of
// its own; package session says how calls end and fail.
package lock

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"

	"github.com/tierd/tierd/functions/lock/session"
)

type server struct {
	v3lockpb.UnsafeLockServer
	runner session.Runner
}

// New makes the service. The client speaks to this same frontend and outlives
// the calls; when draining is closed, calls still waiting end as Unavailable.
func New(client *clientv3.Client, draining <-chan struct{}) v3lockpb.LockServer {
	return &server{runner: session.Runner{Client: client, Draining: draining}}
}

// Lock waits for its turn and returns the key that is the lock. A wait that is
// given up leaves the queue; a call that ends before it knows whether it is in it
// may leave its key there, until the lease ends or takes the same lock again.
func (s *server) Lock(ctx context.Context, r *v3lockpb.LockRequest) (*v3lockpb.LockResponse, error) {
	var resp *v3lockpb.LockResponse
	err := s.runner.Call(ctx, r.Lease, func(ctx context.Context, held *concurrency.Session) error {
		mutex := concurrency.NewMutex(held, string(r.Name))
		if err := mutex.Lock(ctx); err != nil {
			return err
		}
		resp = &v3lockpb.LockResponse{Header: mutex.Header(), Key: []byte(mutex.Key())}
		return nil
	})
	return resp, err
}

// Unlock deletes the key that Lock returned. A key that is gone is unlocked.
func (s *server) Unlock(ctx context.Context, r *v3lockpb.UnlockRequest) (*v3lockpb.UnlockResponse, error) {
	var resp *v3lockpb.UnlockResponse
	err := s.runner.Plain(ctx, func(ctx context.Context, client *clientv3.Client) error {
		deleted, err := client.Delete(ctx, string(r.Key))
		if err != nil {
			return err
		}
		resp = &v3lockpb.UnlockResponse{Header: deleted.Header}
		return nil
	})
	return resp, err
}
