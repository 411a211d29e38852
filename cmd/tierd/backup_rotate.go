package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/backup/seal"
	"github.com/tierd/tierd/tiers/object"
)

const rotateHelp = `Bring the keys of an archive from one master key to another, and take a new one for what
is written from now on.

No data is written anew. --archive-key-file or --archive-kms-key is the master key up to now,
--new-key-file (made if it is not there) or --new-kms-key the one to come; with neither, there
is a new wrapping key under the same master key. It may be interrupted and given again. Then
give all frontends the new master key and restart them, one after the other.

What was encrypted stays readable to whoever had the old master key and a copy of the archive.`

func newBackupRotateCommand(environ []string) *cobra.Command {
	t := newPastTool(environ)
	var next archiveSettings
	cmd := &cobra.Command{
		Use: "rotate-key", Short: "Bring the keys of an archive from one master key to another", Long: rotateHelp, Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if next.KeyFile != "" && next.KMSKey != "" {
				return usage("--new-key-file and --new-kms-key cannot be given together")
			}
			t.out, t.errOut = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if t.output != "table" && t.output != "json" {
				return usage("--output must be table or json, not %q", t.output)
			}
			settings, err := t.archives.archived(cmd)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return t.rotate(ctx, settings, next)
		},
	}
	t.register(cmd.Flags(), true)
	cmd.Flags().StringVar(&next.KeyFile, "new-key-file", "", "file with the new master key, made if it is not there")
	cmd.Flags().StringVar(&next.KMSKey, "new-kms-key", "", "ARN of the key of AWS KMS that is the new master key")
	return cmd
}

// rotate does not open the archive first: where a rotation was interrupted, the old key may open a part of it.
func (t *pastTool) rotate(ctx context.Context, s sourceSettings, next archiveSettings) (err error) {
	before, err := openMaster(ctx, s.Key)
	if err != nil {
		return err
	}
	after := before
	if next.KeyFile != "" || next.KMSKey != "" {
		if after, err = next.master(ctx, true); err != nil {
			return usage("%v", err)
		}
	}
	store, err := object.Open(ctx, s.Location, object.Options{})
	if err != nil {
		return fmt.Errorf("open the object tier %s: %w", s.Location, err)
	}
	if closer, ok := store.(io.Closer); ok {
		defer func() { err = errors.Join(err, closer.Close()) }()
	}
	count, err := seal.Rotate(ctx, store, before, after, s.Keyspace, rand.Reader)
	if errors.Is(err, seal.ErrKey) {
		a := &readArchive{settings: s, store: store}
		return a.explainKeys(ctx, err)
	}
	if err != nil {
		return fmt.Errorf("%w; give the same command again", err)
	}
	if t.output == "json" {
		return encodeJSON(t.out, struct {
			Keyspace string `json:"keyspace"`
			Before   string `json:"old_master_key"`
			After    string `json:"new_master_key"`
			Keys     int    `json:"keys_encrypted_anew"`
		}{s.Keyspace, before.ID(), after.ID(), count})
	}
	lines := []string{fmt.Sprintf("The archive of the keyspace %s has a new wrapping key under the master key %s; %d %s encrypted anew.", s.Keyspace, after.ID(), count, plural(count, "key"))}
	if before.ID() != after.ID() {
		lines = append(lines, "Next: give all frontends the new master key, and restart them one after the other.")
	}
	return printLines(t.out, lines)
}
