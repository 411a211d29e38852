package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tierd/tierd/functions/pki"
	"github.com/tierd/tierd/functions/pki/amazon"
)

// pkiPrefix starts the variables that hold settings of tierd pki.
const pkiPrefix = environmentPrefix + "PKI_"

const (
	pkiValidityDefault          = 90 * 24 * time.Hour
	pkiAuthorityValidityDefault = 10 * 365 * 24 * time.Hour
	pkiOverlapDefault           = 7 * 24 * time.Hour
	// pkiRunMax bounds a run: an authority that lives elsewhere takes its time.
	pkiRunMax = 5 * time.Minute
)

const pkiHelp = `Make the certificates of a deployment, renew them, and hand them out.

The store is a directory, or secretsmanager://PREFIX?region=REGION for AWS Secrets Manager.
Every flag may also be given as an environment variable: --store is TIERD_PKI_STORE.`

const pkiRenewHelp = `Make what is missing in the store (an authority, the frontends' certificate, one for each client), and
renew what is due. It may run at any time and as often as you like; run it each day.

A new authority (--rotate-ca, or by itself when the last one nears its end) comes in steps, one for each run:
at first both are trusted; after --ca-overlap, certificates are signed by the new one; and once none of the old
one has been there for --ca-overlap, the old one is trusted no more.`

func newPKICommand(environ []string) *cobra.Command {
	root := &cobra.Command{
		Use: "pki", Short: "Make certificates, renew them, hand them out", Long: pkiHelp, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("tierd pki has no command %q: see tierd pki --help", args[0])
			}
			return cmd.Help()
		},
	}
	root.AddCommand(newPKIRenewCommand(environ), newPKIFetchCommand(environ), newPKIListCommand(environ))
	return root
}

// pkiPlace is where certificates are kept, as it was written.
type pkiPlace struct{ store string }

func (p *pkiPlace) register(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.StringVar(&p.store, "store", "", "where certificates are kept: a directory, or secretsmanager://PREFIX?region=REGION")
}

// open opens the store.
func (p *pkiPlace) open(ctx context.Context) (pki.Store, error) {
	scheme, _, isURL := strings.Cut(p.store, "://")
	switch {
	case p.store == "":
		return nil, usage("--store must say where certificates are kept")
	case !isURL:
		return pki.NewDirectory(p.store), nil
	case scheme != amazon.SecretsScheme:
		return nil, usage("--store must be a directory or secretsmanager://PREFIX?region=REGION, not one at %s://", scheme)
	}
	place, err := amazon.ParsePlace(p.store)
	if err != nil {
		return nil, usage("--store cannot be used: %v", err)
	}
	store, err := amazon.NewSecrets(ctx, place, amazon.Options{})
	if err != nil {
		return nil, usage("--store cannot be used: %v", err)
	}
	return store, nil
}

// pkiRenewTool renews.
type pkiRenewTool struct {
	place                                             pkiPlace
	serverNames, clients                              []string
	validity, authorityValidity, renewBefore, overlap time.Duration
	authority                                         string
	force, rotate                                     bool
}

func newPKIRenewCommand(environ []string) *cobra.Command {
	t := &pkiRenewTool{}
	cmd := &cobra.Command{
		Use: "renew", Short: "Make what is missing and renew what is due", Long: pkiRenewHelp, Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := applyOwnEnvironment(cmd.Flags(), pkiPrefix, environ); err != nil {
				return err
			}
			if !cmd.Flags().Changed("ca-overlap") {
				t.overlap = min(t.overlap, t.validity/3)
			}
			return t.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	fs := cmd.Flags()
	t.place.register(fs)
	fs.StringSliceVar(&t.serverNames, "server-name", nil, "comma-separated host names and addresses that the frontends' certificate is for; without it, that is left as it is but for its time")
	fs.StringSliceVar(&t.clients, "client", nil, "comma-separated clients that get a certificate, as NAME or NAME=COMMON-NAME; those that a directory has are renewed too")
	fs.DurationVar(&t.validity, "validity", pkiValidityDefault, "how long certificates last")
	fs.DurationVar(&t.authorityValidity, "ca-validity", pkiAuthorityValidityDefault, "how long authorities last")
	fs.DurationVar(&t.renewBefore, "renew-before", 0, "how long before its end a certificate is replaced (default a third of --validity)")
	fs.DurationVar(&t.overlap, "ca-overlap", pkiOverlapDefault, "how long a new authority is trusted before it signs, and an old one after its last certificate: the time in which everybody gets what is in the store; by default no more than a third of --validity")
	fs.StringVar(&t.authority, "acm-pca", "", "ARN of a CA of AWS Private CA that signs, instead of an authority in the store; keys stay in the store")
	fs.BoolVar(&t.force, "force", false, "replace certificates of frontends and clients also if they are not due")
	fs.BoolVar(&t.rotate, "rotate-ca", false, "begin with a new authority")
	return cmd
}

// wanted reads the settings.
func (t *pkiRenewTool) wanted() (pki.Wanted, error) {
	w := pki.Wanted{
		ServerNames: t.serverNames, Validity: t.validity, AuthorityValidity: t.authorityValidity, RenewBefore: t.renewBefore,
		Overlap: t.overlap, Force: t.force, Rotate: t.rotate,
	}
	for _, text := range t.clients {
		name, commonName, given := strings.Cut(text, "=")
		if !given {
			commonName = name
		}
		w.Clients = append(w.Clients, pki.Client{Name: name, CommonName: commonName})
	}
	if t.rotate && t.authority != "" {
		return w, usage("--rotate-ca has no meaning with --acm-pca: give it the ARN of the new CA")
	}
	if err := w.Check(); err != nil {
		return w, usage("%v", err)
	}
	return w, nil
}

func (t *pkiRenewTool) run(ctx context.Context, out io.Writer) error {
	wanted, err := t.wanted()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, pkiRunMax)
	defer cancel()
	parts := pki.Components{Now: time.Now, Random: rand.Reader}
	if parts.Store, err = t.place.open(ctx); err != nil {
		return err
	}
	if t.authority != "" {
		if parts.Signer, err = amazon.NewAuthority(ctx, t.authority, amazon.Options{}); err != nil {
			return usage("--acm-pca cannot be used: %v", err)
		}
	}
	report, err := pki.Renew(ctx, parts, wanted)
	if printed := printActions(out, report); err == nil {
		err = printed
	}
	return err
}

// printActions prints what a run has done.
func printActions(out io.Writer, report pki.Report) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, a := range report.Actions {
		until := ""
		if !a.Expires.IsZero() {
			until = "until " + a.Expires.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", a.Name, a.What, until)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print what was done: %w", err)
	}
	return nil
}

func newPKIListCommand(environ []string) *cobra.Command {
	var (
		place   pkiPlace
		clients []string
	)
	cmd := &cobra.Command{
		Use: "list", Short: "List what is in the store, and until when", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := applyOwnEnvironment(cmd.Flags(), pkiPrefix, environ); err != nil {
				return err
			}
			store, err := place.open(cmd.Context())
			if err != nil {
				return err
			}
			names := make([]string, 0, len(clients))
			for _, client := range clients {
				name, _, _ := strings.Cut(client, "=")
				names = append(names, name)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), pkiRunMax)
			defer cancel()
			items, err := pki.List(ctx, store, names, time.Now())
			if err != nil {
				return err
			}
			return printItems(cmd.OutOrStdout(), items)
		},
	}
	place.register(cmd.Flags())
	cmd.Flags().StringSliceVar(&clients, "client", nil, "comma-separated clients to list: a directory tells of all it has, Secrets Manager of none")
	return cmd
}

func printItems(out io.Writer, items []pki.Item) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "NAME\tFOR\tSIGNED BY\tUNTIL\tPROBLEM\n")
	for _, i := range items {
		until := ""
		if !i.Expires.IsZero() {
			until = i.Expires.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", i.Name, i.For, i.By, until, i.Problem)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the list: %w", err)
	}
	return nil
}
