package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/travel"
)

const undoHelp = `Write the values that keys had at some moment back into a keyspace in service.

It compares what is there now, as --endpoints serve it, with what the archive has of that
moment, shows the difference, and asks; with --confirm it does not ask, and where nobody can
be asked it only shows. The old values are written as normal transactions, which watchers
see. A key that somebody changes meanwhile is left as it is, and reported.

Leases are not brought back: a key that is there keeps the lease it has, and one that is made
again has none. To bring a whole keyspace back as it was, use tierd restore.`

// undoTool is what one run of tierd undo works with.
type undoTool struct {
	*pastTool
	environ    []string
	server     etcdFlags
	prefix, to string
	confirm    bool
	in         io.Reader
}

func newUndoCommand(environ []string) *cobra.Command {
	t := &undoTool{pastTool: newPastTool(environ), environ: environ}
	cmd := &cobra.Command{
		Use: "undo --prefix PREFIX --to REV|TIME", Short: "Write old values back into a keyspace in service, from the archive", Long: undoHelp,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t.in = cmd.InOrStdin()
			switch {
			case !cmd.Flags().Changed("prefix"):
				return usage(`--prefix is needed; --prefix "" is all keys`)
			case t.to == "":
				return usage("--to is needed: a revision, or a time such as 2026-01-31T12:30:00Z")
			}
			if err := t.server.check(true); err != nil {
				return err
			}
			key, err := t.key(t.prefix)
			if err != nil {
				return err
			}
			return t.run(cmd, func(ctx context.Context) error { return t.undo(ctx, travel.Keys{Key: key, Prefix: true}) })
		},
	}
	fs := cmd.Flags()
	t.register(fs, true)
	t.registerHex(fs)
	fs.StringVar(&t.prefix, "prefix", "", "the keys that begin so")
	fs.StringVar(&t.to, "to", "", "the moment whose values to bring back: a revision or a time")
	fs.BoolVar(&t.confirm, "confirm", false, "write without asking")
	t.server.register(fs)
	endpoints := fs.Lookup("endpoints")
	endpoints.Usage = "comma-separated client URLs of the keyspace in service"
	t.server.endpoints, endpoints.DefValue = []string{defaultClientURL}, defaultClientURL
	return cmd
}

// errUndone says that not all was written. The report has more.
var errUndone = errors.New("not everything was brought back; the same command again shows what is left")

func (t *undoTool) undo(ctx context.Context, keys travel.Keys) (err error) {
	c, err := t.chosen(ctx, "--to", t.to)
	if err != nil {
		return err
	}
	plan, err := t.moment(ctx, c, "--to", t.to)
	if err != nil {
		return err
	}
	client, err := t.server.connect(t.environ)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if err := t.warnOther(ctx, client, c); err != nil {
		return err
	}
	changes, err := travel.Back(ctx, t.archive.Archive, plan, keys, travel.LiveKeys(client, keys))
	if err != nil {
		return err
	}
	confirmed, err := t.ask(plan, changes)
	if err != nil {
		return err
	}
	var results []travel.Result
	if confirmed {
		results = travel.Undo(ctx, client, changes)
	}
	return t.report(plan, changes, results)
}

// warnOther says so if the keyspace in service is not the one that the archive is of.
func (t *undoTool) warnOther(ctx context.Context, client *clientv3.Client, c *backup.Catalog) error {
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	members, err := client.MemberList(asking)
	if err != nil {
		return fmt.Errorf("reach the keyspace in service at %s: %w", strings.Join(t.server.endpoints, ", "), err)
	}
	if members.Header.ClusterId != c.Timeline.Cluster {
		fmt.Fprintf(t.errOut, "tierd: warning: the keyspace in service (cluster %x) is not the one of the archive's timeline (%x): it was restored since, or is another one.\n",
			members.Header.ClusterId, c.Timeline.Cluster)
	}
	return nil
}

// ask shows the changes and asks whether to make them.
func (t *undoTool) ask(plan backup.Plan, changes []travel.Change) (bool, error) {
	if t.output == "table" {
		head := fmt.Sprintf("Back to revision %d (%s): %s %s to change.", plan.Revision, timeText(plan.Time), humanize.Comma(int64(len(changes))), plural(len(changes), "key"))
		if err := printChanges(t.out, head, changes); err != nil {
			return false, err
		}
	}
	switch {
	case len(changes) == 0:
		return false, nil
	case t.confirm:
		return true, nil
	case t.output == "json" || !canAnswer(t.in):
		return false, nil
	}
	if _, err := fmt.Fprint(t.errOut, "Write the values of AFTER? Type yes: "); err != nil {
		return false, fmt.Errorf("ask: %w", err)
	}
	answer, err := bufio.NewReader(t.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	return strings.TrimSpace(answer) == "yes", nil
}

// undoResult is what has become of a key, for programs.
type undoResult struct {
	Key     bytesJSON      `json:"key"`
	Outcome travel.Outcome `json:"outcome"`
	Error   string         `json:"error,omitempty"`
}

// report says what was done: results is empty if nothing was tried.
func (t *undoTool) report(plan backup.Plan, changes []travel.Change, results []travel.Result) error {
	counts := make(map[travel.Outcome]int)
	items := make([]undoResult, len(results))
	for i, r := range results {
		counts[r.Outcome]++
		items[i] = undoResult{Key: bytesOf(r.Change.Key), Outcome: r.Outcome}
		if r.Err != nil {
			items[i].Error = r.Err.Error()
		}
	}
	var err error
	switch {
	case t.output == "json":
		err = encodeJSON(t.out, struct {
			To      momentJSON   `json:"to"`
			Changes []changeItem `json:"changes"`
			Written bool         `json:"written"`
			Results []undoResult `json:"results"`
		}{momentOf(plan), changeItems(changes), len(results) > 0, items})
	case len(changes) == 0:
	case len(results) == 0:
		err = printLines(t.out, []string{"Nothing was written. With --confirm, the values of AFTER are."})
	default:
		err = t.printResults(results, counts)
	}
	if err == nil && counts[travel.Done] < len(results) {
		return errUndone
	}
	return err
}

func (t *undoTool) printResults(results []travel.Result, counts map[travel.Outcome]int) error {
	lines := []string{fmt.Sprintf("Brought back: %s of %s.", humanize.Comma(int64(counts[travel.Done])), humanize.Comma(int64(len(results))))}
	for _, r := range results {
		switch {
		case r.Outcome == travel.Done:
		case r.Err != nil:
			lines = append(lines, fmt.Sprintf("  %s: %s (%v)", shortText(r.Change.Key), r.Outcome, r.Err))
		default:
			lines = append(lines, fmt.Sprintf("  %s: %s", shortText(r.Change.Key), r.Outcome))
		}
	}
	return printLines(t.out, lines)
}

// canAnswer tells whether there may be somebody to ask.
func canAnswer(in io.Reader) bool {
	file, ok := in.(*os.File)
	return ok && isTerminal(file)
}
