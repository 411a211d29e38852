package hostile

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// preface is how every HTTP/2 connection begins.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// framed puts the five bytes of gRPC before a message.
func framed(flag byte, length int, message []byte) []byte {
	head := binary.BigEndian.AppendUint32([]byte{flag}, uint32(length))
	return append(head, message...)
}

// TestHostileCalls: calls that are HTTP/2, but not quite gRPC, are answered as etcd
// answers them, status, trailers and all.
func TestHostileCalls(t *testing.T) {
	t.Parallel()
	p := startPair(t, 0)
	put, err := proto.Marshal(&pb.PutRequest{Key: []byte("a"), Value: []byte("1")})
	if err != nil {
		t.Fatal(err)
	}
	good := framed(0, len(put), put)
	method := pb.KV_Put_FullMethodName
	for name, c := range map[string]struct {
		verb, path, kind string
		body             []byte
		header           map[string]string
	}{
		"as it should be":            {"POST", method, "application/grpc", good, nil},
		"unknown method":             {"POST", "/etcdserverpb.KV/Pot", "application/grpc", good, nil},
		"unknown service":            {"POST", "/etcdserverpb.VK/Put", "application/grpc", good, nil},
		"no method":                  {"POST", "/etcdserverpb.KV/", "application/grpc", good, nil},
		"no service":                 {"POST", "/Put", "application/grpc", good, nil},
		"empty path":                 {"POST", "/", "application/grpc", good, nil},
		"hostile path":               {"POST", "/a%00b/%ff", "application/grpc", good, nil},
		"GET":                        {"GET", method, "application/grpc", nil, nil},
		"PUT":                        {"PUT", method, "application/grpc", good, nil},
		"no content type":            {"POST", method, "", good, nil},
		"JSON":                       {"POST", method, "application/json", []byte(`{"key":"YQ=="}`), nil},
		"unknown subtype":            {"POST", method, "application/grpc+thrift", good, nil},
		"gRPC web":                   {"POST", method, "application/grpc-web", good, nil},
		"no body":                    {"POST", method, "application/grpc", nil, nil},
		"half a length":              {"POST", method, "application/grpc", good[:3], nil},
		"half a message":             {"POST", method, "application/grpc", good[:len(good)-2], nil},
		"two messages":               {"POST", method, "application/grpc", append(bytes.Clone(good), good...), nil},
		"bytes after the message":    {"POST", method, "application/grpc", append(bytes.Clone(good), 0, 0), nil},
		"a length too large":         {"POST", method, "application/grpc", framed(0, 1<<31-1, put), nil},
		"the largest length":         {"POST", method, "application/grpc", framed(0, 1<<32-1, put), nil},
		"compressed, it says":        {"POST", method, "application/grpc", framed(1, len(put), put), nil},
		"unknown flag":               {"POST", method, "application/grpc", framed(7, len(put), put), nil},
		"gzip that is none":          {"POST", method, "application/grpc", framed(1, len(put), put), map[string]string{"grpc-encoding": "gzip"}},
		"unknown compression":        {"POST", method, "application/grpc", framed(1, len(put), put), map[string]string{"grpc-encoding": "lzma"}},
		"a timeout that is none":     {"POST", method, "application/grpc", good, map[string]string{"grpc-timeout": "soon"}},
		"a timeout too long":         {"POST", method, "application/grpc", good, map[string]string{"grpc-timeout": "999999999H"}},
		"binary metadata, no base64": {"POST", method, "application/grpc", good, map[string]string{"x-bin": "\xc3!"}},
		"no leader wanted":           {"POST", method, "application/grpc", good, map[string]string{"hasleader": "true"}},
		"a token":                    {"POST", method, "application/grpc", good, map[string]string{"token": "abc"}},
	} {
		t.Run(name, func(t *testing.T) {
			want := trip(t, p.etcd, c.verb, c.path, c.kind, c.body, c.header)
			got := trip(t, p.tierd, c.verb, c.path, c.kind, c.body, c.header)
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("(-etcd +tierd):\n%s", diff)
			}
		})
	}
	p.unharmed()
}

// trip makes one HTTP/2 request and tells all that says how it ended.
func trip(t *testing.T, s *server, verb, path, kind string, body []byte, header map[string]string) map[string]string {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, verb, s.endpoint+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("te", "trailers")
	if kind != "" {
		request.Header.Set("content-type", kind)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	told := map[string]string{}
	response, err := transport.RoundTrip(request)
	if err != nil {
		told["error"] = err.Error()
		return told
	}
	answer, err := io.ReadAll(response.Body)
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	told["error"] = fmt.Sprint(err)
	told["status"] = response.Status
	told["answered"] = fmt.Sprint(len(answer) > 0)
	for _, from := range []http.Header{response.Header, response.Trailer} {
		for _, name := range []string{"Grpc-Status", "Grpc-Message", "Content-Type", "Grpc-Encoding"} {
			if value := from.Get(name); value != "" {
				told[name] = strings.ReplaceAll(value, "\u00a0", " ")
			}
		}
	}
	return told
}

// TestHostileConnections: connections that carry garbage are closed, and nobody else
// notices.
func TestHostileConnections(t *testing.T) {
	t.Parallel()
	p, random := startPair(t, 0), seedOf(t)
	for name, text := range garbage() {
		t.Run(name, func(t *testing.T) { abandon(t, p.tierd, []byte(text)) })
	}
	for range *stepsFlag / 20 {
		abandon(t, p.tierd, frames(random))
	}
	p.unharmed()
}

// FuzzConnections is TestHostileConnections with bytes that the fuzzer chooses.
func FuzzConnections(f *testing.F) {
	for _, text := range garbage() {
		f.Add([]byte(text))
	}
	p := startPair(f, 0)
	f.Fuzz(func(t *testing.T, data []byte) {
		abandon(t, p.tierd, data)
		one := *p
		one.TB = t
		one.unharmed()
	})
}

// begin is how a connection begins whose client has no settings.
const begin = preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// garbage is what a connection may carry by mistake or malice, by name.
func garbage() map[string]string {
	return map[string]string{
		"nothing":                  "",
		"one byte":                 "P",
		"half a preface":           preface[:10],
		"a wrong preface":          "PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n",
		"only a preface":           preface,
		"half a frame header":      begin + "\x00\x00",
		"half a frame":             begin + "\x00\x00\x20\x01\x04\x00\x00\x00\x01abc",
		"a frame of 16 MiB":        begin + "\xff\xff\xff\x00\x00\x00\x00\x00\x01",
		"data without a stream":    begin + "\x00\x00\x01\x00\x01\x00\x00\x00\x01x",
		"data on stream 0":         begin + "\x00\x00\x01\x00\x01\x00\x00\x00\x00x",
		"headers that are none":    begin + "\x00\x00\x04\x01\x05\x00\x00\x00\x01\xff\xff\xff\xff",
		"an even stream":           begin + "\x00\x00\x01\x01\x05\x00\x00\x00\x02\x82",
		"continuation of nothing":  begin + "\x00\x00\x01\x09\x04\x00\x00\x00\x01\x82",
		"settings of a wrong size": preface + "\x00\x00\x05\x04\x00\x00\x00\x00\x00abcde",
		"a window of nothing":      begin + "\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"HTTP/1 garbage":           "\x00\x01\x02\x03\x04\r\n\r\n",
		"HTTP/1 without a version": "GET /health\r\n\r\n",
		"HTTP/1, half a request":   "POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"key\"",
		"HTTP/1, no chunk":         "POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1, two lengths":      "POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1, a huge header":    "GET /health HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n",
		"TLS":                      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"Redis":                    "*1\r\n$8\r\nFLUSHALL\r\n",
	}
}

// abandon sends bytes, says that no more come, and waits until the server has closed
// the connection too.
func abandon(t *testing.T, s *server, data []byte) {
	t.Helper()
	_, address, _ := strings.Cut(s.endpoint, "://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // it is closed already, or the test has failed
	if err := conn.SetDeadline(time.Now().Add(bound)); err != nil {
		t.Fatal(err)
	}
	// The server may have closed the connection before it has read everything.
	if _, err := conn.Write(data); err == nil {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("the server keeps a connection that said %.100q", data)
	}
}

// frames are random HTTP/2 frames, some of them with the headers of a real call.
func frames(random *rand.Rand) []byte {
	data := []byte(begin)
	blocks := []string{"\x83\x86", "\x82\x84\x87", "\x00\x05:path\x14/etcdserverpb.KV/Put", "\x40\x0ccontent-type\x10application/grpc", "\xff"}
	for range 1 + random.IntN(6) {
		var payload []byte
		for range random.IntN(6) {
			payload = append(payload, blocks[random.IntN(len(blocks))]...)
			payload = append(payload, byte(random.IntN(256)))
		}
		head := []byte{0, 0, byte(len(payload)), byte(random.IntN(11)), byte(random.IntN(256)), 0, 0, 0, byte(random.IntN(4))}
		if random.IntN(10) == 0 {
			head[2] = byte(random.IntN(256))
		}
		data = append(append(data, head...), payload...)
	}
	return data
}
