//go:build e2e

package kubernetes_test

import "testing"

// The judges of the crash check say no when they should: a check that cannot fail
// proves nothing.
func TestJudges(t *testing.T) {
	created := change{"ADDED", "a", "created", "5"}
	replaced := change{"MODIFIED", "a", "replaced", "6"}
	deleted := change{"DELETED", "a", "replaced", ""}
	holds := func(value, version string) object {
		return object{Metadata: metadata{Name: "a", ResourceVersion: version}, Data: map[string]string{"value": value}}
	}
	for name, test := range map[string]struct {
		known   history
		found   object
		present bool
		want    bool
	}{
		"kept":                    {history{acknowledged: []change{created, replaced}}, holds("replaced", "6"), true, true},
		"lost":                    {history{acknowledged: []change{created}}, object{}, false, false},
		"rolled back":             {history{acknowledged: []change{created, replaced}}, holds("created", "5"), true, false},
		"other version":           {history{acknowledged: []change{created, replaced}}, holds("replaced", "7"), true, false},
		"deleted":                 {history{acknowledged: []change{created, replaced, deleted}}, object{}, false, true},
		"risen":                   {history{acknowledged: []change{created, replaced, deleted}}, holds("replaced", "6"), true, false},
		"uncertain, not done":     {history{acknowledged: []change{created}, uncertain: &change{"MODIFIED", "a", "replaced", ""}}, holds("created", "5"), true, true},
		"uncertain, done":         {history{acknowledged: []change{created}, uncertain: &change{"MODIFIED", "a", "replaced", ""}}, holds("replaced", "6"), true, true},
		"uncertain, gone":         {history{acknowledged: []change{created}, uncertain: &change{"MODIFIED", "a", "replaced", ""}}, object{}, false, false},
		"creation uncertain":      {history{uncertain: &change{"ADDED", "a", "created", ""}}, object{}, false, true},
		"creation uncertain, odd": {history{uncertain: &change{"ADDED", "a", "created", ""}}, holds("other", "5"), true, false},
	} {
		if got := test.known.allows(test.found, test.present); got != test.want {
			t.Errorf("%s: allowed %t, want %t", name, got, test.want)
		}
	}

	watched := &observer{version: "1", seen: map[string]int{}}
	histories := map[string]history{"a": {acknowledged: []change{created, replaced, deleted}}}
	for _, e := range []event{{"ADDED", holds("created", "5")}, {"MODIFIED", holds("replaced", "6")}} {
		watched.take(e)
	}
	if watched.verdict(histories) == nil {
		t.Error("a missing deletion passes")
	}
	watched.take(event{"DELETED", holds("replaced", "7")})
	if err := watched.verdict(histories); err != nil {
		t.Error(err)
	}
	watched.take(event{"DELETED", holds("replaced", "8")})
	if watched.verdict(histories) == nil {
		t.Error("a deletion that is seen twice passes")
	}
	watched.take(event{"ADDED", holds("created", "8")})
	if watched.fault == nil {
		t.Error("a version that comes again passes")
	}
}
