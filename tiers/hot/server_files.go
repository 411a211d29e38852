package hot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// socketPathMax is how long the path of a unix socket may be, in bytes: the
	// least of what Linux (107) and macOS (103) take.
	socketPathMax = 103
	// serverLogBytesMax is the size from which the log is set aside at a start.
	serverLogBytesMax = 16 << 20
	// serverLogTailBytes is how much of the log's end is looked at for a cause.
	serverLogTailBytes = 8 << 10
	// pingTimeout bounds one question to a starting server.
	pingTimeout = time.Second
)

// serverConfig is the configuration of a private server. Everything that decides
// over durability is written out, whatever the defaults of the version are.
const serverConfig = `# Written by tierd at every start: changes are lost.
port 0
unixsocket %[1]s
unixsocketperm 700
dir %[2]s
daemonize no
logfile ""
databases 1
appendonly yes
appendfsync always
no-appendfsync-on-rewrite no
aof-load-truncated yes
aof-use-rdb-preamble yes
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 64mb
save ""
maxmemory-policy noeviction
timeout 0
`

// serverFiles are the places of one private server.
type serverFiles struct {
	dir, config, log, socket string
	// socketDir is the private directory made for the socket where dir's path is
	// too long for one, else empty.
	socketDir string
	// ownerLock is held by the process that supervises, serverLock by the server.
	ownerLock, serverLock string
}

// newServerFiles makes the directory and names what lies in it.
func newServerFiles(dir string) (serverFiles, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return serverFiles{}, fmt.Errorf("find the directory %s: %w", dir, err)
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return serverFiles{}, unfit("the data directory %s cannot be made: %v.", abs, reason(err))
	}
	// Through links there is only one path, and so only one socket and one lock.
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return serverFiles{}, fmt.Errorf("find the directory %s: %w", dir, err)
	}
	in := func(name string) string { return filepath.Join(abs, name) }
	files := serverFiles{
		dir: abs, config: in("redis.conf"), log: in("redis.log"), socket: in("redis.sock"),
		ownerLock: in("owner.lock"), serverLock: in("redis.lock"),
	}
	if len(files.socket) <= socketPathMax {
		return files, nil
	}
	sum := sha256.Sum256([]byte(abs))
	files.socketDir = filepath.Join(os.TempDir(), fmt.Sprintf("tierd-%d-%s", os.Getuid(), hex.EncodeToString(sum[:8])))
	files.socket = filepath.Join(files.socketDir, "redis.sock")
	if len(files.socket) > socketPathMax {
		return files, unfit("the paths of the data directory %s and of the temporary directory are both too long for a unix socket: choose a shorter data directory.", abs)
	}
	return files, nil
}

// prepare writes the configuration and clears what a crash left. It must be
// called under the locks.
func (f serverFiles) prepare() error {
	if f.socketDir != "" {
		if err := makePrivateDir(f.socketDir); err != nil {
			return err
		}
	}
	text := fmt.Sprintf(serverConfig, quoteRedis(f.socket), quoteRedis(f.dir))
	if err := os.WriteFile(f.config, []byte(text), 0o600); err != nil {
		return unfit("the data directory %s cannot be written: %v.", f.dir, reason(err))
	}
	if info, err := os.Stat(f.log); err == nil && info.Size() > serverLogBytesMax {
		if err := os.Rename(f.log, f.log+".1"); err != nil {
			return fmt.Errorf("set the log of redis-server aside: %w", err)
		}
	}
	return f.removeTemporary()
}

// removeTemporary deletes half-written files of rewrites that a crash cut short:
// the server itself never does, and they may be as large as the data.
func (f serverFiles) removeTemporary() error {
	for _, pattern := range []string{"temp-*.aof", "temp-*.rdb"} {
		left, err := filepath.Glob(filepath.Join(f.dir, pattern))
		if err != nil {
			return fmt.Errorf("look for %s: %w", pattern, err)
		}
		for _, path := range left {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove a file that a crash left: %w", err)
			}
		}
	}
	return f.removeSocket()
}

// removeSocket deletes the socket, which a killed server leaves.
func (f serverFiles) removeSocket() error {
	if err := os.Remove(f.socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the socket: %w", err)
	}
	return nil
}

// url is the address of the socket, for ParseEndpoint.
func (f serverFiles) url() string {
	return (&url.URL{Scheme: "unix", Path: f.socket}).String()
}

// ping asks the server whether it is up and has loaded its data.
func (f serverFiles) ping() bool {
	reply, err := f.ask("PING")
	return err == nil && strings.HasPrefix(reply, "+PONG")
}

// serverPID is the process that answers on the socket, 0 if none does.
func (f serverFiles) serverPID() int {
	reply, err := f.ask("INFO server")
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(parseInfo(reply)["process_id"])
	if err != nil {
		return 0
	}
	return pid
}

// ask sends one command in Redis' inline form and reads what comes back at once,
// which for the short replies asked for here is all of it.
func (f serverFiles) ask(command string) (string, error) {
	conn, err := net.DialTimeout("unix", f.socket, pingTimeout)
	if err != nil {
		return "", fmt.Errorf("dial %s: %w", f.socket, err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(pingTimeout)); err != nil {
		return "", fmt.Errorf("bound the wait for %s: %w", f.socket, err)
	}
	if _, err := fmt.Fprintf(conn, "%s\r\nQUIT\r\n", command); err != nil {
		return "", fmt.Errorf("ask %s: %w", f.socket, err)
	}
	reply, err := io.ReadAll(io.LimitReader(conn, serverLogTailBytes))
	if err != nil {
		return "", fmt.Errorf("read from %s: %w", f.socket, err)
	}
	return string(reply), nil
}

// lastLogLine is the last thing that the server wrote, the cause of its end.
func (f serverFiles) lastLogLine() string {
	file, err := os.Open(f.log)
	if err != nil {
		return "it wrote no log"
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > serverLogTailBytes {
		if _, err := file.Seek(-serverLogTailBytes, io.SeekEnd); err != nil {
			return "its log cannot be read"
		}
	}
	tail, err := io.ReadAll(io.LimitReader(file, serverLogTailBytes))
	if err != nil {
		return "its log cannot be read"
	}
	tail = bytes.TrimSpace(tail)
	return string(tail[bytes.LastIndexByte(tail, '\n')+1:])
}

// makePrivateDir makes a directory that only this user can enter, or accepts one
// that is there: its name can be guessed and the temporary directory is shared.
func makePrivateDir(path string) error {
	if err := os.Mkdir(path, 0o700); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrExist) {
		return unfit("the directory %s for the socket of redis-server cannot be made: %v.", path, reason(err))
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("look at the directory of the socket: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !ok || int(owner.Uid) != os.Getuid() {
		return unfit("the directory %s for the socket of redis-server is not private to this user: remove it.", path)
	}
	return nil
}

// quoteRedis writes a value as redis.conf reads it, whatever bytes it holds.
func quoteRedis(value string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(value) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, "\\x%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// reason is the cause of a failed file operation, without the path that the
// sentence around it names already.
func reason(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}
