package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/tierd/tierd/functions/balance"
	"github.com/tierd/tierd/functions/compact"
	"github.com/tierd/tierd/tiers/object"
)

// parse reads settings as tierd serve does, without serving.
func parse(t *testing.T, environ []string, arguments ...string) (config, error) {
	t.Helper()
	given := &flags{}
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	given.register(fs)
	if err := fs.Parse(arguments); err != nil {
		return config{}, flagError("tierd serve", err)
	}
	warnings, err := applySources(fs, environ)
	if err != nil {
		return config{}, err
	}
	c, err := given.check()
	c.Warnings = append(warnings, c.Warnings...)
	return c, err
}

// file writes a settings file.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tierd.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Where etcd has the setting, its default is etcd's.
func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := parse(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := filepath.Abs("default.tierd/objects")
	if err != nil {
		t.Fatal(err)
	}
	e := c.Endpoint
	for name, got := range map[string]bool{
		"name":        c.Name == "default" && c.DataDir == "default.tierd" && c.Keyspace == "default",
		"quota":       c.QuotaBytes == 2<<30,
		"hot tier":    c.HotTier.Local && c.HotTier.Binary == "",
		"object tier": c.ObjectTier == object.Location{Kind: object.KindFile, Dir: objects},
		"compaction":  c.Compaction == compact.Settings{},
		"balance":     c.Balance == balance.DefaultSettings() && !c.Balance.Off,
		"limits":      e.MaxRequestBytes == 1_572_864 && e.MaxTxnOps == 128 && e.MaxConcurrentStreams == math.MaxUint32,
		"keepalive":   e.Keepalive.MinTime == 5*time.Second && e.Keepalive.Interval == 2*time.Hour && e.Keepalive.Timeout == 20*time.Second,
		"progress":    e.WatchProgressNotifyInterval == 0,
		"listen":      len(e.ListenClientURLs) == 1 && e.ListenClientURLs[0].String() == "http://localhost:2379" && len(e.ListenMetricsURLs) == 0,
		"advertise":   len(c.AdvertiseClientURLs) == 1 && c.AdvertiseClientURLs[0] == "http://localhost:2379",
		"log":         c.Log.JSON && c.Log.Level == 0 && len(c.Log.Outputs) == 1,
		"collector":   c.GCHeadroomBytes == headroomDefault,
		"tracing":     c.Tracing == nil && !e.EnablePprof,
		"warnings":    len(c.Warnings) == 0,
	} {
		if !got {
			t.Errorf("%s is not the default: %+v", name, c)
		}
	}
}

func TestSourcesAreLayered(t *testing.T) {
	t.Parallel()
	path := file(t, "name: from-file\nkeyspace: from-file\nmax-txn-ops: 7\nmax-request-bytes: 1000\n"+
		"listen-client-urls: [http://127.0.0.1:1, \"http://127.0.0.1:2\"]\ngrpc-keepalive-timeout: 3s\nenable-pprof: false\n")
	environ := []string{"TIERD_CONFIG_FILE=" + path, "TIERD_NAME=from-env", "TIERD_KEYSPACE=from-env", "TIERD_MAX_TXN_OPS=",
		"TIERD_FOO=1", "TIERD_TEST_REDIS_SERVER=x", "ETCD_NAME=no"}
	c, err := parse(t, environ, "--name", "from-flag")
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "from-flag" || c.Keyspace != "from-env" || c.Endpoint.MaxTxnOps != 7 || c.Endpoint.MaxRequestBytes != 1000 {
		t.Errorf("the layers are wrong: %+v", c)
	}
	if len(c.Endpoint.ListenClientURLs) != 2 || c.AdvertiseClientURLs[1] != "http://127.0.0.1:2" || c.Endpoint.Keepalive.Timeout != 3*time.Second {
		t.Errorf("the file was not read: %+v", c)
	}
	want := "the environment variable TIERD_FOO is no setting of tierd serve and is ignored"
	if len(c.Warnings) != 1 || c.Warnings[0] != want {
		t.Errorf("got warnings %q, want %q", c.Warnings, want)
	}
}

// Every flag has a variable and a key: nothing can be set in one way only.
func TestEveryFlagHasItsVariable(t *testing.T) {
	t.Parallel()
	given := &flags{}
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	given.register(fs)
	samples := map[string]string{"bool": "true", "duration": "7s", "uint": "7", "uint32": "7", "int": "7", "int64": "7", "uint64": "7", "string": "7", "stringSlice": "7"}
	fs.VisitAll(func(flag *pflag.Flag) {
		if flag.Name == "config-file" {
			return
		}
		value := samples[flag.Value.Type()]
		for _, environ := range [][]string{
			{variableName(flag.Name) + "=" + value},
			{"TIERD_CONFIG_FILE=" + file(t, flag.Name+": "+value)},
		} {
			other := &flags{}
			set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
			other.register(set)
			if _, err := applySources(set, environ); err != nil || !strings.Contains(set.Lookup(flag.Name).Value.String(), value) {
				t.Errorf("%s did not set --%s: %v", environ[0], flag.Name, err)
			}
		}
	})
}

func TestCompactionIsReadAsByEtcd(t *testing.T) {
	t.Parallel()
	cases := []struct {
		mode, retention string
		want            compact.Settings
	}{
		{"periodic", "0", compact.Settings{}},
		{"periodic", "2", compact.Settings{Period: 2 * time.Hour}},
		{"periodic", "5m", compact.Settings{Period: 5 * time.Minute}},
		{"periodic", "1h30m", compact.Settings{Period: 90 * time.Minute}},
		{"revision", "0", compact.Settings{}},
		{"revision", "1000", compact.Settings{Revisions: 1000}},
	}
	for _, c := range cases {
		got, err := parse(t, nil, "--auto-compaction-mode", c.mode, "--auto-compaction-retention", c.retention)
		if err != nil || got.Compaction != c.want {
			t.Errorf("%s %s: got %+v, %v, want %+v", c.mode, c.retention, got.Compaction, err, c.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	const advertise, insecure = "--advertise-client-urls=http://a:2379", "--insecure-plaintext"
	const certificate, key = "--cert-file=c", "--key-file=k"
	cases := []struct {
		arguments []string
		want      string
	}{
		{[]string{"--listen-client-urls=http://0.0.0.0:2379", advertise, insecure},
			"--listen-client-urls http://0.0.0.0:2379 is served without TLS: whoever can see the traffic reads all of it, passwords included, and can change it"},
		{[]string{"--listen-client-urls=http://[::]:2379", advertise, insecure},
			"--listen-client-urls http://[::]:2379 is served without TLS: whoever can see the traffic reads all of it, passwords included, and can change it"},
		{[]string{"--listen-metrics-urls=http://10.0.0.1:2381", insecure},
			"--listen-metrics-urls http://10.0.0.1:2381 is served without TLS: whoever can see the traffic reads all of it, passwords included, and can change it"},
		{[]string{"--listen-client-urls=http://127.0.0.2:2379,http://[::1]:2379,unix:///run/tierd.sock"}, ""},
		{[]string{"--listen-client-urls=https://0.0.0.0:2379,unixs:///run/tierd.sock", advertise, certificate, key}, ""},
		{[]string{certificate, key}, "--listen-client-urls http://localhost:2379 is served without TLS, although there is a certificate"},
		{[]string{"--listen-client-urls=https://localhost:2379", "--listen-metrics-urls=http://localhost:2381", certificate, key, "--client-cert-auth", "--trusted-ca-file=a"},
			"--listen-metrics-urls http://localhost:2381 is served without TLS, although there is a certificate\n" +
				"--listen-metrics-urls http://localhost:2381 is served without TLS, and so asks clients for no certificate"},
		{[]string{"--listen-client-urls=https://localhost:2379", "--auto-tls", certificate, key}, "--auto-tls has no effect beside --cert-file"},
		{[]string{"--watch-progress-notify-interval=10ms"}, "--watch-progress-notify-interval 10ms is too short and raised to 100ms"},
		{[]string{"--object-tier=s3://bucket/prefix"}, ""},
		{[]string{"--object-tier=s3://bucket/prefix?endpoint=http://127.0.0.1:9000"}, ""},
		{[]string{"--object-tier=s3://bucket/prefix?endpoint=http://store.example:9000"},
			"--object-tier s3://bucket/prefix is reached at store.example:9000 without TLS: whoever can see the traffic sees which objects there are, and can change what is answered"},
		{[]string{"--object-tier=none"}, "--object-tier none: no archive is written, and what Redis loses is lost"},
		{[]string{"--hot-tier=redis://a:6379,rediss://:secret@b:6379", "--object-tier=s3://bucket"},
			"--hot-tier redis://a:6379 is reached without TLS that proves who it is: whoever can see the traffic reads and changes everything\n" +
				"the URL of rediss://b:6379 holds a password, which is written to the shard map in Redis as it is: leave it out, and give every frontend --hot-tier-password-file"},
		{[]string{"--hot-tier=rediss://a", "--object-tier=file:///b"},
			"the archive is written to file:///b, which other machines do not see: with more than one frontend give all the same --object-tier s3://"},
	}
	for _, c := range cases {
		got, err := parse(t, nil, c.arguments...)
		if err != nil || strings.Join(got.Warnings, "\n") != c.want {
			t.Errorf("%q: got %q, %v, want %q", c.arguments, got.Warnings, err, c.want)
		}
	}
	raised, err := parse(t, nil, "--watch-progress-notify-interval=10ms")
	if err != nil || raised.Endpoint.WatchProgressNotifyInterval != 100*time.Millisecond {
		t.Errorf("the interval was not raised: %v, %v", raised.Endpoint.WatchProgressNotifyInterval, err)
	}
}

func TestUnlimitedQuota(t *testing.T) {
	t.Parallel()
	if c, err := parse(t, nil, "--quota-backend-bytes=-1"); err != nil || c.QuotaBytes != math.MaxInt64 {
		t.Errorf("got %d, %v", c.QuotaBytes, err)
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		arguments []string
		want      string
	}{
		{nil, "tierd [command]"},
		{[]string{"--help"}, "tierd [command]"},
		{[]string{"serve", "--help"}, "--listen-client-urls"},
		{[]string{"version"}, "etcd Version: 3.7."},
	} {
		var out, errOut bytes.Buffer
		if code := run(c.arguments, nil, &out, &errOut); code != 0 || !strings.Contains(out.String(), c.want) || errOut.Len() != 0 {
			t.Errorf("%q: code %d, output %q, errors %q", c.arguments, code, out.String(), errOut.String())
		}
	}
}
