// Package prune removes from an archive what its policy does not keep.
//
// What is kept stays readable at every moment in between: before anything goes, a mark says in the archive which blocks
// are going to be missing on purpose (backup.Pruned), and to which base they lead. So it may be
// interrupted anywhere, and called again.
package prune

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tierd/tierd/backup"
)

// Policy says what is kept. All that is neither in KeepAge nor in a schedule goes.
type Policy struct {
	// KeepAge: each revision that was current then or later can be restored.
	KeepAge time.Duration
	// Hourly, Daily and Weekly: of so many of the last hours, days and weeks (of UTC, those that have any base), the newest
	// base is kept, and its state can be restored.
	Hourly, Daily, Weekly int
}

// spareAge is how old an object that nobody needs has to be: by then nobody reads it any more.
const spareAge = time.Hour

// Removal is one object that goes.
type Removal struct {
	Name string `json:"name"`
	Why  string `json:"why"`
	Size int64  `json:"size"`
	// phase orders removals.
	phase int
}

// The phases: what can be missing first, what says so last.
const (
	phaseLog = iota
	phaseBases
	phaseClaims
	phaseMarks
	phaseRemoved
	phases
)

// Kept is a base that stays.
type Kept struct {
	Base backup.Base `json:"base"`
	Why  string      `json:"why"`
}

// Result is what a plan is going to do.
type Result struct {
	// Marks are put before anything is removed.
	Marks []backup.Pruned `json:"marks,omitempty"`
	// Remove is in order.
	Remove []Removal `json:"remove,omitempty"`
	Keep   []Kept    `json:"keep,omitempty"`
	// Bytes is what the objects that go take.
	Bytes int64 `json:"bytes"`
}

// Catalogs lists all timelines of an archive, oldest first.
func Catalogs(ctx context.Context, a *backup.Archive) ([]*backup.Catalog, error) {
	timelines, err := a.Timelines(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]*backup.Catalog, len(timelines))
	for i, t := range timelines {
		if all[i], err = a.Catalog(ctx, t); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Plan finds what a policy lets go. The catalogs are those of all timelines, oldest first. Of the newest timeline
// that has a base, the newest base and all after it stays, whatever the policy.
func Plan(catalogs []*backup.Catalog, policy Policy, now time.Time) Result {
	p := planner{policy: policy, now: now, scheduled: schedule(catalogs, policy)}
	current := len(catalogs) - 1
	for current > 0 && len(catalogs[current].Bases) == 0 {
		current--
	}
	for i, c := range catalogs {
		p.timeline(c, i >= current)
	}
	slices.SortStableFunc(p.result.Remove, func(a, b Removal) int { return a.phase - b.phase })
	for _, r := range p.result.Remove {
		p.result.Bytes += r.Size
	}
	return p.result
}

// Apply carries a plan out. After a failure it, or a new plan, may be applied again.
func Apply(ctx context.Context, a *backup.Archive, r Result) error {
	for _, mark := range r.Marks {
		if err := a.MarkPruned(ctx, mark); err != nil {
			return fmt.Errorf("prune the archive: %w", err)
		}
	}
	for phase := range phases {
		var names []string
		for _, removal := range r.Remove {
			if removal.phase == phase {
				names = append(names, removal.Name)
			}
		}
		if len(names) == 0 {
			continue
		}
		if err := a.Remove(ctx, names...); err != nil {
			return fmt.Errorf("prune the archive: %w", err)
		}
	}
	return nil
}

// schedule finds the bases that a schedule keeps, by name, with the reason.
func schedule(catalogs []*backup.Catalog, policy Policy) map[string]string {
	var bases []backup.Base
	for _, c := range catalogs {
		bases = append(bases, c.Bases...)
	}
	slices.SortStableFunc(bases, func(a, b backup.Base) int { return b.Time.Compare(a.Time) })
	kept := make(map[string]string)
	for _, rule := range []struct {
		why   string
		count int
		of    func(time.Time) string
	}{
		{"hourly", policy.Hourly, func(t time.Time) string { return t.Format("2006-01-02 15") }},
		{"daily", policy.Daily, func(t time.Time) string { return t.Format("2006-01-02") }},
		{"weekly", policy.Weekly, func(t time.Time) string { year, week := t.ISOWeek(); return fmt.Sprint(year, week) }},
	} {
		seen := make(map[string]bool)
		for _, base := range bases {
			period := rule.of(base.Time.UTC())
			if seen[period] || len(seen) >= rule.count {
				continue
			}
			seen[period] = true
			if kept[base.Name()] == "" {
				kept[base.Name()] = rule.why
			}
		}
	}
	return kept
}

// planner collects what a plan does.
type planner struct {
	policy    Policy
	now       time.Time
	scheduled map[string]string
	result    Result
}

func (p *planner) remove(phase int, name string, size int64, why string) {
	p.result.Remove = append(p.result.Remove, Removal{Name: name, Why: why, Size: size, phase: phase})
}

// timeline plans for one timeline.
func (p *planner) timeline(c *backup.Catalog, current bool) {
	cut := p.now.Add(-p.policy.KeepAge)
	_, _, end := c.End()
	over := !current && end.Before(cut)
	kept := p.kept(c, over, cut)
	if over && len(kept) == 0 {
		p.whole(c)
		return
	}
	p.spare(c)
	if len(kept) == 0 {
		return
	}
	// Of a timeline that is over, all of the log goes; else what is before the first base
	// that is kept for its log.
	through := int64(backup.BlockMax)
	if !over {
		through = c.Bases[first(c.Bases, cut)].Block
	}
	p.cutTo(c, kept, through)
}

// first is the index of the newest base not after cut, from which all after it is kept; 0 if there is none.
func first(bases []backup.Base, cut time.Time) int {
	for i, base := range slices.Backward(bases) {
		if !base.Time.After(cut) {
			return i
		}
	}
	return 0
}

// kept are the bases that stay, in order.
func (p *planner) kept(c *backup.Catalog, over bool, cut time.Time) []backup.Base {
	var kept []backup.Base
	for i, base := range c.Bases {
		why := p.scheduled[base.Name()]
		if why == "" && !over && i >= first(c.Bases, cut) {
			why = "age"
		}
		if why != "" {
			kept = append(kept, base)
			p.result.Keep = append(p.result.Keep, Kept{base, why})
		}
	}
	return kept
}

// whole removes a timeline.
func (p *planner) whole(c *backup.Catalog) {
	const why = "the timeline is older than what is kept"
	mark := backup.Pruned{Timeline: c.Timeline, First: 1, Last: backup.BlockMax, Time: p.now}
	for _, old := range c.Pruned {
		if old.First == mark.First && old.Last == mark.Last {
			mark = old
		}
	}
	if mark.Time.Equal(p.now) {
		p.result.Marks = append(p.result.Marks, mark)
	}
	for _, s := range c.Log {
		p.remove(phaseLog, s.Segment.Name(), s.Segment.Size, why)
	}
	for _, s := range slices.Concat(c.VoidSegments, c.Superfluous) {
		p.remove(phaseLog, s.Name(), s.Size, why)
	}
	for _, b := range slices.Concat(c.Bases, c.VoidBases) {
		p.remove(phaseBases, b.Name(), b.Size, why)
	}
	for _, claim := range slices.Concat(c.Claims, c.SpareClaims) {
		p.remove(phaseClaims, claim.Name(), 0, why)
	}
	for _, old := range slices.Concat(c.Pruned, c.SparePruned) {
		if old.Name() != mark.Name() {
			p.remove(phaseMarks, old.Name(), 0, why)
		}
	}
	p.remove(phaseRemoved, mark.Name(), 0, why)
}

// spare removes what nobody needs.
func (p *planner) spare(c *backup.Catalog) {
	old := func(modified time.Time) bool { return modified.Before(p.now.Add(-spareAge)) }
	for _, s := range c.VoidSegments {
		if old(s.Modified) {
			p.remove(phaseLog, s.Name(), s.Size, "void: of an archiver that had been replaced")
		}
	}
	for _, s := range c.Superfluous {
		if old(s.Modified) {
			p.remove(phaseLog, s.Name(), s.Size, "its blocks are in other segments")
		}
	}
	for _, b := range c.VoidBases {
		if old(b.Modified) {
			p.remove(phaseBases, b.Name(), b.Size, "void: of an archiver that had been replaced")
		}
	}
	for _, claim := range c.SpareClaims {
		if old(claim.Modified) {
			p.remove(phaseClaims, claim.Name(), 0, "a later claim includes it")
		}
	}
	for _, mark := range c.SparePruned {
		p.remove(phaseMarks, mark.Name(), 0, "another mark includes it")
	}
}
