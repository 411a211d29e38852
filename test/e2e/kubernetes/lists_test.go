//go:build e2e

package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tierd/tierd/test/cluster"
)

const (
	listedObjects = 120
	pageSize      = 25
)

// checkPages reads a list in pages while it changes: all pages together are the
// list as it was at the first page.
func checkPages(p *controlPlane, namespace string) {
	want := make([]string, 0, listedObjects)
	for number := range listedObjects {
		name := fmt.Sprintf("item-%03d", number)
		_, err := p.api.createConfigMap(namespace, name, "x")
		p.must(err)
		want = append(want, name)
	}
	lines := strings.Fields(p.kubectl("", "get", "configmaps", "-n", namespace, "--chunk-size=25", "-o", "name"))
	p.expect(fmt.Sprint(listedObjects), fmt.Sprint(countPrefix(lines, "configmap/item-")))

	var got []string
	next := ""
	for page := 0; page == 0 || next != ""; page++ {
		listed := p.api.mustList(fmt.Sprintf("%s?limit=%d&continue=%s", configMaps(namespace), pageSize, next))
		if len(listed.Items) > pageSize {
			p.t.Errorf("page %d has %d items, the limit is %d", page, len(listed.Items), pageSize)
		}
		for _, item := range listed.Items {
			got = append(got, item.Metadata.Name)
		}
		if left := listed.Metadata.RemainingItemCount; page == 0 && left < listedObjects-pageSize {
			p.t.Errorf("%d items remain after the first page of %d", left, listedObjects)
		}
		if page == 0 {
			p.must(p.api.deleteConfigMap(namespace, "item-100"))
			_, err := p.api.createConfigMap(namespace, "item-110-late", "x")
			p.must(err)
		}
		next = listed.Metadata.Continue
	}
	got = slices.DeleteFunc(got, func(name string) bool { return !strings.HasPrefix(name, "item-") })
	p.expect(fmt.Sprint(want), fmt.Sprint(got))
}

func countPrefix(lines []string, prefix string) int {
	count := 0
	for _, line := range lines {
		if strings.HasPrefix(line, prefix) {
			count++
		}
	}
	return count
}

// checkOldVersions lists at exact versions of the past.
func checkOldVersions(p *controlPlane, namespace string) {
	first, err := p.api.createConfigMap(namespace, "a", "1")
	p.must(err)
	second, err := p.api.createConfigMap(namespace, "b", "1")
	p.must(err)
	changed := first
	changed.Data = map[string]string{"value": "2"}
	third, err := p.api.replaceConfigMap(namespace, changed)
	p.must(err)
	p.must(p.api.deleteConfigMap(namespace, "b"))

	for _, past := range []struct{ version, want string }{
		{first.Metadata.ResourceVersion, "a=1"},
		{second.Metadata.ResourceVersion, "a=1 b=1"},
		{third.Metadata.ResourceVersion, "a=2 b=1"},
	} {
		for _, limit := range []string{"", "&limit=500"} {
			listed := p.api.mustList(configMaps(namespace) + "?resourceVersionMatch=Exact&resourceVersion=" + past.version + limit)
			p.expect(past.want, contents(listed))
			p.expect(past.version, listed.Metadata.ResourceVersion)
		}
	}
	p.expect("a=2", contents(p.api.mustList(configMaps(namespace))))
	notOlder := p.api.mustList(configMaps(namespace) + "?resourceVersionMatch=NotOlderThan&resourceVersion=" + third.Metadata.ResourceVersion)
	if parseVersion(p.t, notOlder.Metadata.ResourceVersion) < third.version(p.t) {
		p.t.Errorf("a list not older than %s is of %s", third.Metadata.ResourceVersion, notOlder.Metadata.ResourceVersion)
	}
	var refused *statusError
	future := fmt.Sprint(third.version(p.t) + 1_000_000)
	if _, err := p.api.list(configMaps(namespace) + "?resourceVersionMatch=Exact&resourceVersion=" + future); !errors.As(err, &refused) {
		p.t.Errorf("a list at a future version: %v, want a refusal", err)
	}
}

// contents renders the test's own objects of a list.
func contents(listed list) string {
	var parts []string
	for _, item := range listed.Items {
		if item.Metadata.Name != "kube-root-ca.crt" {
			parts = append(parts, item.Metadata.Name+"="+item.Data["value"])
		}
	}
	return strings.Join(parts, " ")
}

// checkCompactedVersions compacts the store and asks for what is gone: 410, which
// tells clients to list again. With the watch cache such requests are answered
// from memory, so this is about the mode without.
func checkCompactedVersions(p *controlPlane, namespace string) {
	if p.watchCache {
		p.t.Skip("answered from the API server's memory in this mode")
	}
	old, err := p.api.createConfigMap(namespace, "a", "1")
	p.must(err)
	for _, name := range []string{"b", "c"} {
		_, err = p.api.createConfigMap(namespace, name, "1")
		p.must(err)
	}
	p.compact()

	var refused *statusError
	_, err = p.api.list(configMaps(namespace) + "?resourceVersionMatch=Exact&resourceVersion=" + old.Metadata.ResourceVersion)
	if !errors.As(err, &refused) || refused.code != http.StatusGone {
		p.t.Errorf("a list at a compacted version: %v, want 410", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), conditionBound)
	defer cancel()
	var last event
	p.must(p.api.watch(ctx, configMaps(namespace)+"?watch=1&resourceVersion="+old.Metadata.ResourceVersion, func(e event) bool {
		last = e
		return false
	}))
	if last.Type != "ERROR" || last.Object.Code != http.StatusGone {
		p.t.Errorf("a watch from a compacted version begins with %+v, want ERROR 410", last)
	}
}

// compact drops the store's history up to now, as the API server does in time.
func (p *controlPlane) compact() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := cluster.DialTLS(p.t, p.store.Admin(), p.store.Endpoint())
	response, err := client.Get(ctx, "/registry/")
	p.must(err)
	_, err = client.Compact(ctx, response.Header.Revision)
	p.must(err)
}
