package alerts

// frontends are two frontends of tierd, as they tell of themselves.
const frontends = `
  tierd_build_info{job="tierd", instance="a", version="1"} 1x120
  tierd_build_info{job="tierd", instance="b", version="1"} 1x120
`

// example is what Prometheus has seen, a sample each 30 seconds for an hour: fires has to raise the alert at the end, quiet must
// never raise it. Both have the series of two frontends, unless alone.
type example struct {
	fires, quiet string
	alone        bool
	// samples is how many there are, if it is not an hour's.
	samples int
}

// examples has one for each alert.
func examples() map[string]example {
	return map[string]example{
		"TierdDown": {alone: true, fires: `  up{job="tierd"} 0x120`, quiet: frontends},
		"TierdHotTierUnreachable": {
			fires: `  etcd_server_has_leader{job="tierd", instance="a"} 0x120`,
			// The second is an etcd, which is none of our business.
			quiet: `
  etcd_server_has_leader{job="tierd", instance="a"} 1x120
  etcd_server_has_leader{job="etcd", instance="e"} 0x120`,
		},
		"TierdErrors": {
			fires: calls("OK", 980) + calls("Unavailable", 20),
			quiet: calls("OK", 995) + calls("Unavailable", 5) + calls("NotFound", 500) + calls("ResourceExhausted", 500),
		},
		"TierdSlow": {
			fires: `
  grpc_server_handling_seconds_bucket{job="tierd", instance="a", grpc_type="unary", grpc_service="etcdserverpb.KV", le="0.5"} 0+970x120
  grpc_server_handling_seconds_bucket{job="tierd", instance="a", grpc_type="unary", grpc_service="etcdserverpb.KV", le="1"} 0+980x120
  grpc_server_handling_seconds_bucket{job="tierd", instance="a", grpc_type="unary", grpc_service="etcdserverpb.KV", le="2.5"} 0+1000x120
  grpc_server_handling_seconds_bucket{job="tierd", instance="a", grpc_type="unary", grpc_service="etcdserverpb.KV", le="+Inf"} 0+1000x120`,
			// Streams take as long as their clients wish.
			quiet: `
  grpc_server_handling_seconds_bucket{job="tierd", instance="a", grpc_type="unary", grpc_service="etcdserverpb.KV", le="0.5"} 0+995x120
  grpc_server_handling_seconds_bucket{job="tierd", instance="a", grpc_type="unary", grpc_service="etcdserverpb.KV", le="+Inf"} 0+1000x120
  grpc_server_handling_seconds_bucket{job="tierd", instance="a", grpc_type="bidi_stream", grpc_service="etcdserverpb.Watch", le="0.5"} 0x120
  grpc_server_handling_seconds_bucket{job="tierd", instance="a", grpc_type="bidi_stream", grpc_service="etcdserverpb.Watch", le="+Inf"} 0+1000x120`,
		},
		"TierdRefusing": {
			fires: `  tierd_refused_total{job="tierd", instance="a", limit="requests"} 0+60x120`,
			quiet: `  tierd_refused_total{job="tierd", instance="a", limit="requests"} 0+3x120`,
		},
		"TierdWatchesBehind": {
			fires: `  tierd_watch_lag_revisions{job="tierd", instance="a"} 20000x120`,
			quiet: `  tierd_watch_lag_revisions{job="tierd", instance="a"} 0 0 50000 0x117`,
		},
		"TierdFewFrontends": {
			alone: true,
			fires: `  tierd_build_info{job="tierd", instance="a", version="1"} 1x120`,
			quiet: frontends,
		},
		"TierdCorrupt": {
			fires: `
  tierd_alarm{job="tierd", instance="a", type="CORRUPT"} 0x119 1
  tierd_alarm{job="tierd", instance="b", type="CORRUPT"} 0x120`,
			quiet: `
  tierd_alarm{job="tierd", instance="a", type="CORRUPT"} 0x120
  tierd_alarm{job="tierd", instance="a", type="NOSPACE"} 1x120`,
		},
		"TierdNoSpace": {
			fires: `  tierd_alarm{job="tierd", instance="a", type="NOSPACE"} 0x119 1`,
			quiet: `
  tierd_alarm{job="tierd", instance="a", type="NOSPACE"} 0x120
  tierd_alarm{job="tierd", instance="a", type="CORRUPT"} 1x120`,
		},
		"TierdQuotaNearlyUsed": {
			fires: `
  etcd_mvcc_db_total_size_in_use_in_bytes{job="tierd", instance="a"} 900x120
  etcd_server_quota_backend_bytes{job="tierd", instance="a"} 1000x120`,
			// Less than nothing is no limit; the last two are an etcd.
			quiet: `
  etcd_mvcc_db_total_size_in_use_in_bytes{job="tierd", instance="a"} 900x120
  etcd_server_quota_backend_bytes{job="tierd", instance="a"} -1x120
  etcd_mvcc_db_total_size_in_use_in_bytes{job="etcd", instance="e"} 990x120
  etcd_server_quota_backend_bytes{job="etcd", instance="e"} 1000x120`,
		},
		"TierdShardStuck": {
			fires: `  tierd_shard_unstamped{job="tierd", instance="a", shard="3"} 2000+10x120`,
			quiet: `  tierd_shard_unstamped{job="tierd", instance="a", shard="3"} 9000 9000 0 9000 9000 0 9000x5 0 9000x5 0x100`,
		},
		"TierdRedisFails": {
			fires: `  tierd_redis_round_trips_failed_total{job="tierd", instance="a", script="commit"} 0+60x120`,
			quiet: `  tierd_redis_round_trips_failed_total{job="tierd", instance="a", script="commit"} 0x60 100x60`,
		},
		"TierdRedisSlow": {
			fires: `
  tierd_redis_round_trip_seconds_bucket{job="tierd", instance="a", script="commit", le="0.1"} 0+900x120
  tierd_redis_round_trip_seconds_bucket{job="tierd", instance="a", script="commit", le="0.5"} 0+1000x120
  tierd_redis_round_trip_seconds_bucket{job="tierd", instance="a", script="commit", le="+Inf"} 0+1000x120`,
			quiet: `
  tierd_redis_round_trip_seconds_bucket{job="tierd", instance="a", script="commit", le="0.1"} 0+999x120
  tierd_redis_round_trip_seconds_bucket{job="tierd", instance="a", script="commit", le="+Inf"} 0+1000x120`,
		},
		"TierdFailovers": {
			fires: `  etcd_server_leader_changes_seen_total{job="tierd", instance="a"} 1x30 2x30 3x30 5x27`,
			quiet: `  etcd_server_leader_changes_seen_total{job="tierd", instance="a"} 1x60 2x60`,
		},
		"TierdArchiveLag": {
			fires: `
  tierd_archive_lag_seconds{job="tierd", instance="a"} 0x90 0+30x30
  tierd_archive_lag_seconds{job="tierd", instance="b"} 0x90 0+30x30`,
			// One frontend alone that thinks so has not seen what the others have written.
			quiet: `
  tierd_archive_lag_seconds{job="tierd", instance="a"} 300x120
  tierd_archive_lag_seconds{job="tierd", instance="b"} 1x120`,
		},
		"TierdArchiveFailing": {
			fires: `  tierd_archive_failing{job="tierd", instance="a"} 1x120`,
			quiet: `  tierd_archive_failing{job="tierd", instance="a"} 0 1 1 0x117`,
		},
		"TierdNoArchiver": {
			fires: `
  tierd_archive_blocks_total{job="tierd", instance="a"} 7x120
  etcd_debugging_mvcc_current_revision{job="tierd", instance="a"} 100+5x120`,
			// Nothing to archive; then one of two does it.
			quiet: `
  tierd_archive_blocks_total{job="tierd", instance="a"} 7x120
  tierd_archive_blocks_total{job="tierd", instance="b"} 7x60 8+1x60
  etcd_debugging_mvcc_current_revision{job="tierd", instance="a"} 100x60 101+5x60`,
		},
		"TierdCertificateEnds": {
			samples: 240,
			// Times are counted from 1970, at which the samples begin.
			fires: `  tierd_certificate_expiry_timestamp_seconds{job="tierd", instance="a", use="server", what="certificate"} 500000x240`,
			quiet: `  tierd_certificate_expiry_timestamp_seconds{job="tierd", instance="a", use="server", what="certificate"} 5000000x240`,
		},
		"TierdCertificateStale": {
			fires: `  tierd_certificate_stale{job="tierd", instance="a", use="server", what="certificate"} 1x120`,
			quiet: `  tierd_certificate_stale{job="tierd", instance="a", use="server", what="certificate"} 0 1 1 0x117`,
		},
		"TierdHandshakesFail": {
			fires: `  tierd_tls_handshakes_total{job="tierd", instance="a", result="failed"} 0+60x120`,
			quiet: `
  tierd_tls_handshakes_total{job="tierd", instance="a", result="failed"} 0+3x120
  tierd_tls_handshakes_total{job="tierd", instance="a", result="done"} 0+60x120`,
		},
		"TierdAuditLinesLost": {
			fires: `  tierd_audit_lines_lost_total{job="tierd", instance="a"} 0x118 3x2`,
			quiet: `  tierd_audit_lines_lost_total{job="tierd", instance="a"} 3x120`,
		},
		"TierdSealUnsettled": {
			samples: 2960,
			fires:   `  tierd_seal_settled{job="tierd", instance="a"} 0x2960`,
			quiet:   `  tierd_seal_settled{job="tierd", instance="a"} 0x2000 1x960`,
		},
	}
}
