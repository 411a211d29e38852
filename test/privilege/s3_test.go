package privilege

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/objectstore"
)

// tool runs a command of tierd on the archive, with the rights of a policy.
type tool struct {
	*testing.T
	faults   *objectstore.Faults
	settings string
}

func (t *tool) run(p *policy, want string, arguments ...string) {
	t.Helper()
	t.faults.Set(p.judge)
	cmd := exec.CommandContext(t.Context(), cluster.Binary(t, false), append(arguments, "--config-file", t.settings)...)
	cmd.Env = append(os.Environ(), objectstore.Env()...)
	output, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(output), want) {
		t.Errorf("tierd %v: %v\n%s\nwant %q", arguments, err, output, want)
	}
}

// Each role of deploy/s3 is allowed what its commands call, and nothing that they do not:
// a server that refuses all else is all that they meet.
func TestObjectRights(t *testing.T) {
	t.Parallel()
	server, faults := objectstore.Start(t), &objectstore.Faults{}
	url := objectstore.URLAt(faults.Proxy(t, server.Endpoint()), prefix)
	dir := cluster.Folder(t)
	serve, read := readPolicy(t, "serve.json"), readPolicy(t, "read.json")
	prune, rotate := readPolicy(t, "prune.json"), readPolicy(t, "rotate.json")
	keyFile := filepath.Join(dir, "archive.key")

	fill(t, faults, serve, cluster.FrontendOptions{DataDir: filepath.Join(dir, "data"), Env: objectstore.Env(), Args: []string{
		"--object-tier", url, "--archive-key-file", keyFile, "--archive-interval", "100ms", "--snapshot-log-bytes", fmt.Sprint(largeValues << 20), "--snapshot-age", snapshotAge.String(),
	}})
	serve.exact(t)

	x := &tool{T: t, faults: faults, settings: filepath.Join(dir, "tierd.yaml")}
	text := fmt.Sprintf("data-dir: %s\nobject-tier: %s\narchive-key-file: %s\n", filepath.Join(dir, "data"), url, keyFile)
	if err := os.WriteFile(x.settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	x.run(read, "default", "backup", "list")
	x.run(read, "up to revision", "backup", "status")
	x.run(read, "OK: restored", "backup", "verify", "--restore")
	x.run(read, "value", "history", "key1")
	x.run(read, "", "get", "key1")
	x.run(read, "different", "diff", "--from", "2")
	x.run(read, "equal to the archive's", "restore", "--to-keyspace", "other", "--verify")
	read.exact(t)
	x.run(rotate, "1 key encrypted anew", "backup", "rotate-key", "--new-key-file", filepath.Join(dir, "next.key"))
	rotate.exact(t)
	if err := os.Rename(filepath.Join(dir, "next.key"), keyFile); err != nil {
		t.Fatal(err)
	}
	x.run(prune, "Removed", "backup", "prune", "--keep-age", "1s", "--confirm")
	prune.exact(t)
}

// largeValues are of 1 MiB: more than one part of an object holds.
const largeValues = 10

// snapshotAge is how old a snapshot is when the next change brings another.
const snapshotAge = 5 * time.Second

// fill has a frontend write an archive: small blocks that are merged, snapshots, one of them
// in parts, and one whose upload ends half-way.
func fill(t *testing.T, faults *objectstore.Faults, p *policy, options cluster.FrontendOptions) {
	t.Helper()
	faults.Set(p.judge)
	f := cluster.StartFrontend(t, options)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	random := rand.NewChaCha8([32]byte{1})
	failed := false
	faults.Set(func(c objectstore.Call) objectstore.Fault {
		fault := p.judge(c)
		if fault == objectstore.None && c.Operation == "PUT" && c.Query.Has("partNumber") && !failed {
			failed = true
			return objectstore.Denied
		}
		return fault
	})
	// One large object, in parts: a snapshot when all of these are written, or when the one before is old enough.
	for i := range largeValues {
		value := make([]byte, 1<<20)
		if _, err := random.Read(value); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Client().Put(ctx, fmt.Sprint("large", i), string(value)); err != nil {
			t.Fatal(err)
		}
	}
	cluster.Await(t, patience, "all that the policy allows is used", func() error {
		for i := range 50 {
			if _, err := f.Client().Put(ctx, fmt.Sprint("key", i%5), "value"+string(bytes.Repeat([]byte("."), 1000))); err != nil {
				return err
			}
		}
		return p.unused()
	})
	// All of the log lies before a snapshot then, however it was merged: one comes with the first change after the
	// snapshot before is old enough.
	var written time.Time
	var last int64
	cluster.Await(t, patience, "a snapshot of the last revision", func() error {
		if time.Since(written) > 2*snapshotAge {
			put, err := f.Client().Put(t.Context(), "key0", "the last")
			if err != nil {
				return err
			}
			last, written = put.Header.Revision, time.Now()
		}
		if archived := fmt.Sprintf(`"a base was archived","revision":%d,`, last); !strings.Contains(f.Log(), archived) {
			return fmt.Errorf("the log of the frontend does not say %s", archived)
		}
		return nil
	})
	f.Stop()
}
