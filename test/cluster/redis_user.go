package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	// LeastUser is the user of deploy/redis/users.acl, UserPassword the password that
	// tests give users.
	LeastUser    = "tierd"
	UserPassword = "secret"
	// leastRightsVariable, if set, has tierd be LeastUser on every Redis of this package.
	leastRightsVariable = "TIERD_TEST_LEAST_RIGHTS"
)

// LeastRights are the arguments of a redis-server that give LeastUser the rights of
// deploy/redis/users.acl, on keys that begin with prefix.
func LeastRights(tb testing.TB, prefix string) []string {
	tb.Helper()
	rights := []string{"--user", LeastUser, "on", ">" + UserPassword}
	for _, right := range Rights(tb, "users.acl") {
		switch {
		case strings.HasPrefix(right, "~"):
			rights = append(rights, "~"+prefix)
		case right != "on" && right != "resetpass":
			rights = append(rights, right)
		}
	}
	return rights
}

// Rights are those that a file of deploy/redis gives LeastUser, one a word.
func Rights(tb testing.TB, file string) []string {
	tb.Helper()
	root, err := RepositoryRoot()
	if err != nil {
		tb.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "deploy", "redis", file))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 2 && words[1] == LeastUser {
			return words[2:]
		}
	}
	tb.Fatalf("deploy/redis/%s has no user %s", file, LeastUser)
	return nil
}

// credentials are what a URL has before the address of a server.
func credentials(user string) string {
	if user == "" {
		return ""
	}
	return user + ":" + UserPassword + "@"
}
