package advisories

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/test/cluster"
)

// ofCertificates are advisories on TLS and on users who are the names of certificates.
func ofCertificates() []advisory {
	return []advisory{
		{"GHSA-h6xx-pmxh-3wgp", "CVE-2018-16886", "calls through the gateway were made as the user whom the certificate of the server itself names", gatewayIsNobody},
		{"GHSA-3wh4-j44w-pg92", "CVE-2026-59818", "the list of revoked certificates was not looked at by the gRPC listener beside a separate HTTP listener", revokedCertificates},
		{"GHSA-6vch-q96h-7gc3", "CVE-2026-73500", "TLS handshakes had no deadline, and clients that say nothing used up the server", silentHandshakes},
		{"GHSA-5x4g-q5rc-36jp", "", "insecure cipher suites could be chosen without a warning", cipherSuites},
		{"GHSA-vjg6-93fv-qv64", "", "the log did not say whose certificate it was when a user was refused", refusalsAreLogged},
	}
}

// rangeJSON asks the gateway for the key "secret".
const rangeJSON = `{"key":"c2VjcmV0"}`

func gatewayIsNobody(t *testing.T, s *services) {
	client := web(s.authority.TLS(s.authority.Client("root")))
	for _, header := range []map[string]string{nil, {"Grpc-Metadata-Token": ""}, {"Grpcgateway-Accept": "x"}, {"Authorization": ""}, {"Authorization": "root"}} {
		code, body, _ := post(t, client, s.secure.Endpoint()+"/v3/kv/range", rangeJSON, header)
		if code == http.StatusOK || strings.Contains(body, `"kvs"`) {
			t.Errorf("the gateway answers root's certificate with %d, %s; headers %v", code, body, header)
		}
	}
	_, err := pb.NewKVClient(s.as(t, "root")).Range(s.ctx(t, ""), &pb.RangeRequest{Key: []byte("secret")})
	granted(t, "the same over gRPC", err)
}

func revokedCertificates(t *testing.T, s *services) {
	revoked := s.authority.TLS(s.mallory)
	_, err := pb.NewKVClient(s.with(t, revoked)).Range(s.ctx(t, ""), &pb.RangeRequest{Key: []byte("a")})
	if err == nil {
		t.Error("gRPC takes a certificate that is revoked")
	}
	for _, url := range []string{s.secure.Endpoint() + "/health", s.secure.Endpoint() + "/v3/kv/range", "https://" + s.metrics + "/metrics"} {
		response, err := web(revoked).Get(url)
		if err == nil {
			_ = response.Body.Close() // what it says does not matter any more
			t.Errorf("%s takes a certificate that is revoked: %s", url, response.Status)
		}
	}
	usage(t, "has no flag --listen-client-http-urls", "serve", "--listen-client-http-urls", "http://127.0.0.1:1")
}

func silentHandshakes(t *testing.T, s *services) {
	const silent = 200
	_, address, _ := strings.Cut(s.secure.Endpoint(), "://")
	for range silent {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // it may be closed already, which is what is wanted
	}
	_, err := pb.NewKVClient(s.as(t, "alice")).Range(s.ctx(t, ""), &pb.RangeRequest{Key: []byte("a")})
	granted(t, "a call beside clients that say nothing", err)
}

func cipherSuites(t *testing.T, s *services) {
	_, address, _ := strings.Cut(s.secure.Endpoint(), "://")
	for _, suite := range tls.InsecureCipherSuites() {
		config := s.authority.TLS(s.authority.Client("somebody"))
		config.MaxVersion, config.CipherSuites = tls.VersionTLS12, []uint16{suite.ID}
		if conn, err := tls.Dial("tcp", address, config); err == nil {
			_ = conn.Close() // it should not have been opened
			t.Errorf("a connection with %s was opened", suite.Name)
		}
	}
	insecure := tls.InsecureCipherSuites()[0].Name
	f := cluster.StartFrontend(t, cluster.FrontendOptions{Name: "warned", HotTier: s.redis.DatabaseURL(2), Args: []string{"--object-tier", "none", "--cipher-suites", insecure}})
	if log := f.Log(); !strings.Contains(log, "WARN") || !strings.Contains(log, insecure) {
		t.Errorf("nothing warns of %s", insecure)
	}
	usage(t, "--tls-min-version", "serve", "--tls-min-version", "TLS1.1")
}

func refusalsAreLogged(t *testing.T, s *services) {
	_, err := pb.NewKVClient(s.as(t, "stranger")).Range(s.ctx(t, ""), &pb.RangeRequest{Key: []byte("secret")})
	refused(t, "a call of somebody who is no user", deniedText, err)
	cluster.Await(t, bound, "the audit log tells whose certificate was refused", func() error {
		text, err := os.ReadFile(s.auditLog("secure"))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "stranger") && strings.Contains(line, "PermissionDenied") && strings.Contains(line, "127.0.0.1:") {
				return nil
			}
		}
		return fmt.Errorf("it has only:\n%s", text)
	})
}
