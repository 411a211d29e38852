package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthPrefix starts the variables that hold settings of tierd health.
const healthPrefix = environmentPrefix + "HEALTH_"

// healthTextMax bounds what is read of an answer, in bytes.
const healthTextMax = 64 << 10

const healthHelp = `Ask a frontend whether it is ready, as a container's or a load balancer's check.

It asks /readyz at --endpoint and ends with code 0 if the answer is that it is, 1 if not, with what is wrong.
Every flag may also be given as an environment variable: --endpoint is TIERD_HEALTH_ENDPOINT.`

// healthTool asks a frontend for its health.
type healthTool struct {
	endpoint, authority, cert, key, serverName string
	timeout                                    time.Duration
}

func newHealthCommand(environ []string) *cobra.Command {
	t := &healthTool{}
	cmd := &cobra.Command{
		Use: "health", Short: "Ask a frontend whether it is ready", Long: healthHelp, Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := applyOwnEnvironment(cmd.Flags(), healthPrefix, environ); err != nil {
				return err
			}
			return t.ask(cmd.Context())
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&t.endpoint, "endpoint", "http://127.0.0.1:2379", "client or metrics URL of the frontend")
	fs.StringVar(&t.authority, "cacert", "", "file with the authorities that the frontend's certificate may come from (default the system's)")
	fs.StringVar(&t.cert, "cert", "", "file with the certificate to show the frontend")
	fs.StringVar(&t.key, "key", "", "file with the key of --cert")
	fs.StringVar(&t.serverName, "server-name", "", "name that the frontend's certificate must be for (default the endpoint's)")
	fs.DurationVar(&t.timeout, "timeout", 6*time.Second, "how long an answer may take")
	return cmd
}

// ask asks once.
func (t *healthTool) ask(ctx context.Context) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	address, err := url.Parse(t.endpoint)
	if err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "" {
		return usage("--endpoint must be an http:// or https:// URL")
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.JoinPath("readyz").String(), http.NoBody)
	if err != nil {
		return fmt.Errorf("ask for health: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask for health: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, healthTextMax))
	if err != nil {
		return fmt.Errorf("ask for health: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it is not ready: %s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	return nil
}

// client speaks TLS as the flags say.
func (t *healthTool) client() (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.serverName}
	if t.authority != "" {
		text, err := os.ReadFile(t.authority)
		if err != nil {
			return nil, usage("--cacert %s cannot be read: %v", t.authority, reason(err))
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, usage("--cacert %s holds no certificate in PEM", t.authority)
		}
	}
	if (t.cert == "") != (t.key == "") {
		return nil, usage("--cert and --key must be given together")
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, usage("--cert %s and --key %s cannot be used: %v", t.cert, t.key, reason(err))
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}, nil
}
