package main

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/cluster"
)

// TestBill: the bill of the real binary names what go.mod requires for it, each once, with the checksum of
// go.sum, and is the same each time.
func TestBill(t *testing.T) {
	t.Parallel()
	binary := cluster.Binary(t, false)
	var once, again bytes.Buffer
	for _, out := range []*bytes.Buffer{&once, &again} {
		if err := run([]string{binary}, out); err != nil {
			t.Fatal(err)
		}
	}
	if once.String() != again.String() {
		t.Error("two bills of one binary differ")
	}
	var bill document
	if err := json.Unmarshal(once.Bytes(), &bill); err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	purl := regexp.MustCompile(`^pkg:golang/[^@\s]+@[^@\s]+$`)
	for _, c := range bill.Components {
		if seen[c.Name] || !purl.MatchString(c.PURL) {
			t.Errorf("%+v", c)
		}
		seen[c.Name] = true
		if c.Name != "std" && (len(c.Properties) != 1 || !strings.Contains(string(sums), c.Name+" "+c.Version+" "+c.Properties[0].Value+"\n")) {
			t.Errorf("%s is not what go.sum has: %+v", c.Name, c)
		}
	}
	for _, name := range []string{"std", "google.golang.org/grpc", "github.com/redis/go-redis/v9", "go.etcd.io/etcd/api/v3", "golang.org/x/crypto"} {
		if !seen[name] {
			t.Errorf("%s is not in the bill", name)
		}
	}
	if bill.Metadata.Component.Name != "github.com/tierd/tierd" || len(bill.Dependencies[0].DependsOn) != len(bill.Components) {
		t.Errorf("the bill is about %+v", bill.Metadata)
	}
	if err := run([]string{"main.go"}, &again); err == nil {
		t.Error("a text has a bill")
	}
}
