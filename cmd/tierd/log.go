package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
)

// logConfig is what is logged, and where to.
type logConfig struct {
	Level slog.Level
	// JSON chooses between one JSON object and one readable line for each event.
	JSON bool
	// Outputs are "default", "stderr", "stdout" or paths of files.
	Outputs []string
}

func (f *flags) checkLog(c *config) error {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
		// Nothing is logged above error.
		"dpanic": slog.LevelError + 4, "panic": slog.LevelError + 4, "fatal": slog.LevelError + 4,
	}
	level, known := levels[f.logLevel]
	if !known {
		return usage("--log-level must be debug, info, warn, error, panic or fatal, not %q", f.logLevel)
	}
	if f.logFormat != "json" && f.logFormat != "console" {
		return usage("--log-format must be json or console, not %q", f.logFormat)
	}
	if len(f.logOutputs) == 0 {
		return usage("--log-outputs must name at least one target")
	}
	for _, output := range f.logOutputs {
		if output == "" {
			return usage("--log-outputs must not hold an empty target")
		}
	}
	c.Log = logConfig{Level: level, JSON: f.logFormat == "json", Outputs: f.logOutputs}
	return nil
}

// open opens the log; the function closes its files.
func (c logConfig) open() (*slog.Logger, func() error, error) {
	var writers []io.Writer
	var files []*os.File
	closeFiles := func() error {
		var failures []error
		for _, file := range files {
			failures = append(failures, file.Close())
		}
		return errors.Join(failures...)
	}
	for _, output := range c.Outputs {
		switch output {
		case "default", "stderr":
			writers = append(writers, os.Stderr)
		case "stdout":
			writers = append(writers, os.Stdout)
		default:
			file, err := os.OpenFile(output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				return nil, nil, errors.Join(usage("--log-outputs %s cannot be written: %v", output, reason(err)), closeFiles())
			}
			files = append(files, file)
			writers = append(writers, file)
		}
	}
	return slog.New(c.handler(io.MultiWriter(writers...))), closeFiles, nil
}

func (c logConfig) handler(out io.Writer) slog.Handler {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.JSON {
		return slog.NewJSONHandler(out, options)
	}
	return slog.NewTextHandler(out, options)
}
