package packages_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// chart is the chart's folder.
const chart = "../../deploy/helm/tierd"

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// leaves are the paths of all values that a user may set, but for what is below maps that are free.
func leaves(prefix string, value any, to map[string]bool) {
	below, ok := value.(map[string]any)
	if !ok || len(below) == 0 || strings.HasSuffix(prefix, "resources.") {
		to[strings.TrimSuffix(prefix, ".")] = true
		return
	}
	for name, value := range below {
		leaves(prefix+name+".", value, to)
	}
}

// schema is the part of a JSON schema that says which values there are.
type schema struct {
	Properties           map[string]*schema
	AdditionalProperties any
	Description          string
}

func (s *schema) leaves(prefix string, to map[string]bool) {
	if len(s.Properties) == 0 {
		to[strings.TrimSuffix(prefix, ".")] = true
		return
	}
	for name, below := range s.Properties {
		below.leaves(prefix+name+".", to)
	}
}

// The chart's values, its schema and the table of its README name the same values: none is without a
// meaning, and none that is described has no effect.
func TestChartValues(t *testing.T) {
	t.Parallel()
	var values map[string]any
	if err := yaml.Unmarshal([]byte(read(t, chart+"/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	set := make(map[string]bool)
	leaves("", values, set)
	var s schema
	if err := json.Unmarshal([]byte(read(t, chart+"/values.schema.json")), &s); err != nil {
		t.Fatal(err)
	}
	allowed := make(map[string]bool)
	s.leaves("", allowed)
	delete(allowed, "global") // Helm's own.
	described, used := make(map[string]bool), read(t, chart+"/README.md")
	for line := range strings.Lines(used) {
		if cell, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " |"); ok && strings.HasPrefix(line, "| `") {
			for _, match := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
				described[match[1]] = true
			}
		}
	}
	want := slices.Sorted(maps.Keys(set))
	for what, got := range map[string]map[string]bool{"the schema": allowed, "the README": described} {
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
			t.Errorf("%s has %q\nthe values are %q", what, names, want)
		}
	}
}

// The schema refuses, as settings, each flag whose variable the chart sets itself: it would be there twice.
func TestChartSettings(t *testing.T) {
	t.Parallel()
	texts := read(t, chart+"/templates/deployment.yaml") + read(t, chart+"/templates/_helpers.tpl")
	refused := read(t, chart+"/values.schema.json")
	for _, match := range regexp.MustCompile(`- name: TIERD_([A-Z_]+)\n`).FindAllStringSubmatch(texts, -1) {
		flag := strings.ToLower(strings.ReplaceAll(match[1], "_", "-"))
		if !strings.Contains(refused, `"`+flag+`"`) {
			t.Errorf("settings.%s is not refused, and the chart sets it", flag)
		}
	}
}

// The chart's alerts are those of deploy/prometheus, not a copy that could differ.
func TestChartAlerts(t *testing.T) {
	t.Parallel()
	link, err := filepath.EvalSymlinks(chart + "/files/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Clean("../../deploy/prometheus/alerts.yaml"); link != want {
		t.Errorf("the chart's alerts are %s, not %s", link, want)
	}
}
