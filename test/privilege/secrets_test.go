package privilege

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/objectstore"
)

// secrets are texts that nobody may find, by what they are.
type secrets map[string]string

// mark makes a secret that can be told from everything else.
func (s secrets) mark(what string) string {
	random := make([]byte, 9)
	_, _ = rand.Read(random) // it cannot fail
	s[what] = "SECRET" + hex.EncodeToString(random)
	return s[what]
}

// search fails the test for each secret that a text has, as it is or in another coding.
func (s secrets) search(t *testing.T, where, text string) {
	t.Helper()
	if text == "" {
		t.Errorf("there is no text of %s to search", where)
	}
	for _, found := range s.found(text) {
		t.Errorf("%s has the %s", where, found)
	}
}

// found tells which secrets a text has.
func (s secrets) found(text string) (all []string) {
	for what, secret := range s {
		for coding, coded := range map[string]string{
			"as it is": secret, "in hexadecimal": hex.EncodeToString([]byte(secret)),
			// Without the last group, which depends on what follows.
			"in base64": base64.RawStdEncoding.EncodeToString([]byte(secret))[:len(secret)],
		} {
			if at := strings.Index(text, coded); at >= 0 {
				all = append(all, fmt.Sprintf("%s, %s: ...%.300s", what, coding, text[max(0, at-200):]))
			}
		}
	}
	return all
}

// What is searched for is found.
func TestSecretsAreFound(t *testing.T) {
	t.Parallel()
	s := make(secrets)
	value := s.mark("value")
	for _, text := range []string{value, "x" + value + "y", hex.EncodeToString([]byte(value)), base64.StdEncoding.EncodeToString([]byte(value + "more"))} {
		if len(s.found(text)) != 1 {
			t.Errorf("%s is not found in %s", value, text)
		}
	}
	if found := s.found("SECRET" + value[7:]); len(found) > 0 {
		t.Errorf("%s is found", found)
	}
}

// sink is a collector of traces that keeps what it gets, as text.
type sink struct {
	collector.UnimplementedTraceServiceServer

	mu    sync.Mutex
	text  strings.Builder
	spans int
}

func (s *sink) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.WriteString(r.String())
	for _, resource := range r.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			s.spans += len(scope.GetSpans())
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (s *sink) read() (string, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String(), s.spans
}

// startSink serves a sink until the test ends.
func startSink(t *testing.T) (*sink, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, server := &sink{}, grpc.NewServer()
	collector.RegisterTraceServiceServer(server, s)
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); running.Wait() })
	return s, listener.Addr().String()
}

// leaky is a frontend that has a secret in every place, and what it says.
type leaky struct {
	*testing.T
	secrets
	frontend *cluster.Frontend
	redis    *cluster.Redis
	traces   *sink
	audit    string
	conn     *grpc.ClientConn
	// texts are the errors that clients got.
	texts []string
}

// startLeaky starts a frontend whose tokens are of a kind.
func startLeaky(t *testing.T, kind string) *leaky {
	t.Helper()
	l := &leaky{T: t, secrets: make(secrets)}
	dir := cluster.Folder(t)
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	l.redis = cluster.StartRedis(t, cluster.RedisOptions{Config: l.redisUser()})
	server := objectstore.Start(t)
	archiveKey := make([]byte, 32)
	if _, err := rand.Read(archiveKey); err != nil {
		t.Fatal(err)
	}
	l.secrets["archive key"] = base64.StdEncoding.EncodeToString(archiveKey)
	l.secrets["secret of S3"] = "tierd-test-secret"
	if kind == "jwt" {
		kind = "jwt,sign-method=HS256,priv-key=" + file("jwt.key", l.mark("key of tokens"))
	}
	address := ""
	l.traces, address = startSink(t)
	l.audit = filepath.Join(dir, "audit")
	user, env := "tierd:"+l.secrets["password of Redis"], objectstore.Env()
	if kind != "simple" { // the password can be in two places
		user, env = "tierd", append(slices.Clone(env), "TIERD_HOT_TIER_PASSWORD="+l.secrets["password of Redis"])
	}
	l.frontend = cluster.StartFrontend(t, cluster.FrontendOptions{
		HotTier: "unix://" + user + "@" + strings.TrimPrefix(l.redis.URL(), "unix://"), Env: env,
		Args: []string{
			"--log-level", "debug", "--audit-log", l.audit, "--auth-token", kind, "--bcrypt-cost", "4", "--seal-values",
			"--archive-key-file", file("archive.key", l.secrets["archive key"]), "--archive-interval", "100ms", "--object-tier", server.URL("a"),
			"--enable-distributed-tracing", "--distributed-tracing-address", address, "--distributed-tracing-sampling-rate", "1000000",
		},
	})
	var err error
	if l.conn, err = grpc.NewClient(strings.TrimPrefix(l.frontend.Endpoint(), "http://"), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.conn.Close() })
	return l
}

// redisUser are the arguments that make a user of Redis with a password of this test.
func (l *leaky) redisUser() []string {
	rights := cluster.LeastRights(l.T, "{default:*")
	password := l.mark("password of Redis")
	at := slices.Index(rights, ">"+cluster.UserPassword)
	rights[at] = ">" + password
	return rights
}

// said notes what a client was told; failed also that it was told an error.
func (l *leaky) said(err error) {
	if err != nil {
		l.texts = append(l.texts, err.Error())
	}
}

func (l *leaky) failed(what string, err error) {
	l.Helper()
	if err == nil {
		l.Errorf("%s succeeded", what)
	}
	l.said(err)
}

// post sends JSON to the gateway, with a token.
func (l *leaky) post(path, body, token string) {
	l.Helper()
	request, err := http.NewRequestWithContext(l.Context(), http.MethodPost, l.frontend.Endpoint()+path, strings.NewReader(body))
	if err != nil {
		l.Fatal(err)
	}
	request.Header.Set("Authorization", token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		l.said(err)
		return
	}
	response.Body.Close()
}

// page reads a page of the frontend.
func (l *leaky) page(path string) string {
	l.Helper()
	response, err := http.Get(l.frontend.Endpoint() + path)
	if err != nil {
		l.Fatal(err)
	}
	defer response.Body.Close()
	var text strings.Builder
	if err := response.Write(&text); err != nil {
		l.Fatal(err)
	}
	return text.String()
}

// A frontend with a secret in every place meets whatever can go wrong, at the level of log
// that says most: neither its log, nor what clients are told, nor metrics, traces, health
// pages or the audit log have one of them.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"simple", "jwt"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := startLeaky(t, kind)
			l.useAuth()
			l.useValues()
			l.useHostility()
			l.search(t, "the metrics", l.page("/metrics"))
			l.search(t, "the member list", l.page("/health?verbose"))
			l.losesRedis()
			l.search(t, "readiness", l.page("/readyz?verbose"))
			l.frontend.Terminate(patience)
			l.search(t, "the log", l.frontend.Log())
			l.search(t, "what clients were told", strings.Join(l.texts, "\n"))
			audit, err := os.ReadFile(l.audit)
			if err != nil {
				t.Fatal(err)
			}
			l.search(t, "the audit log", string(audit))
			traces, spans := l.traces.read()
			l.search(t, "the traces", traces)
			if spans < 50 || strings.Count(string(audit), "\n") < 30 || len(l.texts) < 10 {
				t.Errorf("too little happened: %d spans, %d errors, audit log:\n%s", spans, len(l.texts), audit)
			}
			http.DefaultClient.CloseIdleConnections()
		})
	}
}

// losesRedis takes Redis away, and brings it back with another password.
func (l *leaky) losesRedis() {
	l.Helper()
	kv := pb.NewKVClient(l.conn)
	put := func(bound time.Duration) error {
		ctx, cancel := context.WithTimeout(l.Context(), bound)
		defer cancel()
		_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("key"), Value: []byte(l.secrets["value"])})
		return err
	}
	l.redis.Kill()
	l.failed("a put without Redis", put(10*time.Second))
	l.redis.Restart()
	admin := l.redis.Client()
	if err := admin.Do(l.Context(), "acl", "setuser", "tierd", "resetpass", ">other").Err(); err != nil {
		l.Fatal(err)
	}
	if err := admin.Do(l.Context(), "client", "kill", "user", "tierd").Err(); err != nil {
		l.said(err) // Redis says so when there is none.
	}
	l.failed("a put with a wrong password", put(10*time.Second))
}

// Commands that cannot do what they are told have secrets in no sentence.
func TestSecretsOfCommands(t *testing.T) {
	t.Parallel()
	s := make(secrets)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	server := objectstore.Start(t)
	redis := cluster.StartRedis(t, cluster.RedisOptions{})
	url := func(rest string) string { return "redis://tierd:" + s["password"] + "@" + rest }
	s.mark("password")
	s3 := []string{"AWS_ACCESS_KEY_ID=someone", "AWS_SECRET_ACCESS_KEY=" + s.mark("secret of S3"), "AWS_SESSION_TOKEN=" + s.mark("session token"), "AWS_EC2_METADATA_DISABLED=true"}
	badKey := write("bad.key", s.mark("archive key"))
	for what, c := range map[string]struct {
		env       []string
		arguments []string
	}{
		"a port that is none":           {[]string{"TIERD_HOT_TIER=" + url("host:port")}, []string{"serve"}},
		"a blank in the URL":            {[]string{"TIERD_HOT_TIER=" + url("ho st")}, []string{"serve"}},
		"a parameter that is none":      {[]string{"TIERD_HOT_TIER=" + url("127.0.0.1:1?max_retries=3")}, []string{"serve"}},
		"a parameter of a wrong kind":   {[]string{"TIERD_HOT_TIER=" + url("127.0.0.1:1?pool_size=many")}, []string{"serve"}},
		"a user that is unknown":        {[]string{"TIERD_HOT_TIER=unix://tierd:" + s["password"] + "@" + strings.TrimPrefix(redis.URL(), "unix://")}, []string{"serve"}},
		"Redis is away":                 {[]string{"TIERD_HOT_TIER=" + url("127.0.0.1:1")}, []string{"shard", "list"}},
		"a further endpoint":            {[]string{"TIERD_HOT_TIER=" + redis.URL() + "," + url("ho st")}, []string{"serve"}},
		"an endpoint to add":            {[]string{"TIERD_HOT_TIER=" + redis.URL()}, []string{"shard", "add", url("127.0.0.1:1")}},
		"a settings file without sense": {nil, []string{"serve", "--config-file", write("a.yaml", "hot-tier "+url("127.0.0.1:1")+"\n")}},
		"a settings file with a list":   {nil, []string{"serve", "--config-file", write("b.yaml", "hot-tier: {a: "+s["password"]+"}\n")}},
		"a wrong password":              {[]string{"TIERD_HOT_TIER=" + strings.Replace(redis.URL(), "unix://", "unix://tierd@", 1), "TIERD_HOT_TIER_PASSWORD=" + s["password"]}, []string{"serve"}},
		"a password for a tool":         {[]string{"TIERD_HOT_TIER=" + strings.Replace(redis.URL(), "unix://", "unix://tierd@", 1), "TIERD_HOT_TIER_PASSWORD=" + s["password"]}, []string{"shard", "list"}},
		"two passwords":                 {[]string{"TIERD_HOT_TIER=" + redis.URL(), "TIERD_HOT_TIER_PASSWORD=" + s["password"]}, []string{"serve", "--hot-tier-password-file", badKey}},
		"a password that is a list":     {nil, []string{"serve", "--config-file", write("c.yaml", "hot-tier-password: {a: "+s["password"]+"}\n")}},
		"credentials of S3":             {s3, []string{"backup", "list", "--object-tier", server.URL("a")}},
		"a restore with them":           {append(s3, "TIERD_HOT_TIER="+redis.URL()), []string{"restore", "--object-tier", server.URL("a")}},
		"serving with them":             {append(s3, "TIERD_HOT_TIER="+redis.URL(), "TIERD_ARCHIVE_KEY_FILE="+badKey), []string{"serve", "--object-tier", server.URL("a"), "--data-dir", dir}},
		"a key that is none":            {nil, []string{"backup", "verify", "--object-tier", "file://" + dir, "--archive-key-file", badKey}},
		"a key of tokens that is none":  {[]string{"TIERD_HOT_TIER=" + redis.URL()}, []string{"serve", "--auth-token", "jwt,sign-method=RS256,priv-key=" + badKey}},
		"certificates that are none":    {nil, []string{"serve", "--listen-client-urls", "https://127.0.0.1:1", "--cert-file", badKey, "--key-file", badKey}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, cluster.Binary(t, false), append(slices.Clip(c.arguments), "--keyspace", "default")...)
			cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TIERD_LOG_LEVEL=debug", "TIERD_DATA_DIR=" + filepath.Join(dir, fmt.Sprint(len(what)))}, c.env...)
			cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
			output, err := cmd.CombinedOutput()
			if err == nil && ctx.Err() == nil {
				t.Errorf("it succeeded:\n%s", output)
			}
			s.search(t, what, string(output))
		})
	}
}
