package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/hot"
)

// liveWait bounds the look at the keyspace in service.
const liveWait = 5 * time.Second

const backupStatusHelp = `Show how far the archive is, and how far behind the keyspace.

It looks at the keyspace where --hot-tier is, if that answers; for --hot-tier local, if tierd serve
runs on --data-dir. Without it, it says what the archive alone shows.`

// liveState is how far the archive is by what the keyspace says.
type liveState struct {
	// Why says why nobody looked, "" if somebody did.
	Why string
	// Revision is the current one, Archived what the archive has, at To.
	Revision, Archived router.Revision
	To                 time.Time
}

// behind is how long the archive has not had what the keyspace has.
func (l liveState) behind(now time.Time) time.Duration {
	if l.Archived >= l.Revision || l.To.UnixMilli() == 0 {
		return 0
	}
	return max(0, now.Sub(l.To))
}

// archiveLooker is a keyspace that says how far its archive is.
type archiveLooker interface {
	LookArchive(ctx context.Context) (router.ArchiveProgress, router.Revision, error)
}

// statusTool is what one run of tierd backup status works with.
type statusTool struct {
	*pastTool
	open placeOpener
	now  func() time.Time
}

func newBackupStatusCommand(environ []string, open placeOpener) *cobra.Command {
	t := &statusTool{pastTool: newPastTool(environ), open: open, now: time.Now}
	cmd := &cobra.Command{
		Use: "status", Short: "Show how far the archive is, and how far behind the keyspace", Long: backupStatusHelp, Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return t.run(cmd, t.status) },
	}
	t.register(cmd.Flags(), true)
	return cmd
}

// look asks the keyspace in service, if it can be reached. Failing to is no failure of the status.
func (t *statusTool) look(ctx context.Context) liveState {
	place := t.archive.settings.Place
	if place.HotTier.Local {
		socket, err := filepath.Abs(filepath.Join(place.DataDir, "redis", "redis.sock"))
		if err == nil {
			_, err = os.Stat(socket)
		}
		if err != nil {
			return liveState{Why: fmt.Sprintf("no tierd serve runs on %s", place.DataDir)}
		}
		endpoint, err := hot.ParseEndpoint("unix://" + socket)
		if err != nil {
			return liveState{Why: err.Error()}
		}
		place.HotTier = hotTier{Endpoint: endpoint, Access: place.HotTier.Access}
	}
	ctx, cancel := context.WithTimeout(ctx, liveWait)
	defer cancel()
	state, err := t.ask(ctx, place)
	if err != nil {
		return liveState{Why: fmt.Sprintf("the %s did not answer: %v", place.name(), err)}
	}
	return state
}

func (t *statusTool) ask(ctx context.Context, s placeSettings) (state liveState, err error) {
	p, err := t.open(ctx, s, t.errOut)
	if err != nil {
		return state, err
	}
	defer func() {
		if closeErr := p.Close(); err == nil {
			err = closeErr
		}
	}()
	k, err := p.Open(ctx)
	if err != nil {
		return state, err
	}
	looker, ok := k.(archiveLooker)
	if !ok {
		return liveState{Why: "it does not tell"}, nil
	}
	progress, current, err := looker.LookArchive(ctx)
	return liveState{Revision: current, Archived: progress.Revision, To: progress.To}, err
}

// statusJSON is the status for programs.
type statusJSON struct {
	Keyspace  string          `json:"keyspace"`
	Location  string          `json:"location"`
	Timeline  string          `json:"timeline"`
	Timelines int             `json:"timelines"`
	Last      momentJSON      `json:"last"`
	Base      *baseJSON       `json:"last_base"`
	Objects   int             `json:"objects"`
	Bytes     int64           `json:"bytes"`
	Gaps      []backup.Gap    `json:"gaps"`
	Live      *liveStatusJSON `json:"live"`
	LiveError string          `json:"live_error,omitempty"`
}

type liveStatusJSON struct {
	Revision   router.Revision `json:"revision"`
	Archived   router.Revision `json:"archived_revision"`
	Behind     router.Revision `json:"revisions_behind"`
	LagSeconds float64         `json:"lag_seconds"`
}

// objectsOf counts the objects of a timeline.
func objectsOf(c *backup.Catalog) int {
	return len(c.Bases) + len(c.Log) + len(c.Claims) + len(c.Pruned) + len(c.VoidSegments) + len(c.VoidBases) + len(c.Superfluous) +
		len(c.SpareClaims) + len(c.SparePruned) + len(c.Unknown)
}

// lostGaps are those that nobody made on purpose.
func lostGaps(c *backup.Catalog) []backup.Gap {
	gaps := []backup.Gap{}
	for _, g := range c.Gaps {
		if !g.Pruned {
			gaps = append(gaps, g)
		}
	}
	return gaps
}

func (t *statusTool) status(ctx context.Context) error {
	all, err := t.archive.catalogs(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return usage("the archive of %s at %s has no timeline yet: nothing was ever written to it", t.archive.settings.Keyspace, t.archive.settings.Location)
	}
	c := all[len(all)-1]
	live := t.look(ctx)
	if t.output == "json" {
		return encodeJSON(t.out, t.document(all, c, live))
	}
	_, revision, at := c.End()
	now := t.now()
	lines := []string{
		fmt.Sprintf("The archive of the keyspace %s at %s", t.archive.settings.Keyspace, t.archive.settings.Location),
		field("timeline", "%s, the newest of %d", c.Timeline.ID(), len(all)),
		field("archived", "up to revision %d, at %s (%s ago)", revision, timeText(at), now.Sub(at).Round(time.Second)),
	}
	if n := len(c.Bases); n > 0 {
		base := c.Bases[n-1]
		lines = append(lines, field("snapshot", "at revision %d (%s), %s, the newest of %d", base.Revision, timeText(base.Time), humanize.IBytes(uint64(base.Size)), n))
	} else {
		lines = append(lines, field("snapshot", "none yet: nothing can be restored"))
	}
	lines = append(lines, field("objects", "%s, %s", humanize.Comma(int64(objectsOf(c))), humanize.IBytes(uint64(c.Bytes))))
	gaps := lostGaps(c)
	if len(gaps) == 0 {
		lines = append(lines, field("gaps", "none"))
	}
	for _, g := range gaps {
		lines = append(lines, field("gap", "nothing between revision %d and %d: run tierd backup verify", g.Revision, g.NextRevision))
	}
	return printLines(t.out, append(lines, liveLine(live, now)))
}

func liveLine(l liveState, now time.Time) string {
	switch {
	case l.Why != "":
		return field("keyspace", "not looked at: %s", l.Why)
	case l.Archived >= l.Revision:
		return field("keyspace", "at revision %d: all of it is archived", l.Revision)
	case l.Archived == 0:
		return field("keyspace", "at revision %d: nothing of it is archived yet", l.Revision)
	default:
		return field("keyspace", "at revision %d: the archive is %d %s and %s behind", l.Revision, l.Revision-l.Archived,
			plural(int(l.Revision-l.Archived), "revision"), l.behind(now).Round(100*time.Millisecond))
	}
}

func (t *statusTool) document(all []*backup.Catalog, c *backup.Catalog, live liveState) statusJSON {
	_, revision, at := c.End()
	d := statusJSON{
		Keyspace: t.archive.settings.Keyspace, Location: t.archive.settings.Location.String(), Timeline: c.Timeline.ID(), Timelines: len(all),
		Last: momentJSON{revision, timeJSON(at)}, Objects: objectsOf(c), Bytes: c.Bytes, Gaps: lostGaps(c), LiveError: live.Why,
	}
	if n := len(c.Bases); n > 0 {
		b := c.Bases[n-1]
		d.Base = &baseJSON{b.Revision, b.Time.UTC(), b.Size, b.Name()}
	}
	if live.Why == "" {
		d.Live = &liveStatusJSON{live.Revision, live.Archived, max(0, live.Revision-live.Archived), live.behind(t.now()).Seconds()}
	}
	return d
}
