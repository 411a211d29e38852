// Package kubernetes checks that a real Kubernetes 1.34 control plane works on
// tierd: kube-apiserver and kube-controller-manager run on it, kubectl and plain
// HTTP requests use them, first with the API server's watch cache and then
// without, so that both its ways of reading the store are taken. The second time the
// store is secured: TLS with certificates on both sides, and authentication on, with a
// user for the API server that may touch Kubernetes' keys and nothing else.
//
// It ends with crashes: while objects are created, changed and deleted, tierd is
// killed and started again on the same data several times. Every acknowledged
// request must still hold afterwards, and a watch that was opened before the
// first crash must show every acknowledged change once and in order.
//
// The tests need the build tag e2e and the programs of build.sh; run.sh does all
// of it and prints a summary.
//
// Environment:
//
//	TIERD_KUBERNETES_BIN    the folder of the programs (run.sh sets it)
//	ENDPOINT_KIND=etcd      runs the same checks on real etcd, which shows that
//	                        they are right
//	TIERD_TEST_SEED         the seed of the crash moments; a run prints its own
//	TIERD_KUBERNETES_LOGS   a folder that keeps the programs' logs
package kubernetes
