package router_test

import (
	"context"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// putTwo puts two keys in one transaction.
func putTwo(one, other string) *pb.TxnRequest {
	return &pb.TxnRequest{Success: []*pb.RequestOp{
		{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(one), Value: []byte("x")}}},
		{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(other), Value: []byte("x")}}},
	}}
}

// TestTicketIsFreeOnceDecided: a shard that is out of reach between the decision of a
// plan and its part in it holds up no transaction over other shards.
func TestTicketIsFreeOnceDecided(t *testing.T) {
	t.Parallel()
	const silence = 8 * time.Second
	var once sync.Once
	decided := make(chan struct{})
	a := openApart(t, 2, func(a *apart, name string) {
		if name != "plan" {
			return
		}
		once.Do(func() {
			if err := a.shard.Do(context.Background(), "client", "pause", silence.Milliseconds(), "all").Err(); err != nil {
				a.t.Error(err)
			}
			close(decided)
		})
	})
	if err := a.keyspaces[1].Move(t.Context(), []byte("c"), []byte("m"), 0, nil); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var first sync.WaitGroup
	first.Go(func() {
		if _, err := a.keyspaces[0].Txn(t.Context(), putTwo("a", "z")); err != nil {
			t.Errorf("the transaction that was decided: %v", err)
		}
	})
	<-decided
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	if _, err := a.keyspaces[1].Txn(ctx, putTwo("a", "c")); err != nil {
		t.Errorf("a transaction over other shards: %v", err)
	}
	if time.Since(began) >= silence {
		t.Error("a transaction over other shards waited for the one that is out of reach")
	}
	first.Wait()
	if resp := get(t, a.keyspaces[1], "z", "", 0); len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != "x" {
		t.Errorf("what was decided is not there: %v", resp)
	}
}
