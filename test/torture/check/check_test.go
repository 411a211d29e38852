package check_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/test/torture/check"
	"github.com/tierd/tierd/test/torture/history"
)

func judge(h *history.History) *check.Report {
	return check.Check(h, check.Settings{Bound: time.Minute})
}

// broken are the rules that a history breaks.
func broken(h *history.History) []check.Rule {
	var rules []check.Rule
	for _, v := range judge(h).Violations {
		rules = append(rules, v.Rule)
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

// A good history breaks no rule, and everything in it is understood.
func TestGoodHistory(t *testing.T) {
	t.Parallel()
	report := judge(story(t).finish())
	for _, v := range report.Violations {
		t.Error(v)
	}
	if len(report.Revisions) != 10 || report.Expired != 1 || report.Resolved != 0 {
		t.Errorf("%d revisions, %d leases ended, %d calls resolved", len(report.Revisions), report.Expired, report.Resolved)
	}
	// The end of a lease in the place of its renewal, and two each for what shows a
	// revision that it does not make: two grants and a compaction.
	if report.Searched != readB+1+3 {
		t.Errorf("porcupine was given %d calls", report.Searched)
	}
}

// unknown makes an operation one whose answer was lost.
func unknown(o *history.Operation) {
	o.Outcome, o.Response, o.Return, o.Error = history.Unknown, nil, history.Forever, "timed out"
}

// Calls whose answer was lost are found again by what they did.
func TestUnknownOutcomes(t *testing.T) {
	t.Parallel()
	for name, calls := range map[string][]int{
		"put": {putB1}, "transaction": {txnAB}, "deletion": {deleteA}, "revocation": {revoke8}, "attaching put": {putC1},
		"grant": {grant7}, "grant, of a lease that is revoked": {grant8}, "compaction": {compact3},
		"all": {putA1, putB1, txnAB, putC1, putD1, deleteA, putE1, revoke8, putA3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := story(t).finish()
			writes := 0
			for _, i := range calls {
				unknown(h.Operations[i])
				if i != grant7 && i != grant8 && i != compact3 {
					writes++
				}
			}
			report := judge(h)
			for _, v := range report.Violations {
				t.Error(v)
			}
			if report.Resolved != writes {
				t.Errorf("%d of %d writes were found", report.Resolved, writes)
			}
		})
	}
}

// Calls that did nothing, or may have, are no reason to complain.
func TestCallsWithoutEffect(t *testing.T) {
	t.Parallel()
	s := story(t)
	unknown(s.call(&pb.PutRequest{Key: []byte("a"), Value: []byte("never")}, nil))
	unknown(s.call(&pb.LeaseRevokeRequest{ID: 7}, nil))
	unknown(s.call(&pb.CompactionRequest{Revision: 5}, nil))
	refused := s.call(&pb.RangeRequest{Key: []byte("a"), Revision: 4}, nil) // that compaction may have been done
	refused.Outcome, refused.Error = history.Refused, "compacted"
	future := s.call(&pb.RangeRequest{Key: []byte("a"), Revision: 12}, nil)
	future.Outcome, future.Error = history.Refused, "future revision"
	gone := s.call(&pb.PutRequest{Key: []byte("a"), Value: []byte("nor this"), Lease: 7}, nil)
	gone.Outcome, gone.Error = history.Refused, "lease not found"
	undone := s.call(&pb.PutRequest{Key: []byte("a"), Value: []byte("nor that")}, nil)
	undone.Outcome, undone.Error = history.NotDone, "no leader"
	for _, v := range judge(s.finish()).Violations {
		t.Error(v)
	}
}

// A compaction whose first reply was lost takes effect before the revision that its
// answer shows.
func TestEffectBeforeHeader(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.put("a", "a1")
	s.put("a", "a2")
	compaction := s.compact(3)
	refused := s.call(&pb.RangeRequest{Key: []byte("a"), Revision: 2}, nil)
	refused.Outcome, refused.Error = history.Refused, "compacted"
	s.put("a", "a3")
	compaction.Return = s.now
	compaction.Response.(*pb.CompactionResponse).Header.Revision = 4
	for _, v := range judge(s.finish()).Violations {
		t.Error(v)
	}
}

// A search that takes too long proves nothing, and is not passed.
func TestTimeoutIsAFailure(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	for i := range 4000 {
		s.put("a", fmt.Sprint(i))
	}
	report := check.Check(s.finish(), check.Settings{Bound: 1})
	if len(report.Violations) != 1 || report.Violations[0].Rule != check.RuleDecided {
		t.Errorf("violations: %v", report.Violations)
	}
}

// What is not linearizable is drawn.
func TestPicture(t *testing.T) {
	t.Parallel()
	h := story(t).finish()
	staleRead(h)
	path := filepath.Join(t.TempDir(), "picture.html")
	report := check.Check(h, check.Settings{Bound: time.Minute, Visualize: path})
	if len(report.Violations) == 0 {
		t.Fatal("nothing was found")
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Fatalf("no picture: %v", err)
	}
}
