package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/restore"
	"github.com/tierd/tierd/backup/verify"
	"github.com/tierd/tierd/router"
)

const backupVerifyHelp = `Check an archive by what is in the object tier alone.

Every object is read, decrypted and checked, and so is that together they are one log;
--quick goes by names only. With --restore, the latest state (or --revision) is restored into
a private redis-server in a temporary folder as well, and HashKV of that compared with the
archive's; the machine needs memory for the whole keyspace then. --scratch-hot-tier restores to
another Redis instead, as the keyspace --scratch-keyspace, which is removed again, also
if a drill before was killed; nothing but such a keyspace is ever removed. All timelines are
checked; --timeline chooses the one to restore.

The exit code is 0 for OK, 3 for WARNING, 1 for FAILURE.`

// verifyTool is what one run of tierd backup verify works with.
type verifyTool struct {
	*pastTool
	open           placeOpener
	quick, restore bool
	revision       int64
	tempDir        string
	// scratchHotTier is where to restore to, as the keyspace scratchKeyspace; empty for a private server.
	scratchHotTier, scratchKeyspace string
}

// scratchKeyspace is the name of the keyspace of a drill.
const scratchKeyspace = "drill"

func newBackupVerifyCommand(environ []string, open placeOpener) *cobra.Command {
	t := &verifyTool{pastTool: newPastTool(environ), open: open}
	cmd := &cobra.Command{
		Use: "verify", Short: "Check an archive by what is in the object tier alone", Long: backupVerifyHelp, Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case t.revision < 0:
				return usage("--revision must not be negative, not %d", t.revision)
			case t.revision > 0 && !t.restore:
				return usage("--revision needs --restore")
			case (t.scratchHotTier != "" || cmd.Flags().Changed("scratch-keyspace")) && !t.restore:
				return usage("--scratch-hot-tier and --scratch-keyspace need --restore")
			case cmd.Flags().Changed("scratch-keyspace") && t.scratchHotTier == "":
				return usage("--scratch-keyspace needs --scratch-hot-tier")
			case t.tempDir != "" && t.scratchHotTier != "":
				return usage("--temp-dir is for a private server, and has no meaning with --scratch-hot-tier")
			}
			return t.run(cmd, t.verify)
		},
	}
	t.register(cmd.Flags(), true)
	cmd.Flags().BoolVar(&t.quick, "quick", false, "go by the names of objects, and read none")
	cmd.Flags().BoolVar(&t.restore, "restore", false, "restore into a scratch Redis as well, and compare HashKV")
	cmd.Flags().Int64Var(&t.revision, "revision", 0, "with --restore, the revision to restore; 0 is the latest")
	cmd.Flags().StringVar(&t.tempDir, "temp-dir", "", "with --restore, folder for the scratch Redis (default that of the system)")
	cmd.Flags().StringVar(&t.scratchHotTier, "scratch-hot-tier", "", "with --restore, the Redis to restore to, as --hot-tier, instead of a private one")
	cmd.Flags().StringVar(&t.scratchKeyspace, "scratch-keyspace", scratchKeyspace, "with --scratch-hot-tier, name of the keyspace that is made and removed there")
	return cmd
}

// rehearsal is what a restore into a scratch Redis has shown.
type rehearsal struct {
	Revision    router.Revision `json:"revision"`
	Keys        int64           `json:"keys"`
	HashKV      uint32          `json:"hash_kv"`
	ArchiveHash uint32          `json:"archive_hash_kv"`
	Equal       bool            `json:"equal"`
	Error       string          `json:"error,omitempty"`
}

// verifyJSON is the report for programs.
type verifyJSON struct {
	verify.Report
	Restored *rehearsal `json:"restored,omitempty"`
}

func (t *verifyTool) verify(ctx context.Context) error {
	report, err := verify.Verify(ctx, t.archive.Archive, verify.Options{Quick: t.quick})
	if err != nil {
		return err
	}
	document := verifyJSON{Report: report}
	if t.restore {
		if document.Restored, err = t.rehearse(ctx); err != nil {
			return err
		}
		if !document.Restored.Equal {
			document.Status = verify.Failure
		}
	}
	if t.output == "json" {
		err = encodeJSON(t.out, document)
	} else {
		err = printLines(t.out, verifyLines(document))
	}
	switch {
	case err != nil:
		return err
	case document.Status == verify.Warning:
		return errWarnings
	case document.Status != verify.OK:
		return errors.New("the archive is not whole")
	}
	return nil
}

func verifyLines(d verifyJSON) []string {
	how := "every object was read"
	if d.Quick {
		how = "by names alone"
	}
	lines := []string{fmt.Sprintf("%s: the archive of the keyspace %s, %s", d.Status, d.Keyspace, how)}
	if len(d.Timelines) == 0 {
		lines = append(lines, "  it has no timeline")
	}
	for _, t := range d.Timelines {
		lines = append(lines, fmt.Sprintf("  %s: timeline %s, revisions %d to %d, %d %s, %s segments, %s", t.Status, t.ID, t.FirstRevision, t.LastRevision,
			t.Bases, plural(t.Bases, "snapshot"), humanize.Comma(int64(t.Segments)), humanize.IBytes(uint64(t.Bytes))))
		for _, p := range t.Problems {
			lines = append(lines, fmt.Sprintf("    %s: %s: %s", p.Status, p.Object, p.Text))
		}
	}
	switch r := d.Restored; {
	case r == nil:
	case r.Error != "":
		lines = append(lines, "  FAILURE: it cannot be restored: "+r.Error)
	case r.Equal:
		lines = append(lines, fmt.Sprintf("  OK: restored at revision %d with %s keys, HashKV %d, equal to the archive's", r.Revision, humanize.Comma(r.Keys), r.HashKV))
	default:
		lines = append(lines, fmt.Sprintf("  FAILURE: restored at revision %d, HashKV is %d and the archive's %d", r.Revision, r.HashKV, r.ArchiveHash))
	}
	return lines
}

// rehearse restores into a scratch Redis. An error is one of that; what is wrong with the archive is in the result.
func (t *verifyTool) rehearse(ctx context.Context) (result *rehearsal, err error) {
	c, err := t.archive.chosen(ctx, backup.Target{Revision: router.Revision(t.revision)})
	if err != nil {
		return nil, err
	}
	plan, err := restore.New(ctx, t.archive.Archive, c, restore.Request{Target: backup.Target{Revision: router.Revision(t.revision)}})
	if err != nil {
		return nil, err
	}
	if t.scratchHotTier != "" {
		return t.rehearseThere(ctx, c, plan)
	}
	dir, err := os.MkdirTemp(t.tempDir, "tierd-verify-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for a scratch Redis: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	place := placeSettings{Keyspace: t.archive.settings.Keyspace, DataDir: dir, HotTier: hotTier{Local: true, Binary: t.archives.serve.redisServer}}
	p, err := t.open(ctx, place, t.errOut)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	return t.rehearseAt(ctx, c, plan, p)
}

// rehearseThere restores into a scratch keyspace, and removes it again.
func (t *verifyTool) rehearseThere(ctx context.Context, c *backup.Catalog, plan *restore.Plan) (result *rehearsal, err error) {
	settings, err := t.archives.destination(t.archive.settings.Place, t.scratchKeyspace, t.scratchHotTier)
	if err != nil {
		return nil, err
	}
	settings.ReplicaAcks = 0 // what is lost of it costs another drill
	p, err := t.open.discarding(ctx, settings, t.errOut, true)
	if err != nil {
		return nil, err
	}
	if err = leavesRoom(ctx, p); err == nil {
		result, err = t.rehearseAt(ctx, c, plan, p)
	}
	err = errors.Join(err, p.Close())
	removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	failed := t.removeScratch(removing, settings)
	if failed != nil && (result != nil || !errors.Is(failed, router.ErrKeyspaceExists)) { // it was not made here otherwise
		err = errors.Join(err, fmt.Errorf("remove the scratch %s: %w", settings.name(), failed))
	}
	return result, err
}

// removeScratch removes a scratch keyspace that nobody has open any more: who has would write to it again.
func (t *verifyTool) removeScratch(ctx context.Context, settings placeSettings) (err error) {
	p, err := t.open(ctx, settings, t.errOut)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	return p.Discard(ctx)
}

func (t *verifyTool) rehearseAt(ctx context.Context, c *backup.Catalog, plan *restore.Plan, p place) (*rehearsal, error) {
	result := &rehearsal{Revision: plan.Revision}
	begin := func(ctx context.Context, start router.RestoreStart) (restore.Restoration, error) {
		start.Scratch = true
		r, err := p.Restore(ctx, start)
		if err != nil || t.scratchHotTier == "" {
			return r, err
		}
		return &sparing{Restoration: r, place: p}, nil
	}
	outcome, err := restore.Run(ctx, t.archive.Archive, c, plan, begin, new(restore.Meter))
	if err == nil {
		result.Keys = outcome.Keys
		result.ArchiveHash, err = plan.Hash(ctx, t.archive.Archive)
	}
	if errors.Is(err, router.ErrKeyspaceExists) {
		return nil, usage("%v: a drill only removes what a drill has made; choose another name with --scratch-keyspace", err)
	}
	if errors.Is(err, errNoRoom) {
		return nil, err
	}
	if err != nil && ctx.Err() == nil {
		result.Error = err.Error()
		return result, nil
	}
	if err != nil {
		return nil, err
	}
	k, err := p.Open(ctx)
	if err != nil {
		return nil, err
	}
	if result.HashKV, err = hashOf(ctx, k, outcome.Revision); err != nil {
		return nil, err
	}
	result.Equal = result.HashKV == result.ArchiveHash
	return result, nil
}

const (
	// roomPercent is how much of its memory a Redis may use when a drill is under way: what it does besides goes on.
	roomPercent = 75
	// roomStep is after how many bytes of keys and values a drill looks.
	roomStep = 4 << 20
)

// errNoRoom ends a drill; it says nothing about the archive.
var errNoRoom = errors.New("the Redis of --scratch-hot-tier has too little memory for a drill")

// leavesRoom says whether the Redis of a drill has memory to spare.
func leavesRoom(ctx context.Context, p place) error {
	used, most, err := p.Memory(ctx)
	if err != nil {
		return err
	}
	if most > 0 && used > most/100*roomPercent {
		return fmt.Errorf("%w: it uses %s of %s, and the drill is given up at %d%%; name one with memory for the whole keyspace", errNoRoom,
			humanize.IBytes(uint64(used)), humanize.IBytes(uint64(most)), roomPercent)
	}
	return nil
}

// sparing is a restoration that is given up before it takes the memory that others need.
type sparing struct {
	restore.Restoration
	place place
	// added are the bytes since it looked.
	added int
}

// Add implements restore.Restoration.
func (s *sparing) Add(ctx context.Context, v router.Version) error {
	if s.added += len(v.KV.Key) + len(v.KV.Value); s.added >= roomStep {
		s.added = 0
		if err := leavesRoom(ctx, s.place); err != nil {
			return err
		}
	}
	return s.Restoration.Add(ctx, v)
}
