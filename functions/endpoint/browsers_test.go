package endpoint

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestBrowsers: which names and origins are let in.
func TestBrowsers(t *testing.T) {
	t.Parallel()
	served := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Served", r.URL.Path) })
	for name, c := range map[string]struct {
		rules                Browsers
		host, origin, method string
		secure               bool
		code                 int
		allowed, served      string
	}{
		"no rules":              {Browsers{}, "evil.example", "http://evil.example", "POST", false, 200, "*", "/v3/kv/range"},
		"all":                   {Browsers{[]string{"*"}, []string{"*"}}, "evil.example", "", "POST", false, 200, "*", "/v3/kv/range"},
		"a listed host":         {Browsers{nil, []string{"a", "127.0.0.1"}}, "127.0.0.1:2379", "", "GET", false, 200, "*", "/v3/kv/range"},
		"a listed address of 6": {Browsers{nil, []string{"::1"}}, "[::1]:2379", "", "GET", false, 200, "*", "/v3/kv/range"},
		"without a port":        {Browsers{nil, []string{"::1"}}, "[::1]", "", "GET", false, 200, "*", "/v3/kv/range"},
		"another host":          {Browsers{nil, []string{"a"}}, "evil.example:2379", "", "POST", false, 421, "", ""},
		"no host":               {Browsers{nil, []string{"a"}}, "", "", "POST", false, 421, "", ""},
		"another host, asking":  {Browsers{nil, []string{"a"}}, "evil.example", "http://evil.example", "OPTIONS", false, 421, "", ""},
		"another host with TLS": {Browsers{nil, []string{"a"}}, "evil.example", "", "POST", true, 200, "*", "/v3/kv/range"},
		"a listed origin":       {Browsers{[]string{"https://a", "https://b"}, nil}, "x", "https://b", "POST", false, 200, "https://b", "/v3/kv/range"},
		"another origin":        {Browsers{[]string{"https://a"}, nil}, "x", "http://evil.example", "POST", false, 200, "", "/v3/kv/range"},
		"no origin":             {Browsers{[]string{"https://a"}, nil}, "x", "", "POST", false, 200, "", "/v3/kv/range"},
		"a question":            {Browsers{[]string{"https://a"}, nil}, "x", "https://a", "OPTIONS", false, 200, "https://a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(c.method, "/v3beta/kv/range", nil)
			r.Host = c.host
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			if c.secure {
				r.TLS = &tls.ConnectionState{}
			}
			w := httptest.NewRecorder()
			c.rules.wrap(served).ServeHTTP(w, r)
			if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != c.code || got != c.allowed || w.Header().Get("Served") != c.served {
				t.Errorf("answered with %d, allowed origin %q, served %q, want %d, %q, %q", w.Code, got, w.Header().Get("Served"), c.code, c.allowed, c.served)
			}
		})
	}
}
