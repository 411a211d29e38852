package lock_test

import (
	"testing"

	"go.uber.org/goleak"
)

// An etcd whose own Lock service was used leaves the lease loops of its inner
// client behind when it is closed: that client is never closed. Everything else
// must be gone.
func TestMain(m *testing.M) {
	const client, server = "go.etcd.io/etcd/client/v3.", "go.etcd.io/etcd/server/v3/"
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(client+"(*lessor).deadlineLoop"),
		goleak.IgnoreAnyFunction(client+"(*lessor).sendKeepAliveLoop"),
		goleak.IgnoreAnyFunction(client+"(*lessor).recvKeepAliveLoop"),
		goleak.IgnoreAnyFunction(server+"etcdserver/api/v3rpc.(*LeaseServer).LeaseKeepAlive"),
		goleak.IgnoreAnyFunction(server+"etcdserver/api/v3rpc.(*LeaseServer).leaseKeepAlive"),
	)
}
