package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/router"
)

const listText = `ENDPOINT  URL             SHARDS  RANGES  MEMORY   LIMIT    USED  STATE
0         redis://a:6379  1       2       3.0 GiB  8.0 GiB  37%   ok
1         redis://b:6379  1       2       1.0 GiB  8.0 GiB  12%   draining
2         redis://c:6379  0       0       1.0 MiB  none     -     draining, failing: connection refused

FROM     TO       SHARD  ENDPOINT  KEYS       SIZE     WRITES
""       g        0      0         1,000      1.0 MiB  3,000
g        "p\x00"  0      0         1,500      2.0 MiB  6,000
"p\x00"  t        1      1         1,234,000  512 KiB  4,000
t        ""       1      1         567        512 KiB  1,000
`

func TestShardList(t *testing.T) {
	t.Parallel()
	f := threeEndpoints()
	f.topology.Endpoints[1].Draining = true
	f.topology.Endpoints[2].Draining, f.topology.Endpoints[2].Failure = true, "connection refused"
	if a := f.on(t, "list"); a.out != listText || a.code != 0 || a.errOut != "" {
		t.Errorf("code %d, errors %q, printed\n%s", a.code, a.errOut, a.out)
	}
	f.wantDone(t, f.on(t, "list", "--hex"), nil, "67    7000  0      0")
	var read topologyJSON
	if err := json.Unmarshal([]byte(f.on(t, "list", "-o", "json").out), &read); err != nil {
		t.Fatal(err)
	}
	if read.Revision != 4711 || len(read.Endpoints) != 3 || len(read.Ranges) != 4 || read.Ranges[1].To != (keyJSON{"p\x00", "7000"}) || read.Shards != nil {
		t.Errorf("read %+v", read)
	}
}

func TestShardStatus(t *testing.T) {
	t.Parallel()
	f := threeEndpoints().alarmed()
	f.topology.Move = &router.MoveStatus{From: []byte("t"), Shard: 2, Endpoint: 2, Step: "copying", Keys: 100, Total: 567}
	f.wantDone(t, f.on(t, "status"), nil,
		"Revision:   4711", "Map epoch:  7", `Move:       17% of the keys from "t" on to endpoint 2: copying, 100 of 567 keys, to the new shard 2`,
		"Alarms:     NOSPACE (member beef), CORRUPT (member 1)",
		"1      1         active  1,234,567  1.0 MiB  5,000  2          8          locked",
		"UNORDERED is tail - ordered", "UNSTAMPED is ordered - stamped")
	var read topologyJSON
	if err := json.Unmarshal([]byte(f.on(t, "status", "--output", "json").out), &read); err != nil {
		t.Fatal(err)
	}
	if len(read.Shards) != 2 || read.Shards[1].Unordered != 2 || read.Shards[1].Unstamped != 8 || read.Move.Percent != 17 || read.Alarms[0].Type != "NOSPACE" {
		t.Errorf("read %+v", read)
	}
	f.wantDone(t, threeEndpoints().on(t, "status"), nil, "Move:       none", "Alarms:     none")
}

func TestShardPlan(t *testing.T) {
	t.Parallel()
	f := threeEndpoints()
	f.wantDone(t, f.on(t, "plan"), nil, "Nothing is to be done.\n")
	// Between two looks, five seconds apart, the home shard takes 15,000 writes/s.
	f.topology.Ranges[1].WrittenMiddle = []byte("k")
	f.look = func(f *fakeShards) {
		f.topology.Shards[0].Tail += 75_000
		f.topology.Ranges[1].Writes += 75_000
	}
	f.wantDone(t, f.on(t, "plan"), nil, "1. split k (nothing to copy)\n",
		`   because the keys from "g" to "p\x00" take 15,000 writes/s, more than 10,000 writes/s: "k" halves the last ones.`)
	f.topology.Endpoints[1].Draining = true
	a := f.on(t, "plan", "--sample", "10s", "-o", "json")
	var read planJSON
	if err := json.Unmarshal([]byte(a.out), &read); err != nil {
		t.Fatal(err)
	}
	if len(read.Decisions) != 1 || read.Decisions[0].Kind != "move" || read.Decisions[0].Target != 2 || read.Decisions[0].At != nil || len(read.Notes) != 0 {
		t.Errorf("read %s", a.out)
	}
	f.look = func(f *fakeShards) { f.topology.Epoch++ }
	f.wantDone(t, f.on(t, "plan"), nil, "Note: the shard map changed while writes were counted")
}

func TestShardChanges(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name      string
		arguments []string
		would     string
		did       string
		changes   []string
	}{
		{"add", []string{"add", "redis://user:secret@d:6379"}, "would add redis://d:6379 as a new endpoint", "redis://d:6379 is endpoint 3;", []string{"add redis://user:secret@d:6379"}},
		{"split", []string{"split", "k"}, `would divide the keys from "g" to "p\x00" into the keys from "g" to "k" and the keys from "k" to "p\x00", both on shard 0; nothing would be copied.`,
			`divided the keys from "g" to "p\x00" into`, []string{`split "k"`}},
		{"split in hex", []string{"split", "--hex", "7100"}, `would divide the keys from "p\x00" to "t"`, "divided", []string{`split "q\x00"`}},
		{"merge", []string{"merge", "t"}, `would join the keys from "p\x00" to "t" and the keys from "t" on, on shard 1; nothing would be copied.`, "joined", []string{`merge "t"`}},
		{"move", []string{"move", "g", "t", "--endpoint", "2"}, `would move the keys from "g" to "t" to a new shard on endpoint 2 (redis://c:6379): 1,235,500 keys, 2.5 MiB to copy.`,
			`moved the keys from "g" to "t" to a new shard on endpoint 2 (redis://c:6379).`, []string{`move "g" "t" 2`}},
		{"move all", []string{"move", "", "", "--endpoint", "2"}, "would move all keys to a new shard on endpoint 2 (redis://c:6379): 1,237,067 keys, 4.0 MiB", "moved all keys", []string{`move "" "" 2`}},
		{"move by key", []string{"move", "--key", "z", "--endpoint", "0"}, `would move the keys from "t" on`, "moved", []string{`move "t" "" 0`}},
		{"move by one end", []string{"move", "--to", "g", "--endpoint", "1"}, `would move the keys below "g"`, "moved", []string{`move "" "g" 1`}},
		{"move in hex", []string{"move", "--from", "7000", "--to", "74", "--hex", "--endpoint", "1"}, `would move the keys from "p\x00" to "t"`, "moved", []string{`move "p\x00" "t" 1`}},
		{"drain", []string{"drain", "1"}, "would mark endpoint 1 as draining and move 2 ranges off it: 1,234,567 keys, 1.0 MiB to copy.",
			"no range is left on endpoint 1; 1 shard is there for history only, until that is compacted", []string{"draining 1 true", `move "p\x00" "t" 2`, `move "t" "" 2`}},
		{"drain in the background", []string{"drain", "1", "--background"}, "would mark endpoint 1 as draining and move 2 ranges off it",
			"endpoint 1 is marked: the balancer moves its 2 ranges off it, see tierd shard list.", []string{"draining 1 true"}},
		{"drain what is empty", []string{"drain", "2"}, "move 0 ranges", "no range is left on endpoint 2; no shard is left there either: it can be removed.", []string{"draining 2 true"}},
		{"remove", []string{"remove", "2"}, "would forget endpoint 2.", "endpoint 2 is forgotten: its Redis can be stopped.", []string{"remove 2"}},
		{"undo", []string{"drain", "2", "--undo"}, "would let ranges be moved to endpoint 2 again.", "ranges may be moved to endpoint 2 again.", []string{"draining 2 false"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dry := threeEndpoints()
			dry.wantDone(t, dry.on(t, append(slices.Clone(c.arguments), "--dry-run")...), nil, c.would)
			f := threeEndpoints()
			a := f.on(t, c.arguments...)
			f.wantDone(t, a, c.changes, c.did)
			if strings.Contains(a.out+a.errOut, "secret") {
				t.Errorf("a password is shown:\n%s%s", a.out, a.errOut)
			}
			f = threeEndpoints()
			var read changeJSON
			if a := f.on(t, append(slices.Clone(c.arguments), "--output=json")...); json.Unmarshal([]byte(a.out), &read) != nil || read.DryRun || read.Message == "" {
				t.Errorf("printed no JSON:\n%s", a.out)
			}
		})
	}
}

// The endpoints are brought to what is listed, from wherever they are; where they are so, nothing changes.
func TestShardApply(t *testing.T) {
	t.Parallel()
	const a, b, c, d = "redis://a:6379", "redis://b:6379", "redis://c:6379", "redis://user:secret@d:6379"
	for name, test := range map[string]struct {
		before    func(*fakeShards)
		arguments []string
		changes   []string
		says      []string
	}{
		"as listed":           {nil, []string{a, b, c}, nil, []string{"The keyspace has 3 endpoints, as listed."}},
		"in another order":    {nil, []string{a, c, b}, nil, []string{"as listed"}},
		"one more":            {nil, []string{a, b, c, d}, []string{"add redis://user:secret@d:6379"}, []string{"redis://d:6379 is endpoint 3;"}},
		"an empty one less":   {nil, []string{a, b}, []string{"draining 2 true", "remove 2"}, []string{"endpoint 2 (redis://c:6379) is forgotten: its Redis can be stopped."}},
		"a full one less":     {nil, []string{a, c}, []string{"draining 1 true"}, []string{"endpoint 1 (redis://b:6379) is being drained: 2 ranges are there."}},
		"one for another":     {nil, []string{a, b, d}, []string{"add redis://user:secret@d:6379", "draining 2 true", "remove 2"}, []string{"is endpoint 3", "is forgotten"}},
		"all before any move": {nil, []string{a, "--wait=1h"}, []string{"draining 1 true", "draining 2 true", `move "p\x00" "t" 0`, `move "t" "" 0`, "remove 1", "remove 2"}, []string{"endpoint 1 (redis://b:6379) is forgotten", "endpoint 2 (redis://c:6379) is forgotten"}},
		"one that is let in again": {func(f *fakeShards) { f.topology.Endpoints[2].Draining = true }, []string{a, b, c}, []string{"draining 2 false"},
			[]string{"ranges may be moved to endpoint 2 (redis://c:6379) again."}},
		"one that is drained already":    {func(f *fakeShards) { f.topology.Endpoints[2].Draining = true }, []string{a, b}, []string{"remove 2"}, []string{"is forgotten"}},
		"while the map is being changed": {func(f *fakeShards) { f.refuse = []error{nil, router.ErrBusy} }, []string{a, b}, []string{"draining 2 true", "remove 2"}, []string{"is forgotten by the next run"}},
		"as a rehearsal":                 {nil, []string{a, c, d, "--dry-run"}, nil, []string{"would add redis://d:6379", "would drain endpoint 1 (redis://b:6379), and forget it"}},
	} {
		f := threeEndpoints()
		f.look = func(f *fakeShards) { // the history of what has moved away is compacted
			f.topology.Shards = slices.DeleteFunc(f.topology.Shards, func(s router.ShardStatus) bool {
				return s.ID != 0 && !slices.ContainsFunc(f.topology.Ranges, func(r router.RangeStatus) bool { return r.Shard == s.ID })
			})
		}
		if test.before != nil {
			test.before(f)
		}
		got := f.on(t, append([]string{"apply"}, test.arguments...)...)
		t.Run(name, func(t *testing.T) { f.wantDone(t, got, test.changes, test.says...) })
		if strings.Contains(got.out+got.errOut, "secret") {
			t.Errorf("%s: a password is shown:\n%s%s", name, got.out, got.errOut)
		}
	}
	f := threeEndpoints()
	var read []changeJSON
	if got := f.on(t, "apply", a, b, d, "--output=json"); json.Unmarshal([]byte(got.out), &read) != nil || len(read) != 2 || read[0].Change != "add" || *read[1].Endpoint != 2 {
		t.Errorf("printed other JSON:\n%s", got.out)
	}
}

// What cannot be brought about is said, and what holds something still is not let go.
func TestShardApplyFails(t *testing.T) {
	t.Parallel()
	const a = "redis://a:6379"
	for name, test := range map[string]struct {
		arguments []string
		refuse    []error
		code      int
		want      string
	}{
		"nothing listed":      {nil, nil, exitUsage, "wants the URLs of all endpoints"},
		"another home":        {[]string{"redis://b:6379", a}, nil, exitUsage, "the first URL must be that of the home endpoint, redis://a:6379, and is redis://b:6379"},
		"twice":               {[]string{a, "redis://x:1", "redis://x:1"}, nil, exitUsage, "redis://x:1 is listed twice"},
		"no URL":              {[]string{a, "x://y"}, nil, exitUsage, "the Redis URL must start with"},
		"a negative wait":     {[]string{a, "--wait=-1s"}, nil, exitUsage, "--wait must not be negative"},
		"Redis is away":       {[]string{a, "redis://b:6379", "redis://c:6379", "redis://d:6379"}, []error{errLost}, exitFailure, "add redis://d:6379: connection refused"},
		"history is left":     {[]string{a, "redis://c:6379", "--wait=3s"}, nil, exitFailure, "endpoint 1 (redis://b:6379) holds something still, and its Redis must go on: 1 shard is there for history"},
		"a drain that breaks": {[]string{a, "redis://c:6379", "--wait=3s"}, []error{nil, errLost}, exitFailure, "it stays marked"},
	} {
		f := threeEndpoints()
		f.refuse = test.refuse
		got := f.on(t, append([]string{"apply"}, test.arguments...)...)
		if got.code != test.code || !strings.Contains(got.errOut, test.want) || got.out != "" {
			t.Errorf("%s: code %d, output %q, errors:\n%s", name, got.code, got.out, got.errOut)
		}
	}
}

// A drain halves what is large, waits for changes of others, and goes on where an
// earlier one was stopped.
func TestShardDrainGoesOn(t *testing.T) {
	t.Parallel()
	f := threeEndpoints()
	f.topology.Endpoints[1].Draining = true
	f.topology.Ranges[2].Keys, f.topology.Ranges[2].Middle = 3_000_000, []byte("r")
	f.topology.Ranges[3].Shard, f.topology.Ranges[3].Endpoint = 0, 0
	f.refuse = []error{nil, router.ErrBusy, fmt.Errorf("stale: %w", router.ErrMap)}
	looks := 0
	f.look = func(f *fakeShards) {
		f.topology.Move = nil
		if looks++; looks < 5 {
			f.topology.Move = &router.MoveStatus{From: []byte("t"), Endpoint: 0, Step: "copying", Keys: int64(looks), Total: 10}
		}
	}
	a := f.on(t, "drain", "1")
	f.wantDone(t, a, []string{"draining 1 true", `split "r"`, `split "r"`, `split "r"`, `move "p\x00" "r" 2`, `move "r" "t" 2`}, "no range is left on endpoint 1")
	if !strings.Contains(a.errOut, ` 30% of the keys from "t" on to endpoint 0: copying`) {
		t.Errorf("the move of someone else is not shown:\n%s", a.errOut)
	}
}

func TestShardDrainFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*fakeShards)
		want   string
	}{
		"the hot tier is lost": {func(f *fakeShards) { f.refuse = []error{nil, errLost} }, `move the keys from "p\x00" to "t" to endpoint 2: connection refused`},
		"always busy":          {func(f *fakeShards) { f.refuse = append([]error{nil}, slices.Repeat([]error{router.ErrBusy}, 50)...) }, "another change of the shard map is under way"},
		"no room": {func(f *fakeShards) {
			for i := range f.topology.Endpoints {
				f.topology.Endpoints[i].MemoryBytes, f.topology.Endpoints[i].MemoryMaxBytes = 99, 100
			}
		}, "no other endpoint has room"},
	} {
		f := threeEndpoints()
		c.change(f)
		a := f.on(t, "drain", "1")
		if a.code != exitFailure || !strings.Contains(a.errOut, c.want) || !strings.Contains(a.errOut, "it stays marked") || a.out != "" {
			t.Errorf("%s: code %d, output %q, errors:\n%s", name, a.code, a.out, a.errOut)
		}
	}
}

func TestShardRefusals(t *testing.T) {
	t.Parallel()
	broken := func(f *fakeShards) { f.topology.Endpoints[2].Failure = "connection refused" }
	draining := func(f *fakeShards) { f.topology.Endpoints[2].Draining = true }
	same := func(*fakeShards) {}
	cases := []struct {
		change    func(*fakeShards)
		arguments []string
		code      int
		want      string
	}{
		{same, []string{"lst"}, 2, `tierd shard has no command "lst": see tierd shard --help.`},
		{same, []string{"list", "x"}, 2, `tierd shard list takes no arguments, and got "x".`},
		{same, []string{"list", "--nmae"}, 2, "tierd shard list has no flag --nmae: see tierd shard list --help."},
		{same, []string{"list", "--output", "xml"}, 2, `--output must be table or json, not "xml".`},
		{same, []string{"list", "--keyspace", "{a}"}, 2, `--keyspace must be 1 to 64 letters, digits, dots, underscores or hyphens, not "{a}".`},
		{same, []string{"list", "--replica-acks", "-1"}, 2, "--replica-acks must not be negative, not -1."},
		{same, []string{"list", "--hot-tier", "local"}, 2, "tierd shard list needs --hot-tier at a URL: the private Redis of tierd serve --hot-tier local listens on unix://DATA-DIR/redis/redis.sock while that runs."},
		{same, []string{"plan", "--sample", "10ms"}, 2, "--sample must be at least 1s, not 10ms."},
		{same, []string{"add", "d:6379"}, 2, "the Redis URL must start with redis://, rediss://, redis+cluster://, rediss+cluster:// or unix://."},
		{same, []string{"split"}, 2, "tierd shard split wants KEY, and got 0 arguments: see tierd shard split --help."},
		{same, []string{"split", ""}, 2, "the key must not be empty."},
		{same, []string{"split", "g"}, 2, `a range begins at "g" already.`},
		{same, []string{"split", "g", "--hex"}, 2, `"g" is not a key in hexadecimal digits, as --hex wants it.`},
		{same, []string{"merge", "h"}, 2, `no range begins at "h": see tierd shard list.`},
		{same, []string{"merge", "--hex", "7000"}, 2, `the ranges that meet at "p\x00" are on shards 0 and 1: tierd shard move brings both onto a new one.`},
		{same, []string{"move", "g", "--endpoint", "1"}, 2, "tierd shard move wants one of FROM TO, --key KEY, and --from KEY --to KEY."},
		{same, []string{"move", "g", "t", "--key", "a", "--endpoint", "1"}, 2, "tierd shard move wants one of FROM TO, --key KEY, and --from KEY --to KEY."},
		{same, []string{"move", "g", "t"}, 2, "tierd shard move wants --endpoint, the number of the endpoint to move to."},
		{same, []string{"move", "h", "t", "--endpoint", "1"}, 2, `no range begins at "h": tierd shard split makes one begin there.`},
		{same, []string{"move", "t", "g", "--endpoint", "1"}, 2, `FROM must be below TO, and "t" is not below "g".`},
		{same, []string{"move", "g", "t", "--endpoint", "7"}, 2, "there is no endpoint 7, only 0, 1, 2: see tierd shard list."},
		{draining, []string{"move", "g", "t", "--endpoint", "2"}, 2, "endpoint 2 (redis://c:6379) is being drained: tierd shard drain 2 --undo ends that."},
		{broken, []string{"move", "g", "t", "--endpoint", "2"}, 1, "endpoint 2 (redis://c:6379) does not answer: connection refused."},
		{same, []string{"drain", "x"}, 2, `"x" is not the number of an endpoint: see tierd shard list.`},
		{same, []string{"drain", "0", "--dry-run"}, 2, "endpoint 0 holds the sequencer and cannot be drained: tierd shard move moves its ranges."},
		{same, []string{"drain", "1", "--undo", "--background"}, 2, "--undo and --background cannot be given together."},
		{same, []string{"drain", "3"}, 2, "there is no endpoint 3, only 0, 1, 2: see tierd shard list."},
	}
	for _, c := range cases {
		t.Run(strings.Join(c.arguments, " "), func(t *testing.T) {
			t.Parallel()
			f := threeEndpoints()
			c.change(f)
			f.wantRefused(t, f.on(t, c.arguments...), c.code, c.want)
		})
	}
}

// What the router refuses is the operator's mistake, or a failure.
func TestShardRouterRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		code int
		want string
	}{
		{fmt.Errorf("%w: no", router.ErrMap), 2, `split before "k": the shard map cannot be changed like this: no.`},
		{router.ErrBusy, 1, `split before "k": another change of the shard map is under way: see tierd shard status, and try again when it is done.`},
		{errLost, 1, `split before "k": connection refused.`},
	} {
		f := threeEndpoints()
		f.refuse = []error{c.err}
		if a := f.on(t, "split", "k"); a.code != c.code || a.errOut != "tierd: "+c.want+"\n" || a.out != "" {
			t.Errorf("%v: code %d, output %q, errors:\n%s", c.err, a.code, a.out, a.errOut)
		}
	}
}

// An interrupted command says what becomes of what it began.
func TestShardInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	for _, err := range []error{errLost, router.ErrBusy} {
		if got := explain(ctx, err); !errors.Is(got, err) || !strings.HasPrefix(got.Error(), "interrupted; a change that had begun is finished or undone by itself") {
			t.Errorf("%v is told as %v", err, got)
		}
	}
	if err := explain(ctx, nil); err != nil {
		t.Errorf("nothing went wrong, and told was %v", err)
	}
}

// The settings come from where tierd serve has them.
func TestShardSettings(t *testing.T) {
	t.Parallel()
	path := file(t, "name: frontend\nkeyspace: from-file\nhot-tier: redis://from-file\nredis-server: redis-server\nmax-txn-ops: 7\n")
	f := threeEndpoints()
	a := f.shard(t, []string{"TIERD_KEYSPACE=from-env", "TIERD_CONFIG_FILE=" + path, "TIERD_FOO=1"}, "list")
	f.wantDone(t, a, nil)
	if f.settings.Keyspace != "from-env" || f.settings.HotTier.Endpoint.String() != "redis://from-file" {
		t.Errorf("settings %+v", f.settings)
	}
	if want := "tierd: warning: the environment variable TIERD_FOO is no setting of tierd serve and is ignored.\n"; a.errOut != want {
		t.Errorf("warned %q, want %q", a.errOut, want)
	}
	f = threeEndpoints()
	f.wantDone(t, f.shard(t, []string{"TIERD_KEYSPACE=from-env"}, "list", "--config-file", path, "--keyspace", "from-flag", "--hot-tier", "redis://from-flag", "--replica-acks", "2"), nil)
	if f.settings.ReplicaAcks != 2 || f.settings.Keyspace != "from-flag" || f.settings.HotTier.Endpoint.String() != "redis://from-flag" {
		t.Errorf("settings %+v", f.settings)
	}
	f, path = threeEndpoints(), file(t, "keyspce: x")
	f.wantRefused(t, f.shard(t, nil, "list", "--config-file", path), 2, "the settings file "+path+` has the key "keyspce", which is no setting of tierd serve.`)
}

// Without a terminal, progress is a line at each tenth and at each new step; as JSON,
// an object on a line.
func TestShardProgress(t *testing.T) {
	t.Parallel()
	f := threeEndpoints()
	a := f.on(t, "move", "g", "t", "--endpoint", "2")
	lines := strings.Split(strings.TrimSuffix(a.errOut, "\n"), "\n")
	if len(lines) != 12 || lines[1] != ` 10% of the keys from "g" to "t" to endpoint 2: copying, 100 of 1,000 keys` || !strings.Contains(lines[11], "switching") {
		t.Errorf("%d lines:\n%s", len(lines), a.errOut)
	}
	a = threeEndpoints().on(t, "move", "g", "t", "--endpoint", "2", "--output", "json")
	lines = strings.Split(strings.TrimSuffix(a.errOut, "\n"), "\n")
	for _, line := range lines {
		var m moveJSON
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.Total != 1000 || m.Endpoint != 2 {
			t.Errorf("%v in %q", err, line)
		}
	}
	if len(lines) != 12 {
		t.Errorf("%d lines:\n%s", len(lines), a.errOut)
	}
}

// On a terminal, progress is one line that is drawn again and again.
func TestShardBar(t *testing.T) {
	t.Parallel()
	var drawn strings.Builder
	bar := &progress{out: &drawn, terminal: true}
	bar.report(router.MoveStatus{Endpoint: 2, Step: "copying", Keys: 99999, Total: 200000})
	bar.report(router.MoveStatus{Endpoint: 2, Step: "copying", Keys: 9, Total: 8})
	bar.end()
	bar.end()
	head := "moving all keys to endpoint 2\n"
	first := "[##############................]  49% copying, 99,999 of 200,000 keys"
	second := "[##############################] 100% copying, 9 of 8 keys"
	if got := drawn.String(); got != head+"\r"+first+"\r"+second+strings.Repeat(" ", len(first)-len(second))+"\n" {
		t.Errorf("drawn %q", got)
	}
}

// A Redis that cannot be reached is told of in a sentence.
func TestShardsOfARedisThatIsAway(t *testing.T) {
	t.Parallel()
	var out, errOut bytes.Buffer
	code := run([]string{"shard", "list", "--hot-tier=unix:///nonexistent/redis.sock"}, nil, &out, &errOut)
	if code != exitFailure || !strings.Contains(errOut.String(), "--hot-tier unix:///nonexistent/redis.sock cannot be used") {
		t.Errorf("code %d, output %q, errors %q", code, out.String(), errOut.String())
	}
}
