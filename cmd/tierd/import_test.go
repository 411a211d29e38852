package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/backup/migrate"
	"github.com/tierd/tierd/router"
)

// fakePlace is a place in memory. It is the keyspace that was restored there, too.
type fakePlace struct {
	settings placeSettings
	versions []router.Version
	end      *router.RestoreEnd
	// lose is how many of the versions get lost.
	lose                         int
	restoreErr                   error
	discarded, closed, wasOpened bool
}

func (f *fakePlace) open(_ context.Context, s placeSettings, _ io.Writer) (place, error) {
	f.settings, f.wasOpened = s, true
	return f, nil
}

func (f *fakePlace) Restore(context.Context, router.RestoreStart) (migrate.Restoration, error) {
	return fakeRestoration{f}, f.restoreErr
}
func (f *fakePlace) Discard(context.Context) error                { f.discarded = true; return nil }
func (f *fakePlace) Open(context.Context) (openKeyspace, error)   { return f, nil }
func (f *fakePlace) Close() error                                 { f.closed = true; return nil }
func (f *fakePlace) Memory(context.Context) (int64, int64, error) { return 0, 0, nil }
func (f *fakePlace) Leases(context.Context) ([]router.Lease, router.Revision, error) {
	return f.end.Leases, f.end.Revision, nil
}
func (f *fakePlace) AuthData(context.Context) (router.AuthData, error) {
	return router.AuthData{Fields: f.end.Auth}, nil
}

func (f *fakePlace) HashedHistory(_ context.Context, at router.Revision, yield func(router.Version) error) (router.HistoryInfo, error) {
	for _, v := range f.versions[f.lose:] {
		if err := yield(v); err != nil {
			return router.HistoryInfo{}, err
		}
	}
	return router.HistoryInfo{At: at, Current: f.end.Revision, Compacted: f.end.Compacted}, nil
}

func (f *fakePlace) History(ctx context.Context, _ router.Revision, yield func(router.Version) error) (router.HistoryInfo, error) {
	return f.HashedHistory(ctx, f.end.Revision, yield)
}

type fakeRestoration struct{ place *fakePlace }

func (r fakeRestoration) Resumed() int64 { return 1 }
func (r fakeRestoration) Close()         {}
func (r fakeRestoration) Add(_ context.Context, v router.Version) error {
	r.place.versions = append(r.place.versions, v)
	return nil
}
func (r fakeRestoration) End(_ context.Context, end router.RestoreEnd) error {
	r.place.end = &end
	return nil
}

// migration runs tierd import or export on a fake place.
func (f *fakePlace) migration(t *testing.T, arguments ...string) answer {
	t.Helper()
	environ := []string{"TIERD_HOT_TIER=redis://a:6379"}
	now := func() time.Time { return time.Unix(1_000_000, 0) }
	imports, exports := newImportTool(environ, f.open), newExportTool(environ, f.open)
	imports.now, exports.now = now, now
	root := newRootCommand(nil)
	for _, cmd := range root.Commands() {
		if cmd.Name() == "import" || cmd.Name() == "export" {
			root.RemoveCommand(cmd)
		}
	}
	root.AddCommand(imports.command(), exports.command())
	var out, errOut bytes.Buffer
	code := execute(root, arguments, &out, &errOut)
	if f.wasOpened != f.closed {
		t.Error("the place was not closed")
	}
	return answer{code, out.String(), errOut.String()}
}

// twoKeys is a snapshot file of two keys, one of which has a lease.
func twoKeys(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "two.db")
	w, err := etcdfile.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for n, key := range []string{"a", "b"} {
		revision := int64(n + 2)
		err = errors.Join(err, w.PutVersion(router.Version{Main: router.Revision(revision), KV: &mvccpb.KeyValue{
			Key: []byte(key), Value: []byte("v"), CreateRevision: revision, ModRevision: revision, Version: 1, Lease: 7 * int64(n)}}))
	}
	err = errors.Join(err, w.PutLeases([]router.Lease{{ID: 7, GrantedTTL: 60}}), w.PutMeta(etcdfile.Meta{Revision: 3, Compacted: -1, StorageVersion: "3.7.0"}))
	if _, finishErr := w.Finish(etcdfile.FinishOptions{Digest: true}); err != nil || finishErr != nil {
		t.Fatal(err, finishErr)
	}
	return path
}

func TestImportReports(t *testing.T) {
	t.Parallel()
	f, path := &fakePlace{}, twoKeys(t)
	a := f.migration(t, "import", path, "--keyspace", "k")
	want := "Imported " + path + ` to the keyspace k at redis://a:6379.
  revision      3, never compacted
  keys          2
  versions      2, of which 1 were there from the interrupted import
  leases        1, each with its full time to live
  HashKV        3634928467 at revision 3: equal to the source's
`
	if a.code != 0 || a.out != want || f.settings.Keyspace != "k" || f.end.Leases[0].GrantedTTL != 60 || f.discarded {
		t.Errorf("code %d, printed:\n%s%swant:\n%s", a.code, a.out, a.errOut, want)
	}
	a = (&fakePlace{}).migration(t, "import", path, "-o", "json")
	var document importJSON
	if err := json.Unmarshal([]byte(a.out), &document); err != nil || a.code != 0 || !*document.Equal || document.Versions != 2 || document.Live != nil {
		t.Errorf("code %d (%v), printed:\n%s%s", a.code, err, a.out, a.errOut)
	}
}

func TestImportDryRun(t *testing.T) {
	t.Parallel()
	f := &fakePlace{}
	a := f.migration(t, "import", twoKeys(t), "--dry-run")
	if a.code != 0 || !strings.Contains(a.out, "Nothing was done.") || !strings.Contains(a.out, "versions      2\n") || f.wasOpened {
		t.Errorf("%+v", a)
	}
}

// An import that lost something says so, and fails.
func TestImportDiffers(t *testing.T) {
	t.Parallel()
	a := (&fakePlace{lose: 1}).migration(t, "import", twoKeys(t))
	if a.code != exitFailure || !strings.Contains(a.out, "DIFFERENT") || !strings.Contains(a.errOut, "do not use it") {
		t.Errorf("%+v", a)
	}
}

func TestImportDiscards(t *testing.T) {
	t.Parallel()
	f := &fakePlace{}
	if a := f.migration(t, "import", twoKeys(t), "--discard-interrupted"); a.code != 0 || !f.discarded {
		t.Errorf("%+v", a)
	}
}

func TestImportRefusals(t *testing.T) {
	t.Parallel()
	path := twoKeys(t)
	altered := filepath.Join(t.TempDir(), "altered")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[5000] ^= 1
	if err := os.WriteFile(altered, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]struct {
		place     *fakePlace
		arguments []string
	}{
		"tierd import wants either one file or --endpoints": {&fakePlace{}, nil},
		"either one file or --endpoints.":                   {&fakePlace{}, []string{path, "--endpoints", "http://a:2379"}},
		"--bump-revision and --mark-compacted only work":    {&fakePlace{}, []string{path, "--bump-revision", "5"}},
		"--bump-revision must not be negative":              {&fakePlace{}, []string{path, "--bump-revision", "-5", "--mark-compacted"}},
		"--bump-revision has no meaning with --endpoints":   {&fakePlace{}, []string{"--endpoints", "http://a:2379", "--bump-revision", "5", "--mark-compacted"}},
		"--follow needs --endpoints":                        {&fakePlace{}, []string{path, "--follow"}},
		"--cut-over-when-idle needs --follow":               {&fakePlace{}, []string{"--endpoints", "http://a:2379", "--cut-over-when-idle", "5s"}},
		"--cert and --key only work together":               {&fakePlace{}, []string{"--endpoints", "https://a:2379", "--cert", "c"}},
		"--cacert, --cert, --key, --user and --password":    {&fakePlace{}, []string{path, "--user", "root"}},
		"--password needs --user":                           {&fakePlace{}, []string{"--endpoints", "http://a:2379", "--password", "x"}},
		"--output must be table or json":                    {&fakePlace{}, []string{path, "-o", "yaml"}},
		"--keyspace must be 1 to 64":                        {&fakePlace{}, []string{path, "--keyspace", "{}"}},
		"was altered or cut short":                          {&fakePlace{}, []string{altered}},
		"not an etcd snapshot":                              {&fakePlace{}, []string{"import_test.go"}},
		"choose another name with --keyspace":               {&fakePlace{restoreErr: router.ErrKeyspaceExists}, []string{path}},
		"or start over with --discard-interrupted":          {&fakePlace{restoreErr: router.ErrOtherRestore}, []string{path}},
		"--cacert, --cert or --key cannot be used":          {&fakePlace{}, []string{"--endpoints", "https://a:2379", "--cacert", "/nonexistent"}},
	} {
		a := c.place.migration(t, append([]string{"import"}, c.arguments...)...)
		if a.code != exitUsage || !strings.Contains(a.errOut, want) || a.out != "" || c.place.end != nil {
			t.Errorf("import %q: code %d, errors:\n%swant: %s", c.arguments, a.code, a.errOut, want)
		}
	}
}

func TestExportReports(t *testing.T) {
	t.Parallel()
	f := &fakePlace{}
	if a := f.migration(t, "import", twoKeys(t)); a.code != 0 {
		t.Fatalf("%+v", a)
	}
	path := filepath.Join(t.TempDir(), "export.db")
	f.closed = false
	a := f.migration(t, "export", path)
	for _, text := range []string{"revision      3, never compacted\n", "keys          2\n", "HashKV        3634928467 at revision 3\n", "etcdutl snapshot restore " + path} {
		if a.code != 0 || !strings.Contains(a.out, text) {
			t.Errorf("code %d, no %q in:\n%s%s", a.code, text, a.out, a.errOut)
		}
	}
	for _, arguments := range [][]string{{path}, {}, {path + "2", "--revision", "-1"}, {path + "2", "-o", "yaml"}} {
		if a := (&fakePlace{}).migration(t, append([]string{"export"}, arguments...)...); a.code != exitUsage || a.out != "" {
			t.Errorf("export %q: %+v", arguments, a)
		}
	}
}

func TestLineProgress(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Unix(1_000_000, 0)
	p := &lineProgress{out: &out, now: func() time.Time { return now }}
	p.Step("importing versions", 100_000)
	p.Done(20_000) // resumed
	now = now.Add(4 * time.Second)
	p.Done(40_000)
	p.Done(41_000)
	now = now.Add(4 * time.Second)
	p.Following(5, 9)
	want := "importing versions ...\nimporting versions: 40,000 of 100,000 (40 %), 5,000/s, 12s left\n" +
		"following: imported revision 5, the source is at 9, 4 ahead\n"
	if out.String() != want {
		t.Errorf("printed:\n%swant:\n%s", out.String(), want)
	}
}
