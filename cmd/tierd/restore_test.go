package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/backup/restore"
	"github.com/tierd/tierd/router"
)

// restoring runs tierd restore from a small archive to a fake place.
func (f *fakePlace) restoring(t *testing.T, dataDir string, arguments ...string) answer {
	t.Helper()
	tool := newRestoreTool(nil, f.open)
	tool.now = func() time.Time { return time.Unix(1_000_000, 0) }
	root := newRootCommand(nil)
	for _, cmd := range root.Commands() {
		if cmd.Name() == "restore" {
			root.RemoveCommand(cmd)
		}
	}
	root.AddCommand(tool.command())
	var out, errOut bytes.Buffer
	code := execute(root, append([]string{"restore", "--data-dir", dataDir, "--to-keyspace", "other"}, arguments...), &out, &errOut)
	if f.wasOpened != f.closed {
		t.Error("the place was not closed")
	}
	return answer{code, strings.ReplaceAll(out.String(), dataDir, "DIR"), errOut.String()}
}

func TestRestoreReports(t *testing.T) {
	t.Parallel()
	f, dir := &fakePlace{}, smallArchive(t)
	a := f.restoring(t, dir)
	want := `Restored the keyspace default from file://DIR/objects to the keyspace other in DIR/redis.
  revision      7, never compacted
  time          2023-11-14T22:13:22.000Z
  keys          2
  versions      6, of which 1 were there from the interrupted restore
  leases        1, each with its full time to live
  took          0.0 s, 0 versions/s
Next: start tierd serve on this keyspace.
`
	if a.code != 0 || a.out != want || f.settings.Keyspace != "other" || f.discarded || len(f.end.Leases) != 1 {
		t.Errorf("code %d, printed:\n%s%swant:\n%s", a.code, a.out, a.errOut, want)
	}
	f = &fakePlace{}
	a = f.restoring(t, dir, "--key-prefix", "b/", "--bump-revision", "100", "--mark-compacted", "--discard-interrupted")
	for _, text := range []string{"revision      107, compacted at 107\n", "keys          1\n", "left out      5 versions of other keys\n"} {
		if a.code != 0 || !strings.Contains(a.out, text) || !f.discarded {
			t.Errorf("no %q in: %+v", text, a)
		}
	}
}

// A restore that lost something says so, and fails.
func TestRestoreDiffers(t *testing.T) {
	t.Parallel()
	a := (&fakePlace{lose: 1}).restoring(t, smallArchive(t), "--verify")
	if a.code != exitFailure || !strings.Contains(a.out, "DIFFERENT") || strings.Contains(a.out, "Next:") || !strings.Contains(a.errOut, "do not use it") {
		t.Errorf("%+v", a)
	}
	a = (&fakePlace{}).restoring(t, smallArchive(t), "--verify")
	if a.code != 0 || !strings.Contains(a.out, "equal to the archive's") {
		t.Errorf("%+v", a)
	}
}

func TestRestoreRefusals(t *testing.T) {
	t.Parallel()
	dir := smallArchive(t)
	for want, err := range map[string]error{
		"choose another name with --to-keyspace":                            router.ErrKeyspaceExists,
		"something was interrupted there: repeat the command that began it": &router.OtherRestore{ID: "something"},
	} {
		if a := (&fakePlace{restoreErr: err}).restoring(t, dir); a.code != exitUsage || !strings.Contains(a.errOut, want) || a.out != "" {
			t.Errorf("%+v, want %s", a, want)
		}
	}
}

func TestRestoreProgress(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	meter, now := new(restore.Meter), time.Unix(1_000_000, 0)
	view := &progressView{out: &out, meter: meter}
	view.show(now) // nothing is known yet
	meter.Total.Store(4 << 20)
	view.show(now)
	now = now.Add(2 * time.Second)
	meter.Versions.Store(150_000)
	meter.Bytes.Store(1 << 20)
	view.show(now)
	view.bar = true
	view.show(now)
	want := "restoring: 0 %, 0 B of 4.0 MiB\nrestoring: 25 %, 1.0 MiB of 4.0 MiB, 150,000 versions, 75,000/s, 6s left\n" +
		"\r[=======                       ] 25 %, 1.0 MiB of 4.0 MiB, 150,000 versions, 75,000/s, 6s left\x1b[K"
	if out.String() != want {
		t.Errorf("printed:\n%q\nwant:\n%q", out.String(), want)
	}
}
