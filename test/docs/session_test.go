package docs

import (
	"strings"
	"testing"
)

func TestSession(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s, err := startSession(t.Context(), folder, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ script, printed, failed string }{
		{script: "A=1; echo $A; echo 2 >&2", printed: "1\n2\n"},
		{script: "echo $A\nls /nowhere >/dev/null 2>&1\necho 3", printed: "1\n", failed: "ls /nowhere"},
		{script: "until false || true; do :; done\ncat <<END\n$PWD\nEND", printed: folder + "\n"},
		{script: "sleep 1000 & PID=$!"},
		{script: "read -r x || echo nothing to read; kill $PID", printed: "nothing to read\n"},
	} {
		printed, err := s.run(c.script)
		if printed != c.printed {
			t.Errorf("%q printed %q, want %q", c.script, printed, c.printed)
		}
		if c.failed == "" && err != nil || c.failed != "" && (err == nil || !strings.Contains(err.Error(), c.failed)) {
			t.Errorf("%q: %v, want it to name %q", c.script, err, c.failed)
		}
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}
