package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/functions/wire"
)

// version is this program's own; a release sets it when linking.
var version = "0.1.0-dev"

// newRootCommand is the command line of tierd.
func newRootCommand(environ []string) *cobra.Command {
	root := newGroup("tierd", "An etcd v3 endpoint whose state lives in Redis", "")
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd.CommandPath(), err) })
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newServeCommand(environ), newShardTool(environ, openShards).root(),
		newShardTool(environ, openShards).recoverCommand(), newSealCommand(environ), newImportTool(environ, openPlace).command(), newExportTool(environ, openPlace).command(),
		newRestoreTool(environ, openPlace).command(), newBackupCommand(environ, openPlace),
		newHistoryCommand(environ), newGetCommand(environ), newDiffCommand(environ), newUndoCommand(environ), newBranchCommand(environ, openPlace), newHealthCommand(environ), newPKICommand(environ), newVersionCommand())
	return root
}

// newGroup is a command that only has others below it.
func newGroup(use, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if path := cmd.CommandPath(); len(args) > 0 {
				return usage("%s has no command %q: see %s --help", path, args[0], path)
			}
			return cmd.Help()
		},
	}
}

// noArguments refuses what stands behind the flags.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no arguments, and got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

func newServeCommand(environ []string) *cobra.Command {
	given := &flags{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve etcd clients until SIGTERM or SIGINT",
		Long: `Serve etcd clients until SIGTERM or SIGINT.

Every flag may also be given as an environment variable (--data-dir is
TIERD_DATA_DIR) or in the YAML file that --config-file names (data-dir: ...).
A flag beats the environment, which beats the file, which beats the default.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			layered, err := applySources(cmd.Flags(), environ)
			if err != nil {
				return err
			}
			cfg, err := given.check()
			if err != nil {
				return err
			}
			cfg.Step = killAt(environ)
			cfg.Warnings = append(layered, cfg.Warnings...)
			cfg.Endpoint.Limits.InFlightBytes = inFlightBytesOf(cfg.Endpoint.Limits.InFlightBytes, memoryLimit(os.DirFS("/")))
			cfg.GCHeadroomBytes = headroomOf(cfg.GCHeadroomBytes, environ, memoryLimit(os.DirFS("/")))
			return serve(cmd.Context(), cfg)
		},
	}
	given.register(cmd.Flags())
	return cmd
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of this program and of the etcd it speaks as",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printVersion(cmd.OutOrStdout())
		},
	}
}

func printVersion(out io.Writer) error {
	_, err := fmt.Fprintf(out, "tierd Version: %s\nGit SHA: %s\netcd Version: %s\nGo Version: %s\nGo OS/Arch: %s/%s\n",
		version, commit(), wire.EtcdVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return fmt.Errorf("print the version: %w", err)
	}
	return nil
}

// commit is the source's commit as the Go tool recorded it.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return "unknown"
}
