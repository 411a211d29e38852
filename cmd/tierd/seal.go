package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/backup/vault"
	"github.com/tierd/tierd/router"
)

const sealHelp = `Say whether the values of a keyspace are encrypted before they reach Redis, and change
that, or the keys.

Everything works on a keyspace in service. What a command sets holds when it returns: no
frontend writes by anything former. What is in Redis already is brought to it in the
background, by one of the frontends; status says how far that is, and --wait waits for it.
--hot-tier, --keyspace, --archive-key-file, --archive-kms-key and --config-file are those of
tierd serve: give what the frontends were given.`

// sealWaitPoll is how often --wait looks.
const sealWaitPoll = 500 * time.Millisecond

// sealTool is what one run of a seal command works with.
type sealTool struct {
	*shardTool
	wait     bool
	keyspace *router.Keyspace
	vault    *vault.Vault
	next     archiveSettings
}

func newSealCommand(environ []string) *cobra.Command {
	t := &sealTool{shardTool: newShardTool(environ, openShards)}
	root := t.group("seal", "Encrypt the values in Redis, and change the keys of that", sealHelp)
	rotateKey := t.command("rotate-key", "Encrypt the data keys with another master key; no value is encrypted anew", t.rotateMaster)
	rotateKey.Flags().StringVar(&t.next.KeyFile, "new-key-file", "", "file with the new master key, made if it is not there")
	rotateKey.Flags().StringVar(&t.next.KMSKey, "new-kms-key", "", "ARN of the key of AWS KMS that is the new master key")
	root.AddCommand(
		t.command("status", "Say whether values are sealed, with which key, and how far that is", t.status),
		t.setting("on", "Seal values from now on, and those that are there", t.setOn),
		t.setting("off", "Store values as they are from now on, and open those that are there; frontends with --seal-values refuse to write then", t.setOff),
		t.setting("rotate", "Take a new data key, and seal all values anew", t.setRotated),
		rotateKey)
	return root
}

func (t *sealTool) command(use, short string, act func(ctx context.Context) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: noArguments, RunE: func(cmd *cobra.Command, _ []string) error {
		return t.runSeal(cmd, act)
	}}
}

// setting is a command that changes how values are kept.
func (t *sealTool) setting(use, short string, change func(context.Context, string) (string, error)) *cobra.Command {
	cmd := t.command(use, short, func(ctx context.Context) error {
		if _, err := t.keyspace.ChangeSealing(ctx, true, change); err != nil {
			return explainSealing(err)
		}
		if t.wait {
			return t.await(ctx)
		}
		return t.status(ctx)
	})
	cmd.Flags().BoolVar(&t.wait, "wait", false, "return when all values are so; a frontend has to run")
	return cmd
}

func (t *sealTool) setOn(ctx context.Context, text string) (string, error) {
	return t.vault.TurnOn(ctx, text)
}
func (t *sealTool) setOff(_ context.Context, text string) (string, error) { return vault.TurnOff(text) }
func (t *sealTool) setRotated(ctx context.Context, text string) (string, error) {
	state, err := vault.Describe(text)
	if err == nil && !state.On {
		return "", usage("the values of this keyspace are not sealed: tierd seal on")
	}
	if err != nil {
		return "", err
	}
	return t.vault.Rotate(ctx, text)
}

func (t *sealTool) runSeal(cmd *cobra.Command, act func(ctx context.Context) error) (err error) {
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
	keyspace, sealing, closeIt, err := openBeside(ctx, settings)
	if err != nil {
		return fmt.Errorf("open the keyspace %s: %w", settings.Keyspace, err)
	}
	defer func() { err = errors.Join(err, closeIt()) }()
	t.keyspace, t.vault = keyspace, sealing
	return act(ctx)
}

// rotateMaster brings the data keys from one master key to another.
func (t *sealTool) rotateMaster(ctx context.Context) error {
	if (t.next.KeyFile == "") == (t.next.KMSKey == "") {
		return usage("either --new-key-file or --new-kms-key has to be given")
	}
	next, err := t.next.master(ctx, true)
	if err != nil {
		return usage("%v", err)
	}
	n := 0
	_, err = t.keyspace.ChangeSealing(ctx, false, func(ctx context.Context, text string) (after string, err error) {
		after, n, err = t.vault.Rewrap(ctx, text, next)
		return after, err
	})
	if err != nil {
		return explainSealing(err)
	}
	if t.output == "json" {
		return encodeJSON(t.out, struct {
			After string `json:"new_master_key"`
			Keys  int    `json:"keys_encrypted_anew"`
		}{next.ID(), n})
	}
	return printLines(t.out, []string{
		fmt.Sprintf("The keys of sealed values are encrypted by the master key %s; %d %s encrypted anew.", next.ID(), n, plural(n, "key")),
		"Next: give all frontends the new master key, and restart them one after the other; tierd backup rotate-key does the same for the archive.",
	})
}

// await waits until all values are as the keyspace says.
func (t *sealTool) await(ctx context.Context) error {
	for {
		text, progress, err := t.keyspace.SealStatus(ctx)
		if err != nil {
			return err
		}
		state, err := vault.Describe(text)
		if err != nil || state.Settled {
			return errors.Join(err, t.status(ctx))
		}
		if progress != nil {
			if _, err := fmt.Fprintf(t.errOut, "%d of %d records looked at, %d sealed anew or opened\n", progress.Looked, progress.Total, progress.Renewed); err != nil {
				return fmt.Errorf("print how far it is: %w", err)
			}
		}
		select {
		case <-t.after(sealWaitPoll):
		case <-ctx.Done():
			return fmt.Errorf("interrupted; the frontends go on (%w)", context.Cause(ctx))
		}
	}
}

// sealStatus is what status prints as JSON.
type sealStatus struct {
	On       bool                 `json:"on"`
	Settled  bool                 `json:"settled"`
	Current  uint32               `json:"current,omitempty"`
	Keys     []sealKey            `json:"keys,omitempty"`
	Progress *router.SealProgress `json:"progress,omitempty"`
}

type sealKey struct {
	Number uint32    `json:"number"`
	Made   time.Time `json:"made"`
	Master string    `json:"master_key"`
}

func (t *sealTool) status(ctx context.Context) error {
	text, progress, err := t.keyspace.SealStatus(ctx)
	if err != nil {
		return err
	}
	state, err := vault.Describe(text)
	if err != nil {
		return err
	}
	s := sealStatus{On: state.On, Settled: state.Settled, Current: state.Current, Progress: progress}
	for _, k := range state.Keys {
		s.Keys = append(s.Keys, sealKey{Number: k.ID, Made: k.Made.UTC(), Master: k.Master})
	}
	if t.output == "json" {
		return encodeJSON(t.out, s)
	}
	return printLines(t.out, s.lines())
}

func (s sealStatus) lines() []string {
	var lines []string
	switch {
	case s.On && s.Settled:
		lines = append(lines, fmt.Sprintf("All values are sealed, with data key %d.", s.Current))
	case s.On:
		lines = append(lines, fmt.Sprintf("Values are sealed with data key %d; not all that are there are yet.", s.Current))
	case s.Settled:
		lines = append(lines, "Values are stored as they are.")
	default:
		lines = append(lines, "Values are stored as they are; some that are there are still sealed.")
	}
	for _, k := range s.Keys {
		lines = append(lines, fmt.Sprintf("  data key %d, made %s, encrypted by the master key %s", k.Number, k.Made.Format(time.RFC3339), k.Master))
	}
	if s.Progress != nil {
		lines = append(lines, fmt.Sprintf("  %d of %d records looked at, %d sealed anew or opened", s.Progress.Looked, s.Progress.Total, s.Progress.Renewed))
	}
	return lines
}
