package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/backup/migrate"
	"github.com/tierd/tierd/router"
)

// importReport is what tierd import prints.
type importReport struct {
	Source, Place string
	DryRun        bool
	Outcome       migrate.Outcome
	Hashes        migrate.Hashes
	// Live is what a running source adds; nil for a file.
	Live  *liveReport
	Notes []string
}

type liveReport struct {
	// Snapshot is where following began, SourceNow the revision of the source after the cut-over, 0
	// if it did not tell.
	Snapshot, SourceNow router.Revision
	Behind              time.Duration
}

func (r *importReport) equal() bool { return r.Hashes.Comparable == r.Outcome.SourceHash }

// fileNotes are what has to be said of a file.
func fileNotes(s etcdfile.State, withoutAuth bool) []string {
	notes := outcomeNotes(migrate.Planned(s, migrate.Options{}))
	if !s.Digested {
		notes = append(notes, "the file has no SHA-256 behind its end: it was not made by etcdctl snapshot save, and whether it was altered cannot be told")
	}
	if len(s.Alarms) > 0 {
		notes = append(notes, fmt.Sprintf("alarms of the source are not imported: %s", strings.Join(s.Alarms, ", ")))
	}
	if withoutAuth && s.AuthEnabled {
		notes = append(notes, "the source asks clients to log in, and the import does not")
	}
	if withoutAuth && len(s.Users)+len(s.Roles) > 0 {
		notes = append(notes, fmt.Sprintf("%d users and %d roles of the source are left behind", len(s.Users), len(s.Roles)))
	}
	return notes
}

// outcomeNotes are what has to be said of what was brought.
func outcomeNotes(o migrate.Outcome) []string {
	if len(o.Markers) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("the source was restored with --bump-revision, which left an entry without a key at revision %d: it is not imported, "+
		"so that HashKV of tierd is not that of the source; the comparison makes up for it", o.Markers[len(o.Markers)-1])}
}

func (r *importReport) print(out io.Writer, format string) error {
	if format == "json" {
		return encodeJSON(out, r.document())
	}
	return printLines(out, r.lines())
}

// lines are the report for people.
func (r *importReport) lines() []string {
	o := r.Outcome
	head := fmt.Sprintf("Imported %s to the %s.", r.Source, r.Place)
	if r.DryRun {
		head = fmt.Sprintf("Would import %s to the %s. Nothing was done.", r.Source, r.Place)
	}
	lines := []string{head, field("revision", "%d, %s", o.Revision, compactedText(o.Compacted)), field("keys", "%s", humanize.Comma(o.Keys))}
	if o.Versions > 0 || r.Live == nil {
		versions := humanize.Comma(o.Versions)
		if o.Resumed > 0 {
			versions += fmt.Sprintf(", of which %s were there from the interrupted import", humanize.Comma(o.Resumed))
		}
		lines = append(lines, field("versions", "%s", versions))
	}
	lines = append(lines, field("leases", "%s, each with its full time to live", humanize.Comma(o.Leases)))
	if !r.DryRun {
		lines = append(lines, r.hashLines()...)
	}
	if r.Live != nil && !r.DryRun {
		lines = append(lines, r.liveLines()...)
	}
	for _, note := range r.Notes {
		lines = append(lines, "Note: "+note+".")
	}
	return lines
}

// fieldWidth is that of the names in a report.
const fieldWidth = 14

func field(name, format string, args ...any) string {
	return fmt.Sprintf("  %-*s%s", fieldWidth, name, fmt.Sprintf(format, args...))
}

func compactedText(compacted router.Revision) string {
	if compacted < 1 {
		return "never compacted"
	}
	return fmt.Sprintf("compacted at %d", compacted)
}

func (r *importReport) hashLines() []string {
	if r.equal() {
		return []string{field("HashKV", "%d at revision %d: equal to the source's", r.Hashes.Own, r.Outcome.Revision)}
	}
	return []string{
		field("HashKV", "%d at revision %d, compacted at %d", r.Hashes.Comparable, r.Outcome.Revision, r.Hashes.Info.Compacted),
		field("of the source", "%d, compacted at %d: DIFFERENT", r.Outcome.SourceHash, r.Outcome.Compacted),
	}
}

func (r *importReport) liveLines() []string {
	lines := []string{
		field("followed", "from revision %d to %d", r.Live.Snapshot, r.Outcome.Revision),
		field("behind", "%.1f seconds at the cut-over", r.Live.Behind.Seconds()),
	}
	if after := revisionsAfter(r.Outcome, r.Live.SourceNow); after > 0 {
		return append(lines,
			field("source now", "at revision %d: %d REVISIONS WERE WRITTEN AFTER THE CUT-OVER and are not in tierd", r.Live.SourceNow, after),
			"Stop all writers of the etcd, and import again to another keyspace.")
	}
	if !r.equal() {
		return lines
	}
	return append(lines,
		field("source now", "still at revision %d", r.Live.SourceNow),
		"Next: start tierd serve on this keyspace, point the clients at it, and stop the etcd so that nobody writes there.")
}

// importJSON is the report for programs.
type importJSON struct {
	Source       string          `json:"source"`
	Place        string          `json:"place"`
	DryRun       bool            `json:"dry_run"`
	Revision     router.Revision `json:"revision"`
	Compacted    router.Revision `json:"compacted_revision"`
	Keys         int64           `json:"keys"`
	Versions     int64           `json:"versions"`
	Resumed      int64           `json:"resumed_versions"`
	Leases       int64           `json:"leases"`
	HashKV       *uint32         `json:"hash_kv,omitempty"`
	SourceHashKV *uint32         `json:"source_hash_kv,omitempty"`
	Equal        *bool           `json:"equal,omitempty"`
	Live         *importLiveJSON `json:"live,omitempty"`
	Notes        []string        `json:"notes"`
}

type importLiveJSON struct {
	Snapshot      router.Revision `json:"snapshot_revision"`
	SourceNow     router.Revision `json:"source_revision_now"`
	After         router.Revision `json:"revisions_after_cut_over"`
	BehindSeconds float64         `json:"seconds_behind"`
}

func (r *importReport) document() importJSON {
	o := r.Outcome
	d := importJSON{
		Source: r.Source, Place: r.Place, DryRun: r.DryRun, Revision: o.Revision, Compacted: o.Compacted, Keys: o.Keys,
		Versions: o.Versions, Resumed: o.Resumed, Leases: o.Leases, Notes: append([]string{}, r.Notes...),
	}
	if !r.DryRun {
		equal := r.equal()
		d.HashKV, d.SourceHashKV, d.Equal = &r.Hashes.Own, &o.SourceHash, &equal
	}
	if l := r.Live; l != nil {
		d.Live = &importLiveJSON{l.Snapshot, l.SourceNow, revisionsAfter(o, l.SourceNow), l.Behind.Seconds()}
	}
	return d
}
