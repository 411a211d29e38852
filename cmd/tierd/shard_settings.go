package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// shardSettings say which keyspace a shard command works on.
type shardSettings struct {
	Keyspace string
	HotTier  hotTier
	// ReplicaAcks is for what a move copies, which is as precious as what clients
	// wrote.
	ReplicaAcks int
	// Key is the master key of sealed values, Seal says that they are to be.
	Key     archiveSettings
	Seal    bool
	DataDir string
	// Step is told of the steps of changes over several shards; nil but in tests.
	Step func(string)
}

// sharedSettings are the flags of tierd serve that the shard commands have too.
func sharedSettings() []string {
	return append([]string{"keyspace", "hot-tier", "replica-acks", "config-file", "data-dir", "name", "archive-key-file", "archive-kms-key"}, accessNames()...)
}

// settings reads the settings from where tierd serve reads them, so that one file or
// environment does for both, whatever else is in it.
func (t *shardTool) settings(cmd *cobra.Command) (shardSettings, error) {
	for _, name := range sharedSettings() {
		if flag := cmd.Flags().Lookup(name); flag.Changed {
			if err := settle(t.serveFlags, flag); err != nil {
				return shardSettings{}, valueError("--"+name, flag, flag.Value.String())
			}
		}
	}
	warnings, err := applySources(t.serveFlags, t.environ)
	if err != nil {
		return shardSettings{}, err
	}
	for _, warning := range warnings {
		if _, err := fmt.Fprintf(t.errOut, "tierd: warning: %s.\n", warning); err != nil {
			return shardSettings{}, fmt.Errorf("print a warning: %w", err)
		}
	}
	if !keyspacePattern.MatchString(t.serve.keyspace) {
		return shardSettings{}, usage("--keyspace must be 1 to 64 letters, digits, dots, underscores or hyphens, not %q", t.serve.keyspace)
	}
	t.serve.redisServer = "" // only a server of its own needs it
	var c config
	if err := t.serve.checkHotTier(&c); err != nil {
		return shardSettings{}, err
	}
	if c.HotTier.Local {
		return shardSettings{}, usage("%s needs --hot-tier at a URL: the private Redis of tierd serve --hot-tier local listens on unix://DATA-DIR/redis/redis.sock while that runs", cmd.CommandPath())
	}
	s := shardSettings{Keyspace: t.serve.keyspace, HotTier: c.HotTier, ReplicaAcks: c.ReplicaAcks, Step: killAt(t.environ), DataDir: t.serve.dataDir}
	if s.DataDir == "" {
		s.DataDir = t.serve.name + ".tierd"
	}
	s.Seal = t.serve.seal.values
	s.Key, err = t.serve.archive.key(s.DataDir)
	return s, err
}

// settle tells a flag set that one of its flags was given, through another set that
// shares the flag: a set counts those only that it saw change.
func settle(set *pflag.FlagSet, flag *pflag.Flag) error {
	flag.Changed = false
	list, isList := flag.Value.(pflag.SliceValue)
	if !isList {
		return set.Set(flag.Name, flag.Value.String())
	}
	given := list.GetSlice()
	if err := set.Set(flag.Name, strings.Join(given, ",")); err != nil {
		return err
	}
	return list.Replace(given)
}
