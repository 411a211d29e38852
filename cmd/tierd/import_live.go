package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/tierd/tierd/backup/migrate"
	"github.com/tierd/tierd/router"
)

// importLive imports a running etcd.
func (t *importTool) importLive(ctx context.Context) (err error) {
	ctx, cutOver, stop := t.untilCutOver(ctx)
	defer stop()
	client, err := t.source.connect(t.places.environ)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	source := migrate.NewSource(client, t.after)
	if t.dryRun {
		return t.planLive(ctx, source)
	}
	p, err := t.open.discarding(ctx, t.settings, t.errOut, t.discard)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	return explainImport(ctx, t.liveTo(ctx, source, p, cutOver))
}

// liveTo imports to a place and reports.
func (t *importTool) liveTo(ctx context.Context, source *migrate.Source, p place, cutOver <-chan struct{}) error {
	options := migrate.LiveOptions{
		WithoutAuth: t.withoutAuth, TempDir: t.tempDir, Follow: t.follow, CutOver: cutOver, Idle: t.idle, Now: t.now,
	}
	outcome, err := migrate.Live(ctx, source, p.Restore, options, t.progress())
	if err != nil {
		return err
	}
	report := importReport{
		Source: strings.Join(t.source.endpoints, ","), Place: t.settings.name(), Outcome: outcome.Outcome, Notes: fileNotes(outcome.Snapshot, t.withoutAuth),
		Live: &liveReport{Snapshot: outcome.Snapshot.Revision, Behind: outcome.Behind},
	}
	if report.Live.SourceNow, err = source.Revision(ctx); err != nil {
		// The import itself has succeeded; what cannot be told is said.
		report.Notes = append(report.Notes, fmt.Sprintf("the source did not answer after the cut-over (%v): look yourself whether it was written to", err))
	}
	return t.compare(ctx, p, &report)
}

// planLive says what a live import would bring by now.
func (t *importTool) planLive(ctx context.Context, source *migrate.Source) error {
	head, err := source.Head(ctx)
	if err != nil {
		return err
	}
	keys, err := source.Keys(ctx, head.Revision)
	if err != nil {
		return err
	}
	leases, err := source.Leases(ctx)
	if err != nil {
		return err
	}
	report := importReport{Source: strings.Join(t.source.endpoints, ","), Place: t.settings.name(), DryRun: true, Live: &liveReport{SourceNow: head.Revision}}
	report.Outcome = migrate.Outcome{Revision: head.Revision, Compacted: head.Compacted, Keys: keys, Leases: int64(len(leases)), SourceHash: head.Hash}
	return report.print(t.out, t.output)
}

// untilCutOver is what signals do: without --follow the first ends the import. With it, the first
// asks for the cut-over, and the second ends it.
func (t *importTool) untilCutOver(parent context.Context) (ctx context.Context, cutOver <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals, asked, done := make(chan os.Signal, 2), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for cutting := false; ; {
			select {
			case received := <-signals:
				if cutting || !t.follow {
					cancel(fmt.Errorf("received %s", received))
					return
				}
				cutting = true
				close(asked)
				fmt.Fprintf(t.errOut, "cutting over ... (a second signal gives up)\n")
			case <-done:
				return
			}
		}
	}()
	return ctx, asked, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

// revisionsAfter is how many revisions the source has that were not imported.
func revisionsAfter(o migrate.Outcome, now router.Revision) router.Revision {
	return max(0, now-o.Revision)
}
