//go:build e2e

package kubernetes_test

import (
	"context"
	"fmt"
	"strings"
)

// checkWatch watches from a version of the past: every change since, in order,
// with the versions that the writes answered, then what happens live.
func checkWatch(p *controlPlane, namespace string) {
	first, err := p.api.createConfigMap(namespace, "a", "1")
	p.must(err)
	var want []string
	record := func(kind string, o object) {
		want = append(want, fmt.Sprintf("%s %s=%s at %s", kind, o.Metadata.Name, o.Data["value"], o.Metadata.ResourceVersion))
	}
	for number := range 20 {
		created, err := p.api.createConfigMap(namespace, fmt.Sprintf("n-%02d", number), "1")
		p.must(err)
		record("ADDED", created)
		created.Data = map[string]string{"value": "2"}
		changed, err := p.api.replaceConfigMap(namespace, created)
		p.must(err)
		record("MODIFIED", changed)
	}

	ctx, cancel := context.WithTimeout(context.Background(), conditionBound)
	defer cancel()
	var got []string
	p.must(p.api.watch(ctx, configMaps(namespace)+"?watch=1&resourceVersion="+first.Metadata.ResourceVersion, func(e event) bool {
		if e.Object.Metadata.Name == "kube-root-ca.crt" {
			return true
		}
		got = append(got, fmt.Sprintf("%s %s=%s at %s", e.Type, e.Object.Metadata.Name, e.Object.Data["value"], e.Object.Metadata.ResourceVersion))
		if len(got) == 40 {
			live, err := p.api.createConfigMap(namespace, "live", "1")
			if err != nil {
				p.t.Error(err)
				return false
			}
			record("ADDED", live)
		}
		if len(got) == 41 {
			if err := p.api.deleteConfigMap(namespace, "live"); err != nil {
				p.t.Error(err)
				return false
			}
		}
		return len(got) < 42
	}))
	if len(got) != 42 || !strings.HasPrefix(got[41], "DELETED live=1 at ") {
		p.t.Fatalf("%d events, the last of which should delete: %v", len(got), got)
	}
	p.expect(strings.Join(want, "\n"), strings.Join(got[:41], "\n"))
}

// checkWatchList asks for a list as a stream: what is there, a bookmark that says
// so, then what happens.
func checkWatchList(p *controlPlane, namespace string) {
	for number := range 10 {
		_, err := p.api.createConfigMap(namespace, fmt.Sprintf("n-%02d", number), "1")
		p.must(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), conditionBound)
	defer cancel()
	var before, after []string
	complete := false
	p.must(p.api.watch(ctx, configMaps(namespace)+"?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan", func(e event) bool {
		switch {
		case e.Type == "ERROR":
			p.t.Errorf("the stream says %+v", e.Object)
			return false
		case e.Type == "BOOKMARK" && e.Object.Metadata.Annotations["k8s.io/initial-events-end"] == "true":
			complete = true
			if _, err := p.api.createConfigMap(namespace, "live", "1"); err != nil {
				p.t.Error(err)
				return false
			}
		case e.Type == "BOOKMARK" || e.Object.Metadata.Name == "kube-root-ca.crt":
		case complete:
			after = append(after, e.Type+" "+e.Object.Metadata.Name)
			return false
		default:
			before = append(before, e.Type+" "+e.Object.Metadata.Name)
		}
		return true
	}))
	if !complete {
		p.t.Error("no bookmark ended the initial events")
	}
	p.expect("10", fmt.Sprint(countPrefix(before, "ADDED n-")))
	p.expect("[ADDED live]", fmt.Sprint(after))
}

// checkExpiringEvents writes an Event, which the API server stores under a lease,
// and sees it deleted when the lease runs out.
func checkExpiringEvents(p *controlPlane, namespace string) {
	path := "/api/v1/namespaces/" + namespace + "/events"
	body, err := p.api.do("POST", path, "application/json", []byte(`{"metadata":{"name":"short-lived"},
		"involvedObject":{"kind":"ConfigMap","namespace":"`+namespace+`","name":"none"},"reason":"Test","type":"Normal"}`))
	p.must(err)
	created, err := decode[object](body)
	p.must(err)
	ctx, cancel := context.WithTimeout(context.Background(), conditionBound)
	defer cancel()
	var last event
	p.must(p.api.watch(ctx, path+"?watch=1&resourceVersion="+created.Metadata.ResourceVersion, func(e event) bool {
		last = e
		return e.Type != "DELETED"
	}))
	p.expect("DELETED short-lived", last.Type+" "+last.Object.Metadata.Name)
	_, err = p.api.get(path + "/short-lived")
	if err == nil {
		p.t.Error("the event is still there")
	}
}
