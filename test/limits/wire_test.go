package limits

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

const (
	// windowBytes is how much a server may send ahead on a connection: all of a test.
	windowBytes = 1 << 30
	// tick is how often calls that are due are sent.
	tick = 2 * time.Millisecond
)

// call is one put on its way.
type call struct {
	number uint64
	sent   time.Time
	answer []byte
}

// wire makes calls on one connection by writing their frames: a client that costs as little
// as can be, so that it can offer more than a server takes.
type wire struct {
	load   *load
	conn   net.Conn
	frames *http2.Framer
	// header is how the header of the first call is written, again that of later ones, which
	// refers to it.
	header, again []byte

	mu     sync.Mutex
	out    *bufio.Writer
	window int64
	stream uint32
	open   map[uint32]*call
	// most is how many streams the server allows, waiting are the calls for which there is none:
	// as in any client, they wait here, and may give up here.
	most    uint32
	waiting []*call
	// order are the streams in the order of their calls, some of which have ended.
	order []uint32
	err   error
}

// dial begins a connection.
func dial(ctx context.Context, l *load, address string) (*wire, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	w := &wire{load: l, conn: conn, out: bufio.NewWriterSize(conn, 64<<10), window: 65535, stream: 1, most: math.MaxUint32, open: make(map[uint32]*call)}
	w.frames = http2.NewFramer(w.out, bufio.NewReaderSize(conn, 64<<10))
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range slices.Repeat([][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", pb.KV_Put_FullMethodName}, {":authority", address},
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"grpc-timeout", fmt.Sprintf("%dm", callTimeout.Milliseconds())},
	}, 2) {
		if w.header == nil && field[0] == ":method" && block.Len() > 0 {
			w.header = bytes.Clone(block.Bytes())
			block.Reset()
		}
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			return nil, err
		}
	}
	w.again = block.Bytes()
	_, _ = w.out.WriteString(http2.ClientPreface) // an error stays in the writer until it is flushed
	_ = w.frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: windowBytes})
	_ = w.frames.WriteWindowUpdate(0, windowBytes)
	return w, w.out.Flush()
}

// run sends calls at a rate until the time is over, and waits for those that are open; it gives
// the number of calls that it sent.
func (w *wire) run(perSecond float64, duration time.Duration, next func() uint64) int {
	received := make(chan struct{})
	go func() {
		defer close(received)
		w.receive()
	}()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	begin, sent := time.Now(), 0
	for {
		now := time.Now()
		elapsed := now.Sub(begin)
		w.mu.Lock()
		for due := int(elapsed.Seconds() * perSecond); elapsed < duration && sent < due; sent++ {
			w.waiting = append(w.waiting, &call{number: next(), sent: now})
		}
		w.giveUp(now)
		w.sendWaiting()
		if err := w.out.Flush(); err != nil && w.err == nil {
			w.err = err
		}
		over := elapsed >= duration && len(w.open)+len(w.waiting) == 0 || w.err != nil
		w.mu.Unlock()
		if over {
			break
		}
		<-ticker.C
	}
	_ = w.conn.Close()
	<-received
	return sent
}

// sendWaiting makes the calls that there are streams for.
func (w *wire) sendWaiting() {
	for len(w.waiting) > 0 && len(w.open) < int(w.most) {
		w.send(w.waiting[0])
		w.waiting = w.waiting[1:]
	}
}

// send makes one call, unless the connection's window is used up.
func (w *wire) send(c *call) {
	message, _ := proto.Marshal(&pb.PutRequest{Key: keyOf(c.number), Value: fmt.Append(nil, c.number)}) // it cannot fail
	data := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	if w.window < int64(len(data)) {
		w.load.shed.Add(1)
		return
	}
	w.window -= int64(len(data))
	_ = w.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: w.stream, BlockFragment: w.header, EndHeaders: true})
	_ = w.frames.WriteData(w.stream, true, data)
	w.header = w.again
	w.open[w.stream] = c
	w.order = append(w.order, w.stream)
	w.stream += 2
}

// giveUp cancels the calls that have waited too long, as a client does.
func (w *wire) giveUp(now time.Time) {
	for len(w.waiting) > 0 && now.Sub(w.waiting[0].sent) >= callTimeout {
		w.load.late.Add(1)
		w.waiting = w.waiting[1:]
	}
	for len(w.order) > 0 {
		c, open := w.open[w.order[0]]
		if open && now.Sub(c.sent) < callTimeout {
			return
		}
		if open {
			w.load.late.Add(1)
			delete(w.open, w.order[0])
			_ = w.frames.WriteRSTStream(w.order[0], http2.ErrCodeCancel)
		}
		w.order = w.order[1:]
	}
}

// receive takes answers until the connection ends.
func (w *wire) receive() {
	status := ""
	decoder := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == "grpc-status" {
			status = f.Value
		}
	})
	for {
		frame, err := w.frames.ReadFrame()
		if err != nil {
			return
		}
		status = ""
		if f, ok := frame.(*http2.HeadersFrame); ok {
			if _, err := decoder.Write(f.HeaderBlockFragment()); err != nil {
				return
			}
		}
		w.mu.Lock()
		w.take(frame, status)
		w.mu.Unlock()
	}
}

// take takes one frame; status is that of a call's end.
func (w *wire) take(frame http2.Frame, status string) {
	id := frame.Header().StreamID
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if most, ok := f.Value(http2.SettingMaxConcurrentStreams); ok {
			w.most = most
		}
		if !f.IsAck() {
			_ = w.frames.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = w.frames.WritePing(true, f.Data)
		}
	case *http2.WindowUpdateFrame:
		if id == 0 {
			w.window += int64(f.Increment)
		}
	case *http2.GoAwayFrame:
		w.err = fmt.Errorf("the server ends the connection: %v", f.ErrCode)
	case *http2.DataFrame:
		if c := w.open[id]; c != nil {
			c.answer = append(c.answer, f.Data()...)
		}
	case *http2.HeadersFrame:
		if c := w.open[id]; c != nil && f.StreamEnded() {
			delete(w.open, id)
			w.load.ended(c, status)
			w.sendWaiting()
		}
	}
}

// ended counts the end of a call.
func (l *load) ended(c *call, status string) {
	switch status {
	case "0":
		resp := &pb.PutResponse{}
		if len(c.answer) < 5 || proto.Unmarshal(c.answer[5:], resp) != nil || resp.Header == nil {
			l.fail(fmt.Errorf("put %d is answered with %q", c.number, c.answer))
			return
		}
		l.acknowledge(c.number, resp.Header.Revision, time.Since(c.sent))
	case fmt.Sprint(uint32(codes.ResourceExhausted)):
		l.refused.Add(1)
	case fmt.Sprint(uint32(codes.DeadlineExceeded)), fmt.Sprint(uint32(codes.Canceled)):
		l.late.Add(1)
	default:
		l.fail(fmt.Errorf("put %d ends with status %q", c.number, status))
	}
}

// offer offers calls at a rate over all connections, whatever becomes of them.
func (l *load) offer(t *testing.T, address string, perSecond float64, duration time.Duration, next func() uint64) (offered, goodput float64) {
	t.Helper()
	begin, before := time.Now(), l.done.Load()
	sent := make([]int, overloadConnections)
	var working sync.WaitGroup
	for i := range sent {
		w, err := dial(t.Context(), l, address)
		if err != nil {
			t.Fatal(err)
		}
		working.Go(func() {
			sent[i] = w.run(perSecond/overloadConnections, duration, next)
			if w.err != nil {
				l.fail(w.err)
			}
		})
	}
	// What is answered after the last call was sent does not count.
	timer := time.NewTimer(duration)
	defer timer.Stop()
	<-timer.C
	elapsed := time.Since(begin).Seconds()
	goodput = float64(l.done.Load()-before) / elapsed
	working.Wait()
	total := 0
	for _, n := range sent {
		total += n
	}
	return float64(total) / duration.Seconds(), goodput
}
