package main

import (
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/tierd/tierd/backup/restore"
	"github.com/tierd/tierd/router"
)

// restoreReport is what tierd restore prints.
type restoreReport struct {
	Source  sourceSettings
	Place   placeSettings
	Plan    *restore.Plan
	DryRun  bool
	Outcome restore.Outcome
	Took    time.Duration
	// Hash and ArchiveHash are HashKV of what was restored and of the archive, nil if nobody asked.
	Hash, ArchiveHash *uint32
}

func (r *restoreReport) different() bool { return r.Hash != nil && *r.Hash != *r.ArchiveHash }

// rate is how many versions were brought in a second.
func (r *restoreReport) rate() float64 {
	if r.Took <= 0 {
		return 0
	}
	return float64(r.Outcome.Versions-r.Outcome.Resumed) / r.Took.Seconds()
}

func (r *restoreReport) print(out io.Writer, format string) error {
	if format == "json" {
		return encodeJSON(out, r.document())
	}
	return printLines(out, r.lines())
}

// timeText is a time in tables.
func timeText(t time.Time) string {
	if t.IsZero() || t.UnixMilli() == 0 {
		return "unknown"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// lines are the report for people.
func (r *restoreReport) lines() []string {
	if r.DryRun {
		return r.dryLines()
	}
	o := r.Outcome
	versions := humanize.Comma(o.Versions)
	if o.Resumed > 0 {
		versions += fmt.Sprintf(", of which %s were there from the interrupted restore", humanize.Comma(o.Resumed))
	}
	lines := []string{
		fmt.Sprintf("Restored the keyspace %s from %s to the %s.", r.Source.Keyspace, r.Source.Location, r.Place.name()),
		field("revision", "%d, %s", o.Revision, compactedText(o.Compacted)),
		field("time", "%s", timeText(o.Time)),
		field("keys", "%s", humanize.Comma(o.Keys)),
		field("versions", "%s", versions),
	}
	if len(r.Plan.Request.Prefixes) > 0 {
		lines = append(lines, field("left out", "%s versions of other keys", humanize.Comma(o.LeftOut)))
	}
	lines = append(lines, field("leases", "%s, each with its full time to live", humanize.Comma(o.Leases)))
	if r.Hash != nil {
		lines = append(lines, r.hashLine())
	}
	lines = append(lines, field("took", "%.1f s, %s versions/s", r.Took.Seconds(), humanize.Comma(int64(r.rate()))))
	if r.different() {
		return lines
	}
	return append(lines, "Next: start tierd serve on this keyspace.")
}

func (r *restoreReport) hashLine() string {
	if r.different() {
		return field("HashKV", "%d at revision %d; the archive's is %d: DIFFERENT", *r.Hash, r.Outcome.Revision, *r.ArchiveHash)
	}
	return field("HashKV", "%d at revision %d: equal to the archive's", *r.Hash, r.Outcome.Revision)
}

func (r *restoreReport) dryLines() []string {
	p := r.Plan
	lines := []string{
		fmt.Sprintf("Would restore the keyspace %s from %s to the %s. Nothing was done.", r.Source.Keyspace, r.Source.Location, r.Place.name()),
		field("timeline", "%s", p.Timeline.ID()),
		field("base", "at revision %d (%s), %s", p.Base.Revision, timeText(p.Base.Time), humanize.IBytes(uint64(p.Base.Size))),
		field("log", "%s segments, %s", humanize.Comma(int64(p.Segments)), humanize.IBytes(uint64(p.Bytes-p.Base.Size))),
		field("revision", "%d", p.Revision),
		field("time", "%s", timeText(p.Time)),
	}
	if p.Request.Bump > 0 {
		lines = append(lines, field("raised to", "revision %d, compacted there", p.Revision+p.Request.Bump))
	}
	for _, prefix := range p.Request.Prefixes {
		lines = append(lines, field("only keys", "that begin with %q", prefix))
	}
	return lines
}

// restoreJSON is the report for programs.
type restoreJSON struct {
	Source       string `json:"source"`
	Keyspace     string `json:"keyspace"`
	Timeline     string `json:"timeline"`
	Place        string `json:"place"`
	DryRun       bool   `json:"dry_run"`
	Base         string `json:"base"`
	BaseBytes    int64  `json:"base_bytes"`
	BaseRevision int64  `json:"base_revision"`
	Segments     int    `json:"segments"`
	StoredBytes  int64  `json:"stored_bytes"`
	// SourceRevision is the one restored; Revision is higher if it was raised.
	SourceRevision router.Revision `json:"source_revision"`
	Revision       router.Revision `json:"revision"`
	Time           time.Time       `json:"time"`
	*restoredJSON
}

// restoredJSON is what is known after the restore.
type restoredJSON struct {
	Compacted   router.Revision `json:"compacted_revision"`
	Keys        int64           `json:"keys"`
	Versions    int64           `json:"versions"`
	LeftOut     int64           `json:"left_out_versions"`
	Resumed     int64           `json:"resumed_versions"`
	Leases      int64           `json:"leases"`
	HashKV      *uint32         `json:"hash_kv,omitempty"`
	ArchiveHash *uint32         `json:"archive_hash_kv,omitempty"`
	Equal       *bool           `json:"equal,omitempty"`
	Seconds     float64         `json:"seconds"`
	Rate        float64         `json:"versions_per_second"`
}

func (r *restoreReport) document() restoreJSON {
	p := r.Plan
	d := restoreJSON{
		Source: r.Source.Location.String(), Keyspace: r.Source.Keyspace, Timeline: p.Timeline.ID(), Place: r.Place.name(), DryRun: r.DryRun,
		Base: p.Base.Name(), BaseBytes: p.Base.Size, BaseRevision: int64(p.Base.Revision), Segments: p.Segments, StoredBytes: p.Bytes,
		SourceRevision: p.Revision, Revision: p.Revision + p.Request.Bump, Time: p.Time.UTC(),
	}
	if r.DryRun {
		return d
	}
	o := r.Outcome
	d.Revision, d.Time = o.Revision, o.Time.UTC()
	d.restoredJSON = &restoredJSON{
		Compacted: o.Compacted, Keys: o.Keys, Versions: o.Versions, LeftOut: o.LeftOut, Resumed: o.Resumed, Leases: o.Leases,
		HashKV: r.Hash, ArchiveHash: r.ArchiveHash, Seconds: r.Took.Seconds(), Rate: r.rate(),
	}
	if r.Hash != nil {
		equal := !r.different()
		d.Equal = &equal
	}
	return d
}
