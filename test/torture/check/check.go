// Package check judges a history: whether what clients and watches were told can
// have come from one etcd-like store that does one thing after another.
//
// The watches give the whole list of events, revision by revision, and so the state
// at every revision. Each revision is then given to the call that made it: to the
// one that was told so, to one of unknown outcome whose value it shows, or to a
// lease that ended. What remains is checked in two ways that do not rely on each
// other. In the order of revisions: every response, event and previous value is
// what the model says at its revision, and calls that did not overlap have their
// revisions in the order of time. And by porcupine, which knows nothing of that
// order and searches one by itself.
//
// It errs on no side: a call is only ever excused where some moment within its
// bounds makes its answer right. What time alone decides (when a lease may end) is
// checked against the clocks of the calls, never against how long a call took.
package check

import (
	"fmt"
	"strings"
	"time"

	"github.com/tierd/tierd/test/torture/history"
	"github.com/tierd/tierd/test/torture/model"
)

// Rule names what a violation breaks.
type Rule string

// The rules.
const (
	RuleErrors       Rule = "no call fails by a fault of the service's own"
	RuleDense        Rule = "revisions are dense"
	RuleAgree        Rule = "watches agree"
	RuleOneWriter    Rule = "each revision has one writer"
	RuleWrite        Rule = "writes do what they say"
	RuleRead         Rule = "reads show the state at their revision"
	RuleRealTime     Rule = "revisions follow real time"
	RuleLease        Rule = "leases end when they may, and completely"
	RuleWatch        Rule = "watches are ordered, complete and without repeats"
	RuleProgress     Rule = "progress is not announced too early"
	RulePrevious     Rule = "previous values are right"
	RuleLinearizable Rule = "the history is linearizable"
	RuleDecided      Rule = "porcupine comes to a result"
)

// violationsMax bounds what is reported: after the first ones, the others follow.
const violationsMax = 50

// Violation is one thing that cannot be.
type Violation struct {
	Rule Rule
	Text string
}

func (v Violation) String() string { return string(v.Rule) + ": " + v.Text }

// Settings are the caller's choices.
type Settings struct {
	// Bound is how long porcupine may search.
	Bound time.Duration
	// Visualize names a file for porcupine's picture of a history that is not
	// linearizable; empty for none.
	Visualize string
}

// Report is the result.
type Report struct {
	Violations []Violation
	// Revisions are all the events, revision by revision from 2 on, as watches told
	// them, without previous values.
	Revisions []Revision
	// Resolved are the calls of unknown outcome that took effect, Expired the
	// revisions that were the end of a lease.
	Resolved, Expired int
	// Searched is how many calls porcupine was given.
	Searched int
}

type checker struct {
	history  *history.History
	settings Settings
	report   *Report

	// What follows is indexed by revision, from 1 to history.Last; see record.go.
	revisions []Revision
	states    []*model.State
	firstSeen []history.Time
	notBefore []history.Time
	writers   []writer // see writers.go

	leases      map[int64]*lease // see lease.go
	compactions []compaction     // see compact.go
	// revokedAt are the revisions that acknowledged revocations made.
	revokedAt map[*history.Operation]int64
}

// Check judges a history.
func Check(h *history.History, settings Settings) *Report {
	c := &checker{history: h, settings: settings, report: &Report{}}
	c.checkErrors()
	c.learnLeases()
	c.learnCompactions()
	if c.record() {
		c.findWriters()
		c.replayWrites()
		c.replayReads()
		c.realTime()
		c.checkLeases()
		c.checkWatches()
		c.linearize()
	}
	return c.report
}

// checkErrors: faults of processes never look like bugs or lost data.
func (c *checker) checkErrors() {
	for _, o := range c.history.Operations {
		for _, text := range []string{"internal error", "corrupt", "space exceeded"} {
			if strings.Contains(o.Error, text) {
				c.violate(RuleErrors, "%s", describe(o))
			}
		}
	}
	for _, s := range c.history.Sessions {
		if strings.HasPrefix(s.End, "canceled") && s.CompactRevision == 0 {
			c.violate(RuleErrors, "watcher %d: %s", s.Watcher, s.End)
		}
	}
}

// violate reports a violation.
func (c *checker) violate(rule Rule, format string, args ...any) {
	if len(c.report.Violations) < violationsMax {
		c.report.Violations = append(c.report.Violations, Violation{Rule: rule, Text: fmt.Sprintf(format, args...)})
	}
}
