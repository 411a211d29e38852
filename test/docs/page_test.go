package docs

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(`# A page

1. **First.**

   <!-- file: /etc/a.yaml -->
   '''yaml
   a:
     b: 1
   '''

   <!-- tried -->
   '''sh
   a --b \
     c
   '''
   '''text
   done
   '''

<!-- tried: kubelet -->
<!-- tried -->
'''sh
d
'''

It says nothing.

<!-- not tried: a reboot -->
'''sh
reboot
'''
`, "'''", "```")
	got, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []step{
		{line: 5, path: "/etc/a.yaml", content: "a:\n  b: 1\n"},
		{line: 11, script: "a --b \\\n  c\n", output: "done\n", compared: true},
		{line: 20, script: "kubelet"},
		{line: 21, script: "d\n"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a fence without an end":  "<!-- tried -->\n```sh\na\n",
		"no fence":                "<!-- tried -->\ntext\n",
		"another language":        "<!-- tried -->\n```yaml\na\n```\n",
		"a file without a name":   "<!-- file -->\n```yaml\na\n```\n",
		"no reason":               "<!-- not tried -->\n```sh\na\n```\n",
		"a fence that is skipped": "<!-- tried: a -->\n\n```sh\nb\n```\n",
	} {
		if steps, err := parse(text); err == nil {
			t.Errorf("%s: got %+v, want an error", name, steps)
		}
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		said, printed string
		want          bool
	}{
		{"a\nb\n", "a \nb", true},
		{"a\nb\n", "a\nc\n", false},
		{"a\n", "a\nb\n", false},
		{"a\nb\n", "a\n", false},
		{"a 1... b\n", "a 12.5 b\n", true},
		{"a 1... b\n", "a 12\n b\n", false},
		{"a (1)\n", "a 1\n", false},
		{"a\n...\nd\n", "a\nb\nc\nd\n", true},
		{"a\n...\nd\n", "a\nd\n", true},
		{"a\n...\nd\n", "a\nb\n", false},
		{"", "", true},
		{"", "a\n", false},
		{"...\n", "", true},
	} {
		if got := matches(c.said, c.printed); got != c.want {
			t.Errorf("matches(%q, %q) = %t, want %t", c.said, c.printed, got, c.want)
		}
	}
}

// TestPagesAreWellFormed reads every page, so that a slip shows before anything is deployed.
func TestPagesAreWellFormed(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		steps, err := parse(string(text))
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if len(steps) > 0 {
			tried++
		}
	}
	if tried == 0 {
		t.Error("no page is tried")
	}
}
