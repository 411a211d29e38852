package advisories

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/session"
)

func TestMain(m *testing.M) { session.VerifyTestMain(m) }

// advisory is one of etcd's, and what shows that tierd is not affected.
type advisory struct {
	// id is GitHub's name, or the pull request of a fix that got none; cve is "" where
	// there is none.
	id, cve string
	// fault is what etcd did wrong.
	fault string
	check func(*testing.T, *services)
}

// table is all of them.
func table() []advisory {
	var all []advisory
	for _, part := range [][]advisory{ofRights(), ofCertificates(), ofSecrets(), ofTokens(), ofRequests(), ofAbsentParts()} {
		all = append(all, part...)
	}
	return all
}

func TestAdvisories(t *testing.T) {
	t.Parallel()
	s := start(t)
	t.Cleanup(func() { s.unharmed(t) })
	for _, a := range table() {
		t.Run(a.id, func(t *testing.T) {
			t.Parallel()
			a.check(t, s)
		})
	}
}

// TestDocument: docs/advisories.md has a row for each, with the same names and fault,
// and no others.
func TestDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/advisories.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if match := regexp.MustCompile(`^\| (GHSA-[a-z0-9-]+|etcd#[0-9]+)[^|]*\|`).FindStringSubmatch(line); match != nil {
			rows[match[1]] = line
		}
	}
	for _, a := range table() {
		row, ok := rows[a.id]
		if !ok {
			t.Errorf("%s is not in docs/advisories.md", a.id)
			continue
		}
		for _, part := range []string{a.cve, a.fault} {
			if !strings.Contains(row, part) {
				t.Errorf("docs/advisories.md does not say of %s: %s", a.id, part)
			}
		}
		delete(rows, a.id)
	}
	for id := range rows {
		t.Errorf("docs/advisories.md tells of %s, which has no test", id)
	}
}
