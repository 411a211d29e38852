package endpoint

import (
	"context"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

// scrapeTimeout bounds the one question that a scrape asks the hot tier.
const scrapeTimeout = 2 * time.Second

// statusSource is the part of router.API that the collector needs.
type statusSource interface {
	wire.Identity
	LeaderID() uint64
	Status(ctx context.Context) (router.Status, error)
}

// keyspaceCollector publishes the state of the keyspace under the names that
// etcd dashboards read. It asks when it is scraped and keeps nothing; while the
// hot tier does not answer, the values it does not know are left out.
type keyspaceCollector struct {
	api   statusSource
	pulse *pulse

	hasLeader, isLeader, isLearner, id, version, clusterVersion, goVersion *prometheus.Desc
	leaderChanges, size, sizeInUse, quota, keys, revision, compacted       *prometheus.Desc
	alarm                                                                  *prometheus.Desc
}

func newKeyspaceCollector(api statusSource, pulse *pulse) *keyspaceCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &keyspaceCollector{
		api: api, pulse: pulse,
		hasLeader:      desc("etcd_server_has_leader", "1 while the hot tier answers this frontend, else 0."),
		isLeader:       desc("etcd_server_is_leader", "1 if this frontend runs the scheduled jobs, else 0."),
		isLearner:      desc("etcd_server_is_learner", "0: every frontend is a full member."),
		id:             desc("etcd_server_id", "1, with this frontend's member id as a label.", "server_id"),
		version:        desc("etcd_server_version", "1, with the etcd version that clients are told as a label.", "server_version"),
		clusterVersion: desc("etcd_cluster_version", "1, with the etcd cluster version that clients are told as a label.", "cluster_version"),
		goVersion:      desc("etcd_server_go_version", "1, with the Go version as a label.", "server_go_version"),
		leaderChanges:  desc("etcd_server_leader_changes_seen_total", "The number of recoveries of the hot tier, which is the term."),
		size:           desc("etcd_mvcc_db_total_size_in_bytes", "The memory that the hot tier uses, in bytes."),
		sizeInUse:      desc("etcd_mvcc_db_total_size_in_use_in_bytes", "The data of this keyspace, in bytes; the quota is held against it."),
		quota:          desc("etcd_server_quota_backend_bytes", "The quota of the keyspace, in bytes."),
		keys:           desc("etcd_debugging_mvcc_keys_total", "The number of live keys."),
		revision:       desc("etcd_debugging_mvcc_current_revision", "The current revision."),
		compacted:      desc("etcd_debugging_mvcc_compact_revision", "The compacted revision, -1 before the first compaction."),
		alarm:          desc("tierd_alarm", "1 while an alarm of this type is up, else 0.", "type"),
	}
}

// Describe implements prometheus.Collector.
func (c *keyspaceCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.hasLeader, c.isLeader, c.isLearner, c.id, c.version, c.clusterVersion, c.goVersion,
		c.leaderChanges, c.size, c.sizeInUse, c.quota, c.keys, c.revision, c.compacted, c.alarm,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *keyspaceCollector) Collect(ch chan<- prometheus.Metric) {
	self := c.api.Self().ID
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(c.isLearner, 0)
	gauge(c.id, 1, strconv.FormatUint(self, 16))
	gauge(c.version, 1, wire.EtcdVersion)
	gauge(c.clusterVersion, 1, wire.EtcdClusterVersion[:len("3.7")])
	gauge(c.goVersion, 1, runtime.Version())
	gauge(c.hasLeader, boolean(!c.pulse.lost()))
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	status, err := c.api.Status(ctx)
	if err != nil {
		return // has_leader tells; everything below would be a guess
	}
	gauge(c.isLeader, boolean(status.LeaderID == self))
	ch <- prometheus.MustNewConstMetric(c.leaderChanges, prometheus.CounterValue, float64(status.Term))
	gauge(c.size, float64(status.SizeBytes))
	gauge(c.sizeInUse, float64(status.SizeInUseBytes))
	gauge(c.quota, float64(status.QuotaBytes))
	gauge(c.keys, float64(status.Keys))
	gauge(c.revision, float64(status.Revision))
	gauge(c.compacted, float64(status.Compacted))
	for _, kind := range []pb.AlarmType{pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT} {
		up := slices.ContainsFunc(status.Alarms, func(a router.Alarm) bool { return a.Type == kind })
		gauge(c.alarm, boolean(up), kind.String())
	}
}

func boolean(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
