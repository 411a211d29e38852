package tierd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const (
	alertsFile    = "deploy/prometheus/alerts.yaml"
	dashboardFile = "deploy/grafana/tierd.json"
	runbooksFile  = "docs/runbooks.md"
	runbooksURL   = "https://github.com/tierd/tierd/blob/main/" + runbooksFile
)

// alertRules are the rules of Prometheus, as far as they are checked here.
type alertRules struct {
	Groups []struct {
		Rules []struct {
			Alert, Expr string
			Annotations map[string]string
		}
	}
}

func readAlerts(t *testing.T) alertRules {
	t.Helper()
	text, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	var rules alertRules
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatalf("%s: %v", alertsFile, err)
	}
	return rules
}

// headings are the headings of the second level of the runbooks, those of alerts.
func headings(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(runbooksFile)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, match := range regexp.MustCompile(`(?m)^## (Tierd[A-Za-z]+)$`).FindAllStringSubmatch(string(text), -1) {
		if slices.Contains(found, match[1]) {
			t.Errorf("%s has the heading %s twice", runbooksFile, match[1])
		}
		found = append(found, match[1])
	}
	return found
}

// cloudAlarms are the names of alarms and events that Terraform makes in CloudWatch: each word that begins with Tierd.
func cloudAlarms(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("terraform/modules/observability/*.tf")
	if err != nil || len(files) == 0 {
		t.Fatalf("the module observability has no files: %v", err)
	}
	var found []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, regexp.MustCompile(`\bTierd[A-Z][A-Za-z]+\b`).FindAllString(string(text), -1)...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// TestAlertsHaveRunbooks: who is woken by an alert finds its heading, and no heading is left of an alert that is gone.
func TestAlertsHaveRunbooks(t *testing.T) {
	t.Parallel()
	written := headings(t)
	alerts := cloudAlarms(t)
	for _, group := range readAlerts(t).Groups {
		for _, rule := range group.Rules {
			alerts = append(alerts, rule.Alert)
			if got, want := rule.Annotations["runbook_url"], runbooksURL+"#"+strings.ToLower(rule.Alert); got != want {
				t.Errorf("the runbook of %s is %q, not %q", rule.Alert, got, want)
			}
		}
	}
	if len(alerts) < 30 {
		t.Errorf("only %d alerts were found: this test looks in the wrong place", len(alerts))
	}
	for _, alert := range alerts {
		if !slices.Contains(written, alert) {
			t.Errorf("%s has no heading %s", runbooksFile, alert)
		}
	}
	for _, heading := range written {
		if !slices.Contains(alerts, heading) {
			t.Errorf("%s has the heading %s, and there is no such alert", runbooksFile, heading)
		}
	}
}

// TestRunbooksSayWhatToDo: each runbook has its three parts, and links of headings lead somewhere.
func TestRunbooksSayWhatToDo(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(runbooksFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(text), "\n## ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		for _, must := range []string{"**Means.**", "**Look.**", "**Do.**"} {
			if strings.HasPrefix(name, "Tierd") && !strings.Contains(body, must) {
				t.Errorf("%s: %s has no %s", runbooksFile, name, must)
			}
		}
	}
	var anchors []string
	for _, match := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(text), -1) {
		anchors = append(anchors, strings.ReplaceAll(strings.ToLower(match[1]), " ", "-"))
	}
	for _, match := range regexp.MustCompile(`\]\(#([a-z-]+)\)`).FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(anchors, match[1]) {
			t.Errorf("%s links to #%s, which is no heading", runbooksFile, match[1])
		}
	}
}

// seriesOf are the names of series in an expression: what is documented has one of these beginnings.
func seriesOf(expression string) []string {
	return regexp.MustCompile(`\b(?:tierd|etcd|grpc|go|process)_[a-z0-9_]+`).FindAllString(regexp.MustCompile(`\{[^}]*\}|\b(?:by|on) \([^)]*\)`).ReplaceAllString(expression, ""), -1)
}

// TestSeriesAreDocumented: alerts and the dashboard ask for series that frontends publish.
func TestSeriesAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := regexp.MustCompile("`([a-z]+_[a-z0-9_]+)`").FindAllString(string(text), -1)
	expressions := map[string]string{}
	for _, group := range readAlerts(t).Groups {
		for _, rule := range group.Rules {
			expressions[rule.Alert] = rule.Expr
		}
	}
	for title, expression := range dashboardQueries(t) {
		expressions["the panel "+title] = expression
	}
	for who, expression := range expressions {
		found := seriesOf(expression)
		if len(found) == 0 {
			t.Errorf("%s asks for no series: %s", who, expression)
		}
		for _, series := range found {
			// A histogram is documented by its name, and the process' own series as a whole.
			name := strings.TrimSuffix(series, "_bucket")
			if !slices.Contains(documented, "`"+name+"`") && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
				t.Errorf("%s asks for %s, which docs/metrics.md does not have", who, series)
			}
		}
	}
}

// dashboardQueries are the queries of the dashboard, by panel.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatalf("%s: %v", dashboardFile, err)
	}
	queries := map[string]string{}
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			queries[panel.Title] += target.Expr + "\n"
		}
	}
	if len(queries) == 0 {
		t.Fatalf("%s asks for nothing", dashboardFile)
	}
	return queries
}
