package alerts

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
)

const (
	rulesFile     = "../../deploy/prometheus/alerts.yaml"
	dashboardFile = "../../deploy/grafana/tierd.json"
	// step is the time between two samples of the examples, and between two evaluations.
	step = 30 * time.Second
)

// calls is a series of calls that ended with a code, each half a minute so many.
func calls(code string, each int) string {
	return fmt.Sprintf("\n  grpc_server_handled_total{job=\"tierd\", instance=\"a\", grpc_type=\"unary\", grpc_service=\"etcdserverpb.KV\", grpc_code=%q} 0+%dx120", code, each)
}

// alertRules are the alerts of the rules, which Prometheus' own reader has read.
func alertRules(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, problems := rulefmt.ParseFile(rulesFile, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, problem := range problems {
		t.Error(problem)
	}
	if groups == nil || t.Failed() {
		t.FailNow()
	}
	var alerts []rulefmt.Rule
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			if rule.Alert != "" {
				alerts = append(alerts, rule)
			}
		}
	}
	return alerts
}

// raised evaluates a rule at each step, as Prometheus does, and tells whether it fires at the end, and whether it ever
// did.
func raised(t *testing.T, rule rulefmt.Rule, samples storage.Storage, end time.Time) (atEnd, ever bool) {
	t.Helper()
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 1_000_000)
	var since time.Time
	for now := time.Unix(0, 0); !now.After(end); now = now.Add(step) {
		query, err := engine.NewInstantQuery(t.Context(), samples, nil, rule.Expr, now)
		if err != nil {
			t.Fatal(err)
		}
		result := query.Exec(t.Context())
		vector, err := result.Vector()
		if err != nil {
			t.Fatalf("%s: %v", rule.Alert, err)
		}
		switch {
		case len(vector) == 0:
			since = time.Time{}
		case since.IsZero():
			since = now
		}
		atEnd = !since.IsZero() && now.Sub(since) >= time.Duration(rule.For)
		ever = ever || atEnd
		query.Close()
	}
	return atEnd, ever
}

// load makes the samples of an example and tells when they end.
func load(t *testing.T, text string, x example) (storage.Storage, time.Time) {
	t.Helper()
	longest := 120
	if x.samples > 0 {
		longest = x.samples
	}
	if !x.alone {
		text = strings.ReplaceAll(frontends, "x120", fmt.Sprintf("x%d", longest)) + "\n" + text
	}
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	samples := promqltest.LoadedStorage(t, "load 30s\n"+strings.Join(lines, "\n"))
	return samples, time.Unix(0, 0).Add(time.Duration(longest) * step)
}

// Each alert fires when it has to, and not when it must not.
func TestAlerts(t *testing.T) {
	t.Parallel()
	known := examples()
	for _, rule := range alertRules(t) {
		x, found := known[rule.Alert]
		if !found {
			t.Errorf("there is no example of series that raise %s, and of some that do not", rule.Alert)
			continue
		}
		delete(known, rule.Alert)
		t.Run(rule.Alert, func(t *testing.T) {
			t.Parallel()
			samples, end := load(t, x.fires, x)
			if fires, _ := raised(t, rule, samples, end); !fires {
				t.Errorf("it does not fire on\n%s", x.fires)
			}
			samples, end = load(t, x.quiet, x)
			if _, fires := raised(t, rule, samples, end); fires {
				t.Errorf("it fires on\n%s", x.quiet)
			}
		})
	}
	for name := range known {
		t.Errorf("there is an example of %s, and no such alert", name)
	}
}

// Who is woken by an alert reads what it means, and where to look.
func TestAlertsTell(t *testing.T) {
	t.Parallel()
	for _, rule := range alertRules(t) {
		for _, annotation := range []string{"summary", "description", "runbook_url"} {
			if rule.Annotations[annotation] == "" {
				t.Errorf("%s has no %s", rule.Alert, annotation)
			}
		}
		if severity := rule.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("%s has the severity %q, which is neither critical nor warning", rule.Alert, severity)
		}
	}
}

// dashboard is what is checked of a Grafana dashboard.
type dashboard struct {
	Panels []struct {
		Title, Description string
		Targets            []struct{ Expr string }
	}
}

// Each query of the dashboard is one.
func TestDashboard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var board dashboard
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	queries := 0
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			queries++
			expression := strings.NewReplacer("$__rate_interval", "5m", "$job", "tierd").Replace(target.Expr)
			if _, err := parser.NewParser(parser.Options{}).ParseExpr(expression); err != nil {
				t.Errorf("%s: %s: %v", panel.Title, target.Expr, err)
			}
		}
	}
	if queries == 0 {
		t.Error("it asks for nothing")
	}
}
