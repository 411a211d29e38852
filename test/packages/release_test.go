//go:build e2e

package packages_test

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/cluster"
)

// released is the version that the tests release.
const released = "1.2.3"

// workingCopy clones the repository, and brings what is not committed yet.
func workingCopy(t *testing.T) string {
	t.Helper()
	root, err := cluster.RepositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cluster.Folder(t), "repository")
	run(t, root, nil, "git", "clone", "--quiet", "--local", root, dir)
	run(t, root, nil, "sh", "-ec", `git ls-files -z --cached --others --exclude-standard | tar --null --files-from - --ignore-failed-read --create --file - | tar --extract --file - --directory "$0"`, dir)
	return dir
}

// release releases a working copy without publishing, and returns where it is.
func release(t *testing.T, dir string) string {
	t.Helper()
	run(t, dir, nil, "make", "release-snapshot", "VERSION="+released)
	return filepath.Join(dir, "dist")
}

// sums are the digests of SHA256SUMS, each held against its file.
func sums(t *testing.T, dist string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for line := range strings.Lines(read(t, filepath.Join(dist, "SHA256SUMS"))) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		got := sha256.Sum256([]byte(read(t, filepath.Join(dist, name))))
		if hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s is not what SHA256SUMS says", name)
		}
		all[name] = sum
	}
	return all
}

// unpacked are the files of an archive by their names in it, and its modes; the binary goes to a folder.
func unpacked(t *testing.T, archive string) (files map[string]*tar.Header, binary string) {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	files, binary = make(map[string]*tar.Header), filepath.Join(cluster.Folder(t), "tierd")
	folder := strings.TrimSuffix(filepath.Base(archive), ".tar.gz") + "/"
	for r := tar.NewReader(plain); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, binary
		}
		if err != nil {
			t.Fatal(err)
		}
		name, inside := strings.CutPrefix(h.Name, folder)
		if !inside {
			t.Errorf("%s would be unpacked beside %s", h.Name, folder)
		}
		files[name] = h
		if name == "tierd" {
			content, err := io.ReadAll(r)
			if err == nil {
				err = os.WriteFile(binary, content, 0o700)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A release has an archive and a bill for each platform, packages for Linux and one list of checksums, which fit; and
// built from the same commit in another folder it is the same, byte for byte.
func TestRelease(t *testing.T) {
	t.Parallel()
	first, second := workingCopy(t), filepath.Join(cluster.Folder(t), "elsewhere")
	run(t, first, nil, "cp", "-R", first, second)
	dist := release(t, first)
	got := sums(t, dist)
	var want []string
	for _, platform := range []string{"darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64"} {
		want = append(want, "tierd_"+released+"_"+platform+".cdx.json", "tierd_"+released+"_"+platform+".tar.gz")
	}
	want = append(want, "tierd-"+released+"-1.aarch64.rpm", "tierd-"+released+"-1.x86_64.rpm", "tierd_"+released+"_amd64.deb", "tierd_"+released+"_arm64.deb")
	slices.Sort(want)
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		t.Errorf("the release is %q", names)
	}
	for _, platform := range []string{"darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64"} {
		archived(t, dist, platform)
	}
	installed(t, dist)
	described(t, dist)
	if again := sums(t, release(t, second)); !maps.Equal(again, got) {
		for name, sum := range got {
			if again[name] != sum {
				t.Errorf("%s is another one when it is built again", name)
			}
		}
	}
}

// archived checks one archive and its bill.
func archived(t *testing.T, dist, platform string) {
	t.Helper()
	base := filepath.Join(dist, "tierd_"+released+"_"+platform)
	files, binary := unpacked(t, base+".tar.gz")
	root := filepath.Dir(dist)
	for name := range strings.FieldsSeq(run(t, root, nil, "sh", "-ec", "ls README.md SECURITY.md docs/*.md; find deploy -type f")) {
		if files[name] == nil {
			t.Errorf("%s has no %s", platform, name)
		}
	}
	for name, h := range files {
		mode := int64(0o644)
		if info, err := os.Stat(filepath.Join(root, name)); name == "tierd" || err == nil && info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		if h.Uname != "root" || h.Gname != "root" || h.Mode != mode || !h.ModTime.Equal(files["tierd"].ModTime) {
			t.Errorf("%s: %s is %s's, mode %o, of %v", platform, name, h.Uname, h.Mode, h.ModTime)
		}
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	modules := []string{"std"}
	for _, m := range info.Deps {
		modules = append(modules, m.Path)
	}
	var bill struct{ Components []struct{ Name string } }
	if err := json.Unmarshal([]byte(read(t, base+".cdx.json")), &bill); err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, c := range bill.Components {
		named = append(named, c.Name)
	}
	if !slices.Equal(named, modules) || len(named) < 20 {
		t.Errorf("%s: the bill names %q, the binary is of %q", platform, named, modules)
	}
	if platform == runtime.GOOS+"_"+runtime.GOARCH {
		commit := strings.TrimSpace(run(t, root, nil, "git", "rev-parse", "HEAD"))
		if said := run(t, dist, nil, binary, "version"); !strings.Contains(said, released) || !strings.Contains(said, commit) {
			t.Errorf("it says %q", said)
		}
	}
}

// installed installs the Debian package in a root of its own: files are where they belong, and what an operator has
// written to a settings file outlives the package's next version.
func installed(t *testing.T, dist string) {
	t.Helper()
	if _, err := exec.LookPath("dpkg"); err != nil || os.Getuid() != 0 || runtime.GOARCH != "amd64" {
		t.Log("dpkg is not here, or cannot install")
		return
	}
	root := cluster.Folder(t)
	database := filepath.Join(root, "var", "lib", "dpkg")
	if err := errors.Join(os.MkdirAll(filepath.Join(database, "info"), 0o755), os.MkdirAll(filepath.Join(database, "updates"), 0o755), os.WriteFile(filepath.Join(database, "status"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	install := func() {
		t.Helper()
		run(t, dist, nil, "dpkg", "--root="+root, "--force-script-chrootless", "--log=/dev/null", "--install", "tierd_"+released+"_amd64.deb")
	}
	install()
	if said := run(t, dist, nil, filepath.Join(root, "usr", "bin", "tierd"), "version"); !strings.Contains(said, released) {
		t.Errorf("it says %q", said)
	}
	for _, unit := range []string{"tierd.service", "tierd@.service", "tierd-job@.service", "tierd-verify.timer", "tierd-drill.timer", "tierd-prune.timer"} {
		if read(t, filepath.Join(root, "usr/lib/systemd/system", unit)) != read(t, "../../deploy/systemd/"+unit) {
			t.Errorf("%s is another one", unit)
		}
	}
	for _, name := range []string{"environment", "job-verify.environment", "job-drill.environment", "job-prune.environment"} {
		settings := filepath.Join(root, "etc", "tierd", name)
		if info, err := os.Stat(settings); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if err := os.WriteFile(settings, []byte("TIERD_KEYSPACE=mine\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install()
	if got := read(t, filepath.Join(root, "etc/tierd/environment")); got != "TIERD_KEYSPACE=mine\n" {
		t.Errorf("after installing again the settings are %q", got)
	}
}

// described checks the packages for other distributions by what rpm says of them.
func described(t *testing.T, dist string) {
	t.Helper()
	if _, err := exec.LookPath("rpm"); err != nil {
		t.Log("rpm is not here")
		return
	}
	for architecture, name := range map[string]string{"x86_64": "tierd-" + released + "-1.x86_64.rpm", "aarch64": "tierd-" + released + "-1.aarch64.rpm"} {
		listed := run(t, dist, nil, "rpm", "--query", "--package", "--queryformat", "%{NAME} %{VERSION} %{ARCH} %{BUILDHOST}\n[%{FILENAMES} %{FILEMODES:octal} %{FILEFLAGS:fflags}\n]", name)
		for _, line := range []string{
			fmt.Sprintf("tierd %s %s localhost\n", released, architecture), "/usr/bin/tierd 100755 \n", "/usr/lib/systemd/system/tierd@.service 100644 \n", "/etc/tierd/environment 100600 cn\n",
		} {
			if !strings.Contains(listed, line) {
				t.Errorf("%s: there is no %q in\n%s", name, line, listed)
			}
		}
	}
}
