//go:build e2e

package kubernetes_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// checkObjects creates, reads, changes and deletes with kubectl.
func checkObjects(p *controlPlane, namespace string) {
	in := func(args ...string) []string { return append([]string{"--namespace", namespace}, args...) }
	value := func() string {
		return p.kubectl("", in("get", "configmap", "one", "-o", "jsonpath={.data.value}")...)
	}
	p.kubectl("", in("create", "configmap", "one", "--from-literal=value=created")...)
	p.expect("created", value())
	p.kubectl("", in("patch", "configmap", "one", "--type=merge", "-p", `{"data":{"value":"patched"}}`)...)
	p.expect("patched", value())
	p.kubectl("", in("patch", "configmap", "one", "--type=json", "-p", `[{"op":"replace","path":"/data/value","value":"again"}]`)...)
	p.expect("again", value())
	p.kubectl(configMapManifest("one", "applied"), in("apply", "--server-side", "--force-conflicts", "-f", "-")...)
	p.expect("applied", value())
	p.kubectl("", in("label", "configmap", "one", "kept=yes")...)
	p.kubectl(configMapManifest("two", "second"), in("create", "-f", "-")...)
	p.expect("configmap/one", strings.TrimSpace(p.kubectl("", in("get", "configmaps", "-l", "kept=yes", "-o", "name")...)))

	if output, err := p.tryKubectl("", in("create", "configmap", "one")...); err == nil || !strings.Contains(output, "already exists") {
		p.t.Errorf("creating what exists: error %v, output %s", err, output)
	}
	p.kubectl("", in("delete", "configmap", "one")...)
	if output, err := p.tryKubectl("", in("get", "configmap", "one")...); err == nil || !strings.Contains(output, "NotFound") {
		p.t.Errorf("reading what was deleted: error %v, output %s", err, output)
	}
	p.kubectl("", in("delete", "configmaps", "--all")...)
	p.kubectl("", "delete", "namespace", namespace, "--timeout=2m")
}

func configMapManifest(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {value: %q}\n", name, value)
}

// checkConflicts writes on the condition of a version that has passed: 409, and
// nothing is written. Versions grow with every write and a read shows the version
// that the write answered.
func checkConflicts(p *controlPlane, namespace string) {
	first, err := p.api.createConfigMap(namespace, "contended", "first")
	p.must(err)
	stale := first
	changed := first
	changed.Data = map[string]string{"value": "second"}
	second, err := p.api.replaceConfigMap(namespace, changed)
	p.must(err)
	if second.version(p.t) <= first.version(p.t) {
		p.t.Errorf("version %d after %d", second.version(p.t), first.version(p.t))
	}

	stale.Data = map[string]string{"value": "lost update"}
	_, err = p.api.replaceConfigMap(namespace, stale)
	var refused *statusError
	if !errors.As(err, &refused) || refused.code != http.StatusConflict {
		p.t.Errorf("a write on a version that has passed: %v, want 409", err)
	}
	path := configMaps(namespace) + "/contended"
	if _, err := p.api.do(http.MethodDelete, path, "application/json",
		[]byte(`{"preconditions":{"resourceVersion":"`+first.Metadata.ResourceVersion+`"}}`)); !errors.As(err, &refused) || refused.code != http.StatusConflict {
		p.t.Errorf("a deletion on a version that has passed: %v, want 409", err)
	}
	body, err := p.api.get(path)
	p.must(err)
	read, err := decode[object](body)
	p.must(err)
	p.expect("second", read.Data["value"])
	p.expect(second.Metadata.ResourceVersion, read.Metadata.ResourceVersion)
}
