//go:build e2e

package packages_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/pki"
)

// patience is how long a frontend may take to be ready.
const patience = 60 * time.Second

// The environment of the chart's container is one that a frontend starts with, without a word about any of its
// variables: with the addresses of a test in it, it serves clients with certificates, and health without.
func TestChartRuns(t *testing.T) {
	t.Parallel()
	c := podOf(t, objects(t, least, "--set", "settings.auto-compaction-retention=5m"), "Deployment/release-tierd").Containers[0]
	dir := cluster.Folder(t)
	authority := pki.New(t, dir, "ca")
	server := authority.Server("server")
	redis := cluster.StartRedis(t, cluster.RedisOptions{TCP: true, User: cluster.LeastUser, Config: cluster.LeastRights(t, "{default:*")})
	ports := cluster.FreePorts(t, 2)
	client, health := "https://127.0.0.1:"+strconv.Itoa(ports[0]), "http://127.0.0.1:"+strconv.Itoa(ports[1])
	own := map[string]string{
		"TIERD_NAME": "pod", "TIERD_HOT_TIER": strings.Replace(redis.TCPURL(), ":"+cluster.UserPassword+"@", "@", 1), "TIERD_HOT_TIER_PASSWORD": cluster.UserPassword,
		"TIERD_REPLICA_ACKS": "0", "TIERD_OBJECT_TIER": "none", "TIERD_ARCHIVE_KMS_KEY": "", "TIERD_CERT_FILE": server.Cert, "TIERD_KEY_FILE": server.Key,
		"TIERD_TRUSTED_CA_FILE": authority.File(), "TIERD_LISTEN_CLIENT_URLS": client, "TIERD_LISTEN_METRICS_URLS": health,
	}
	env := []string{"TIERD_DATA_DIR=" + filepath.Join(dir, "data")}
	for name, value := range c.env(t) {
		if replaced, ok := own[name]; ok {
			value = replaced
		}
		env = append(env, name+"="+value)
	}
	frontend := cluster.NewProcess(t, cluster.Command{Name: "frontend", Path: cluster.Binary(t, false), Args: c.Args, Env: env, LogDir: dir})
	frontend.Start()
	for _, probe := range []string{c.ReadinessProbe.HTTPGet.Path, c.LivenessProbe.HTTPGet.Path} {
		cluster.Await(t, patience, probe, func() error { return get(health + probe) })
	}
	if _, err := cluster.DialTLS(t, authority.TLS(authority.Client("someone")), client).Put(t.Context(), "key", "value"); err != nil {
		t.Error(err)
	}
	if code := frontend.Terminate(patience); code != 0 {
		t.Errorf("it ended with %d", code)
	}
	if log := frontend.Log(); strings.Contains(log, "environment variable") {
		t.Errorf("it wonders about its environment:\n%s", log)
	}
}

func get(url string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %w", response.Status, text, err)
	}
	return nil
}
