//go:build e2e

package kubernetes_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/packages"
)

// chartValues enable all that needs no further kinds of objects.
const chartValues = `
hotTier: {urls: ["rediss://tierd@a.example:6379"], passwordSecret: {name: redis}}
objectTier: {url: "s3://bucket/x?region=eu-central-1", kmsKey: "arn:aws:kms:eu-central-1:123456789012:key/abc"}
tls: {secretName: tierd-tls}
service: {type: LoadBalancer}
jobs: {drill: {enabled: true}, prune: {enabled: true}}
`

// TestKubernetesChart installs the Helm chart with helm on a real control plane, in a namespace that takes pods of the
// restricted profile only: the controllers make the frontends' pods and the jobs'. (Nothing runs them: there is no node.)
// Then it is upgraded, and removed without a trace.
func TestKubernetesChart(t *testing.T) {
	program(t, "kubectl")
	plane := startControlPlane(t, startStore(t, false), true)
	defer plane.stop()
	plane.kubectl("", "create", "namespace", "chart")
	plane.kubectl("", "label", "namespace", "chart", "pod-security.kubernetes.io/enforce=restricted")
	notes := plane.helm("install", "--wait=false")
	for _, line := range []string{"etcdctl --endpoints https://release-tierd.chart.svc:2379 ", "--etcd-servers=https://release-tierd.chart.svc:2379", "rollout status deployment/release-tierd"} {
		if !strings.Contains(notes, line) {
			t.Errorf("the notes lack %q:\n%s", line, notes)
		}
	}
	plane.awaitFrontends(3)
	for _, job := range []string{"shards", "verify", "drill", "prune"} {
		plane.kubectl("", "create", "job", "now-"+job, "-n", "chart", "--from=cronjob/release-tierd-"+job)
		plane.await("the pod of "+job, conditionBound, func() error {
			if plane.kubectl("", "get", "pods", "-n", "chart", "-l", "job-name=now-"+job, "-o", "name") == "" {
				return fmt.Errorf("none yet: %s", plane.kubectl("", "get", "events", "-n", "chart", "--field-selector", "involvedObject.name=now-"+job))
			}
			return nil
		})
		plane.kubectl("", "delete", "job", "now-"+job, "-n", "chart")
	}
	plane.helm("upgrade", "--set", "image.tag=9.9.9,replicas=2")
	plane.await("the pod of the new version", conditionBound, func() error {
		images := plane.kubectl("", "get", "pods", "-n", "chart", "-l", "app.kubernetes.io/component=frontend", "-o", "jsonpath={.items[*].spec.containers[0].image}")
		if !strings.Contains(images, "tierd:9.9.9") {
			return fmt.Errorf("there are %s", images)
		}
		return nil
	})
	plane.helm("uninstall")
	plane.awaitFrontends(0)
	if left := plane.kubectl("", "get", "deployments,services,cronjobs,poddisruptionbudgets,networkpolicies,serviceaccounts", "-n", "chart", "-o", "name"); strings.TrimSpace(left) != "serviceaccount/default" {
		t.Errorf("after it was removed there are\n%s", left)
	}
}

func (p *controlPlane) awaitFrontends(want int) {
	p.t.Helper()
	p.await(fmt.Sprintf("%d frontends", want), conditionBound, func() error {
		pods := strings.Fields(p.kubectl("", "get", "pods", "-n", "chart", "-l", "app.kubernetes.io/component=frontend", "-o", "name"))
		if len(pods) != want {
			return fmt.Errorf("%d pods; %s", len(pods), p.kubectl("", "get", "events", "-n", "chart"))
		}
		return nil
	})
}

// helm runs helm on the release, and returns what it prints.
func (p *controlPlane) helm(command string, arguments ...string) string {
	p.t.Helper()
	path, err := packages.Helm().Path()
	if err != nil {
		p.t.Fatal(err)
	}
	dir := cluster.Folder(p.t)
	values := filepath.Join(dir, "values.yaml")
	if err := os.WriteFile(values, []byte(chartValues), 0o600); err != nil {
		p.t.Fatal(err)
	}
	all := append([]string{command, "release"}, arguments...)
	if command != "uninstall" {
		all = append(all, "../../../deploy/helm/tierd", "--values", values)
	}
	cmd := exec.CommandContext(p.t.Context(), path, append(all, "--namespace", "chart", "--kubeconfig", p.kubeconfig)...)
	cmd.Env = append(os.Environ(), "HOME="+dir, "HELM_CACHE_HOME="+dir, "HELM_CONFIG_HOME="+dir, "HELM_DATA_HOME="+dir)
	output, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("helm %s: %v\n%s", command, err, output)
	}
	return string(output)
}
