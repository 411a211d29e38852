package crash

import (
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/test/cluster"
)

// TestDiskFull: the disk takes no more of the append-only file. Redis does not
// acknowledge what it could not write, and ends; when there is room again it comes
// back with everything that was acknowledged, and writes go on without a gap.
func TestDiskFull(t *testing.T) { // not parallel: while Redis starts, this process ignores a signal
	// A file beyond its limit raises a signal; with that ignored, which a child
	// inherits, the write fails as it does on a full disk.
	signal.Ignore(syscall.SIGXFSZ)
	c := cluster.Start(t, cluster.Options{Frontends: 2})
	signal.Reset(syscall.SIGXFSZ)
	load := startLoad(t, c, 4)
	load.awaitAcknowledged(t, 50)

	const roomBytes = 20_000
	pid := c.Redis.PID()
	room := uint64(tailSize(t, c.Redis) + roomBytes)
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: room, Max: room}, nil); err != nil {
		t.Fatal(err)
	}
	c.Redis.WaitExit(bound)
	if log := c.Redis.Log(); !strings.Contains(log, "Can't recover from AOF write error") {
		t.Fatalf("redis ended for another reason:\n%s", log)
	}
	c.Redis.Restart()
	load.awaitAcknowledged(t, load.acknowledgedNow()+50)
	acknowledged := load.stop()
	account(t, c.Frontends[0].Client(), acknowledged)
}
