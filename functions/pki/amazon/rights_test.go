package amazon_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/functions/pki"
	"github.com/tierd/tierd/functions/pki/amazon"
	"github.com/tierd/tierd/test/secretstore"
)

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

// policy is a policy of deploy/pki.
type policy struct {
	Statement []struct {
		Sid, Effect      string
		Action, Resource words
		Condition        map[string]map[string]words
	}
}

func readPolicy(t *testing.T, name, authority string) policy {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../../deploy/pki", name))
	if err != nil {
		t.Fatal(err)
	}
	placed := strings.NewReplacer("PREFIX", "tierd/pki", "REGION", "eu-west-1", "ACCOUNT", "111122223333", "AUTHORITY", authority, "client-NAME", "client-apiserver").Replace(string(text))
	var p policy
	if err := json.Unmarshal([]byte(placed), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// exact wants a policy to allow these calls, "action resource", to have no right that none of them used, and to allow the use of the
// secrets' key as Secrets Manager needs it for them.
func (p policy) exact(t *testing.T, name string, calls []string) {
	t.Helper()
	used := make(map[string]bool)
	writes := false
	for _, call := range calls {
		action, resource, _ := strings.Cut(call, " ")
		writes = writes || strings.Contains(action, "Put")
		allowed := false
		for _, s := range p.Statement {
			for _, pattern := range s.Resource {
				if s.Effect == "Allow" && slices.Contains(s.Action, action) && matches(pattern, resource) {
					allowed, used[s.Sid+" "+action+" "+pattern] = true, true
				}
			}
		}
		if !allowed {
			t.Errorf("%s does not allow %s", name, call)
		}
	}
	keys := words{"kms:Decrypt"}
	if writes {
		keys = append(keys, "kms:GenerateDataKey")
	}
	for _, s := range p.Statement {
		if s.Sid == "SecretsKey" {
			if !slices.Equal(s.Action, keys) || s.Condition["StringEquals"]["kms:ViaService"][0] != "secretsmanager.eu-west-1.amazonaws.com" {
				t.Errorf("%s has %v for the secrets' key, under %v", name, s.Action, s.Condition)
			}
			continue
		}
		for _, action := range s.Action {
			for _, pattern := range s.Resource {
				if !used[s.Sid+" "+action+" "+pattern] {
					t.Errorf("%s gives %s on %s, which nothing used", name, action, pattern)
				}
			}
		}
	}
}

// matches is IAM's: a star stands for any text, a question mark for any one character.
func matches(pattern, text string) bool {
	expression := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile("^" + expression + "$").MatchString(text)
}

// calls are what a fake was asked, as actions on the ARNs of secrets, which end with six characters of chance.
func calls(m *secretstore.Manager) (calls []string) {
	for _, asked := range m.Asked() {
		operation, id, _ := strings.Cut(asked, " ")
		calls = append(calls, "secretsmanager:"+operation+" arn:aws:secretsmanager:eu-west-1:111122223333:secret:"+id+"-aB3dE6")
	}
	return calls
}

// Each role of deploy/pki is allowed what its command calls, and nothing else.
func TestRightsAreExact(t *testing.T) {
	t.Parallel()
	m := newManager(all()...)
	s := store(t, m)
	if _, err := pki.Renew(t.Context(), parts(s), wanted()); err != nil {
		t.Fatal(err)
	}
	readPolicy(t, "renew.json", "").exact(t, "renew.json", calls(m))
	for name, only := range map[string]string{"frontend.json": pki.Server, "client.json": "client-apiserver"} {
		if _, err := pki.Fetch(t.Context(), s, []string{pki.Trust, only}, pki.NewDirectory(t.TempDir())); err != nil {
			t.Fatal(err)
		}
		readPolicy(t, name, "").exact(t, name, calls(m))
	}
}

func TestRightsWithPrivateCA(t *testing.T) {
	t.Parallel()
	m, ca := newManager(all()...), newPrivateCA(t, "first")
	p := parts(store(t, m))
	var err error
	if p.Signer, err = amazon.NewAuthority(t.Context(), ca.arn, serve(t, ca)); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.Renew(t.Context(), p, wanted()); err != nil {
		t.Fatal(err)
	}
	called := calls(m)
	for _, operation := range ca.asked {
		called = append(called, "acm-pca:"+operation+" "+ca.arn)
	}
	policy := readPolicy(t, "renew-private-ca.json", ca.arn)
	policy.exact(t, "renew-private-ca.json", called)
	for _, s := range policy.Statement {
		if s.Sid != "Sign" {
			continue
		}
		templates := slices.Clone(ca.templates)
		slices.Sort(templates)
		if allowed := s.Condition["StringEquals"]["acm-pca:TemplateArn"]; !slices.Equal(slices.Compact(templates), allowed) {
			t.Errorf("certificates are made after %v, and %v is allowed", templates, allowed)
		}
	}
}
