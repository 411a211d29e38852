package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestFlagsOfTheAPIServerExist: the flags that users are told to give are those of kube-apiserver 1.34, as its own
// help lists them (testdata).
func TestFlagsOfTheAPIServerExist(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("testdata/kube-apiserver-1.34.flags")
	if err != nil {
		t.Fatal(err)
	}
	known := strings.Fields(string(list))
	var told []string
	for _, pattern := range []string{"modules/*/outputs.tf", "live/*/outputs.tf"} {
		files, err := filepath.Glob(filepath.Join("../../terraform", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			told = append(told, regexp.MustCompile(`--(?:etcd|storage|watch)-[a-z-]+`).FindAllString(string(text), -1)...)
		}
	}
	for _, needed := range []string{"--etcd-servers", "--etcd-cafile", "--etcd-certfile", "--etcd-keyfile"} {
		if !slices.Contains(told, needed) {
			t.Errorf("no output tells of %s", needed)
		}
	}
	for _, flag := range told {
		if !slices.Contains(known, flag) {
			t.Errorf("an output tells of %s, which kube-apiserver 1.34 does not have", flag)
		}
	}
}
