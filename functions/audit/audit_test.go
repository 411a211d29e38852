package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// memory is a standard output that a test reads, and that may refuse, or take a part.
type memory struct {
	mu   sync.Mutex
	text bytes.Buffer
	// left is how many bytes it takes before it fails; less than 0 for all.
	left int
	// held, if not nil, is what a write waits for.
	held chan struct{}
}

func (m *memory) Write(b []byte) (int, error) {
	m.mu.Lock()
	held := m.held
	m.mu.Unlock()
	if held != nil {
		<-held
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left < 0 || m.left >= len(b) {
		return m.text.Write(b)
	}
	n, _ := m.text.Write(b[:m.left])
	m.left = 0
	return n, errors.New("no room")
}

func (m *memory) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text.String()
}

func (m *memory) take(left int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = left
}

func components(out io.Writer) Components {
	return Components{Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now, Stdout: out}
}

// counted is the value of a counter.
func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// opened is a log that is closed when the test ends.
func opened(t *testing.T, s Settings, out io.Writer) *Log {
	t.Helper()
	l, err := Open(s, components(out))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

// line is what a reader sees of a line.
type line struct {
	Seq    uint64 `json:"seq"`
	Event  string `json:"event"`
	Method string `json:"method"`
	Lost   uint64 `json:"lost"`
}

// lines reads the log's text; parts of lines, which are no JSON, are counted.
func lines(t *testing.T, text string) (all []line, parts int) {
	t.Helper()
	for one := range strings.Lines(text) {
		var l line
		if err := json.Unmarshal([]byte(one), &l); err != nil {
			parts++
			continue
		}
		all = append(all, l)
	}
	return all, parts
}

// Lines are whole, in order and numbered without a gap, whoever writes at once.
func TestLinesAreNumbered(t *testing.T) {
	t.Parallel()
	out := &memory{left: -1}
	l, err := Open(Settings{Path: Stdout, Member: "1a"}, components(out))
	if err != nil {
		t.Fatal(err)
	}
	const writers, each = 8, 200
	var running sync.WaitGroup
	for writer := range writers {
		running.Go(func() {
			for range each {
				l.Record(&Entry{Event: EventCall, Method: fmt.Sprint(writer)})
			}
		})
	}
	running.Wait()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, parts := lines(t, out.String())
	if len(all) != writers*each+2 || parts != 0 {
		t.Fatalf("%d lines and %d parts", len(all), parts)
	}
	for i, one := range all {
		if one.Seq != uint64(i+1) {
			t.Fatalf("line %d has number %d", i+1, one.Seq)
		}
	}
	if all[0].Event != EventBegin || all[len(all)-1].Event != EventEnd {
		t.Errorf("it begins with %v and ends with %v", all[0], all[len(all)-1])
	}
}

// A file that is moved away is begun anew at once on Reopen, and soon without; nothing is
// lost or written twice.
func TestMovedFile(t *testing.T) {
	t.Parallel()
	for _, asked := range []bool{true, false} {
		t.Run(fmt.Sprint(asked), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "audit")
			l, err := Open(Settings{Path: path}, components(nil))
			if err != nil {
				t.Fatal(err)
			}
			for i := range 10 {
				l.Record(&Entry{Event: EventCall, Method: fmt.Sprint(i)})
				if i != 4 {
					continue
				}
				if err := os.Rename(path, path+".old"); err != nil {
					t.Fatal(err)
				}
				if asked {
					l.Reopen()
				}
			}
			if err := l.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			old, err := os.ReadFile(path + ".old")
			if err != nil {
				t.Fatal(err)
			}
			now, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all, parts := lines(t, string(old)+string(now))
			if len(all) != 12 || parts != 0 || all[len(all)-1].Event != EventEnd || len(now) == 0 {
				t.Errorf("the old file has\n%s\nthe new one\n%s", old, now)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != fileMode {
				t.Errorf("%v, %v", info, err)
			}
		})
	}
}

// A file that has become too large is set aside, and the oldest one goes.
func TestSizeIsBounded(t *testing.T) {
	t.Parallel()
	const bytesMax, kept = 2000, 2
	path := filepath.Join(t.TempDir(), "audit")
	f, err := openFile(path, bytesMax, kept)
	if err != nil {
		t.Fatal(err)
	}
	chunk := strings.Repeat("x", 900) + "\n"
	for range 20 {
		if _, err := f.Write([]byte(chunk)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != kept+1 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.Size() != int64(2*len(chunk)) {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// What could not be written is written later, each line once as a whole, and the failures
// are counted.
func TestWriteFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &memory{left: -1}
		l := opened(t, Settings{Path: Stdout}, out)
		synctest.Wait()
		for _, left := range []int{0, 1, 100, 333} {
			out.take(left)
			for range 5 {
				l.Record(&Entry{Event: EventCall, Method: strings.Repeat("m", 80)})
			}
			time.Sleep(3 * checkInterval)
			synctest.Wait()
			out.take(-1)
			time.Sleep(2 * checkInterval)
			synctest.Wait()
		}
		all, parts := lines(t, out.String())
		if len(all) != 21 || parts > 4 {
			t.Errorf("%d lines, %d parts:\n%s", len(all), parts, out)
		}
		for i, one := range all {
			if one.Seq != uint64(i+1) {
				t.Fatalf("line %d has number %d", i+1, one.Seq)
			}
		}
		if failures := counted(t, l.metrics.failures); failures < 4 {
			t.Errorf("%v failures are counted", failures)
		}
	})
}

// A log that cannot be written delays each call once at most, loses nothing silently, and
// says how much it lost.
func TestOverflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &memory{left: -1, held: make(chan struct{})}
		l := opened(t, Settings{Path: Stdout}, out)
		synctest.Wait() // The writer is stuck with the first line.
		entry := &Entry{Event: EventCall, Method: strings.Repeat("m", textBytesMax)}
		recorded, began := 0, time.Now()
		for range 2 * queueBytesMax / textBytesMax {
			l.Record(entry)
			recorded++
		}
		if waited := time.Since(began); waited != roomWait {
			t.Errorf("the calls waited for %v", waited)
		}
		lost := counted(t, l.metrics.lost)
		if lost == 0 || int(lost) >= recorded {
			t.Fatalf("%v of %d lines are lost", lost, recorded)
		}
		close(out.held)
		synctest.Wait()
		l.Record(entry)
		synctest.Wait()
		all, _ := lines(t, out.String())
		told := uint64(0)
		for _, one := range all {
			told += one.Lost
		}
		if last := all[len(all)-1].Seq; told != uint64(lost) || uint64(len(all))+told != last {
			t.Errorf("%d lines and %d lost make %d, %v are counted", len(all), told, last, lost)
		}
	})
}

// Calls that wait for room go on when there is some.
func TestRoomIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &memory{left: -1, held: make(chan struct{})}
		l := opened(t, Settings{Path: Stdout}, out)
		synctest.Wait()
		time.AfterFunc(roomWait/2, func() { close(out.held) })
		entry := &Entry{Event: EventCall, Method: strings.Repeat("m", textBytesMax)}
		for range 2 * queueBytesMax / textBytesMax {
			l.Record(entry)
		}
		if lost := counted(t, l.metrics.lost); lost != 0 {
			t.Errorf("%v lines are lost", lost)
		}
	})
}

func TestUnusableFile(t *testing.T) {
	t.Parallel()
	if _, err := Open(Settings{Path: t.TempDir()}, components(nil)); err == nil {
		t.Error("a directory is taken for a file")
	}
}
