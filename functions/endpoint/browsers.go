package endpoint

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// Browsers says which pages may use the HTTP side of client addresses through the
// browser of somebody who reaches it. Programs are held by neither.
type Browsers struct {
	// Origins are those whose pages a browser is to let in, such as
	// https://console.example; "*" stands for all, and so does an empty list.
	Origins []string
	// Hosts are the names and addresses by which requests without TLS may come: a page
	// whose own name has been made to mean this frontend comes by that name. "*" stands
	// for all, and so does an empty list.
	Hosts []string
}

// wrap holds what next serves to the rules, as etcd does, and knows the old name of
// the gateway.
func (b Browsers) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, old := strings.CutPrefix(r.URL.Path, "/v3beta/"); old {
			r.URL.Path = "/v3/" + rest
		}
		if host := hostOf(r); r.TLS == nil && !isListed(b.Hosts, host) {
			http.Error(w, fmt.Sprintf("requests without TLS may not come by the name %q: use TLS, or name it in --host-whitelist", host), http.StatusMisdirectedRequest)
			return
		}
		header := w.Header()
		if origin := r.Header.Get("Origin"); isListed(b.Origins, "*") {
			letIn(header, "*")
		} else if isListed(b.Origins, origin) {
			letIn(header, origin)
		}
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusOK)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// letIn tells a browser that pages of an origin may read the answer.
func letIn(header http.Header, origin string) {
	header.Set("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE")
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Allow-Headers", "accept, content-type, authorization")
}

// isListed says that a name is in a list, or all are.
func isListed(list []string, name string) bool {
	return len(list) == 0 || slices.Contains(list, "*") || slices.Contains(list, name)
}

// hostOf is the name by which a request came, without its port.
func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return strings.Trim(r.Host, "[]")
}
