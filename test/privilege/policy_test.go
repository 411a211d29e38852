package privilege

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tierd/tierd/test/objectstore"
)

// prefix is where the tests keep archives in their bucket.
const prefix = "some/where"

// words is a text, or a list of texts, as policies have both.
type words []string

func (w *words) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(w))
}

// policy is a policy of deploy/s3, and what has been used of it.
type policy struct {
	name      string
	Statement []struct {
		Sid, Effect      string
		Action, Resource words
	}

	mu sync.Mutex
	// used are the rights that calls have needed, "Sid action resource"; refused the
	// calls that the policy does not allow.
	used    map[string]bool
	refused []string
}

// readPolicy reads a policy for a bucket and a prefix of the tests.
func readPolicy(t *testing.T, name string) *policy {
	t.Helper()
	text, err := os.ReadFile("../../deploy/s3/" + name)
	if err != nil {
		t.Fatal(err)
	}
	placed := strings.NewReplacer("BUCKET", objectstore.Bucket, "PREFIX", prefix).Replace(string(text))
	p := &policy{name: name, used: make(map[string]bool)}
	if err := json.Unmarshal([]byte(placed), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// rights are the actions that a call needs, by the resource.
func rights(c objectstore.Call) (action string, resources []string) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(c.Name, "/"), "/")
	of := func(key string) string { return "arn:aws:s3:::" + path.Join(bucket, key) }
	switch {
	case c.Removed != nil:
		for _, key := range c.Removed {
			resources = append(resources, of(key))
		}
		return "s3:DeleteObject", resources
	case key == "" && c.Operation == "GET" && c.Query.Has("list-type"):
		return "s3:ListBucket", []string{of("")}
	case key != "" && (c.Operation == "GET" || c.Operation == "HEAD") && onlyParameters(c, "partNumber"):
		return "s3:GetObject", []string{of(key)}
	case key != "" && (c.Operation == "PUT" || c.Operation == "POST"):
		return "s3:PutObject", []string{of(key)}
	case key != "" && c.Operation == "DELETE" && c.Query.Has("uploadId"):
		return "s3:AbortMultipartUpload", []string{of(key)}
	case key != "" && c.Operation == "DELETE" && onlyParameters(c):
		return "s3:DeleteObject", []string{of(key)}
	}
	return "unknown: " + c.Operation + " " + c.Query.Encode(), []string{of(key)}
}

// onlyParameters says whether a call has no parameters but these and the name of the
// operation: others ask for something else, such as an object's ACL.
func onlyParameters(c objectstore.Call, known ...string) bool {
	for name := range c.Query {
		if name != "x-id" && !slices.Contains(known, name) {
			return false
		}
	}
	return true
}

// judge is a plan that denies what the policy does not allow.
func (p *policy) judge(c objectstore.Call) objectstore.Fault {
	action, resources := rights(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, resource := range resources {
		if !p.allow(action, resource) {
			p.refused = append(p.refused, action+" "+resource)
			return objectstore.Denied
		}
	}
	return objectstore.None
}

func (p *policy) allow(action, resource string) bool {
	for _, s := range p.Statement {
		if s.Effect != "Allow" || !slices.Contains(s.Action, action) {
			continue
		}
		for _, pattern := range s.Resource {
			if matches(pattern, resource) {
				p.used[fmt.Sprint(s.Sid, " ", action, " ", pattern)] = true
				return true
			}
		}
	}
	return false
}

// matches is IAM's: a star stands for any text, slashes too.
func matches(pattern, text string) bool {
	first, rest, starred := strings.Cut(pattern, "*")
	if !starred {
		return pattern == text
	}
	if !strings.HasPrefix(text, first) {
		return false
	}
	for at := len(first); at <= len(text); at++ {
		if matches(rest, text[at:]) {
			return true
		}
	}
	return false
}

// exact fails the test if the policy has refused anything, or has rights that nobody used.
func (p *policy) exact(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.refused) > 0 {
		slices.Sort(p.refused)
		t.Errorf("%s does not allow %v", p.name, slices.Compact(p.refused))
	}
	for _, s := range p.Statement {
		for _, action := range s.Action {
			for _, resource := range s.Resource {
				if right := fmt.Sprint(s.Sid, " ", action, " ", resource); !p.used[right] {
					t.Errorf("%s gives %s, which nothing used", p.name, right)
				}
			}
		}
	}
}

// unused is an error while there are rights that nobody has used yet.
func (p *policy) unused() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := 0
	for _, s := range p.Statement {
		total += len(s.Action) * len(s.Resource)
	}
	if len(p.used) < total && len(p.refused) == 0 {
		return fmt.Errorf("%d of %d rights are used: %v", len(p.used), total, p.used)
	}
	return nil
}

// The policy for KMS names the calls of backup/seal, and those that S3 makes for whoever
// asks it to encrypt.
func TestKeyRights(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../backup/seal/kms.go")
	if err != nil {
		t.Fatal(err)
	}
	called := make(map[string]bool)
	for _, match := range regexp.MustCompile(`\bclient\.([A-Z][A-Za-z]*)\(ctx`).FindAllStringSubmatch(string(source), -1) {
		called["kms:"+match[1]] = true
	}
	p := readPolicy(t, "kms.json")
	if len(p.Statement) != 2 || len(called) != len(p.Statement[0].Action) {
		t.Fatalf("%+v, but %v are called", p.Statement, called)
	}
	for _, action := range p.Statement[0].Action {
		if !called[action] {
			t.Errorf("%s is not called", action)
		}
	}
}
