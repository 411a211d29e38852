// Command k3s does with a settings file of k3s what k3s does with its data store before it starts
// its API server, by the library that k3s does it with: it opens the store (kine's endpoint
// package), keeps and finds its bootstrap data there (kine's client package), and then prints the
// flags about the store that the API server gets, one a line.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/k3s-io/kine/pkg/client"
	"github.com/k3s-io/kine/pkg/endpoint"
	"github.com/k3s-io/kine/pkg/tls"
	"go.yaml.in/yaml/v3"
)

const (
	patience = 30 * time.Second
	// bootstrapFolder is where k3s keeps its authorities, encrypted with its token.
	bootstrapFolder = "/bootstrap"
)

// settings are those of k3s server that concern its data store.
type settings struct {
	Endpoint      string   `yaml:"datastore-endpoint"`
	CAFile        string   `yaml:"datastore-cafile"`
	CertFile      string   `yaml:"datastore-certfile"`
	KeyFile       string   `yaml:"datastore-keyfile"`
	APIServerArgs []string `yaml:"kube-apiserver-arg"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: k3s CONFIG.YAML")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "k3s:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	var s settings
	if err := yaml.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	store, err := endpoint.Listen(ctx, endpoint.Config{
		Endpoint:         s.Endpoint,
		BackendTLSConfig: tls.Config{CAFile: s.CAFile, CertFile: s.CertFile, KeyFile: s.KeyFile},
	})
	if err != nil {
		return fmt.Errorf("open the data store: %w", err)
	}
	if err := bootstrap(ctx, store); err != nil {
		return fmt.Errorf("keep the bootstrap data: %w", err)
	}
	flags := []string{
		"--etcd-servers=" + strings.Join(store.Endpoints, ","),
		"--etcd-cafile=" + store.TLSConfig.CAFile,
		"--etcd-certfile=" + store.TLSConfig.CertFile,
		"--etcd-keyfile=" + store.TLSConfig.KeyFile,
	}
	for _, argument := range s.APIServerArgs {
		flags = append(flags, "--"+argument)
	}
	fmt.Println(strings.Join(flags, "\n"))
	return nil
}

// bootstrap creates a key unless it is there, as on the second server of a cluster, finds it by its
// folder, and replaces it.
func bootstrap(ctx context.Context, store endpoint.ETCDConfig) (err error) {
	c, err := client.New(store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	key, value := bootstrapFolder+"/docs", []byte("authorities")
	before, err := c.List(ctx, bootstrapFolder, 0)
	if err != nil {
		return err
	}
	if err := c.Create(ctx, key, value); (err == nil) != (len(before) == 0) {
		return fmt.Errorf("create a key of which there were %d: %w", len(before), err)
	}
	found, err := c.List(ctx, bootstrapFolder, 0)
	if err != nil {
		return err
	}
	if len(found) != 1 || !bytes.Equal(found[0].Data, value) {
		return fmt.Errorf("found %d keys, and not what was written", len(found))
	}
	return c.Update(ctx, key, found[0].Modified, value)
}
