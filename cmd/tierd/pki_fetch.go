package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/functions/pki"
)

// pkiFetchRetry is the time between two looks at a store that does not have everything yet.
const pkiFetchRetry = 2 * time.Second

const pkiFetchHelp = `Copy what everybody trusts, and certificates with their keys, from the store into files: ca.crt, server.crt,
server.key, client-NAME.crt, client-NAME.key. What signs is never copied.

With --watch it goes on, and copies what changes. With --check it copies nothing, and ends with code 0 if the files are there
and can be used now, as a container's check does.`

// pkiFetchTool copies certificates into files.
type pkiFetchTool struct {
	place       pkiPlace
	to          string
	only        []string
	watch, wait time.Duration
	check       bool
}

func newPKIFetchCommand(environ []string) *cobra.Command {
	t := &pkiFetchTool{}
	cmd := &cobra.Command{
		Use: "fetch", Short: "Copy certificates and keys from the store into files", Long: pkiFetchHelp, Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := applyOwnEnvironment(cmd.Flags(), pkiPrefix, environ); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return t.run(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fs := cmd.Flags()
	t.place.register(fs)
	fs.StringVar(&t.to, "to", "", "directory to write to")
	fs.StringSliceVar(&t.only, "only", nil, "comma-separated parts to copy: ca, server, client-NAME (default ca, server, and all clients that the store can tell of)")
	fs.DurationVar(&t.watch, "watch", 0, "go on, and look at the store at this interval; 0 ends after the first time")
	fs.DurationVar(&t.wait, "wait", 0, "how long everything may take to be in the store")
	fs.BoolVar(&t.check, "check", false, "copy nothing, and tell whether the files are there and can be used")
	return cmd
}

func (t *pkiFetchTool) run(ctx context.Context, out, errOut io.Writer) error {
	switch {
	case t.to == "":
		return usage("--to must name a directory")
	case t.watch < 0 || t.wait < 0:
		return usage("--watch and --wait must not be negative")
	case slices.Contains(t.only, pki.Authority):
		return usage("--only must not name %s: it stays in the store", pki.Authority)
	}
	to := pki.NewDirectory(t.to)
	if t.check {
		return t.checkFiles(ctx, to)
	}
	store, err := t.place.open(ctx)
	if err != nil {
		return err
	}
	if err := t.first(ctx, store, to, out); err != nil || t.watch == 0 {
		return err
	}
	return t.follow(ctx, store, to, out, errOut)
}

// names are what is to be copied.
func (t *pkiFetchTool) names(ctx context.Context, store pki.Store) ([]string, error) {
	if len(t.only) > 0 {
		return t.only, nil
	}
	return pki.FetchNames(ctx, store)
}

// checkFiles looks at the files alone.
func (t *pkiFetchTool) checkFiles(ctx context.Context, to *pki.Directory) error {
	names, err := t.names(ctx, to)
	if err != nil {
		return err
	}
	if err := pki.Check(ctx, to, names, time.Now()); err != nil {
		return fmt.Errorf("the files in %s cannot be used: %w", t.to, err)
	}
	return nil
}

// copy copies once and says what has changed.
func (t *pkiFetchTool) copy(ctx context.Context, store pki.Store, to *pki.Directory, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, pkiRunMax)
	defer cancel()
	names, err := t.names(ctx, store)
	if err != nil {
		return err
	}
	changed, err := pki.Fetch(ctx, store, names, to)
	if len(changed) > 0 {
		if _, printed := fmt.Fprintf(out, "%s now has %s\n", t.to, strings.Join(changed, ", ")); err == nil && printed != nil {
			err = fmt.Errorf("print what was fetched: %w", printed)
		}
	}
	return err
}

// first copies as soon as everything is there.
func (t *pkiFetchTool) first(ctx context.Context, store pki.Store, to *pki.Directory, out io.Writer) error {
	enough := time.NewTimer(t.wait)
	defer enough.Stop()
	tick := time.NewTicker(pkiFetchRetry)
	defer tick.Stop()
	for {
		err := t.copy(ctx, store, to, out)
		if err == nil || t.wait == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(errors.New("interrupted"), err)
		case <-enough.C:
			return fmt.Errorf("after %v: %w", t.wait, err)
		case <-tick.C:
		}
	}
}

// follow copies what changes until it is told to end. What fails is told of, and tried again: what is in the files is
// good for a while.
func (t *pkiFetchTool) follow(ctx context.Context, store pki.Store, to *pki.Directory, out, errOut io.Writer) error {
	tick := time.NewTicker(t.watch)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := t.copy(ctx, store, to, out); err != nil && ctx.Err() == nil {
			fmt.Fprintf(errOut, "tierd: %s, and is tried again in %v.\n", strings.ReplaceAll(err.Error(), "\n", "; "), t.watch)
		}
	}
}
