package balance

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
)

// docs/operations.md tells each threshold with its default.
func TestDocumentedThresholds(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	policy := reflect.ValueOf(DefaultPolicy())
	for i := range policy.NumField() {
		name := policy.Type().Field(i).Name
		var value string
		switch v := policy.Field(i).Interface().(type) {
		case time.Duration:
			value = fmt.Sprintf("%.0f minutes", v.Minutes())
		case float64:
			if value = percent(v); v > 1 {
				value = rate(v)
			}
		case int64:
			if value = humanize.Comma(v); strings.Contains(name, "Bytes") {
				value = bytesText(v)
			}
		default:
			value = fmt.Sprint(v)
		}
		if row := fmt.Sprintf("| `%s` | %s |", name, value); !strings.Contains(string(text), row) {
			t.Errorf("docs/operations.md lacks a row that begins with %q", row)
		}
	}
}
