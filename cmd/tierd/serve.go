package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	// drainTimeout bounds how long calls in flight may take to finish once the
	// process is to end.
	drainTimeout = 15 * time.Second
	// closeTimeout bounds how long each of the other parts may take to close.
	closeTimeout = 10 * time.Second
	// signalExitBase plus a signal's number is the exit code of a process that it
	// ended.
	signalExitBase = 128
)

// serve runs a frontend until SIGTERM or SIGINT, then drains. A second signal
// ends the process at once: everything acknowledged is on disk already, and a
// private redis-server ends with us.
func serve(ctx context.Context, c config) (err error) {
	logger, closeLog, err := c.Log.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	for _, warning := range c.Warnings {
		logger.Warn(warning)
	}
	ctx, stop := untilSignal(ctx, logger)
	defer stop()

	defer keepHeadroom(c.GCHeadroomBytes, time.Now)()

	f := &frontend{config: c, logger: logger}
	err = f.open(ctx)
	if err == nil {
		err = f.serve(ctx)
	} else if ctx.Err() != nil {
		// Told to stop while starting: what failed, failed because of that.
		logger.Info("stopped before it was ready", "cause", err)
		err = nil
	}
	return errors.Join(err, f.close(context.WithoutCancel(ctx)))
}

// untilSignal is a context that ends with the first SIGTERM or SIGINT. The
// second one exits.
func untilSignal(parent context.Context, logger *slog.Logger) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	done := make(chan struct{})
	go func() {
		for received := false; ; received = true {
			select {
			case sig := <-signals:
				if received {
					logger.Error("a second signal: exiting at once", "signal", sig.String())
					os.Exit(signalExitBase + int(sig.(syscall.Signal)))
				}
				logger.Info("stopping", "signal", sig.String())
				cancel(fmt.Errorf("received %s", sig))
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
