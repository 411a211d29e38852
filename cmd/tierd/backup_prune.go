package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/backup/prune"
)

const pruneHelp = `Remove from an archive what is neither young enough nor in a schedule.

All that was current within --keep-age can be restored at any revision and second; of what is
older, the newest snapshot of so many hours, days and weeks. The newest snapshot and all after it stay
whatever is asked for. Without --confirm it shows what would go, and why, and removes nothing.`

// pruneTool is what one run of tierd backup prune works with.
type pruneTool struct {
	*pastTool
	now     func() time.Time
	policy  prune.Policy
	confirm bool
}

func newBackupPruneCommand(environ []string) *cobra.Command {
	t := &pruneTool{pastTool: newPastTool(environ), now: time.Now}
	var age string
	cmd := &cobra.Command{
		Use: "prune --keep-age AGE", Short: "Remove from an archive what need not be kept", Long: pruneHelp, Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if age == "" {
				return usage("--keep-age is needed, such as 30d or 12h: all that is younger can be restored to any revision")
			}
			if t.policy.KeepAge, err = parseAge(age); err != nil {
				return err
			}
			if min(t.policy.Hourly, t.policy.Daily, t.policy.Weekly) < 0 {
				return usage("--keep-hourly, --keep-daily and --keep-weekly must not be negative")
			}
			return t.run(cmd, t.prune)
		},
	}
	fs := cmd.Flags()
	t.register(fs, true)
	fs.StringVar(&age, "keep-age", "", "keep all revisions that were current within this time, such as 30d or 12h")
	fs.IntVar(&t.policy.Hourly, "keep-hourly", 0, "of the last so many hours that have one, keep the newest snapshot")
	fs.IntVar(&t.policy.Daily, "keep-daily", 0, "the same for days")
	fs.IntVar(&t.policy.Weekly, "keep-weekly", 0, "the same for weeks")
	fs.BoolVar(&t.confirm, "confirm", false, "remove what is shown")
	return cmd
}

// parseAge reads a duration that may be in days.
func parseAge(text string) (time.Duration, error) {
	if days, found := strings.CutSuffix(text, "d"); found {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	age, err := time.ParseDuration(text)
	if err != nil || age < 0 {
		return 0, usage("--keep-age must be days or a duration, such as 30d or 12h, not %q", text)
	}
	return age, nil
}

// prune plans by all timelines: a schedule is one for all.
func (t *pruneTool) prune(ctx context.Context) error {
	if t.archive.settings.Timeline != "" {
		return usage("--timeline has no meaning here: a schedule is one for all timelines")
	}
	catalogs, err := prune.Catalogs(ctx, t.archive.Archive)
	if err != nil {
		return err
	}
	result := prune.Plan(catalogs, t.policy, t.now())
	if t.confirm {
		if err := prune.Apply(ctx, t.archive.Archive, result); err != nil {
			return fmt.Errorf("%w; what is kept is whole, give the same command again", err)
		}
	}
	if t.output == "json" {
		return encodeJSON(t.out, struct {
			Removed bool `json:"removed"`
			prune.Result
		}{t.confirm, result})
	}
	return t.print(result)
}

func (t *pruneTool) print(result prune.Result) error {
	verb := "Would remove"
	if t.confirm {
		verb = "Removed"
	}
	keeps := table{columns: []string{"KEEP", "TIME", "SIZE", "WHY"}}
	for _, k := range result.Keep {
		keeps.rows = append(keeps.rows, []string{fmt.Sprintf("snapshot at revision %d", k.Base.Revision), timeText(k.Base.Time), humanize.IBytes(uint64(k.Base.Size)), k.Why})
	}
	goes := table{columns: []string{"REMOVE", "SIZE", "WHY"}}
	for _, r := range result.Remove {
		goes.rows = append(goes.rows, []string{r.Name, humanize.IBytes(uint64(r.Size)), r.Why})
	}
	tables := []table{keeps}
	if len(goes.rows) > 0 {
		tables = append(tables, goes)
	}
	if err := printTables(t.out, tables...); err != nil {
		return err
	}
	lines := []string{"", fmt.Sprintf("%s %s %s, %s.", verb, humanize.Comma(int64(len(result.Remove))), plural(len(result.Remove), "object"), humanize.IBytes(uint64(result.Bytes)))}
	if !t.confirm && len(result.Remove) > 0 {
		lines = append(lines, "Nothing was removed. With --confirm, it is.")
	}
	return printLines(t.out, lines)
}
