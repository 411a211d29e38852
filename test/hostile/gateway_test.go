package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/answers"
)

// routes are the paths of the JSON gateway, by the methods behind them.
func (p *pair) routes() map[string]string {
	all := make(map[string]string)
	for name, method := range p.methods {
		rule, ok := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
		if ok && rule.GetPost() != "" {
			all[name] = rule.GetPost()
		}
	}
	return all
}

// TestHostileJSON sends the routes of the gateway JSON, most of it damaged.
func TestHostileJSON(t *testing.T) {
	t.Parallel()
	p, f := startPair(t, 0), newFiller(seedOf(t))
	routes := p.routes()
	if len(routes) < 40 {
		t.Fatalf("the protocol names %d routes only", len(routes))
	}
	names := slices.Sorted(maps.Keys(routes))
	for step := range *stepsFlag / 2 {
		method := names[f.IntN(len(names))]
		request, err := answers.NewMessage(p.methods[method].Input())
		if err != nil {
			t.Fatal(err)
		}
		f.fill(request.ProtoReflect(), nestingMax)
		text, err := protojson.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		if f.IntN(2) == 0 {
			text = damage(f.Rand, text)
		}
		p.post(method, routes[method], text)
		if step%batch == batch-1 {
			p.unharmed()
		}
	}
	p.unharmed()
}

// FuzzJSON is TestHostileJSON with texts that the fuzzer chooses.
func FuzzJSON(f *testing.F) {
	random := newFiller(rand.New(rand.NewPCG(1, 1)))
	p := startPair(f, 0)
	routes := p.routes()
	names := slices.Sorted(maps.Keys(routes))
	for i, name := range names {
		request, err := answers.NewMessage(p.methods[name].Input())
		if err != nil {
			f.Fatal(err)
		}
		random.fill(request.ProtoReflect(), 2)
		text, err := protojson.Marshal(request)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), text)
		f.Add(uint8(i), damage(random.Rand, text))
	}
	f.Fuzz(func(t *testing.T, method uint8, text []byte) {
		one := *p
		one.TB = t
		name := names[int(method)%len(names)]
		one.post(name, routes[name], text)
		one.unharmed()
	})
}

// damage changes JSON text.
func damage(random *rand.Rand, text []byte) []byte {
	odd := []string{"{", "}", "[", "]", "null", "true", "-1", "1e999", "NaN", "\"", ":", ",", "\x00", "\xff", "\\u0000", "\\ud800", "//",
		`"key":"AA=="`, `"@type":"x"`, "99999999999999999999", "0.5", `"not base64!"`, strings.Repeat("[", 5000), "\u00a0"}
	for range 1 + random.IntN(2) {
		at := random.IntN(len(text) + 1)
		to := min(len(text), at+random.IntN(6))
		text = slices.Concat(text[:at], []byte(odd[random.IntN(len(odd))]), text[to:])
	}
	return text
}

// post sends JSON to a route of both.
func (p *pair) post(method, route string, text []byte) {
	p.Helper()
	if method == pb.Watch_Watch_FullMethodName {
		p.forsake(route, text) // a stream that goes on when its requests end
		return
	}
	request, err := answers.NewMessage(p.methods[method].Input())
	if err != nil {
		p.Fatal(err)
	}
	// The gateway takes the first value of the body and leaves the rest; a body
	// without any is an empty request.
	var first json.RawMessage
	err = json.NewDecoder(bytes.NewReader(text)).Decode(&first)
	if errors.Is(err, io.EOF) {
		first, err = json.RawMessage("{}"), nil
	}
	if err == nil {
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(first, request); err == nil {
			before := proto.Clone(request)
			if !tame(method, request) {
				return
			}
			if !proto.Equal(before, request) {
				if text, err = protojson.Marshal(request); err != nil {
					p.Fatal(err)
				}
			}
		}
	}
	if method == pb.Maintenance_Snapshot_FullMethodName {
		return // pages of a file
	}
	want, got := p.json(p.etcd, method, route, text), p.json(p.tierd, method, route, text)
	if _, refused := answers.Refused()[method]; refused && want.code == http.StatusOK {
		return
	}
	if want.message != nil && got.message != nil {
		want.body, got.body = "", ""
		if diff := answers.Compare(want.message, nil, got.message, nil); diff != "" {
			p.Fatalf("%s <- %.2000q (-etcd +tierd):\n%s", route, text, diff)
		}
	}
	if diff := gocmp.Diff([]any{want.code, want.body}, []any{got.code, got.body}); diff != "" {
		p.Fatalf("%s <- %.2000q (-etcd +tierd):\n%s", route, text, diff)
	}
}

// chosen matches what each system chooses in the headers of streams.
func chosen() *regexp.Regexp {
	return regexp.MustCompile(`"(cluster_id|member_id|raft_term)":"\d+",?`)
}

// compact takes out the blanks that protobuf puts into JSON and texts at random.
func compact(body []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(bytes.ReplaceAll(body, []byte("\u00a0"), []byte(" "))) {
		if json.Compact(&out, line) != nil {
			out.Write(line)
		}
	}
	return out.Bytes()
}

// forsakenBound is how long a client waits before it goes away.
const forsakenBound = 20 * time.Millisecond

// forsake sends tierd JSON and goes away before it is answered.
func (p *pair) forsake(route string, text []byte) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), forsakenBound)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.tierd.endpoint+route, bytes.NewReader(text))
	if err != nil {
		p.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, response.Body) // ends with the client
	if err := response.Body.Close(); err != nil {
		p.Fatal(err)
	}
}

// told is what a route answered: a message, or some text.
type told struct {
	code    int
	message proto.Message
	body    string
}

func (p *pair) json(s *server, method, route string, text []byte) told {
	p.Helper()
	response, err := http.Post(s.endpoint+route, "application/json", bytes.NewReader(text))
	if err != nil {
		p.Fatalf("%s: %s <- %.2000q: %v", s.name, route, text, err)
	}
	body, err := io.ReadAll(response.Body)
	if err := response.Body.Close(); err != nil {
		p.Fatal(err)
	}
	text = chosen().ReplaceAll(compact(body), nil)
	result := told{code: response.StatusCode, body: fmt.Sprintf("%s, %v", text, err)}
	if response.StatusCode != http.StatusOK || p.methods[method].IsStreamingServer() {
		return result
	}
	result.message, err = answers.NewMessage(p.methods[method].Output())
	if err != nil {
		p.Fatal(err)
	}
	if err := protojson.Unmarshal(body, result.message); err != nil {
		p.Fatalf("%s: %s <- %.2000q answers %.2000q: %v", s.name, route, text, body, err)
	}
	return result
}
