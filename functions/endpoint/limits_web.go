package endpoint

import (
	"io"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
)

// Limits of HTTP/1 clients, beside headerTimeout and idleTimeout.
const (
	// headerBytesMax bounds the header of a request, in bytes.
	headerBytesMax = 64 << 10
	// bodyTimeout is how long the body of a request may take to arrive, other than
	// that of a stream.
	bodyTimeout = 30 * time.Second
	// pieceBytes is what a client has to take of an answer within pieceTimeout; one
	// that does not is cut off.
	pieceBytes   = 64 << 10
	pieceTimeout = time.Minute
	// connectionsOfMetricsMax bounds the connections to the metrics addresses.
	connectionsOfMetricsMax = 256
)

// webLimits bound what one HTTP/1 request to the gateway takes: the time of its body,
// the time between two pieces of its answer, and the bytes of both.
type webLimits struct {
	bytes *gate
	now   func() time.Time
	// bodyMax is the largest body, other than that of a stream.
	bodyMax int64
}

// serve serves one request within the limits.
func (l *webLimits) serve(next http.Handler, w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	answer := &boundedWriter{ResponseWriter: w, control: control, limits: l}
	defer answer.end()
	if gatewayStreams[r.URL.Path] {
		next.ServeHTTP(answer, r)
		return
	}
	size := l.bodyMax
	if r.ContentLength >= 0 {
		size = min(size, r.ContentLength)
	}
	if !l.bytes.enter(size) {
		refuseWeb(w)
		return
	}
	defer l.bytes.leave(size)
	// A websocket has no deadlines of its own, and no body.
	if control.SetReadDeadline(l.now().Add(bodyTimeout)) == nil {
		r.Body = &timedBody{ReadCloser: r.Body, control: control}
	}
	r.Body = http.MaxBytesReader(w, r.Body, l.bodyMax)
	next.ServeHTTP(answer, r)
}

// refuseWeb answers as the gateway does where a call is refused.
func refuseWeb(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Connection", "close") // or net/http would first wait for the body
	w.WriteHeader(http.StatusTooManyRequests)
	writeJSON(w, struct {
		Code    codes.Code `json:"code"`
		Message string     `json:"message"`
	}{codes.ResourceExhausted, "etcdserver: too many requests"})
}

// timedBody lifts the deadline once the body has arrived: then the connection is
// watched for its end, for as long as the call takes.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF { //nolint:errorlint // as io.Reader promises it
		_ = b.control.SetReadDeadline(time.Time{}) // it could be set
	}
	return n, err
}

// boundedWriter writes an answer in pieces, each with a deadline, and counts its bytes
// meanwhile.
type boundedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	limits  *webLimits
}

// Unwrap is for http.ResponseController.
func (w *boundedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush is what the gateway does after each message of a stream.
func (w *boundedWriter) Flush() {
	_ = w.control.Flush() // the next write fails, too
}

func (w *boundedWriter) Write(p []byte) (int, error) {
	w.limits.bytes.force(int64(len(p)))
	defer w.limits.bytes.leave(int64(len(p)))
	written := 0
	for {
		piece := p[written:min(written+pieceBytes, len(p))]
		_ = w.control.SetWriteDeadline(w.limits.now().Add(pieceTimeout)) // a websocket has none
		n, err := w.ResponseWriter.Write(piece)
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// end leaves the connection as it was.
func (w *boundedWriter) end() { _ = w.control.SetWriteDeadline(time.Time{}) }
