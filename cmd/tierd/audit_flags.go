package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/tierd/tierd/functions/audit"
)

// auditFileBytesMin is the least size at which the audit log's file may be set aside.
const auditFileBytesMin = 1 << 20

// auditFlags are the settings of the audit log as they were written.
type auditFlags struct {
	path     string
	reads    bool
	bytesMax int64
	kept     int
}

func (f *auditFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.path, "audit-log", "", `file for the audit log, one JSON line for each call; "-" is the standard output; nothing is written without it`)
	fs.BoolVar(&f.reads, "audit-log-reads", true, "write reads that succeeded to the audit log, too; what was refused is always written")
	fs.Int64Var(&f.bytesMax, "audit-log-max-bytes", 0, "size, in bytes, from which the audit log's file is set aside as FILE.1 and begun anew; 0 leaves that to others, who may move the file at any time")
	fs.IntVar(&f.kept, "audit-log-files", 5, "files of the audit log that were set aside and are kept; older ones are deleted")
}

// checkAudit is what the flags ask for; nil for no audit log.
func (f *flags) checkAudit(c *config) error {
	a := f.audit
	switch {
	case a.path == "":
		return nil
	case a.bytesMax != 0 && a.bytesMax < auditFileBytesMin:
		return usage("--audit-log-max-bytes must be 0 or at least %d, not %d", auditFileBytesMin, a.bytesMax)
	case a.bytesMax != 0 && a.kept < 1:
		return usage("--audit-log-files must be at least 1, not %d", a.kept)
	}
	c.Audit = &audit.Settings{Path: a.path, Reads: a.reads, BytesMax: a.bytesMax, Kept: a.kept}
	return nil
}

// openAudit opens the audit log, if it is wanted. SIGHUP has it opened again, and without
// one does nothing: whoever sends it means to have files opened again, not an end.
func (f *frontend) openAudit(context.Context) error {
	reopen := func() {}
	if f.config.Audit != nil {
		settings := *f.config.Audit
		settings.Member = fmt.Sprintf("%x", f.keyspace.Self().ID)
		log, err := audit.Open(settings, audit.Components{Logger: f.logger, Metrics: f.metrics, Now: time.Now, Stdout: os.Stdout})
		if err != nil {
			return usage("--audit-log %s cannot be used: %v", settings.Path, reason(err))
		}
		f.audit, reopen = log, log.Reopen
		f.onClose("the audit log", log.Close)
	}
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-signals:
				reopen()
			case <-done:
				return
			}
		}
	}()
	f.onClose("the watch for SIGHUP", func(context.Context) error {
		signal.Stop(signals)
		close(done)
		return nil
	})
	return nil
}
