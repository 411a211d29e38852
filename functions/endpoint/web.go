package endpoint

import (
	"encoding/json"
	"log"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tierd/tierd/functions/wire"
)

// Limits of /metrics.
const (
	scrapesAtOnceMax = 8
	scrapeEnd        = 10 * time.Second
)

// clientHandler serves the HTTP side of a client address.
func clientHandler(registry *prometheus.Registry, checks *healthChecks, gateway http.Handler, browsers Browsers) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/version", serveVersion)
	mux.Handle("/metrics", scrapeHandler(registry))
	mux.Handle("/v3/", gateway)
	checks.install(mux)
	return browsers.wrap(mux)
}

// metricsHandler serves a metrics address.
func metricsHandler(registry *prometheus.Registry, checks *healthChecks, profiles bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", scrapeHandler(registry))
	checks.install(mux)
	if profiles {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

func scrapeHandler(registry *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: scrapesAtOnceMax, Timeout: scrapeEnd,
	})
}

func serveVersion(w http.ResponseWriter, r *http.Request) {
	if !isGet(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	writeJSON(w, struct {
		Server  string `json:"etcdserver"`
		Cluster string `json:"etcdcluster"`
		Storage string `json:"storage"`
	}{wire.EtcdVersion, wire.EtcdClusterVersion, wire.EtcdStorageVersion})
}

// isGet refuses other methods in etcd's words.
func isGet(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet {
		return true
	}
	w.Header().Set("Allow", http.MethodGet)
	http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
	return false
}

// writeJSON writes v without a newline at the end, as etcd does.
func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(body) // the client has gone; there is nobody to tell
}

// quietLog takes what net/http says of misbehaving clients.
func quietLog(logger *slog.Logger) *log.Logger {
	return slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
}
