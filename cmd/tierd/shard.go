package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tierd/tierd/router"
)

// shardMap is what the shard commands ask of a keyspace.
type shardMap interface {
	router.Topologist
	Alarms(ctx context.Context) ([]router.Alarm, error)
	Loss(ctx context.Context) (router.Loss, error)
	AcceptLoss(ctx context.Context, bump router.Revision) (router.Revision, []string, error)
}

// shardOpener opens a keyspace as a tool: not in the member list, without jobs. The
// function it gives closes the keyspace.
type shardOpener func(ctx context.Context, settings shardSettings) (shardMap, func() error, error)

// shardTool is what one run of a shard command works with.
type shardTool struct {
	environ []string
	open    shardOpener
	// now and after are the clock: time.Now and time.After outside tests.
	now   func() time.Time
	after func(time.Duration) <-chan time.Time

	// serve holds the settings shared with tierd serve, in the flag set serveFlags.
	serve      flags
	serveFlags *pflag.FlagSet

	output      string
	hex, dryRun bool

	keyspace shardMap
	// home is the URL of endpoint 0, which the keyspace itself does not know.
	home        string
	out, errOut io.Writer
}

// shardAction is one command, on an open keyspace.
type shardAction func(ctx context.Context, arguments []string) error

const shardHelp = `Look at the shards of a keyspace, and change which shard holds which keys.

Everything works on a keyspace in service: nothing has to be stopped, and clients
see at most a slower request. A key range is written as its first key and the first
key behind it; "" is the beginning and the end of all keys. --hot-tier, --keyspace,
--replica-acks and --config-file are those of tierd serve, with the same environment
variables: give what the frontends were given.`

// newShardTool is what one command works with.
func newShardTool(environ []string, open shardOpener) *shardTool {
	return &shardTool{
		environ: environ, open: open, now: time.Now, after: time.After,
		serveFlags: pflag.NewFlagSet("serve", pflag.ContinueOnError),
	}
}

// group is the command above those of the tool, with the flags that they share.
func (t *shardTool) group(use, short, long string) *cobra.Command {
	group := newGroup(use, short, long)
	fs := group.PersistentFlags()
	fs.SortFlags = false
	t.serve.register(t.serveFlags)
	for _, name := range sharedSettings() {
		fs.AddFlag(t.serveFlags.Lookup(name))
	}
	fs.StringVarP(&t.output, "output", "o", "table", "how to print: table or json")
	return group
}

func (t *shardTool) root() *cobra.Command {
	root := t.group("shard", "Look at the shards of a keyspace and move keys between them", shardHelp)
	root.PersistentFlags().BoolVar(&t.hex, "hex", false, "keys are given, and shown in tables, as hexadecimal digits")
	root.AddCommand(t.listCommand(), t.statusCommand(), t.planCommand(),
		t.addCommand(), t.splitCommand(), t.mergeCommand(), t.moveCommand(), t.drainCommand(), t.removeCommand(), t.applyCommand())
	return root
}

// reading is a command that changes nothing, changing one that does.
func (t *shardTool) reading(use, short string, arguments []string, act shardAction) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error { return wantArguments(cmd, args, arguments) },
		RunE: func(cmd *cobra.Command, args []string) error { return t.run(cmd, args, act) },
	}
}

func (t *shardTool) changing(use, short string, arguments []string, act shardAction) *cobra.Command {
	cmd := t.reading(use, short, arguments, act)
	cmd.Flags().BoolVar(&t.dryRun, "dry-run", false, "say what would be done and what it would cost, and do nothing")
	return cmd
}

// wantArguments refuses too few or too many arguments.
func wantArguments(cmd *cobra.Command, args, names []string) error {
	if len(names) == 0 {
		return noArguments(cmd, args)
	}
	if len(args) != len(names) {
		return usage("%s wants %s, and got %d arguments: see %s --help", cmd.CommandPath(), strings.Join(names, " "), len(args), cmd.CommandPath())
	}
	return nil
}

// run opens the keyspace, does what the command is for, and closes it. The first
// SIGINT or SIGTERM ends it: what is half done is finished or undone by the
// frontends.
func (t *shardTool) run(cmd *cobra.Command, args []string, act shardAction) (err error) {
	t.out, t.errOut = cmd.OutOrStdout(), cmd.ErrOrStderr()
	if t.output != "table" && t.output != "json" {
		return usage("--output must be table or json, not %q", t.output)
	}
	settings, err := t.settings(cmd)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	keyspace, closeIt, err := t.open(ctx, settings)
	if err != nil {
		return fmt.Errorf("open the keyspace %s: %w", settings.Keyspace, err)
	}
	defer func() { err = errors.Join(err, closeIt()) }()
	t.keyspace, t.home = keyspace, settings.HotTier.Endpoint.String()
	return explain(ctx, act(ctx, args))
}

// explain makes a mistake of the operator out of a change that the map does not
// allow, and tells what to do about a change that is in the way or was interrupted.
func explain(ctx context.Context, err error) error {
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("interrupted; a change that had begun is finished or undone by itself, see tierd shard status (%w)", err)
	case errors.Is(err, router.ErrMap):
		return usage("%v", err)
	case errors.Is(err, router.ErrBusy):
		return fmt.Errorf("%w: see tierd shard status, and try again when it is done", err)
	default:
		return err
	}
}

// topology reads the shard map.
func (t *shardTool) topology(ctx context.Context) (router.Topology, error) {
	topology, err := t.keyspace.Topology(ctx)
	if err != nil {
		return topology, fmt.Errorf("read the shard map: %w", err)
	}
	for i := range topology.Endpoints {
		if topology.Endpoints[i].ID == 0 {
			topology.Endpoints[i].URL = t.home
		}
	}
	return topology, nil
}
