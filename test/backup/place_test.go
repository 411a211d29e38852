package backup

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/seal"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/objectstore"
	"github.com/tierd/tierd/tiers/hot"
	"github.com/tierd/tierd/tiers/object"
)

// keyspace is the name that frontends give theirs.
const keyspace = "default"

// place is an object tier as frontends reach it, and as the test does, without faults.
type place struct {
	// url is the frontends', direct the test's.
	url, direct string
	keyFile     string
	// faults strike the frontends' calls; nil if the object tier is a folder.
	faults *objectstore.Faults
	// server is nil if the object tier is a folder.
	server *objectstore.Server
}

// folder is an object tier in a folder.
func folder(t *testing.T) *place {
	t.Helper()
	dir := cluster.Folder(t)
	url := "file://" + filepath.Join(dir, "objects")
	return &place{url: url, direct: url, keyFile: filepath.Join(dir, "archive.key")}
}

// s3 is an object tier behind faults.
func s3(t *testing.T) *place {
	t.Helper()
	server, faults := objectstore.Start(t), &objectstore.Faults{Delay: 300 * time.Millisecond}
	return &place{
		url: objectstore.URLAt(faults.Proxy(t, server.Endpoint()), "a"), direct: server.URL("a"),
		keyFile: filepath.Join(cluster.Folder(t), "archive.key"), faults: faults, server: server,
	}
}

// args are the flags of frontends.
func (p *place) args(more ...string) []string {
	return append([]string{"--object-tier", p.url, "--archive-key-file", p.keyFile, "--archive-interval", "100ms"}, more...)
}

// env is what each of a number of frontends needs.
func (p *place) env(frontends int) map[int][]string {
	env := make(map[int][]string)
	for n := range frontends {
		env[n] = objectstore.Env()
	}
	return env
}

// store opens the object tier, without faults.
func (p *place) store(t *testing.T) object.Store {
	t.Helper()
	location, err := object.ParseLocation(p.direct)
	if err != nil {
		t.Fatal(err)
	}
	return objectstore.Open(t, location)
}

// open opens the archive to read it.
func (p *place) open(t *testing.T) *backup.Archive {
	t.Helper()
	store := p.store(t)
	master, err := seal.OpenKeyFile(p.keyFile, false, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.OpenKeyring(t.Context(), store, master, keyspace, rand.Reader, false)
	if err != nil {
		t.Fatal(err)
	}
	return backup.New(store, keys, keyspace)
}

// catalog lists the only timeline there is.
func catalog(t *testing.T, a *backup.Archive) *backup.Catalog {
	t.Helper()
	timelines, err := a.Timelines(t.Context())
	if err != nil || len(timelines) != 1 {
		t.Fatalf("the timelines of the archive: %v, %v", timelines, err)
	}
	c, err := a.Catalog(t.Context(), timelines[0])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fleet reaches a hot tier from the test.
func fleet(t *testing.T, member uint64, client redis.UniversalClient) *hot.Fleet {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	f, err := hot.NewFleet(hot.Settings{Keyspace: keyspace, MemberID: member}, hot.Components{Redis: client, Logger: logger, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// serve opens the keyspace in a Redis, for as long as the test.
func serve(t *testing.T, client redis.UniversalClient) *router.Keyspace {
	t.Helper()
	k, err := router.Open(t.Context(), router.Settings{Keyspace: keyspace, Name: "restored", MemberID: 2, QuotaBytes: 8 << 30, RequestTimeout: bound},
		router.Components{Fleet: fleet(t, 2, client), Logger: slog.New(slog.DiscardHandler), Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// unreadable checks that nothing of the load can be read in any object.
func (p *place) unreadable(t *testing.T) {
	t.Helper()
	store, objects, bytes := p.store(t), 0, int64(0)
	for info, err := range store.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		body, err := store.Open(t.Context(), info.Name, 0)
		if errors.Is(err, object.ErrNotFound) {
			continue // merged since
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(body)
		body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, mark := range []string{keyMark, valueMark, "confidential"} {
			if strings.Contains(string(text), mark) || strings.Contains(info.Name, mark) {
				t.Errorf("the object %s contains %s", info.Name, mark)
			}
		}
		objects, bytes = objects+1, bytes+info.Size
	}
	if objects == 0 {
		t.Error("there are no objects")
	}
	t.Logf("%d objects with %d bytes; no key and no value is in any", objects, bytes)
}

// awaitArchived waits until the archive has a revision and what happened to leases while it was the last one.
func awaitArchived(t *testing.T, a *backup.Archive, client *clientv3.Client, revision int64) *backup.Catalog {
	t.Helper()
	live, err := client.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var c *backup.Catalog
	cluster.Await(t, bound, "the archive has everything", func() error {
		c = catalog(t, a)
		if _, archived, _ := c.End(); int64(archived) != revision {
			return fmt.Errorf("it has revision %d of %d", archived, revision)
		}
		plan, err := a.Plan(t.Context(), c, backup.Target{})
		if err != nil {
			return err
		}
		end, err := a.Read(t.Context(), plan, func(backup.Item) error { return nil })
		if err == nil && len(end.Leases) != len(live.Leases) {
			err = fmt.Errorf("it has %d leases of %d", len(end.Leases), len(live.Leases))
		}
		return err
	})
	return c
}
