package advisories

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/test/cluster"
)

// ofSecrets are advisories on passwords and files.
func ofSecrets() []advisory {
	return []advisory{
		{"GHSA-528j-9r78-wffx", "", "the log of writes held names and passwords in plain text", passwordsAreNotStored},
		{"GHSA-gmph-wf7j-9gcm", "CVE-2021-28235", "the debug pages showed the passwords of requests", debugPages},
		{"etcd#21993", "", "a token that could not be read was written to the log", tokensAreNotLogged},
		{"GHSA-4993-m7g5-r9hh", "CVE-2020-15115", "passwords may be of any length, one letter too", shortPasswords},
		{"GHSA-chh6-ppwq-jh92", "CVE-2020-15113", "the permissions of directories that existed already were not looked at", files},
	}
}

// stored gives every file in which what was stored and logged may be found.
func (s *services) stored(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{"the log of plain": []byte(s.plain.Log()), "the log of secure": []byte(s.secure.Log()), "the log of Redis": []byte(s.redis.Log())}
	for _, folder := range []string{s.redis.Dir(), s.folder, s.plain.DataDir()} {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			all[path], err = os.ReadFile(path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func (s *services) notStored(t *testing.T, what, secret string) {
	t.Helper()
	seen := 0
	for path, content := range s.stored(t) {
		seen += len(content)
		if bytes.Contains(content, []byte(secret)) {
			t.Errorf("%s is in %s", what, path)
		}
	}
	if seen == 0 {
		t.Error("nothing was stored")
	}
}

func passwordsAreNotStored(t *testing.T, s *services) {
	const changed = "Gartenrotschwanz-of-bob"
	auth := pb.NewAuthClient(s.conn)
	_, err := auth.UserAdd(s.ctx(t, "root"), &pb.AuthUserAddRequest{Name: "bob", Password: alicePassword})
	granted(t, "a new user", err)
	_, err = auth.UserChangePassword(s.ctx(t, "root"), &pb.AuthUserChangePasswordRequest{Name: "bob", Password: changed})
	granted(t, "a new password", err)
	_, err = auth.Authenticate(s.ctx(t, ""), &pb.AuthenticateRequest{Name: "bob", Password: changed})
	granted(t, "its use", err)
	_, err = auth.Authenticate(s.ctx(t, ""), &pb.AuthenticateRequest{Name: "bob", Password: "wrong-" + changed})
	refused(t, "another password", "authentication failed", err)
	for _, secret := range []string{rootPassword, alicePassword, changed} {
		s.notStored(t, "a password", secret)
	}
	for _, token := range s.token {
		s.notStored(t, "a token", token)
	}
}

func debugPages(t *testing.T, s *services) {
	for _, path := range []string{"/debug/requests", "/debug/events", "/debug/vars", "/debug/pprof/", "/debug/pprof/heap", "/config/local/log"} {
		response, err := web(nil).Get(s.plain.Endpoint() + path)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusNotFound {
			t.Errorf("%s answers %s, %v", path, response.Status, err)
		}
	}
}

func tokensAreNotLogged(t *testing.T, s *services) {
	const secret = "eyJGrauschnaepper.eyJ1c2VybmFtZSI6InJvb3QifQ.c2lnbmF0dXJl"
	one := *s
	one.token = map[string]string{"mallory": secret}
	_, err := pb.NewKVClient(s.conn).Range(one.ctx(t, "mallory"), &pb.RangeRequest{Key: []byte("a")})
	refused(t, "a token that is none", "invalid auth token", err)
	if strings.Contains(err.Error(), secret) {
		t.Errorf("the error tells the token: %v", err)
	}
	s.notStored(t, "a token that is none", secret)
}

// shortPasswords: what a password must be like is its maker's affair, as with etcd; that
// guessing it is slow, and tells nothing of which users there are, is tierd's.
func shortPasswords(t *testing.T, s *services) {
	auth := pb.NewAuthClient(s.conn)
	_, err := auth.UserAdd(s.ctx(t, "root"), &pb.AuthUserAddRequest{Name: "long", Password: strings.Repeat("p", 73)})
	refused(t, "a password of which the end would not count", "72 bytes", err)
	_, wrong := auth.Authenticate(s.ctx(t, ""), &pb.AuthenticateRequest{Name: "alice", Password: "x"})
	_, unknown := auth.Authenticate(s.ctx(t, ""), &pb.AuthenticateRequest{Name: "nobody", Password: "x"})
	refused(t, "a wrong password", "authentication failed", wrong)
	if unknown == nil || wrong.Error() != unknown.Error() {
		t.Errorf("a wrong password is answered with %v, an unknown user with %v", wrong, unknown)
	}
	usage(t, "--bcrypt-cost", "serve", "--bcrypt-cost", "3")
}

// files: nobody else may read what a frontend stores, also in a folder that was there.
func files(t *testing.T, _ *services) {
	folder := filepath.Join(cluster.Folder(t), "data")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	f := cluster.StartFrontend(t, cluster.FrontendOptions{DataDir: folder})
	client := f.Client()
	if _, err := client.Put(t.Context(), "a", "1"); err != nil {
		t.Fatal(err)
	}
	const others = 0o077
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && reachable(folder, path) && entry.Type().IsRegular() && info.Mode()&others != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// reachable says that others get as far as a file: that every folder above it, up to the
// one that was there before, lets them through.
func reachable(root, path string) bool {
	const search = 0o011
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&search == 0 {
			return false
		}
		if dir == root {
			return true
		}
	}
}
