// Package alerts checks what this project gives to Prometheus and Grafana: deploy/prometheus/alerts.yaml parses, each of its
// alerts fires on series that have to raise it and stays quiet on series that must not, and every query of the dashboard
// parses. It is a module of its own, so that nobody who builds tierd has to download Prometheus.
package alerts
