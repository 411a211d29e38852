//go:build e2e

package packages_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/cluster"
)

// Helm itself finds nothing to say against the chart, with few values and with all.
func TestChartLint(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]string{"least": least, "everything": everything} {
		if output, err := helm(t, "lint", values); err != nil || strings.Contains(output, "WARNING") {
			t.Errorf("%s: %v:\n%s", name, err, output)
		}
	}
}

// What is made with the least values: what serves, who may talk to it, and the jobs that harm nothing.
func TestChartLeast(t *testing.T) {
	t.Parallel()
	all := objects(t, least)
	want := []string{
		"CronJob/release-tierd-shards", "CronJob/release-tierd-verify", "Deployment/release-tierd", "NetworkPolicy/release-tierd",
		"PodDisruptionBudget/release-tierd", "Service/release-tierd", "ServiceAccount/release-tierd",
	}
	if got := names(all); !slices.Equal(got, want) {
		t.Errorf("there are %q", got)
	}
	deployment := into[struct {
		Replicas int
		Strategy struct {
			RollingUpdate struct{ MaxUnavailable, MaxSurge int }
		}
	}](t, all, "Deployment/release-tierd")
	if deployment.Replicas != 3 || deployment.Strategy.RollingUpdate.MaxUnavailable != 0 || deployment.Strategy.RollingUpdate.MaxSurge != 1 {
		t.Errorf("%+v", deployment)
	}
	frontend := podOf(t, all, "Deployment/release-tierd")
	c := frontend.Containers[0]
	if c.ReadinessProbe.HTTPGet.Path != "/readyz?exclude=data_corruption" || c.LivenessProbe.HTTPGet.Path != "/livez" || c.ReadinessProbe.HTTPGet.Port != "metrics" {
		t.Errorf("probes %+v, %+v", c.ReadinessProbe, c.LivenessProbe)
	}
	if drain := frontend.TerminationGracePeriodSeconds - c.Lifecycle.PreStop.Sleep.Seconds; c.Lifecycle.PreStop.Sleep.Seconds == 0 || drain < 45 {
		t.Errorf("%d s from being told to stop to being killed: a drain takes up to 15 s, and what is below up to 10 s each", drain)
	}
	var keys []string
	for _, spread := range frontend.TopologySpreadConstraints {
		keys = append(keys, spread.TopologyKey)
	}
	if !slices.Contains(keys, "topology.kubernetes.io/zone") {
		t.Errorf("frontends spread over %q", keys)
	}
	env := c.env(t)
	for name, want := range map[string]string{
		"TIERD_HOT_TIER": "rediss://tierd@a.example:6379", "TIERD_HOT_TIER_PASSWORD": "redis:password", "TIERD_CLIENT_CERT_AUTH": "true",
		"TIERD_TRUSTED_CA_FILE": "/run/tierd/ca.crt", "TIERD_REPLICA_ACKS": "1", "TIERD_ADVERTISE_CLIENT_URLS": "https://release-tierd.etcd.svc:2379",
	} {
		if env[name] != want {
			t.Errorf("%s is %q, not %q", name, env[name], want)
		}
	}
	if got := podOf(t, all, "CronJob/release-tierd-shards").Containers[0].Args; !slices.Equal(got, []string{"shard", "apply", "rediss://tierd@a.example:6379", "rediss://tierd@b.example:6379"}) {
		t.Errorf("the shard map is brought to %q", got)
	}
}

// What is made with everything enabled; and every pod, with whatever values, keeps to the restricted profile.
func TestChartEverything(t *testing.T) {
	t.Parallel()
	all := objects(t, everything)
	for _, name := range []string{"Certificate/release-tierd", "HorizontalPodAutoscaler/release-tierd", "PodMonitor/release-tierd", "ServiceAccount/release-tierd-jobs", "CronJob/release-tierd-drill", "CronJob/release-tierd-prune"} {
		if _, ok := all[name]; !ok {
			t.Errorf("there is no %s in %q", name, names(all))
		}
	}
	for name, role := range map[string]string{"ServiceAccount/release-tierd": "tierd", "ServiceAccount/release-tierd-jobs": "jobs"} {
		if got := all[name].Metadata.Annotations["eks.amazonaws.com/role-arn"]; got != "arn:aws:iam::123456789012:role/"+role {
			t.Errorf("%s has the role %q", name, got)
		}
	}
	for name := range all {
		if !strings.HasPrefix(name, "CronJob/") && !strings.HasPrefix(name, "Deployment/") {
			continue
		}
		p := podOf(t, all, name)
		c := p.Containers[0]
		s, r := p.SecurityContext, c.SecurityContext
		if !s.RunAsNonRoot || s.RunAsUser != 65532 || s.SeccompProfile.Type != "RuntimeDefault" || r.AllowPrivilegeEscalation == nil || *r.AllowPrivilegeEscalation ||
			!r.ReadOnlyRootFilesystem || !slices.Equal(r.Capabilities.Drop, []string{"ALL"}) || p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken {
			t.Errorf("%s: %+v, %+v", name, s, r)
		}
		if !strings.Contains(c.Image, "@sha256:") || c.env(t)["AWS_REGION"] != "eu-central-1" || c.env(t)["TIERD_ARCHIVE_KEY_FILE"] != "/etc/tierd/archive/archive.key" {
			t.Errorf("%s: %s, %v", name, c.Image, c.env(t))
		}
		if strings.HasPrefix(name, "CronJob/") && p.ServiceAccountName != "release-tierd-jobs" {
			t.Errorf("%s runs as %s", name, p.ServiceAccountName)
		}
	}
	env := podOf(t, all, "Deployment/release-tierd").Containers[0].env(t)
	if env["TIERD_AUTO_COMPACTION_RETENTION"] != "5m" || env["TIERD_MAX_STREAMS"] != "5000" || env["TIERD_SEAL_VALUES"] != "true" || env["TIERD_CLIENT_CERT_ALLOWED_CN"] != "kube-apiserver,etcdctl" {
		t.Errorf("%v", env)
	}
	service := into[struct {
		Type, ExternalTrafficPolicy string
		Ports                       []struct{ Port int }
	}](t, all, "Service/release-tierd")
	if service.Type != "LoadBalancer" || service.ExternalTrafficPolicy != "Local" || service.Ports[0].Port != 443 {
		t.Errorf("%+v", service)
	}
}

// The command line of each job is one that tierd has: it is refused for what it is told of Redis and S3, if at all.
func TestChartJobs(t *testing.T) {
	t.Parallel()
	all := objects(t, everything)
	count := 0
	for name := range all {
		if !strings.HasPrefix(name, "CronJob/") {
			continue
		}
		count++
		for _, argument := range podOf(t, all, name).Containers[0].Args {
			if strings.HasPrefix(argument, "--") && !strings.Contains(help(t, podOf(t, all, name).Containers[0].Args[:2]...), argument+" ") {
				t.Errorf("%s: tierd knows no %s there", name, argument)
			}
		}
	}
	if count != 4 {
		t.Errorf("there are %d jobs", count)
	}
}

// help is what a command says of itself.
func help(t *testing.T, command ...string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), cluster.Binary(t, false), append(command, "--help")...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", command, err, output)
	}
	return strings.ReplaceAll(string(output), "[=true|false]", " ")
}

// Values that cannot be right are refused, by name, before anything is made of them.
func TestChartRefuses(t *testing.T) {
	t.Parallel()
	for set, named := range map[string]string{
		"replicas=0": "/replicas",
		"hotTier.urls={rediss://u:secret@h:6379}": "/hotTier/urls/0",
		"hotTier.urls={}":                         "/hotTier/urls",
		"objectTier.url=file:///data":             "/objectTier/url",
		"tls.secretName=":                         "tls.secretName is needed",
		"tls.certManager.enabled=true":            "tls.certManager.issuer.name is needed",
		"settings.hot-tier=redis://x":             "hot-tier",
		"settings.hot-tier-password=x":            "hot-tier-password",
		"environment.TIERD_NAME=x":                "TIERD_NAME",
		"drainSeconds=10":                         "/drainSeconds",
		"jobs.prune.schedule=daily":               "/jobs/prune/schedule",
		"replica=3":                               "'replica'",
		"image.digest=latest":                     "/image/digest",
		"topologySpread.zones=Never":              "/topologySpread/zones",
		"serviceAccount.roleArn=tierd":            "/serviceAccount/roleArn",
	} {
		output, err := helm(t, "template", least, "--set", set)
		if err == nil || !strings.Contains(output, named) {
			t.Errorf("--set %s: %v:\n%s", set, err, output)
		}
	}
}
