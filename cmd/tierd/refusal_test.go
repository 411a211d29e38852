package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Each mistake ends with exit code 2 and exactly one sentence. (Those that are
// found only once parts are opened are left to TestRefusalsOfTheProgram: a
// process has one log for its drivers.)
func TestRefusals(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name      string
		arguments []string
		want      string
	}{
		{"command", []string{"srve"}, `tierd has no command "srve": see tierd --help.`},
		{"flag of tierd", []string{"--nmae"}, "tierd has no flag --nmae: see tierd --help."},
		{"flag", []string{"serve", "--initial-cluster", "x"}, "tierd serve has no flag --initial-cluster: see tierd serve --help."},
		{"argument", []string{"serve", "now"}, `tierd serve takes no arguments, and got "now".`},
		{"argument of version", []string{"version", "now"}, `tierd version takes no arguments, and got "now".`},
		{"no value", []string{"serve", "--name"}, "--name needs a value."},
		{"number", []string{"serve", "--max-txn-ops", "many"}, `--max-txn-ops must be a whole number of 0 or more, within its range, not "many".`},
		{"negative number", []string{"serve", "--max-request-bytes=-1"}, `--max-request-bytes must be a whole number of 0 or more, within its range, not "-1".`},
		{"too large a number", []string{"serve", "--max-concurrent-streams=4294967296"}, `--max-concurrent-streams must be a whole number of 0 or more, within its range, not "4294967296".`},
		{"signed number", []string{"serve", "--quota-backend-bytes=2G"}, `--quota-backend-bytes must be a whole number, within its range, not "2G".`},
		{"duration", []string{"serve", "--grpc-keepalive-timeout=20"}, `--grpc-keepalive-timeout must be a duration such as "30s" or "5m", not "20".`},
		{"switch", []string{"serve", "--enable-pprof=maybe"}, `--enable-pprof must be true or false, not "maybe".`},
		{"list", []string{"serve", `--log-outputs="a`}, `--log-outputs must be a list of values without stray quotes, not "\"a".`},
		{"name", []string{"serve", "--name="}, "--name must not be empty."},
		{"keyspace", []string{"serve", "--keyspace={a}"}, `--keyspace must be 1 to 64 letters, digits, dots, underscores or hyphens, not "{a}".`},
		{"request bytes", []string{"serve", "--max-request-bytes=0"}, "--max-request-bytes must be from 1 to 1073741824, not 0."},
		{"transaction", []string{"serve", "--max-txn-ops=0"}, "--max-txn-ops must be from 1 to 2147483647, not 0."},
		{"headroom", []string{"serve", "--gc-headroom-bytes=1099511627777"}, "--gc-headroom-bytes must be from 0 to 1099511627776, not 1099511627777."},
		{"streams", []string{"serve", "--max-concurrent-streams=0"}, "--max-concurrent-streams must be at least 1."},
		{"keepalive", []string{"serve", "--grpc-keepalive-min-time=-1s"}, "--grpc-keepalive-min-time, --grpc-keepalive-interval and --grpc-keepalive-timeout must not be negative."},
		{"progress", []string{"serve", "--watch-progress-notify-interval=-1s"}, "--watch-progress-notify-interval must not be negative."},
		{"balance", []string{"serve", "--balance-interval=100ms"}, "--balance-interval must be at least 1s, not 100ms."},
		{"compaction mode", []string{"serve", "--auto-compaction-mode=period"}, `--auto-compaction-mode must be periodic or revision, not "period".`},
		{"periodic retention", []string{"serve", "--auto-compaction-retention=-1"},
			`--auto-compaction-retention must be hours or a duration such as 30m with --auto-compaction-mode periodic, not "-1".`},
		{"too many hours", []string{"serve", "--auto-compaction-retention=9999999999"},
			`--auto-compaction-retention must be hours or a duration such as 30m with --auto-compaction-mode periodic, not "9999999999".`},
		{"revision retention", []string{"serve", "--auto-compaction-mode=revision", "--auto-compaction-retention=5m"},
			`--auto-compaction-retention must be a number of revisions with --auto-compaction-mode revision, not "5m".`},
		{"level", []string{"serve", "--log-level=loud"}, `--log-level must be debug, info, warn, error, panic or fatal, not "loud".`},
		{"format", []string{"serve", "--log-format=xml"}, `--log-format must be json or console, not "xml".`},
		{"output", []string{"serve", "--log-outputs=a,,b"}, "--log-outputs must not hold an empty target."},
		{"output file", []string{"serve", "--log-outputs=/nonexistent/log"}, "--log-outputs /nonexistent/log cannot be written: no such file or directory."},
		{"hot tier", []string{"serve", "--hot-tier=here"}, "--hot-tier is neither local nor a URL of a Redis: the Redis URL must start with redis://, rediss://, redis+cluster://, rediss+cluster:// or unix://."},
		{"two hot tiers", []string{"serve", "--hot-tier=redis://h", "--redis-server=redis-server"},
			"--redis-server has no meaning with --hot-tier at a URL: only --hot-tier local runs a server of its own."},
		{"object tier", []string{"serve", "--object-tier=ftp://x"}, `--object-tier cannot be used: the object tier "ftp://x" is none of file://DIR, s3://bucket/prefix and none.`},
		{"no URL", []string{"serve", "--listen-client-urls="}, `--listen-client-urls must name at least one URL.`},
		{"not a URL", []string{"serve", "--listen-client-urls=localhost:2379"}, `--listen-client-urls must be URLs such as http://localhost:2379, not "localhost:2379".`},
		{"no port", []string{"serve", "--listen-client-urls=http://localhost"}, "--listen-client-urls http://localhost has no port."},
		{"port", []string{"serve", "--listen-metrics-urls=http://localhost:99999"}, "--listen-metrics-urls http://localhost:99999 has the port 99999, which is not from 0 to 65535."},
		{"path with TLS", []string{"serve", "--listen-client-urls=https://localhost:2379/x"}, "--listen-client-urls https://localhost:2379/x must be nothing but https://host:port."},
		{"path", []string{"serve", "--listen-client-urls=http://localhost:2379/x"}, "--listen-client-urls http://localhost:2379/x must be nothing but http://host:port."},
		{"one address twice", []string{"serve", "--listen-metrics-urls=http://localhost:2379/"}, "--listen-client-urls and --listen-metrics-urls both name http://localhost:2379/."},
		{"one address with and without TLS", []string{"serve", "--listen-client-urls=http://localhost:2379,https://localhost:2379"},
			"--listen-client-urls and --listen-client-urls both name https://localhost:2379."},
		{"nothing to advertise", []string{"serve", "--listen-client-urls=http://0.0.0.0:2379"},
			"--advertise-client-urls is required with --listen-client-urls http://0.0.0.0:2379, an address that clients cannot dial."},
		{"advertised", []string{"serve", "--advertise-client-urls=here:2379"}, `--advertise-client-urls must be URLs such as http://localhost:2379, not "here:2379".`},
		{"pprof", []string{"serve", "--enable-pprof"}, "--enable-pprof serves profiles on --listen-metrics-urls only, and that is not set."},
		{"sampling", []string{"serve", "--distributed-tracing-sampling-rate=1000001"}, "--distributed-tracing-sampling-rate must be from 0 to 1000000, not 1000001."},
		{"collector", []string{"serve", "--enable-distributed-tracing", "--distributed-tracing-address=collector"},
			`--distributed-tracing-address must be host:port, not "collector".`},
		{"a password", []string{"serve", "--hot-tier-password=SECRET"},
			"--hot-tier-password cannot be given on the command line, which everybody on the machine can read: give it as TIERD_HOT_TIER_PASSWORD, in the settings file, or as --hot-tier-password-file."},
		{"a password for a tool", []string{"shard", "list", "--hot-tier-password=SECRET"}, "tierd shard list has no flag --hot-tier-password: see tierd shard list --help."},
		{"no file", []string{"serve", "--config-file=/nonexistent.yaml"}, "the settings file /nonexistent.yaml cannot be read: no such file or directory."},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			expectRefusal(t, c.arguments, nil, c.want)
		})
	}
}

func expectRefusal(t *testing.T, arguments, environ []string, want string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code := run(arguments, environ, &out, &errOut)
	if code != exitUsage || errOut.String() != "tierd: "+want+"\n" || out.Len() != 0 {
		t.Errorf("code %d, output %q, errors:\n%swant:\ntierd: %s", code, out.String(), errOut.String(), want)
	}
}

// A mistake in the environment or in the file is told with its place.
func TestRefusalsOfOtherSources(t *testing.T) {
	t.Parallel()
	expectRefusal(t, []string{"serve"}, []string{"TIERD_MAX_TXN_OPS=x"},
		`the environment variable TIERD_MAX_TXN_OPS must be a whole number of 0 or more, within its range, not "x".`)
	for text, want := range map[string]string{
		"nmae: x":                 `has the key "nmae", which is no setting of tierd serve.`,
		"config-file: x":          `has the key "config-file", which is no setting of tierd serve.`,
		"name:":                   "gives name no value.",
		"name: {a: b}":            "gives name something other than a plain value or a list of them.",
		"log-outputs: [[a]]":      "gives log-outputs a list of something other than plain values.",
		"- name":                  "is no YAML mapping: yaml: unmarshal errors:   line 1: cannot unmarshal !!seq into map[string]yaml.Node.",
		"name: a\nname: b":        `is no YAML mapping: yaml: unmarshal errors:   line 2: mapping key "name" already defined at line 1.`,
		"name: a\n---\nname: b\n": "holds more than one YAML document.",
	} {
		path := file(t, text)
		expectRefusal(t, []string{"serve", "--config-file", path}, nil, "the settings file "+path+" "+want)
	}
	path := file(t, "grpc-keepalive-timeout: 20")
	expectRefusal(t, []string{"serve", "--config-file", path}, nil,
		"the settings file "+path+`: grpc-keepalive-timeout must be a duration such as "30s" or "5m", not "20".`)
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, bytes.Repeat([]byte("#"), configFileBytesMax+1), 0o600); err != nil {
		t.Fatal(err)
	}
	expectRefusal(t, []string{"serve", "--config-file", large}, nil, "the settings file "+large+" is larger than 1048576 bytes.")
}
