package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/router"
)

const backupHelp = `Look at the archive of a keyspace, check it, and take care of it.

None of these needs a live server. Where the archive is and with which key it was encrypted is
given as to tierd serve, with the same environment variables and settings file.`

// errWarnings is a check that has found warnings and nothing worse.
var errWarnings = errors.New("the archive has warnings")

func newBackupCommand(environ []string, open placeOpener) *cobra.Command {
	root := newGroup("backup", "Look at the archive, check it, rotate its key, prune it", backupHelp)
	root.AddCommand(newBackupListCommand(environ), newBackupStatusCommand(environ, open), newBackupVerifyCommand(environ, open),
		newBackupRotateCommand(environ), newBackupPruneCommand(environ))
	return root
}

func newBackupListCommand(environ []string) *cobra.Command {
	t := newPastTool(environ)
	cmd := &cobra.Command{
		Use: "list", Short: "List what the archive has: timelines, snapshots, and stretches of the log", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return t.run(cmd, t.list) },
	}
	t.register(cmd.Flags(), true)
	return cmd
}

// listedJSON is a timeline for programs.
type listedJSON struct {
	ID    string       `json:"id"`
	Began time.Time    `json:"began"`
	Bytes int64        `json:"bytes"`
	Bases []baseJSON   `json:"bases"`
	Log   []runJSON    `json:"log"`
	Last  momentJSON   `json:"last"`
	Gaps  []backup.Gap `json:"gaps"`
}

type baseJSON struct {
	Revision router.Revision `json:"revision"`
	Time     time.Time       `json:"time"`
	Bytes    int64           `json:"bytes"`
	Name     string          `json:"name"`
}

// runJSON is a part of the log without a gap.
type runJSON struct {
	First    router.Revision `json:"first_revision"`
	Last     router.Revision `json:"last_revision"`
	From     time.Time       `json:"from"`
	To       time.Time       `json:"to"`
	Segments int             `json:"segments"`
	Bytes    int64           `json:"bytes"`
}

// runsOf joins the stretches of a log that follow each other.
func runsOf(c *backup.Catalog) []runJSON {
	runs := []runJSON{}
	for i, s := range c.Log {
		if i == 0 || s.FirstBlock != c.Log[i-1].LastBlock+1 || s.First != c.Log[i-1].Last+1 {
			runs = append(runs, runJSON{First: s.First, From: s.From.UTC()})
		}
		run := &runs[len(runs)-1]
		run.Last, run.To = s.Last, s.To.UTC()
		run.Segments++
		run.Bytes += s.Segment.Size
	}
	return runs
}

func (t *pastTool) list(ctx context.Context) error {
	all, err := t.archive.catalogs(ctx)
	if err != nil {
		return err
	}
	if t.output == "json" {
		document := make([]listedJSON, len(all))
		for i, c := range all {
			document[i] = listedOf(c)
		}
		return encodeJSON(t.out, struct {
			Keyspace  string       `json:"keyspace"`
			Location  string       `json:"location"`
			Timelines []listedJSON `json:"timelines"`
		}{t.archive.settings.Keyspace, t.archive.settings.Location.String(), document})
	}
	head := fmt.Sprintf("The archive of the keyspace %s at %s has %d %s.", t.archive.settings.Keyspace, t.archive.settings.Location, len(all), plural(len(all), "timeline"))
	if err := printLines(t.out, []string{head}); err != nil {
		return err
	}
	for _, c := range all {
		if err := t.listOne(c); err != nil {
			return err
		}
	}
	return nil
}

func listedOf(c *backup.Catalog) listedJSON {
	_, revision, at := c.End()
	l := listedJSON{
		ID: c.Timeline.ID(), Began: c.Timeline.Began.UTC(), Bytes: c.Bytes, Bases: []baseJSON{}, Log: runsOf(c),
		Last: momentJSON{revision, timeJSON(at)}, Gaps: append([]backup.Gap{}, c.Gaps...),
	}
	for _, b := range c.Bases {
		l.Bases = append(l.Bases, baseJSON{b.Revision, b.Time.UTC(), b.Size, b.Name()})
	}
	return l
}

// listOne prints a timeline.
func (t *pastTool) listOne(c *backup.Catalog) error {
	_, revision, at := c.End()
	lines := []string{"", fmt.Sprintf("Timeline %s, from %s to revision %d (%s), %s", c.Timeline.ID(), timeText(c.Timeline.Began), revision, timeText(at), humanize.IBytes(uint64(c.Bytes)))}
	if err := printLines(t.out, lines); err != nil {
		return err
	}
	bases := table{columns: []string{"SNAPSHOT", "TIME", "SIZE"}}
	for _, b := range c.Bases {
		bases.rows = append(bases.rows, []string{"revision " + strconv.FormatInt(int64(b.Revision), 10), timeText(b.Time), humanize.IBytes(uint64(b.Size))})
	}
	log := table{columns: []string{"LOG", "FROM", "TO", "SEGMENTS", "SIZE"}}
	for _, r := range runsOf(c) {
		log.rows = append(log.rows, []string{fmt.Sprintf("revisions %d to %d", r.First, r.Last), timeText(r.From), timeText(r.To), strconv.Itoa(r.Segments), humanize.IBytes(uint64(r.Bytes))})
	}
	return printTables(t.out, bases, log)
}

// catalogs lists the timeline that was asked for, or all.
func (a *readArchive) catalogs(ctx context.Context) ([]*backup.Catalog, error) {
	all, err := a.timelines(ctx)
	if err != nil {
		return nil, err
	}
	catalogs := make([]*backup.Catalog, len(all))
	for i, timeline := range all {
		if catalogs[i], err = a.Catalog(ctx, timeline); err != nil {
			return nil, err
		}
	}
	return catalogs, nil
}
