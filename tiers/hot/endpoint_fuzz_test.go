package hot

import (
	"strings"
	"testing"
)

// FuzzEndpoint: whatever stands in a URL, neither its refusal nor its name in logs has the
// password, as it was written.
func FuzzEndpoint(f *testing.F) {
	for _, password := range []string{"passw0rd", "pass/word", "12345/pass", "12345?pass", "12345#pass", "pass@word", "p%61ss", "p%zz", "[::1", "pa ss", "passw:rd", "pass\x00word", ""} {
		f.Add("redis://", "user", password, "host:6379/0")
		f.Add("rediss+cluster://", "", password, "host?addr=b:6380")
		f.Add("unix:///", "user", password, "/run/redis.sock")
		f.Add("unix://", "user", password, "/run/redis.sock?db=1")
		f.Add("redis://", "user", password, "host?master_name=m&username=u&password="+password)
	}
	f.Add("redis://", "", "password", "host:port")
	f.Fuzz(func(t *testing.T, scheme, user, password, rest string) {
		const bytesMin = 4 // a shorter one is in any sentence
		said := func(password string) string {
			endpoint, err := ParseEndpoint(scheme + user + ":" + password + "@" + rest)
			if err != nil {
				return err.Error()
			}
			return endpoint.String()
		}
		// What is said of any password is no word about this one.
		if text := said(password); len(password) >= bytesMin && strings.Contains(text, password) && !strings.Contains(scheme+user+rest+said("Q7"), password) {
			t.Fatalf("password %q of a URL that ends with %q: %q", password, rest, text)
		}
		// Nor is a part of it, up to where a URL would end its host.
		part := strings.FieldsFunc(password, func(r rune) bool { return strings.ContainsRune("/?#@:", r) })
		if text := said(password); len(part) > 1 && len(part[0]) >= bytesMin && strings.Contains(text, part[0]) && !strings.Contains(scheme+user+rest+said("Q7")+said("Q/7"), part[0]) {
			t.Fatalf("password %q of a URL that ends with %q: %q", password, rest, text)
		}
	})
}
