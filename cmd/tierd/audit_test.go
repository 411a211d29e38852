package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tierd/tierd/test/cluster"
)

// TestAuditLogIsReopened: a file that was moved is begun anew on SIGHUP, which ends no frontend,
// with an audit log or without.
func TestAuditLogIsReopened(t *testing.T) {
	t.Parallel()
	path := filepath.Join(cluster.Folder(t), "audit")
	f := cluster.StartFrontend(t, cluster.FrontendOptions{Args: []string{"--audit-log", path}})
	plain := cluster.StartFrontend(t, cluster.FrontendOptions{})
	put := func(key string) {
		if _, err := f.Client().Put(t.Context(), key, "value"); err != nil {
			t.Fatal(err)
		}
	}
	put("before")
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	f.Signal(syscall.SIGHUP)
	plain.Signal(syscall.SIGHUP)
	put("after")
	if _, err := plain.Client().Put(t.Context(), "key", "value"); err != nil {
		t.Fatal(err)
	}
	f.Stop()
	plain.Stop()
	now, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(path + ".old")
	if err != nil {
		t.Fatal(err)
	}
	all := string(old) + string(now)
	for _, want := range []string{`"event":"begin"`, `"key":"before"`, `"key":"after"`, `"event":"end"`, `"address":"127.0.0.1:`} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in\n%s", want, all)
		}
	}
	if !strings.HasSuffix(string(now), "\"event\":\"end\"}\n") {
		t.Errorf("the new file is\n%s", now)
	}
}

// TestAuditFlags: settings that cannot work are refused.
func TestAuditFlags(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{
		{"--audit-log", "a", "--audit-log-max-bytes", "5"},
		{"--audit-log", "a", "--audit-log-max-bytes", "5000000", "--audit-log-files", "0"},
	} {
		var out, errOut strings.Builder
		if code := run(append([]string{"serve"}, arguments...), nil, &out, &errOut); code != exitUsage || !strings.Contains(errOut.String(), "--audit-log-") {
			t.Errorf("%v: code %d, %s", arguments, code, errOut.String())
		}
	}
}
