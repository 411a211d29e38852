//go:build e2e

package kubernetes_test

import (
	"strconv"
	"strings"
	"testing"
)

// of is the same control plane, failing another test.
func (p *controlPlane) of(t *testing.T) *controlPlane {
	other, api := *p, *p.api
	api.t = t
	other.t, other.api = t, &api
	return &other
}

func (p *controlPlane) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *controlPlane) expect(want, got string) {
	p.t.Helper()
	if want != got {
		p.t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// checkServerIsContent reads the API server's own measurements before anything is
// killed: it trusts the store's progress notifications, so that consistent reads
// come from its cache, and its cache agrees with the store.
func checkServerIsContent(p *controlPlane, _ string) {
	body, err := p.api.get("/metrics")
	p.must(err)
	answered, fallbacks, disagreements := 0.0, 0.0, 0.0
	for line := range strings.Lines(string(body)) {
		name, value, ok := cutMetric(line)
		switch {
		case !ok:
		case strings.HasPrefix(name, "apiserver_watch_cache_consistent_read_total"):
			answered += value
			if strings.Contains(name, `fallback="true"`) {
				fallbacks += value
			}
		case strings.HasPrefix(name, "apiserver_watch_cache_storage_consistency_checks_total"),
			strings.HasPrefix(name, "apiserver_storage_consistency_checks_total"):
			if !strings.Contains(name, `status="success"`) {
				disagreements += value
			}
		}
	}
	p.t.Logf("consistent reads through the cache: %v, of which fell back to the store: %v", answered, fallbacks)
	if p.watchCache && answered == 0 {
		p.t.Error("no consistent read went through the cache: the server does not trust the store's progress notifications")
	}
	if fallbacks > 0 {
		p.t.Errorf("%v consistent reads fell back to the store", fallbacks)
	}
	if disagreements > 0 {
		p.t.Errorf("%v comparisons of the cache with the store failed", disagreements)
	}
}

func cutMetric(line string) (name string, value float64, ok bool) {
	separator := strings.LastIndex(strings.TrimSpace(line), " ")
	if separator < 0 || strings.HasPrefix(line, "#") {
		return "", 0, false
	}
	value, err := strconv.ParseFloat(strings.TrimSpace(line[separator:]), 64)
	return line[:separator], value, err == nil
}

// checkServerLog looks for the sentences with which the API server complains of a
// store that is not what it expects.
func checkServerLog(p *controlPlane, _ string) {
	complaints := []string{
		"PrevKv=nil",
		"RequestWatchProgress feature is not supported",
		"Failed to check if RequestWatchProgress is supported",
		"Failed to parse etcd version",
		"Cache consistency check failed",
		"Invalid resourceVersion",
		"unexpected response",
		"Observed a panic",
		"panic:",
	}
	for line := range strings.Lines(p.server.Log()) {
		for _, complaint := range complaints {
			if strings.Contains(line, complaint) {
				p.t.Errorf("kube-apiserver: %s", line)
			}
		}
	}
}
