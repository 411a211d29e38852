// Package cluster runs the programs that a test of the whole service needs:
// real redis-server processes, alone, as sets of replicas under Sentinels and as a
// Redis Cluster, and tierd frontends built from this repository.
//
// It promises that every process it starts is gone when the test ends, however
// the test ends (on Linux also when the test binary is killed), that nothing is
// written outside temporary folders and the repository's bin folder, and that a
// failing test prints the last lines of each process' log.
//
// Faults are plain methods: Kill is SIGKILL to the one process and leaves its
// children alone, as a crash does; Pause and Resume are SIGSTOP and SIGCONT;
// Terminate is SIGTERM with a bound. A process may be started again on the same
// folders and the same ports.
//
// A failover is made of the same: kill or pause a primary and await the promotion.
// CutReplicasOff before it makes one that loses writes.
//
// The package knows tierd only by its command line and its ports, and Redis only
// by its configuration: it imports nothing of the service.
//
// Environment:
//
//	TIERD_TEST_REDIS_SERVER  the redis-server (or valkey-server) to run, also for
//	                         frontends that run one of their own
//	TIERD_TEST_BINARY        a tierd to run instead of building one
package cluster
