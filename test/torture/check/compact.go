package check

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/test/torture/history"
)

// compaction is one that was acknowledged, or may have been done.
type compaction struct {
	revision     int64
	call, finish history.Time
	acknowledged bool
}

func (c *checker) learnCompactions() {
	for _, o := range c.history.Operations {
		r, ok := o.Request.(*pb.CompactionRequest)
		if !ok || o.Outcome != history.Acknowledged && o.Outcome != history.Unknown {
			continue
		}
		c.compactions = append(c.compactions, compaction{
			revision: r.Revision, call: o.Call, finish: o.Return, acknowledged: o.Outcome == history.Acknowledged,
		})
	}
}

// mayBeCompacted says whether some compaction that may have taken effect by then
// made a revision unreadable; with onlyUnknown one whose outcome is not known.
func (c *checker) mayBeCompacted(revision int64, by history.Time, onlyUnknown bool) bool {
	for _, k := range c.compactions {
		if k.revision > revision && k.call <= by && !(onlyUnknown && k.acknowledged) {
			return true
		}
	}
	return false
}

// isCompacted says whether a compaction that was over before then made a revision
// unreadable.
func (c *checker) isCompacted(revision int64, before history.Time) bool {
	for _, k := range c.compactions {
		if k.acknowledged && k.revision > revision && k.finish < before {
			return true
		}
	}
	return false
}

// wasAsked says whether somebody had asked by then to compact at a revision.
func (c *checker) wasAsked(revision int64, by history.Time) bool {
	for _, k := range c.compactions {
		if k.revision == revision && k.call <= by {
			return true
		}
	}
	return false
}
