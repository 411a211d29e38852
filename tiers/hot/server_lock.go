package hot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// leftoverTimeout is how long a server that outlived its tierd may take to end;
// after half of it, it is killed.
const leftoverTimeout = 2 * serverStopTimeout

// serverLocks keep a directory to one supervisor and one server. Both are locks
// of the kernel, so no crash leaves one behind: owner is held by this process
// alone, server also by the server and by what it forks, who inherit it.
type serverLocks struct {
	owner, server *os.File
}

// lockServerDir takes both locks. A server that outlived the tierd that started
// it is ended first: two servers on one append-only file would destroy it.
func lockServerDir(ctx context.Context, files serverFiles) (*serverLocks, error) {
	owner, err := lockOwner(ctx, files)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, unfit("another tierd uses the data directory %s: stop it, or choose another directory.", files.dir)
	}
	if err != nil {
		return nil, unfit("the data directory %s cannot be written: %v.", files.dir, reason(err))
	}
	server, err := awaitLeftover(ctx, files)
	if err != nil {
		return nil, errors.Join(err, owner.Close())
	}
	return &serverLocks{owner: owner, server: server}, nil
}

// ownerPatience is how long the owner's lock may stay taken before it is another
// tierd's. A process that is being started holds all locks of its parent for an
// instant, until it has become its program.
const ownerPatience = time.Second

// lockOwner takes the owner's lock; EWOULDBLOCK if another tierd has it.
func lockOwner(ctx context.Context, files serverFiles) (*os.File, error) {
	enough := time.NewTimer(ownerPatience)
	defer enough.Stop()
	tick := time.NewTicker(serverPollInterval)
	defer tick.Stop()
	for {
		lock, err := tryLock(files.ownerLock)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return lock, err
		}
		select {
		case <-tick.C:
		case <-enough.C:
			return nil, err
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the data directory: %w", context.Cause(ctx))
		}
	}
}

// awaitLeftover takes the server's lock, ending the process that still has it.
func awaitLeftover(ctx context.Context, files serverFiles) (*os.File, error) {
	enough := time.NewTimer(leftoverTimeout)
	defer enough.Stop()
	impatient := time.NewTimer(leftoverTimeout / 2)
	defer impatient.Stop()
	tick := time.NewTicker(serverPollInterval)
	defer tick.Stop()
	signal, asked := syscall.SIGTERM, 0
	for {
		lock, err := tryLock(files.serverLock)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return lock, err
		}
		// Who answers on our socket, under our lock, is our leftover. Its end is
		// seen in the lock, not in the signal's result.
		if pid := files.serverPID(); pid > 0 && pid != asked {
			_ = syscall.Kill(pid, signal)
			asked = pid
		}
		select {
		case <-tick.C:
		case <-impatient.C:
			signal, asked = syscall.SIGKILL, 0
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the end of an earlier redis-server: %w", context.Cause(ctx))
		case <-enough.C:
			return nil, unfit("a redis-server from an earlier run still uses the data directory %s: stop it.", files.dir)
		}
	}
}

// tryLock locks a file, making it if missing; EWOULDBLOCK if it is locked.
func tryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open a lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return file, nil
}

// release gives the directory free; the server must have ended.
func (l *serverLocks) release() error {
	if err := errors.Join(l.server.Close(), l.owner.Close()); err != nil {
		return fmt.Errorf("release the data directory: %w", err)
	}
	return nil
}
