//go:build e2e

package packages_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/packages"
)

// least are the values that a user must give, and no more.
const least = `
hotTier: {urls: ["rediss://tierd@a.example:6379", "rediss://tierd@b.example:6379"], passwordSecret: {name: redis}}
objectTier: {url: "s3://bucket/x?region=eu-central-1", kmsKey: "arn:aws:kms:eu-central-1:123456789012:key/abc"}
tls: {secretName: tierd-tls}
`

// everything enables what can be enabled.
const everything = `
hotTier: {urls: ["rediss://tierd@a.example:6379"], caSecret: {name: redis-ca}, replicaAcks: 0}
objectTier: {url: "s3://bucket/x?region=eu-central-1", keySecret: {name: archive}}
tls: {allowedCommonNames: [kube-apiserver, etcdctl], certManager: {enabled: true, issuer: {name: ca, kind: ClusterIssuer}, dnsNames: [etcd.example], ipAddresses: [10.0.0.1]}}
image: {digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
imagePullSecrets: [{name: pull}]
settings: {auto-compaction-retention: 5m, max-streams: 5000, seal-values: true}
environment: {AWS_REGION: eu-central-1}
service: {type: LoadBalancer, port: 443, annotations: {a: b}, loadBalancerClass: c, loadBalancerSourceRanges: [10.0.0.0/8]}
serviceAccount: {roleArn: "arn:aws:iam::123456789012:role/tierd", annotations: {a: b}}
podAnnotations: {a: b}
podLabels: {a: b}
nodeSelector: {a: b}
tolerations: [{key: a, operator: Exists}]
affinity: {nodeAffinity: {}}
priorityClassName: high
topologySpread: {zones: DoNotSchedule}
podDisruptionBudget: {maxUnavailable: 25%}
autoscaling: {enabled: true, metrics: [{type: Pods, pods: {metric: {name: tierd_open_streams}, target: {type: AverageValue, averageValue: "500"}}}]}
networkPolicy: {clients: [{namespaceSelector: {}}], monitoring: [{podSelector: {matchLabels: {app: prometheus}}}]}
monitoring: {podMonitor: {enabled: true, labels: {a: b}}}
jobs:
  serviceAccount: {create: true, roleArn: "arn:aws:iam::123456789012:role/jobs"}
  drill: {enabled: true, hotTierUrl: "redis://tierd@scratch.example:6379"}
  prune: {enabled: true}
`

// object is what the tests look at of a Kubernetes object.
type object struct {
	Kind     string
	Metadata struct {
		Name        string
		Annotations map[string]string
	}
	Spec json.RawMessage
}

// pod is what the tests look at of a pod.
type pod struct {
	ServiceAccountName            string
	RestartPolicy                 string
	TerminationGracePeriodSeconds int
	AutomountServiceAccountToken  *bool
	SecurityContext               struct {
		RunAsNonRoot   bool
		RunAsUser      int
		SeccompProfile struct{ Type string }
	}
	TopologySpreadConstraints []struct{ TopologyKey, WhenUnsatisfiable string }
	Containers                []container
	Volumes                   []struct {
		Name   string
		Secret struct{ SecretName string }
	}
}

type container struct {
	Image string
	Args  []string
	Env   []struct {
		Name, Value string
		ValueFrom   *struct {
			SecretKeyRef *struct{ Name, Key string }
		}
	}
	SecurityContext struct {
		AllowPrivilegeEscalation *bool
		ReadOnlyRootFilesystem   bool
		Capabilities             struct{ Drop []string }
	}
	ReadinessProbe, LivenessProbe struct{ HTTPGet struct{ Path, Port string } }
	Lifecycle                     struct {
		PreStop struct{ Sleep struct{ Seconds int } }
	}
	VolumeMounts []struct{ Name, MountPath string }
}

// env is the environment by name; what comes from a Secret is NAME:KEY.
func (c container) env(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, e := range c.Env {
		if _, twice := all[e.Name]; twice {
			t.Errorf("%s is set twice", e.Name)
		}
		all[e.Name] = e.Value
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			all[e.Name] = e.ValueFrom.SecretKeyRef.Name + ":" + e.ValueFrom.SecretKeyRef.Key
		}
	}
	return all
}

// helm runs helm on the chart, with values.
func helm(t *testing.T, command, values string, arguments ...string) (string, error) {
	t.Helper()
	path, err := packages.Helm().Path()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	arguments = append(map[string][]string{
		"lint":     {"lint", chart, "--strict", "--kube-version", "1.34.0"},
		"template": {"template", "release", chart, "--namespace", "etcd", "--kube-version", "1.34.0"},
	}[command], append(arguments, "--values", file)...)
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, arguments...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	if err != nil {
		return out.String() + errOut.String(), err
	}
	return out.String(), nil
}

// decoder is the program that knows the types of Kubernetes, built once.
var decoder = sync.OnceValues(func() (string, error) {
	root, err := cluster.RepositoryRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "bin", "test", "objects")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Dir, cmd.Env = "objects", append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
	output, err := cmd.CombinedOutput()
	if err != nil {
		return string(output), err
	}
	return path, nil
})

// objects are what the chart makes, by kind and name, decoded into their own types without anything left over.
func objects(t *testing.T, values string, arguments ...string) map[string]object {
	t.Helper()
	text, err := helm(t, "template", values, arguments...)
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	program, err := decoder()
	if err != nil {
		t.Fatalf("%v:\n%s", err, program)
	}
	var errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Stdin, cmd.Stderr = strings.NewReader(text), &errOut
	lines, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errOut.String())
	}
	all := make(map[string]object)
	for line := range bytes.Lines(lines) {
		var o object
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatal(err)
		}
		all[o.Kind+"/"+o.Metadata.Name] = o
	}
	return all
}

// into decodes the object's spec.
func into[T any](t *testing.T, all map[string]object, name string) (spec T) {
	t.Helper()
	o, ok := all[name]
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	if err := json.Unmarshal(o.Spec, &spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

// podOf is the pod of a Deployment or of a CronJob.
func podOf(t *testing.T, all map[string]object, name string) pod {
	t.Helper()
	type template struct{ Spec pod }
	if strings.HasPrefix(name, "CronJob/") {
		return into[struct {
			JobTemplate struct{ Spec struct{ Template template } }
		}](t, all, name).JobTemplate.Spec.Template.Spec
	}
	return into[struct{ Template template }](t, all, name).Template.Spec
}

func names(all map[string]object) (sorted []string) {
	for name := range all {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	return sorted
}
