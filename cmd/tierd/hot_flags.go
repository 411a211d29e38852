package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/tierd/tierd/functions/certs"
	"github.com/tierd/tierd/tiers/hot"
)

const (
	// passwordBytesMax bounds a password for Redis.
	passwordBytesMax = 4096
	// passwordName is the setting with the password itself. It may stand in the environment and in the settings file, which
	// only their owner reads, and not on the command line.
	passwordName = "hot-tier-password"
)

// accessFlags say how Redis is reached, beside what URLs say.
type accessFlags struct {
	caFile, certFile, keyFile, serverName, minVersion, passwordFile string
	password                                                        hidden
}

// hidden is a setting that prints as nothing.
type hidden string

// String keeps it out of logs and error texts.
func (hidden) String() string { return "(hidden)" }

// GoString keeps it out of logs and error texts.
func (h hidden) GoString() string { return h.String() }

func (f *accessFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.caFile, "hot-tier-ca-file", "", "file with the authorities that rediss:// servers are verified by (default those of the system); read again when it changes, as are the others")
	fs.StringVar(&f.certFile, "hot-tier-cert-file", "", "file with the certificate to identify by to rediss:// servers")
	fs.StringVar(&f.keyFile, "hot-tier-key-file", "", "file with the key of --hot-tier-cert-file")
	fs.StringVar(&f.serverName, "hot-tier-server-name", "", "name that certificates of rediss:// servers must be for (default the host that is dialled)")
	fs.StringVar(&f.minVersion, "hot-tier-tls-min-version", tls12, "least version of TLS with rediss:// servers: TLS1.2 or TLS1.3")
	fs.StringVar(&f.passwordFile, "hot-tier-password-file", "", "file with the password for every Redis whose URL has none, also for those of the shard map; the user is the URL's")
	fs.StringVar((*string)(&f.password), passwordName, "", "the password itself")
	// The flag is there: it has just been declared.
	_ = fs.MarkHidden(passwordName)
}

// refusePassword refuses the password on a command line, where everybody on the machine sees it.
func refusePassword(fs *pflag.FlagSet) error {
	if flag := fs.Lookup(passwordName); flag != nil && flag.Changed {
		return usage("--%s cannot be given on the command line, which everybody on the machine can read: give it as %s, in the settings file, or as --hot-tier-password-file", passwordName, variableName(passwordName))
	}
	return nil
}

// accessNames are the names of the flags, which all commands have that reach a Redis.
func accessNames() []string {
	return []string{"hot-tier-ca-file", "hot-tier-cert-file", "hot-tier-key-file", "hot-tier-server-name", "hot-tier-tls-min-version", "hot-tier-password-file"}
}

// hotAccess is how Redis is reached, but for what the files hold.
type hotAccess struct {
	Files        certs.Files
	ServerName   string
	MinVersion   uint16
	PasswordFile string
	Password     hidden
}

func (f *accessFlags) check() (a hotAccess, err error) {
	if (f.certFile == "") != (f.keyFile == "") {
		return a, usage("--hot-tier-cert-file and --hot-tier-key-file only work together")
	}
	password := hidden(strings.TrimRight(string(f.password), "\r\n"))
	switch {
	case f.password == "":
	case f.passwordFile != "":
		return a, usage("--hot-tier-password-file and %s (%s) exclude each other", variableName(passwordName), passwordName)
	case password == "" || len(password) > passwordBytesMax:
		return a, usage("%s (%s) must be a password of 1 to %d bytes", variableName(passwordName), passwordName, passwordBytesMax)
	}
	a = hotAccess{
		Files: certs.Files{Cert: f.certFile, Key: f.keyFile, CA: f.caFile}, ServerName: f.serverName,
		PasswordFile: f.passwordFile, Password: password,
	}
	a.MinVersion, err = tlsVersion("--hot-tier-tls-min-version", f.minVersion)
	return a, err
}

// warnings are about a hot tier at URLs.
func (t hotTier) warnings(endpoints []hot.Endpoint) []string {
	var warnings []string
	for i, e := range endpoints {
		if !e.OnThisMachine() && !e.Secure() {
			warnings = append(warnings, fmt.Sprintf("--hot-tier %s is reached without TLS that proves who it is: whoever can see the traffic reads and changes everything", e))
		}
		if i > 0 && e.HoldsPassword() {
			warnings = append(warnings, clearPassword(e))
		}
	}
	return warnings
}

// clearPassword says what a password in the URL of a further endpoint means.
func clearPassword(e hot.Endpoint) string {
	return fmt.Sprintf("the URL of %s holds a password, which is written to the shard map in Redis as it is: leave it out, and give every frontend --hot-tier-password-file", e)
}

// open reads the files; the store is nil if there are none of TLS.
func (a hotAccess) open(logger *slog.Logger, metrics *certs.Metrics) (access hot.Access, store *certs.Store, err error) {
	access.ServerName = a.ServerName
	if a.Password != "" {
		access.Password = func() (string, error) { return string(a.Password), nil }
	}
	if a.PasswordFile != "" {
		access.Password = func() (string, error) { return readPassword(a.PasswordFile) }
		if _, err := access.Password(); err != nil {
			return access, nil, usage("--hot-tier-password-file cannot be used: %v", err)
		}
	}
	if a.Files != (certs.Files{}) {
		store, err = certs.Open(a.Files, certs.Components{Use: "hot-tier", Logger: logger, Now: time.Now, Metrics: metrics})
		if err != nil {
			return access, nil, usage("--hot-tier-ca-file, --hot-tier-cert-file or --hot-tier-key-file cannot be used: %v", err)
		}
	}
	access.TLS = func() *tls.Config { return a.tls(store) }
	return access, store, nil
}

// tls is what a connection begins with that is made now.
func (a hotAccess) tls(store *certs.Store) *tls.Config {
	config := &tls.Config{MinVersion: a.MinVersion}
	if store == nil {
		return config
	}
	m := store.Current()
	config.RootCAs = m.Authorities
	if m.Certificate != nil {
		config.Certificates = []tls.Certificate{*m.Certificate}
	}
	return config
}

// readPassword reads a file that holds nothing but a password, and the end of its line.
func readPassword(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, passwordBytesMax+1))
	if err != nil {
		return "", err
	}
	if len(content) > passwordBytesMax {
		return "", fmt.Errorf("%s is larger than %d bytes", path, passwordBytesMax)
	}
	content = bytes.TrimRight(content, "\r\n")
	if len(content) == 0 {
		return "", errors.New(path + " is empty")
	}
	return string(content), nil
}

// openAccess reads what Redis is reached with, and looks at it until the frontend closes.
func (f *frontend) openAccess(ctx context.Context) (hot.Access, error) {
	access, store, err := f.config.HotTier.Access.open(f.logger, f.certificates)
	if err != nil || store == nil {
		return access, err
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		store.Watch(watching, accessInterval, nil)
	}()
	f.onClose("the certificates for Redis", func(context.Context) error {
		stop()
		<-done
		return nil
	})
	return access, nil
}

// accessInterval is how often the files of TLS with Redis are looked at while no connection is made.
const accessInterval = 15 * time.Second
