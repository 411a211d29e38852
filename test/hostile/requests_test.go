package hostile

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/answers"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "seed of the requests; 0 takes the clock")
	stepsFlag = flag.Int("steps", 3000, "random requests of each kind")
)

func seedOf(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with: go test ./test/hostile -run '^%s$' -seed %d -steps %d", t.Name(), seed, *stepsFlag)
	return rand.New(rand.NewPCG(seed, 0))
}

// batch is after how many requests the pair is checked.
const batch = 250

// raw is a codec that sends bytes as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }
func (raw) Name() string                       { return "proto" }

// exchange sends bytes to a method and gives what comes back, message by message.
// Whatever is still said when a stream's answer is known is not waited for.
func (p *pair) exchange(s *server, method string, data []byte) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(p.Context(), bound)
	defer cancel()
	stream, err := s.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method, grpc.ForceCodec(raw{}))
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(&data); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	var all [][]byte
	for {
		var message []byte
		if err := stream.RecvMsg(&message); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, plain(err)
		}
		all = append(all, message)
	}
}

// plain is an error without the blank that protobuf chooses at random.
func plain(err error) error {
	s := status.Convert(err)
	return status.Error(s.Code(), strings.ReplaceAll(s.Message(), "\u00a0", " "))
}

// send sends bytes to a method of both, if they can be compared.
func (p *pair) send(method string, data []byte) {
	p.Helper()
	request, err := answers.NewMessage(p.methods[method].Input())
	if err != nil {
		p.Fatal(err)
	}
	if err := proto.Unmarshal(data, request); err == nil {
		before := proto.Clone(request)
		if !tame(method, request) {
			p.refuse(method, data)
			return
		}
		if !proto.Equal(before, request) {
			if data, err = proto.Marshal(request); err != nil {
				p.Fatal(err)
			}
		}
	}
	want, wantErr := p.exchange(p.etcd, method, data)
	p.codes[fmt.Sprintf("%v", status.Code(wantErr))]++
	got, gotErr := p.exchange(p.tierd, method, data)
	if diff := p.compare(method, want, wantErr, got, gotErr); diff != "" {
		p.Fatalf("%s, request %x, {%v} (-etcd +tierd):\n%s", method, data, brief(request), diff)
	}
}

// refuse sends tierd alone what it refuses.
func (p *pair) refuse(method string, data []byte) {
	p.Helper()
	if _, refused := answers.Refused()[method]; !refused {
		return
	}
	if got, err := p.exchange(p.tierd, method, data); status.Code(err) != codes.Unimplemented {
		p.Fatalf("%s, request %x, is answered with %x, %v", method, data, got, err)
	}
}

// compare compares messages in the order in which they came.
func (p *pair) compare(method string, want [][]byte, wantErr error, got [][]byte, gotErr error) string {
	p.Helper()
	switch {
	case wantErr != nil || gotErr != nil:
		return answers.Compare(nil, wantErr, nil, gotErr)
	case method == pb.Maintenance_Snapshot_FullMethodName:
		return "" // its parts are pages of a file
	case method == pb.KV_RangeStream_FullMethodName:
		// How the keys are spread over messages is the server's choice, and the
		// encoding of messages that follow each other is that of all fields together.
		want, got = [][]byte{slices.Concat(want...)}, [][]byte{slices.Concat(got...)}
	}
	if len(want) != len(got) {
		return fmt.Sprintf("-%d messages\n+%d messages", len(want), len(got))
	}
	for i := range want {
		pair := [2]proto.Message{}
		for j, data := range [][]byte{want[i], got[i]} {
			message, err := answers.NewMessage(p.methods[method].Output())
			if err == nil {
				err = proto.Unmarshal(data, message)
			}
			if err != nil {
				p.Fatalf("%s answers with %x: %v", method, data, err)
			}
			pair[j] = message
		}
		if diff := answers.Compare(pair[0], nil, pair[1], nil); diff != "" {
			return diff
		}
	}
	return ""
}

// TestHostileRequests sends every method random requests, most of them damaged.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	p, f := startPair(t, 0), newFiller(seedOf(t))
	names := slices.Sorted(maps.Keys(p.methods))
	for step := range *stepsFlag {
		method := names[f.IntN(len(names))]
		request, err := answers.NewMessage(p.methods[method].Input())
		if err != nil {
			t.Fatal(err)
		}
		f.fill(request.ProtoReflect(), nestingMax)
		data, err := proto.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		if f.IntN(2) == 0 {
			data = f.mutate(data)
		}
		p.send(method, data)
		if step%batch == batch-1 {
			p.unharmed()
		}
	}
	p.unharmed()
	t.Logf("etcd's codes: %v", p.codes)
	if p.codes["OK"] < *stepsFlag/50 || p.codes["Internal"] < *stepsFlag/50 {
		t.Errorf("too few requests were answered, or were no requests")
	}
}

// FuzzRequests is TestHostileRequests with requests that the fuzzer chooses: which
// method, and its bytes.
func FuzzRequests(f *testing.F) {
	names := slices.Sorted(maps.Keys(answers.Methods()))
	for i, name := range names {
		random := newFiller(rand.New(rand.NewPCG(uint64(i), 1)))
		request, err := answers.NewMessage(answers.Methods()[name].Input())
		if err != nil {
			f.Fatal(err)
		}
		random.fill(request.ProtoReflect(), 2)
		data, err := proto.Marshal(request)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), data)
		f.Add(uint8(i), random.mutate(data))
	}
	p := startPair(f, 0)
	f.Fuzz(func(t *testing.T, method uint8, data []byte) {
		one := *p
		one.TB = t
		one.send(names[int(method)%len(names)], data)
		one.unharmed()
	})
}
