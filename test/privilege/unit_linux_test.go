package privilege

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// units is the folder of the units.
const units = "../../deploy/systemd"

// sandbox are the lines of a unit that take rights from it, without those that name its own folders and credentials.
func sandbox(t *testing.T, name string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(units, name))
	if err != nil {
		t.Fatal(err)
	}
	_, own, found := strings.Cut(string(text), "# A user that exists only while it runs")
	if !found {
		t.Fatalf("%s has no part that takes rights from it", name)
	}
	own, _, _ = strings.Cut(own, "[Install]")
	for line := range strings.Lines(own) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.Contains(line, "Directory") && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ", and owns") {
			lines = append(lines, line)
		}
	}
	return lines
}

// The units are ones that systemd takes, and that leave the services few rights by systemd's
// own count; what has to stay off is off wherever systemd is not there to count, and in all of them alike.
func TestUnit(t *testing.T) {
	t.Parallel()
	first := sandbox(t, "tierd.service")
	for _, line := range []string{
		"DynamicUser=yes", "ProtectSystem=strict", "ProtectHome=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "PrivateDevices=yes",
		"MemoryDenyWriteExecute=yes", "SystemCallFilter=@system-service", "RestrictNamespaces=yes", "UMask=0077", "LimitCORE=0",
	} {
		if !slices.Contains(first, line) {
			t.Errorf("the unit has no line %q", line)
		}
	}
	for _, name := range []string{"tierd@.service", "tierd-job@.service"} {
		if other := sandbox(t, name); !slices.Equal(other, first) {
			t.Errorf("%s takes away\n%s\nand tierd.service\n%s", name, strings.Join(other, "\n"), strings.Join(first, "\n"))
		}
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("systemd-analyze is not here")
		return
	}
	placed := placeUnits(t)
	if output, err := exec.CommandContext(t.Context(), "systemd-analyze", append([]string{"verify"}, placed...)...).CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, output)
	}
	for _, unit := range placed {
		if !strings.HasSuffix(unit, ".service") {
			continue
		}
		output, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--threshold=15", unit).CombinedOutput()
		if err != nil {
			t.Errorf("systemd-analyze security: %v\n%s", err, output)
		}
	}
}

// placeUnits copies the units to where systemd-analyze finds them, with a program that is there in the place
// of tierd, and says where what can be started is: of a template, an instance.
func placeUnits(t *testing.T) (placed []string) {
	t.Helper()
	all, err := filepath.Glob(units + "/*.*")
	if err != nil || len(all) < 6 {
		t.Fatalf("units %q: %v", all, err)
	}
	dir := t.TempDir()
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name, kind := filepath.Base(file), filepath.Ext(file)
		if kind != ".service" && kind != ".timer" {
			continue
		}
		program := strings.NewReplacer("ExecStart=tierd", "ExecStart=/bin/true", "until tierd", "until /bin/true").Replace(string(text))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(program), 0o600); err != nil {
			t.Fatal(err)
		}
		name = strings.Replace(name, "tierd@.", "tierd@a.", 1)
		if strings.Contains(name, "job@.") {
			continue // The timers name its instances.
		}
		placed = append(placed, filepath.Join(dir, name))
	}
	return append(placed, filepath.Join(dir, "tierd-job@verify.service"))
}

// Each timer begins the job of its name, whose command line the package brings.
func TestTimers(t *testing.T) {
	t.Parallel()
	for _, job := range []string{"verify", "drill", "prune"} {
		timer, err := os.ReadFile(filepath.Join(units, "tierd-"+job+".timer"))
		if err != nil {
			t.Fatal(err)
		}
		settings, err := os.ReadFile(filepath.Join(units, "job-"+job+".environment"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(timer), "\nUnit=tierd-job@"+job+".service\n") || !strings.Contains(string(timer), "\nPersistent=yes\n") ||
			!strings.Contains(string(settings), "\nCOMMAND=backup ") {
			t.Errorf("%s\n%s", timer, settings)
		}
	}
}
