package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/tierd/tierd/backup/seal"
	"github.com/tierd/tierd/backup/vault"
	"github.com/tierd/tierd/functions/reseal"
	"github.com/tierd/tierd/router"
)

// sealKeyAge is how old a data key of sealed values becomes.
const sealKeyAge = 90 * 24 * time.Hour

// sealValuesName is the flag that commands have, too, that make a keyspace.
const sealValuesName = "seal-values"

// sealFlags are the settings of sealed values as they were written.
type sealFlags struct {
	values bool
	keyAge time.Duration
}

// sealSettings are those settings checked.
type sealSettings struct {
	// Values says that no value may be plain in Redis.
	Values bool
	Job    reseal.Settings
}

func (f *sealFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.values, sealValuesName, false, "encrypt values before they reach Redis, with keys that the master key of the archive encrypts; it turns that on for the whole keyspace, also for what is there already. Without it a frontend does as the keyspace is set")
	fs.DurationVar(&f.keyAge, "seal-key-age", sealKeyAge, "age at which the key of sealed values is replaced, and all values are sealed anew in the background; 0 for never")
}

func (f *sealFlags) check() (sealSettings, error) {
	if f.keyAge < 0 {
		return sealSettings{}, usage("--seal-key-age must not be negative, not %v", f.keyAge)
	}
	return sealSettings{Values: f.values, Job: reseal.Settings{KeyAge: f.keyAge}}, nil
}

// newVault makes what seals values. The master key is opened when it is first needed, once.
func newVault(keyspace, dataDir string, key archiveSettings, insist bool) *vault.Vault {
	var mu sync.Mutex
	var opened seal.Master
	master := func(ctx context.Context, create bool) (seal.Master, error) {
		mu.Lock()
		defer mu.Unlock()
		if opened != nil {
			return opened, nil
		}
		if create && key.KeyFile != "" {
			if err := os.MkdirAll(dataDir, 0o700); err != nil {
				return nil, fmt.Errorf("make the data directory: %w", err)
			}
		}
		var err error
		opened, err = key.master(ctx, create)
		if err != nil {
			opened = nil
		}
		return opened, err
	}
	return vault.New(vault.Settings{Keyspace: keyspace, Insist: insist}, vault.Components{Master: master, Random: rand.Reader, Now: time.Now})
}

// explainSealing makes a mistake of the operator of a key that is missing.
func explainSealing(err error) error {
	if errors.Is(err, router.ErrSealKey) {
		return usage("the values of this keyspace are sealed in Redis: give the master key that all its frontends have, by --archive-key-file or --archive-kms-key: %v", err)
	}
	return err
}

// sealValues has the keyspace seal its values, if this frontend was told so.
func (f *frontend) sealValues(ctx context.Context) error {
	if !f.config.Seal.Values {
		return nil
	}
	text, err := f.keyspace.SealingText(ctx)
	if err != nil {
		return fmt.Errorf("turn on --seal-values: %w", err)
	}
	if state, err := vault.Describe(text); err == nil && state.On && state.Settled {
		return nil
	}
	turned, err := f.keyspace.ChangeSealing(ctx, true, f.vault.TurnOn)
	if err != nil {
		return fmt.Errorf("turn on --seal-values: %w", explainSealing(err))
	}
	if turned {
		f.logger.Info("values are sealed from now on; those that are there are, one after the other")
	}
	return nil
}

// startReseal starts the job that seals values anew.
func (f *frontend) startReseal(ctx context.Context, running *sync.WaitGroup) error {
	metrics, err := reseal.NewMetrics(f.metrics)
	if err != nil {
		return err
	}
	running.Go(func() {
		reseal.Loop(ctx, reseal.Components{
			Keyspace: f.keyspace, Vault: f.vault, Logger: f.logger, Metrics: metrics, Now: time.Now, After: time.After,
		}, f.config.Seal.Job)
	})
	return nil
}
