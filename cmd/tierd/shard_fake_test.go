package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/router"
)

// fakeShards is a shard map in memory that changes as the router's does.
type fakeShards struct {
	topology router.Topology
	alarms   []router.Alarm
	loss     router.Loss
	// refuse gives the error of the next change, if there is one.
	refuse []error
	// look is called at each look at the map.
	look func(*fakeShards)
	// settings are those that the keyspace was opened with.
	settings shardSettings
	log      []string
	closed   bool
}

// threeEndpoints is a keyspace of three endpoints and four ranges.
func threeEndpoints() *fakeShards {
	return &fakeShards{
		topology: router.Topology{
			Revision: 4711, Epoch: 7,
			Endpoints: []router.EndpointStatus{
				{ID: 0, URL: "(the hot tier's)", MemoryBytes: 3 << 30, MemoryMaxBytes: 8 << 30},
				{ID: 1, URL: "redis://b:6379", MemoryBytes: 1 << 30, MemoryMaxBytes: 8 << 30},
				{ID: 2, URL: "redis://c:6379", MemoryBytes: 1 << 20},
			},
			Shards: []router.ShardStatus{
				{ID: 0, Endpoint: 0, Role: router.RoleHome, Keys: 2500, Bytes: 3 << 20, Tail: 9000, Ordered: 9000, Stamped: 9000},
				{ID: 1, Endpoint: 1, Role: router.RoleActive, Keys: 1234567, Bytes: 1 << 20, Tail: 5000, Ordered: 4998, Stamped: 4990, Locked: true},
			},
			Ranges: []router.RangeStatus{
				{To: []byte("g"), Shard: 0, Endpoint: 0, Keys: 1000, Bytes: 1 << 20, Writes: 3000},
				{From: []byte("g"), To: []byte("p\x00"), Shard: 0, Endpoint: 0, Keys: 1500, Bytes: 2 << 20, Writes: 6000},
				{From: []byte("p\x00"), To: []byte("t"), Shard: 1, Endpoint: 1, Keys: 1234000, Bytes: 1 << 19, Writes: 4000},
				{From: []byte("t"), Shard: 1, Endpoint: 1, Keys: 567, Bytes: 1 << 19, Writes: 1000},
			},
		},
		look: func(*fakeShards) {},
	}
}

func (f *fakeShards) Topology(context.Context) (router.Topology, error) {
	f.look(f)
	t := f.topology
	t.Endpoints, t.Ranges, t.Shards = slices.Clone(t.Endpoints), slices.Clone(t.Ranges), slices.Clone(t.Shards)
	return t, nil
}

func (f *fakeShards) Alarms(context.Context) ([]router.Alarm, error) { return f.alarms, nil }

func (f *fakeShards) note(format string, arguments ...any) error {
	f.log = append(f.log, fmt.Sprintf(format, arguments...))
	if len(f.refuse) == 0 {
		return nil
	}
	err := f.refuse[0]
	f.refuse = f.refuse[1:]
	return err
}

func (f *fakeShards) AddEndpoint(_ context.Context, url string) (int, error) {
	return len(f.topology.Endpoints), f.note("add %s", url)
}

func (f *fakeShards) SetDraining(_ context.Context, endpoint int, draining bool) error {
	f.topology.Endpoints[endpoint].Draining = draining
	return f.note("draining %d %v", endpoint, draining)
}

func (f *fakeShards) RemoveEndpoint(_ context.Context, endpoint int) error {
	if err := f.note("remove %d", endpoint); err != nil {
		return err
	}
	f.topology.Endpoints = slices.DeleteFunc(f.topology.Endpoints, func(e router.EndpointStatus) bool { return e.ID == endpoint })
	return nil
}

func (f *fakeShards) Split(_ context.Context, at []byte) error {
	if err := f.note("split %q", at); err != nil {
		return err
	}
	for i, r := range f.topology.Ranges {
		if bytes.Compare(r.From, at) < 0 && (len(r.To) == 0 || bytes.Compare(at, r.To) < 0) {
			left, right := r, r
			left.To, right.From = at, at
			left.Keys, right.Keys = r.Keys/2, r.Keys/2
			f.topology.Ranges = slices.Replace(f.topology.Ranges, i, i+1, left, right)
			return nil
		}
	}
	return router.ErrMap
}

func (f *fakeShards) Merge(_ context.Context, at []byte) error { return f.note("merge %q", at) }

func (f *fakeShards) Move(_ context.Context, from, to []byte, endpoint int, report func(router.MoveStatus)) error {
	if err := f.note("move %q %q %d", from, to, endpoint); err != nil {
		return err
	}
	shard := len(f.topology.Shards)
	f.topology.Shards = append(f.topology.Shards, router.ShardStatus{ID: shard, Endpoint: endpoint, Role: router.RoleActive})
	for keys := int64(0); keys <= 1000; keys += 25 {
		report(router.MoveStatus{From: from, To: to, Shard: shard, Endpoint: endpoint, Step: "copying", Keys: keys, Total: 1000})
	}
	report(router.MoveStatus{From: from, To: to, Shard: shard, Endpoint: endpoint, Step: "switching", Keys: 1000, Total: 1000})
	for i := range f.topology.Ranges {
		r := &f.topology.Ranges[i]
		if bytes.Compare(r.From, from) >= 0 && (len(to) == 0 || (len(r.To) > 0 && bytes.Compare(r.To, to) <= 0)) {
			r.Shard, r.Endpoint = shard, endpoint
		}
	}
	return nil
}

// answer is what a command left.
type answer struct {
	code        int
	out, errOut string
}

// shard runs a shard command on a fake keyspace at redis://a.
func (f *fakeShards) shard(t *testing.T, environ []string, arguments ...string) answer {
	t.Helper()
	return f.run(t, environ, append([]string{"shard"}, arguments...)...)
}

// run runs a command on the fake keyspace.
func (f *fakeShards) run(t *testing.T, environ []string, arguments ...string) answer {
	t.Helper()
	now := time.Unix(1_000_000, 0)
	tool := &shardTool{
		environ: environ, serveFlags: pflag.NewFlagSet("serve", pflag.ContinueOnError),
		open: func(_ context.Context, settings shardSettings) (shardMap, func() error, error) {
			f.settings = settings
			return f, func() error { f.closed = true; return nil }, nil
		},
		now: func() time.Time { return now },
		after: func(d time.Duration) <-chan time.Time {
			now = now.Add(d)
			fired := make(chan time.Time, 1)
			fired <- now
			return fired
		},
	}
	root := newRootCommand(nil)
	faked := map[string]func() *cobra.Command{"shard": tool.root, "recover": tool.recoverCommand}
	for _, cmd := range root.Commands() {
		if faked[cmd.Name()] != nil {
			root.RemoveCommand(cmd)
		}
	}
	root.AddCommand(faked[arguments[0]]())
	var out, errOut bytes.Buffer
	code := execute(root, arguments, &out, &errOut)
	if f.settings.Keyspace != "" && !f.closed {
		t.Error("the keyspace was not closed")
	}
	return answer{code, out.String(), errOut.String()}
}

// on runs a shard command on the hot tier redis://a.
func (f *fakeShards) on(t *testing.T, arguments ...string) answer {
	t.Helper()
	return f.shard(t, []string{"TIERD_HOT_TIER=redis://a:6379"}, arguments...)
}

// wantDone fails unless a command succeeded, with these texts in its output, and
// changed just this.
func (f *fakeShards) wantDone(t *testing.T, a answer, changes []string, texts ...string) {
	t.Helper()
	if a.code != 0 {
		t.Fatalf("code %d:\n%s", a.code, a.errOut)
	}
	for _, text := range texts {
		if !strings.Contains(a.out, text) {
			t.Errorf("the output lacks %q:\n%s", text, a.out)
		}
	}
	if !slices.Equal(f.log, changes) {
		t.Errorf("changed %q, want %q", f.log, changes)
	}
}

// wantRefused fails unless a command ended with a code and this sentence, and changed
// nothing.
func (f *fakeShards) wantRefused(t *testing.T, a answer, code int, sentence string) {
	t.Helper()
	if a.code != code || a.errOut != "tierd: "+sentence+"\n" || a.out != "" || len(f.log) > 0 {
		t.Errorf("code %d, output %q, changes %q, errors:\n%swant code %d:\ntierd: %s", a.code, a.out, f.log, a.errOut, code, sentence)
	}
}

// errLost is a failure of the hot tier.
var errLost = errors.New("connection refused")

// alarmed raises both alarms.
func (f *fakeShards) alarmed() *fakeShards {
	f.alarms = []router.Alarm{{MemberID: 0xbeef, Type: pb.AlarmType_NOSPACE}, {MemberID: 1, Type: pb.AlarmType_CORRUPT}}
	return f
}

func (f *fakeShards) Loss(context.Context) (router.Loss, error) { return f.loss, nil }

func (f *fakeShards) AcceptLoss(_ context.Context, bump router.Revision) (router.Revision, []string, error) {
	if f.loss.Reason == "" && len(f.loss.Shards) == 0 {
		return 0, nil, fmt.Errorf("%w: nothing is lost", router.ErrMap)
	}
	f.log = append(f.log, fmt.Sprintf("accept %d", bump))
	return f.topology.Revision + bump, []string{"k1"}, nil
}
