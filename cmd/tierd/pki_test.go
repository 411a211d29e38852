package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func TestRefusalsOfPKI(t *testing.T) {
	t.Parallel()
	for want, arguments := range map[string][]string{
		`tierd pki has no command "now": see tierd pki --help.`:                                                                              {"now"},
		"--store must say where certificates are kept.":                                                                                      {"renew"},
		"--store must be a directory or secretsmanager://PREFIX?region=REGION, not one at s3://.":                                            {"renew", "--store", "s3://a"},
		`--store cannot be used: "secretsmanager://a?zone=b" has the parameter "zone": only region=REGION is known.`:                         {"list", "--store", "secretsmanager://a?zone=b"},
		`a server's name must be a host name or an address, not "https://a".`:                                                                {"renew", "--store", "a", "--server-name", "https://a"},
		`a client's name must be lower-case letters, digits and hyphens, not "A".`:                                                           {"renew", "--store", "a", "--client", "A"},
		"the authority's validity must be at least 3 times that of certificates, 2160h0m0s, not 3000h0m0s.":                                  {"renew", "--store", "a", "--ca-validity", "3000h"},
		"--rotate-ca has no meaning with --acm-pca: give it the ARN of the new CA.":                                                          {"renew", "--store", "a", "--acm-pca", "b", "--rotate-ca"},
		`--acm-pca cannot be used: the authority "b" is not named by its ARN, like arn:aws:acm-pca:REGION:ACCOUNT:certificate-authority/ID.`: {"renew", "--store", "a", "--acm-pca", "b"},
		"--to must name a directory.":                         {"fetch", "--store", "a"},
		"--watch and --wait must not be negative.":            {"fetch", "--store", "a", "--to", "b", "--wait=-1s"},
		"--only must not name ca-key: it stays in the store.": {"fetch", "--store", "a", "--to", "b", "--only", "ca,ca-key"},
		`tierd pki list takes no arguments, and got "x".`:     {"list", "x"},
	} {
		expectRefusal(t, append([]string{"pki"}, arguments...), nil, want)
	}
	expectRefusal(t, []string{"pki", "renew"}, []string{"TIERD_PKI_VALIDITY=long"}, `the environment variable TIERD_PKI_VALIDITY must be a duration such as "30s" or "5m", not "long".`)
}

// What is set by variables is what is set by flags, and a flag beats its variable.
func TestPKIFromTheEnvironment(t *testing.T) {
	t.Parallel()
	store := filepath.Join(t.TempDir(), "store")
	environ := []string{"TIERD_PKI_STORE=" + store, "TIERD_PKI_SERVER_NAME=a.example,b.example", "TIERD_PKI_CLIENT=one=somebody,two", "TIERD_PKI_VALIDITY=24h", "TIERD_NAME=x"}
	call := func(arguments ...string) string {
		t.Helper()
		var out, errOut bytes.Buffer
		if code := run(append([]string{"pki"}, arguments...), environ, &out, &errOut); code != 0 {
			t.Fatalf("code %d: %s", code, errOut.String())
		}
		return out.String()
	}
	call("renew", "--server-name", "c.example")
	list := call("list")
	for _, want := range []string{"client-one somebody", "client-two two", "server c.example"} {
		if !strings.Contains(strings.Join(strings.Fields(list), " "), want) {
			t.Errorf("%q is not in the list:\n%s", want, list)
		}
	}
}
