package hot_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tierd/tierd/tiers/hot"
)

func TestParseEndpoint(t *testing.T) {
	t.Parallel()
	cases := []struct{ url, display, client string }{
		{"redis://user:secret@localhost:6379/2?pool_size=3", "redis://localhost:6379/2", "*redis.Client"},
		{"redis://localhost:6379/0", "redis://localhost:6379", "*redis.Client"},
		{"rediss://user:secret@db.example.org:6380", "rediss://db.example.org:6380", "*redis.Client"},
		{"unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1", "*redis.Client"},
		{"redis://h1:6379?addr=h2:6379&addr=h3:6379", "redis://h1:6379", "*redis.ClusterClient"},
		{"redis+cluster://h1:6379", "redis+cluster://h1:6379", "*redis.ClusterClient"},
		{"rediss+cluster://user:secret@h1:6379", "rediss+cluster://h1:6379", "*redis.ClusterClient"},
		{"redis://s1:26379?addr=s2:26379&master_name=main&password=secret", "redis://s1:26379?master_name=main", "*redis.Client"},
	}
	for _, c := range cases {
		endpoint, err := hot.ParseEndpoint(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		client := endpoint.NewClient()
		if got := fmt.Sprintf("%T", client); got != c.client || endpoint.String() != c.display {
			t.Errorf("%s: got %s %s, want %s %s", c.url, got, endpoint, c.client, c.display)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestParseEndpointRefusals(t *testing.T) {
	t.Parallel()
	cases := []struct{ url, want string }{
		{"http://localhost", "the Redis URL must start with redis://, rediss://, redis+cluster://, rediss+cluster:// or unix://"},
		{"localhost:6379", "the Redis URL must start with redis://, rediss://, redis+cluster://, rediss+cluster:// or unix://"},
		{"redis://u:secret@local host", "the Redis URL cannot be read: all but letters and digits of user and password must be percent-encoded, and what follows the @ be a host"},
		{"redis://u:secret@h:6379/x", "the Redis URL redis://h:6379 is not valid: invalid database number: \"x\""},
		{"redis://u:secret@h:6379?poolsize=3", "the Redis URL redis://h:6379 is not valid: unexpected option: poolsize"},
		{"unix://", "the Redis URL unix:// is not valid: empty unix socket path"},
		{"redis://h:6379?master_name=", "the Redis URL redis://h:6379 is not valid: master_name is empty"},
		{"redis://h:6379?max_retries=3", "the Redis URL must not set \"max_retries\": tierd itself decides which calls may be repeated"},
		{"redis+cluster://h:6379?read_only=true", "the Redis URL must not set \"read_only\": tierd reads from primaries only"},
		{"redis://h:6379?protocol=2", "the Redis URL must not set \"protocol\": tierd speaks RESP3 only"},
	}
	for _, c := range cases {
		_, err := hot.ParseEndpoint(c.url)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.url, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the password: %v", c.url, err)
		}
	}
}

// runRedis runs a server with the given settings for the length of the test, and
// waits until url answers anything at all.
func runRedis(t *testing.T, url string, arguments ...string) {
	t.Helper()
	command := exec.Command(testBinary(), arguments...)
	command.Dir = t.TempDir()
	if err := command.Start(); err != nil {
		t.Fatalf("start a server: %v", err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	if url == "" {
		return
	}
	client := dial(t, url)
	eventually(t, "an answer of "+url, func() bool {
		var reply redis.Error
		err := client.Ping(t.Context()).Err()
		return err == nil || errors.As(err, &reply)
	})
}

// onSocket runs a server on a unix socket and returns its URL.
func onSocket(t *testing.T, arguments ...string) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "redis.sock")
	url := "unix://" + socket
	runRedis(t, url, append([]string{"--port", "0", "--unixsocket", socket}, arguments...)...)
	return url
}

// freePort is a port that nobody listened on a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name      string
		arguments []string
		// unfit and warning are the sentence expected; empty for none.
		unfit, warning string
	}{
		{"fit", []string{"--appendonly", "yes", "--appendfsync", "always"}, "", ""},
		{"evicts", []string{"--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "allkeys-lru"},
			`Redis has maxmemory-policy "allkeys-lru" and may delete data to free memory: set maxmemory-policy to noeviction.`, ""},
		{"evicts volatile keys", []string{"--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "volatile-ttl"},
			`Redis has maxmemory-policy "volatile-ttl" and may delete data to free memory: set maxmemory-policy to noeviction.`, ""},
		{"keeps nothing", []string{"--appendonly", "no", "--save", ""},
			"Redis keeps nothing on disk: set appendonly yes and appendfsync always.", ""},
		{"snapshots only", []string{"--appendonly", "no", "--save", "60 1"},
			"", "Redis only saves snapshots: a crash loses every acknowledged write since the last one; set appendonly yes and appendfsync always."},
		{"syncs every second", []string{"--appendonly", "yes", "--appendfsync", "everysec"},
			"", "Redis has appendfsync everysec: a crash loses the acknowledged writes of the last second or more; set appendfsync always."},
		{"does not sync during rewrites", []string{"--appendonly", "yes", "--appendfsync", "always", "--no-appendfsync-on-rewrite", "yes"},
			"", "Redis has no-appendfsync-on-rewrite yes: a crash during an AOF rewrite loses acknowledged writes; set it to no."},
		{"hides its settings", []string{"--appendonly", "yes", "--user", "default", "on", "nopass", "~*", "&*", "+@all", "-config"},
			"", "Redis does not let tierd read appendfsync: unless it is always (or the service keeps a durable log), a crash of Redis loses acknowledged writes."},
		{"hides settings and log", []string{"--appendonly", "no", "--user", "default", "on", "nopass", "~*", "&*", "+@all", "-config"},
			"", "Redis does not let tierd read its persistence settings: unless the service keeps a durable log, a crash of Redis loses acknowledged writes."},
		{"has CONFIG disabled", []string{"--appendonly", "no", "--rename-command", "CONFIG", ""},
			"", "Redis does not let tierd read its persistence settings: unless the service keeps a durable log, a crash of Redis loses acknowledged writes."},
		{"is a replica", []string{"--replicaof", "127.0.0.1 1"},
			"the Redis server is a read-only replica: name its primary, or the Sentinels that know it (master_name=...).", ""},
		{"is in a cluster", []string{"--cluster-enabled", "yes"},
			"the Redis server belongs to a Redis Cluster: write the URL as redis+cluster://... (or rediss+cluster://...).", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			report, err := hot.Check(t.Context(), dial(t, onSocket(t, c.arguments...)))
			checkReport(t, report, err, c.unfit, c.warning)
		})
	}
}

// checkReport compares what Check said with the sentences expected.
func checkReport(t *testing.T, report hot.Report, err error, unfit, warning string) {
	t.Helper()
	if unfit == "" && err != nil || unfit != "" && (!errors.Is(err, hot.ErrUnfit) || err.Error() != unfit) {
		t.Errorf("got error %v, want %q", err, unfit)
	}
	if got := strings.Join(report.Warnings, "\n"); got != warning {
		t.Errorf("got warnings %q, want %q", got, warning)
	}
	if report.Server != "redis" && report.Server != "valkey" || report.Version == "" {
		t.Errorf("the server is not named: %+v", report)
	}
}

// An ACL that forbids INFO leaves nothing to check: that is said, not guessed.
func TestCheckWithoutInfo(t *testing.T) {
	t.Parallel()
	report, err := hot.Check(t.Context(), dial(t, onSocket(t, "--user", "default", "on", "nopass", "~*", "&*", "+@all", "-info")))
	if err != nil || len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "does not let tierd run INFO") {
		t.Errorf("got %+v, %v", report, err)
	}
}

func TestCheckUnreachable(t *testing.T) {
	t.Parallel()
	_, err := hot.Check(t.Context(), dial(t, "unix:///nonexistent/redis.sock"))
	if err == nil || errors.Is(err, hot.ErrUnfit) {
		t.Errorf("got %v", err)
	}
}

func TestCheckOverTLSWithACL(t *testing.T) {
	t.Parallel()
	cert, key := writeCertificate(t)
	port := freePort(t)
	address := "127.0.0.1:" + port
	runRedis(t, "rediss://tierd:pass@"+address+"?skip_verify=true", "--port", "0", "--tls-port", port, "--bind", "127.0.0.1",
		"--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no",
		"--appendonly", "yes", "--appendfsync", "always", "--user", "tierd", "on", ">pass", "~*", "&*", "+@all", "--user", "default", "off")
	report, err := hot.Check(t.Context(), dial(t, "rediss://tierd:pass@"+address+"?skip_verify=true"))
	checkReport(t, report, err, "", "")
	for url, unfit := range map[string]bool{
		"rediss://tierd:pass@" + address:                        false, // an unknown authority
		"rediss://tierd:wrong@" + address + "?skip_verify=true": true,
		"rediss://nobody:pass@" + address + "?skip_verify=true": true,
		"rediss://" + address + "?skip_verify=true":             true,
	} {
		if _, err := hot.Check(t.Context(), dial(t, url)); err == nil || errors.Is(err, hot.ErrUnfit) != unfit {
			t.Errorf("%s: got %v", url, err)
		}
	}
}

// writeCertificate makes a self-signed certificate for the loopback address.
func writeCertificate(t *testing.T) (certPath, keyPath string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPath, keyPath = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, block := range map[string]*pem.Block{certPath: {Type: "CERTIFICATE", Bytes: cert}, keyPath: {Type: "EC PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certPath, keyPath
}

func TestCheckCluster(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	plain := "redis://127.0.0.1:" + port
	runRedis(t, plain, "--port", port, "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--cluster-port", freePort(t),
		"--cluster-announce-ip", "127.0.0.1",
		"--appendonly", "yes", "--appendfsync", "everysec")
	if err := dial(t, plain).Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", "0", "16383").Err(); err != nil {
		t.Fatalf("give the slots to the node: %v", err)
	}
	client := dial(t, "redis+cluster://127.0.0.1:"+port)
	eventually(t, "a cluster that writes", func() bool { return client.Set(t.Context(), "{K:seq}", "v", 0).Err() == nil })
	report, err := hot.Check(t.Context(), client)
	if err != nil || len(report.Warnings) != 1 || !strings.HasPrefix(report.Warnings[0], "127.0.0.1:"+port+": Redis has appendfsync everysec") {
		t.Errorf("got %+v, %v", report, err)
	}
}

func TestCheckSentinel(t *testing.T) {
	t.Parallel()
	port, sentinelPort := freePort(t), freePort(t)
	runRedis(t, "redis://127.0.0.1:"+port, "--port", port, "--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always")
	config := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 %s 1\n", sentinelPort, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "redis://127.0.0.1:" + sentinelPort + "?master_name=main"
	runRedis(t, url, config, "--sentinel")
	report, err := hot.Check(t.Context(), dial(t, url))
	checkReport(t, report, err, "", "")
}
