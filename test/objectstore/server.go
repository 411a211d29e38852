package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/pki"
	"github.com/tierd/tierd/tiers/object"
)

const (
	accessKey = "tierd-test"
	secretKey = "tierd-test-secret"
	region    = "us-east-1"
	// Bucket is the one that every server has.
	Bucket = "archive"

	startBound    = 30 * time.Second
	startAttempts = 3
)

// Server is an S3 server process of one test.
type Server struct {
	// Process can be killed, paused and started again; what was stored stays.
	Process *cluster.Process
	port    int
	// authority has signed the server's certificate; nil without TLS.
	authority *pki.Authority
}

// Start starts a server with an empty bucket, stopped when the test ends.
func Start(tb testing.TB) *Server { tb.Helper(); return startAny(tb, nil) }

// StartTLS is Start for a server that speaks TLS, by a certificate of the authority.
func StartTLS(tb testing.TB, authority *pki.Authority) *Server {
	tb.Helper()
	return startAny(tb, authority)
}

func startAny(tb testing.TB, authority *pki.Authority) *Server {
	tb.Helper()
	path := Build(tb)
	var err error
	for range startAttempts {
		var s *Server
		if s, err = start(tb, path, authority); err == nil {
			return s
		}
	}
	tb.Fatalf("start versitygw: %v", err)
	return nil
}

// start tries one port, which somebody else may take before the server does.
func start(tb testing.TB, path string, authority *pki.Authority) (*Server, error) {
	tb.Helper()
	root := cluster.Folder(tb)
	s := &Server{port: cluster.FreePort(tb), authority: authority}
	for _, dir := range []string{"data", "iam", "versions"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			return nil, err
		}
	}
	args := []string{"--access", accessKey, "--secret", secretKey, "--region", region,
		"--port", s.address(), "--iam-dir", filepath.Join(root, "iam"), "--quiet"}
	if authority != nil {
		own := authority.Server("versitygw")
		args = append(args, "--cert", own.Cert, "--key", own.Key)
	}
	s.Process = cluster.NewProcess(tb, cluster.Command{
		Name: "versitygw", Path: path, LogDir: root,
		Args: append(args, "posix", "--versioning-dir", filepath.Join(root, "versions"), filepath.Join(root, "data")),
	})
	s.Process.Start()
	return s, cluster.Poll(startBound, s.makeBucket)
}

// makeBucket succeeds once the server serves, and again when it does so again.
func (s *Server) makeBucket() error {
	connection, err := net.Dial("tcp", s.address())
	if err != nil {
		return err
	}
	connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startBound)
	defer cancel()
	options := s3.Options{Region: region, BaseEndpoint: aws.String(s.Endpoint()), UsePathStyle: true, Credentials: Credentials()}
	if s.authority != nil {
		options.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: s.authority.TLS(pki.Pair{}), DisableKeepAlives: true}}
	}
	client := s3.New(options)
	if _, err = client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(Bucket)}); err != nil {
		if _, head := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(Bucket)}); head == nil {
			return nil
		}
	}
	return err
}

// Restart starts a server that was killed, with all that it stored.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.Process.Start()
	cluster.Await(tb, startBound, "versitygw serves again", s.makeBucket)
}

func (s *Server) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Endpoint is the server's URL.
func (s *Server) Endpoint() string {
	if s.authority != nil {
		return "https://" + s.address()
	}
	return "http://" + s.address()
}

// Location is a place in the server's bucket.
func (s *Server) Location(prefix string) object.Location { return LocationAt(s.Endpoint(), prefix) }

// URL is Location as flags take it.
func (s *Server) URL(prefix string) string { return URLAt(s.Endpoint(), prefix) }

// LocationAt is a place in the bucket of a server that is reached at endpoint, for one
// behind Faults.
func LocationAt(endpoint, prefix string) object.Location {
	return object.Location{Kind: object.KindS3, Bucket: Bucket, Prefix: prefix, Region: region, Endpoint: endpoint, PathStyle: true}
}

// URLAt is LocationAt as flags take it.
func URLAt(endpoint, prefix string) string {
	return fmt.Sprintf("s3://%s/%s?region=%s&endpoint=%s&path-style=true", Bucket, prefix, region, endpoint)
}

// Env is what a process needs to use the server, and nothing of this machine's settings.
func Env() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_SESSION_TOKEN=",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull}
}

// Credentials are those of Env for a client in the test's own process.
func Credentials() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(accessKey, secretKey, "")
}

// Open opens the store at a location of a Server, with attempts that follow each other at once.
func Open(tb testing.TB, location object.Location) object.Store {
	tb.Helper()
	store, err := object.Open(tb.Context(), location, object.Options{
		Credentials: Credentials(),
		Limits:      object.Limits{BackoffMax: 10 * time.Millisecond},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if closer, ok := store.(io.Closer); ok {
			if err := closer.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
				tb.Error(err)
			}
		}
	})
	return store
}
