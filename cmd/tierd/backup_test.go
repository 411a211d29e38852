package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/seal"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/object"
)

// smallArchive writes an archive as a frontend with that data directory would: a snapshot at revision 2 and two blocks, of a
// second each.
func smallArchive(t *testing.T) (dataDir string) {
	t.Helper()
	ctx, dataDir := context.Background(), t.TempDir()
	began := time.UnixMilli(1_700_000_000_000)
	a, timeline := archiveIn(t, dataDir), backup.Timeline{Keyspace: "default", Began: began, Cluster: 7}
	if err := a.ClaimEpoch(ctx, timeline, 1, 1, began); err != nil {
		t.Fatal(err)
	}
	_, err := a.WriteBase(ctx, timeline, 1, backup.BaseHead{Revision: 2, Compacted: -1, Time: began, Begins: true}, func(add func(backup.Item) error) error {
		return add(written(2, "a/first", "one", 2, 1))
	})
	if err != nil {
		t.Fatal(err)
	}
	chain := backup.Genesis(timeline)
	for i, items := range [][]backup.Item{
		{written(3, "a/first", "two", 2, 2), written(4, "a/bin", "\x01\xff", 4, 1), {Kind: backup.KindGrant, Revision: 4, Lease: 0x1f, TTLSeconds: 60}},
		{tombstone(5, "a/first"), written(6, "b/long", strings.Repeat("long ", 20), 6, 1), written(7, "a/bin", "\x01\xff", 4, 2)},
	} {
		first := router.Revision(3 + 2*i)
		b := backup.Block{Number: int64(i + 1), First: first, Last: first + 1 + router.Revision(i), Items: items,
			From: began.Add(time.Duration(i) * time.Second), To: began.Add(time.Duration(i+1) * time.Second)}
		if _, chain, err = a.WriteBlock(ctx, timeline, 1, chain, b); err != nil {
			t.Fatal(err)
		}
	}
	return dataDir
}

// archiveIn opens the archive of a frontend with that data directory.
func archiveIn(t *testing.T, dataDir string) *backup.Archive {
	t.Helper()
	ctx := context.Background()
	location, err := object.ParseLocation("file://" + filepath.Join(dataDir, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := object.Open(ctx, location, object.Options{})
	if err != nil {
		t.Fatal(err)
	}
	master, err := seal.OpenKeyFile(filepath.Join(dataDir, "archive.key"), true, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.OpenKeyring(ctx, store, master, "default", rand.Reader, true)
	if err != nil {
		t.Fatal(err)
	}
	return backup.New(store, keys, "default")
}

func written(revision router.Revision, key, value string, create, version int64) backup.Item {
	kv := &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), CreateRevision: create, ModRevision: int64(revision), Version: version}
	return backup.Item{Kind: backup.KindChange, Revision: revision, Version: router.Version{Main: revision, KV: kv}}
}

func tombstone(revision router.Revision, key string) backup.Item {
	return backup.Item{Kind: backup.KindChange, Revision: revision, Version: router.Version{Main: revision, Tombstone: true, KV: &mvccpb.KeyValue{Key: []byte(key)}}}
}

// past runs a command on an archive. Sizes, and where it is, are masked.
func past(t *testing.T, dataDir string, arguments ...string) answer {
	t.Helper()
	var out, errOut bytes.Buffer
	code := run(append(arguments, "--data-dir", dataDir), nil, &out, &errOut)
	mask := func(text string) string {
		text = strings.ReplaceAll(text, dataDir, "DIR")
		text = regexp.MustCompile(`\d+(\.\d)? (B|KiB)`).ReplaceAllString(text, "SIZE")
		return regexp.MustCompile(`SIZE {2,}`).ReplaceAllString(text, "SIZE  ")
	}
	return answer{code, mask(out.String()), mask(errOut.String())}
}

func TestPastTables(t *testing.T) {
	t.Parallel()
	dir := smallArchive(t)
	for _, c := range []struct{ command, want string }{
		{"history a/first", `REVISION  TIME                             VERSION  LEASE  VALUE
2         before 2023-11-14T22:13:20.000Z  1        -      one
3         2023-11-14T22:13:21.000Z         2        -      two
5         2023-11-14T22:13:22.000Z         -        -      (deleted)
`},
		{"history a/first --since 3", `REVISION  TIME                      VERSION  LEASE  VALUE
3         2023-11-14T22:13:21.000Z  2        -      two
5         2023-11-14T22:13:22.000Z  -        -      (deleted)
`},
		{"history nothing", "The archive has no version of that key.\n"},
		{"get --prefix= --at 4", `At revision 4 (2023-11-14T22:13:21.000Z): 2 keys.
KEY      REVISION  VERSION  LEASE  VALUE
a/bin    4         1        -      hex:01ff
a/first  3         2        -      two
`},
		{"get a/first --at 2023-11-14T22:13:20Z --print-value-only", "one\n"},
		{"get a/first", "At revision 7 (2023-11-14T22:13:22.000Z): 0 keys.\n"},
		{"get --hex 612f62696e", `At revision 7 (2023-11-14T22:13:22.000Z): 1 key.
KEY    REVISION  VERSION  LEASE  VALUE
a/bin  7         2        -      hex:01ff
`},
		{"diff --from 2", `From revision 2 (2023-11-14T22:13:20.000Z) to 7 (2023-11-14T22:13:22.000Z): 3 keys different.
CHANGE   KEY      BEFORE  AFTER
created  a/bin    -       hex:01ff
deleted  a/first  one     -
created  b/long   -       long long long long long long long long long long long long long… (100 bytes)
`},
		{"diff --from 4 --to 2023-11-14T22:13:23Z --prefix a", ""},
		{"diff --from 4 --prefix a/b", `From revision 4 (2023-11-14T22:13:21.000Z) to 7 (2023-11-14T22:13:22.000Z): 1 key different.
CHANGE     KEY    BEFORE    AFTER
rewritten  a/bin  hex:01ff  hex:01ff
`},
		{"backup list", `The archive of the keyspace default at file://DIR/objects has 1 timeline.

Timeline 1700000000000-0000000000000007, from 2023-11-14T22:13:20.000Z to revision 7 (2023-11-14T22:13:22.000Z), SIZE
SNAPSHOT    TIME                      SIZE
revision 2  2023-11-14T22:13:20.000Z  SIZE

LOG               FROM                      TO                        SEGMENTS  SIZE
revisions 3 to 7  2023-11-14T22:13:20.000Z  2023-11-14T22:13:22.000Z  2         SIZE
`},
		{"backup verify", `OK: the archive of the keyspace default, every object was read
  OK: timeline 1700000000000-0000000000000007, revisions 2 to 7, 1 snapshot, 2 segments, SIZE
`},
		{"backup prune --keep-age 1d", `KEEP                    TIME                      SIZE  WHY
snapshot at revision 2  2023-11-14T22:13:20.000Z  SIZE  age

Would remove 0 objects, SIZE.
`},
		{"restore --to-keyspace other --dry-run --time 2023-11-14T22:13:21Z --key-prefix a/", `Would restore the keyspace default from file://DIR/objects to the keyspace other in DIR/redis. Nothing was done.
  timeline      1700000000000-0000000000000007
  base          at revision 2 (2023-11-14T22:13:20.000Z), SIZE
  log           2 segments, SIZE
  revision      4
  time          2023-11-14T22:13:21.000Z
  only keys     that begin with "a/"
`},
	} {
		a := past(t, dir, strings.Fields(c.command)...)
		if c.want != "" && (a.code != 0 || a.out != c.want || a.errOut != "") {
			t.Errorf("tierd %s: code %d, printed:\n%s%swant:\n%s", c.command, a.code, a.out, a.errOut, c.want)
		}
		if c.want == "" && (a.code != exitUsage || !strings.Contains(a.errOut, "is after the end of the archive")) {
			t.Errorf("tierd %s: %+v", c.command, a)
		}
	}
}

// A keyspace that was restored has its past in the timeline that it was restored from, but nothing that it left behind there
// is taken for its own.
func TestMomentsBeforeARestore(t *testing.T) {
	t.Parallel()
	dir := smallArchive(t)
	began := time.UnixMilli(1_700_000_100_000)
	_, err := archiveIn(t, dir).WriteBase(context.Background(), backup.Timeline{Keyspace: "default", Began: began, Cluster: 8}, 1,
		backup.BaseHead{Revision: 4, Compacted: -1, Time: began, Begins: true}, func(add func(backup.Item) error) error {
			return add(written(2, "a/first", "restored", 2, 1))
		})
	if err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]string{
		"get a/first --print-value-only":                           "restored\n",
		"get a/first --at 4 --print-value-only":                    "restored\n",
		"get a/first --at 3 --print-value-only":                    "two\n",
		"get a/first --at 2023-11-14T22:13:20Z --print-value-only": "one\n",
		"get a/first --at 2023-11-14T22:15:00Z --print-value-only": "restored\n",
	} {
		if got := past(t, dir, strings.Fields(command)...); got.code != 0 || got.out != want {
			t.Errorf("%s: %+v, want %q", command, got, want)
		}
	}
	// Revision 7 was given up by the restore.
	if got := past(t, dir, "get", "a/first", "--at", "7"); got.code != exitUsage || !strings.Contains(got.errOut, "revision 7 is after the end of the archive, which is at revision 4") {
		t.Errorf("a revision that was given up: %+v", got)
	}
}

func TestBackupStatus(t *testing.T) {
	t.Parallel()
	a := past(t, smallArchive(t), "backup", "status")
	age := regexp.MustCompile(`\(\d+h\d+m\d+s ago\)`)
	want := `The archive of the keyspace default at file://DIR/objects
  timeline      1700000000000-0000000000000007, the newest of 1
  archived      up to revision 7, at 2023-11-14T22:13:22.000Z (AGE)
  snapshot      at revision 2 (2023-11-14T22:13:20.000Z), SIZE, the newest of 1
  objects       4, SIZE
  gaps          none
  keyspace      not looked at: no tierd serve runs on DIR
`
	if got := age.ReplaceAllString(a.out, "(AGE)"); a.code != 0 || got != want {
		t.Errorf("code %d, printed:\n%s%swant:\n%s", a.code, got, a.errOut, want)
	}
}

// Each command that prints JSON prints a document of it, with text as text and other bytes as base64.
func TestPastJSON(t *testing.T) {
	t.Parallel()
	dir := smallArchive(t)
	for command, want := range map[string]string{
		"history a/bin":                               `"base64": "Af8="`,
		"get --prefix= --at 4":                        `"text": "two"`,
		"diff --from 2":                               `"change": "deleted"`,
		"backup list":                                 `"last_revision": 7`,
		"backup status":                               `"live_error": "no tierd serve runs on DIR"`,
		"backup verify --quick":                       `"status": "OK"`,
		"backup prune --keep-age 1h":                  `"removed": false`,
		"restore --to-keyspace x --dry-run":           `"source_revision": 7`,
		"branch --from default@latest name --dry-run": `"keyspace name in DIR/redis"`,
	} {
		a := past(t, dir, append(strings.Fields(command), "-o", "json")...)
		if a.code != 0 || !json.Valid([]byte(a.out)) || !strings.Contains(a.out, want) {
			t.Errorf("tierd %s: code %d, printed:\n%s%swant: %s", command, a.code, a.out, a.errOut, want)
		}
	}
}

// A damaged archive fails the check, with code 1 and the object's name; one that has more than it needs is a warning, with code 3.
func TestBackupVerifyCodes(t *testing.T) {
	t.Parallel()
	dir := smallArchive(t)
	stray := filepath.Join(dir, "objects/default/timelines/1700000000000-0000000000000007/log/stray")
	if err := os.WriteFile(stray, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if a := past(t, dir, "backup", "verify"); a.code != exitWarning || !strings.HasPrefix(a.out, "WARNING: ") || !strings.Contains(a.errOut, "the archive has warnings") {
		t.Errorf("%+v", a)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "objects/default/timelines/*/log/000000000001-*"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	if err := os.Remove(segments[0]); err != nil {
		t.Fatal(err)
	}
	if a := past(t, dir, "backup", "verify", "-o", "json"); a.code != exitFailure || !strings.Contains(a.out, `"status": "FAILURE"`) {
		t.Errorf("%+v", a)
	}
}

// After a rotation only the new key opens the archive.
func TestBackupRotateKey(t *testing.T) {
	t.Parallel()
	dir := smallArchive(t)
	next := filepath.Join(dir, "next.key")
	if a := past(t, dir, "backup", "rotate-key", "--new-key-file", next); a.code != 0 || !strings.Contains(a.out, "1 key encrypted anew") {
		t.Fatalf("%+v", a)
	}
	if a := past(t, dir, "get", "b/long"); a.code != exitUsage || !strings.Contains(a.errOut, "--archive-key-file") {
		t.Errorf("%+v", a)
	}
	if a := past(t, dir, "get", "b/long", "--archive-key-file", next); a.code != 0 || !strings.Contains(a.out, "1 key.") {
		t.Errorf("%+v", a)
	}
}

func TestPastRefusals(t *testing.T) {
	t.Parallel()
	dir := smallArchive(t)
	for command, want := range map[string]string{
		"get":                              "wants either one key or --prefix",
		"get a --prefix b":                 "wants either one key or --prefix",
		"get a --at yesterday":             "--at must be a revision or a time",
		"get a --at 0":                     "--at must be a revision of 1 or more",
		"get a --at 1":                     "is before the first base of the archive",
		"get a --hex":                      "must be hexadecimal digits",
		"get a --keyspace other":           "has no keyspace other; it has: default",
		"get a --timeline 9":               "of 0 timelines",
		"get a --from none":                "there is no archive",
		"get a --archive-key-file missing": "there is no key file missing",
		"diff":                             "--from is needed",
		"diff --from 5 --to 3":             "which is after --to",
		"undo --to 3":                      "--prefix is needed",
		"undo --prefix a":                  "--to is needed",
		"backup prune":                     "--keep-age is needed",
		"backup prune --keep-age soon":     "--keep-age must be days or a duration",
		"backup prune --keep-age 1d --timeline 1": "--timeline has no meaning here",
		"backup verify --revision 5":              "--revision needs --restore",
		"restore":                                 "say where to restore to",
		"restore --to-keyspace {}":                "must have 1 to 64 letters",
		"restore --to-keyspace a --revision 5 --time 2023-11-14T22:13:20Z":      "cannot be given together",
		"restore --to-keyspace a --bump-revision 5":                             "only work together",
		"restore --to-keyspace a --time yesterday":                              "--time must be a time",
		"restore --to-keyspace a --to-hot-tier ftp://x":                         "--hot-tier is neither local nor a URL",
		"restore --to-keyspace a --revision 99":                                 "is after the end of the archive, which is at revision 7",
		"branch name --from default":                                            "--from must be KEYSPACE@REVISION",
		"backup rotate-key --new-key-file a --new-kms-key arn:aws:kms:a:b:key/": "cannot be given together",
	} {
		if a := past(t, dir, strings.Fields(command)...); a.code != exitUsage || !strings.Contains(a.errOut, want) || a.out != "" {
			t.Errorf("tierd %s: code %d, printed:\n%s%swant: %s", command, a.code, a.out, a.errOut, want)
		}
	}
	var out, errOut bytes.Buffer
	if code := run([]string{"backup", "lists"}, nil, &out, &errOut); code != exitUsage || !strings.Contains(errOut.String(), "has no command") {
		t.Errorf("tierd backup lists: code %d, %s", code, errOut.String())
	}
}
