package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/backup/travel"
	"github.com/tierd/tierd/test/cluster"
)

// archivedThrough waits until the archive has a revision.
func archivedThrough(t *testing.T, f *cluster.Frontend, revision int64) {
	t.Helper()
	cluster.Await(t, patience, fmt.Sprintf("the archive to have revision %d", revision), func() error {
		out, errOut, code := tierd(t, "backup", "status", "--data-dir", f.DataDir(), "-o", "json")
		var status struct {
			Last struct {
				Revision int64 `json:"revision"`
			} `json:"last"`
			Live *struct {
				Revision int64 `json:"revision"`
			} `json:"live"`
		}
		if code != 0 || json.Unmarshal([]byte(out), &status) != nil {
			return fmt.Errorf("tierd backup status: code %d\n%s%s", code, out, errOut)
		}
		if status.Last.Revision < revision || status.Live == nil || status.Live.Revision < revision {
			return errors.New("not yet: " + out)
		}
		return nil
	})
}

// A deletion by mistake is undone while the keyspace is served; what was not asked for stays as it is.
func TestUndo(t *testing.T) {
	t.Parallel()
	const keys = 300
	f := cluster.StartFrontend(t, cluster.FrontendOptions{})
	client := f.Client()
	var head int64
	for i := range keys {
		put, err := client.Put(t.Context(), fmt.Sprintf("pods/%03d", i), fmt.Sprint("value ", i))
		if err != nil {
			t.Fatal(err)
		}
		head = put.Header.Revision
	}
	if _, err := client.Delete(t.Context(), "pods/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Put(t.Context(), "pods/stray", "made by mistake"); err != nil {
		t.Fatal(err)
	}
	other, err := client.Put(t.Context(), "other", "stays")
	if err != nil {
		t.Fatal(err)
	}
	archivedThrough(t, f, other.Header.Revision)
	command := []string{"undo", "--data-dir", f.DataDir(), "--endpoints", f.Endpoint(), "--prefix", "pods/", "--to", fmt.Sprint(head), "-o", "json"}
	type answer struct {
		Changes []struct {
			Change string `json:"change"`
		} `json:"changes"`
		Written bool `json:"written"`
		Results []struct {
			Outcome string `json:"outcome"`
		} `json:"results"`
	}
	ask := func(arguments ...string) (a answer) {
		t.Helper()
		out, errOut, code := tierd(t, append(slices.Clone(command), arguments...)...)
		if err := json.Unmarshal([]byte(out), &a); err != nil || code != 0 {
			t.Fatalf("code %d, %v\n%s%s", code, err, out, errOut)
		}
		return a
	}
	if shown := ask(); len(shown.Changes) != keys+1 || shown.Written {
		t.Fatalf("shown: %d changes, written: %v", len(shown.Changes), shown.Written)
	}
	if now, err := client.Get(t.Context(), "pods/", clientv3.WithPrefix(), clientv3.WithCountOnly()); err != nil || now.Count != 1 || now.Header.Revision != other.Header.Revision {
		t.Fatalf("to show it has changed something: %v (%v)", now, err)
	}
	if done := ask("--confirm"); len(done.Results) != keys+1 || !done.Written {
		t.Fatalf("%+v", done)
	}
	now, err := client.Get(t.Context(), "\x00", clientv3.WithFromKey())
	if err != nil || now.Count != keys+1 || string(now.Kvs[0].Value) != "stays" || string(now.Kvs[7].Value) != "value 6" {
		t.Fatalf("%d keys (%v)", now.Count, err)
	}
	if again := ask("--confirm"); len(again.Changes) != 0 {
		t.Errorf("again: %+v", again)
	}
	refused(t, "--prefix is needed", "undo", "--to", "5")
	out, errOut, code := tierd(t, "history", "pods/007", "--data-dir", filepath.Clean(f.DataDir()))
	if code != 0 || out == "" {
		t.Errorf("code %d\n%s%s", code, out, errOut)
	}
}

// A key that somebody changes after it was compared is left as it is, and all others are brought back; so is a lease.
func TestUndoLeavesWhatOthersChange(t *testing.T) {
	t.Parallel()
	client := cluster.StartFrontend(t, cluster.FrontendOptions{}).Client()
	ctx := t.Context()
	lease, err := client.Grant(ctx, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Put(ctx, "a/leased", "now", clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	var live []travel.KeyValue
	keys := travel.Keys{Key: []byte("a/"), Prefix: true}
	for i := range 450 {
		if _, err := client.Put(ctx, fmt.Sprintf("a/%03d", i), "now"); err != nil {
			t.Fatal(err)
		}
	}
	err = travel.LiveKeys(client, keys)(ctx, func(kv travel.KeyValue) error {
		live = append(live, kv)
		return nil
	})
	if err != nil || len(live) != 451 {
		t.Fatalf("%d keys (%v)", len(live), err)
	}
	var changes []travel.Change
	for i := range live {
		changes = append(changes, travel.Change{Key: live[i].Key, Old: &live[i], New: &travel.KeyValue{Key: live[i].Key, Value: []byte("then")}})
	}
	changes = append(changes, travel.Change{Key: []byte("a/made"), New: &travel.KeyValue{Value: []byte("then")}})
	for _, key := range []string{"a/123", "a/made"} {
		if _, err := client.Put(ctx, key, "later"); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range travel.Undo(ctx, client, changes) {
		want := travel.Done
		if key := string(r.Change.Key); key == "a/123" || key == "a/made" {
			want = travel.Changed
		}
		if r.Outcome != want || r.Err != nil {
			t.Errorf("%s: %s (%v)", r.Change.Key, r.Outcome, r.Err)
		}
	}
	for key, want := range map[string]string{"a/122": "then", "a/123": "later", "a/made": "later", "a/leased": "then"} {
		found, err := client.Get(ctx, key)
		if err != nil || string(found.Kvs[0].Value) != want || (found.Kvs[0].Lease != 0) != (key == "a/leased") {
			t.Errorf("%s: %v (%v)", key, found, err)
		}
	}
	// What was under way when the caller gave up may have been written; what was not begun was not.
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	results := travel.Undo(stopped, client, changes)
	if results[0].Outcome != travel.Unknown || results[len(results)-1].Outcome != travel.Untried {
		t.Errorf("%+v", results[0])
	}
}
