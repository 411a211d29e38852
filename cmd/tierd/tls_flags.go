package main

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/tierd/tierd/functions/certs"
	"github.com/tierd/tierd/functions/endpoint"
)

// yearOfValidity is the unit of --self-signed-cert-validity.
const yearOfValidity = 365 * 24 * time.Hour

// selfSignedYearsMax bounds --self-signed-cert-validity.
const selfSignedYearsMax = 100

// Names of versions of TLS, as etcd has them.
const (
	tls12 = "TLS1.2"
	tls13 = "TLS1.3"
)

// tlsFlags say how clients are served by TLS. Names and meaning are etcd's, but for --client-cert-allowed-cn, which
// etcd has for its peers only, and --insecure-plaintext.
type tlsFlags struct {
	certFile, keyFile, trustedCAFile, clientCRLFile string
	clientCertAuth                                  bool
	allowedCNs, allowedHostnames, cipherSuites      []string
	minVersion, maxVersion                          string
	autoTLS                                         bool
	selfSignedYears                                 uint
	insecurePlaintext                               bool
}

func (f *tlsFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.certFile, "cert-file", "", "file with the certificate to serve https and unixs addresses with, and what leads to its authority; read again when it changes, as are the next three")
	fs.StringVar(&f.keyFile, "key-file", "", "file with the key of --cert-file")
	fs.StringVar(&f.trustedCAFile, "trusted-ca-file", "", "file with the authorities that certificates of clients must come from; clients must then have one")
	fs.StringVar(&f.clientCRLFile, "client-crl-file", "", "file with the certificates of clients that are revoked: a list in DER, or lists in PEM")
	fs.BoolVar(&f.clientCertAuth, "client-cert-auth", false, "clients must have a certificate of --trusted-ca-file, whose common name is their user once auth is enabled")
	fs.StringSliceVar(&f.allowedCNs, "client-cert-allowed-cn", nil, "comma-separated common names, one of which a client's certificate must have")
	fs.StringSliceVar(&f.allowedHostnames, "client-cert-allowed-hostname", nil, "comma-separated names or addresses, one of which a client's certificate must be for")
	fs.StringSliceVar(&f.cipherSuites, "cipher-suites", nil, "comma-separated cipher suites of TLS 1.2, by their names in Go (default Go's choice)")
	fs.StringVar(&f.minVersion, "tls-min-version", tls12, "least version of TLS: TLS1.2 or TLS1.3")
	fs.StringVar(&f.maxVersion, "tls-max-version", "", "greatest version of TLS: TLS1.2 or TLS1.3 (default the newest)")
	fs.BoolVar(&f.autoTLS, "auto-tls", false, "serve https and unixs addresses with a certificate that is made in the data directory and that nobody has signed")
	fs.UintVar(&f.selfSignedYears, "self-signed-cert-validity", 1, "years for which the certificate of --auto-tls is valid")
	fs.BoolVar(&f.insecurePlaintext, "insecure-plaintext", false, "serve http:// on addresses that other machines reach, where whoever can see the traffic reads all of it")
}

// serverTLS is how clients are served by TLS, but for what the files hold.
type serverTLS struct {
	Files    certs.Files
	Settings endpoint.TLS
	// SelfSigned has a certificate made for Hosts where there is none, valid for Validity.
	SelfSigned bool
	Hosts      []string
	Validity   time.Duration
}

// checkTLS checks what says how addresses are served, those with TLS and those without.
func (f *flags) checkTLS(c *config) error {
	listen, metrics := c.Endpoint.ListenClientURLs, c.Endpoint.ListenMetricsURLs
	c.Endpoint.ClientCertAuth = f.tls.clientCertAuth
	settings, err := f.tls.settings()
	if err != nil {
		return err
	}
	if err := f.tls.checkClients(); err != nil {
		return err
	}
	for _, suite := range tls.InsecureCipherSuites() {
		if slices.Contains(settings.CipherSuites, suite.ID) {
			c.Warnings = append(c.Warnings, fmt.Sprintf("--cipher-suites names %s, which is known to be insecure", suite.Name))
		}
	}
	if err := f.tls.checkAddresses(c, "--listen-client-urls", listen); err != nil {
		return err
	}
	if err := f.tls.checkAddresses(c, "--listen-metrics-urls", metrics); err != nil {
		return err
	}
	if !slices.ContainsFunc(slices.Concat(listen, metrics), withTLS) {
		return nil
	}
	c.TLS = &serverTLS{
		Files:    certs.Files{Cert: f.tls.certFile, Key: f.tls.keyFile, CA: f.tls.trustedCAFile, CRL: f.tls.clientCRLFile},
		Settings: settings,
	}
	if f.tls.autoTLS && f.tls.certFile != "" {
		c.Warnings = append(c.Warnings, "--auto-tls has no effect beside --cert-file")
	} else if f.tls.autoTLS {
		c.TLS.SelfSigned, c.TLS.Validity = true, time.Duration(f.tls.selfSignedYears)*yearOfValidity
		c.TLS.Hosts = hostsOf(listen, metrics, c.AdvertiseClientURLs)
	}
	return nil
}

// withTLS tells whether an address is one with TLS.
func withTLS(u url.URL) bool { return u.Scheme == "https" || u.Scheme == "unixs" }

// hostsOf are the names and addresses by which clients may reach this frontend.
func hostsOf(listen, metrics []url.URL, advertised []string) []string {
	var hosts []string
	for _, u := range slices.Concat(listen, metrics) {
		hosts = append(hosts, u.Hostname())
	}
	for _, text := range advertised {
		if u, err := url.Parse(text); err == nil {
			hosts = append(hosts, u.Hostname())
		}
	}
	slices.Sort(hosts)
	return slices.DeleteFunc(slices.Compact(hosts), func(host string) bool { return host == "" })
}

// settings reads versions and cipher suites.
func (f *tlsFlags) settings() (s endpoint.TLS, err error) {
	s = endpoint.TLS{AllowedCommonNames: f.allowedCNs, AllowedHostnames: f.allowedHostnames}
	if s.MinVersion, err = tlsVersion("--tls-min-version", f.minVersion); err != nil {
		return s, err
	}
	if s.MaxVersion, err = tlsVersion("--tls-max-version", f.maxVersion); err != nil {
		return s, err
	}
	if s.MaxVersion != 0 && s.MinVersion > s.MaxVersion {
		return s, usage("--tls-min-version %s is above --tls-max-version %s", f.minVersion, f.maxVersion)
	}
	if s.MinVersion == tls.VersionTLS13 && len(f.cipherSuites) > 0 {
		return s, usage("--cipher-suites chooses those of TLS 1.2, and --tls-min-version TLS1.3 leaves none of them: nothing can be chosen in TLS 1.3")
	}
	for _, name := range f.cipherSuites {
		id, known := cipherSuite(name)
		if !known {
			return s, usage("--cipher-suites names %q, which is none of Go's cipher suites", name)
		}
		s.CipherSuites = append(s.CipherSuites, id)
	}
	return s, nil
}

// checkClients checks what is asked of clients' certificates. Where etcd lets a setting have no effect, it is refused: who
// gives it counts on it.
func (f *tlsFlags) checkClients() error {
	switch {
	case (f.certFile == "") != (f.keyFile == ""):
		return usage("--cert-file and --key-file only work together")
	case len(f.allowedCNs) > 0 && len(f.allowedHostnames) > 0:
		return usage("--client-cert-allowed-cn and --client-cert-allowed-hostname exclude each other")
	case f.autoTLS && (f.selfSignedYears < 1 || f.selfSignedYears > selfSignedYearsMax):
		return usage("--self-signed-cert-validity must be from 1 to %d years, not %d", selfSignedYearsMax, f.selfSignedYears)
	case f.trustedCAFile != "":
		return nil
	case f.clientCertAuth:
		return usage("--client-cert-auth needs --trusted-ca-file: else every certificate of a public authority would do")
	case f.clientCRLFile != "":
		return usage("--client-crl-file needs --trusted-ca-file: else clients show no certificate that could be revoked")
	case len(f.allowedCNs)+len(f.allowedHostnames) > 0:
		return usage("--client-cert-allowed-cn and --client-cert-allowed-hostname need --trusted-ca-file: else clients show no certificate")
	}
	return nil
}

// checkAddresses refuses addresses with TLS that have no certificate, and those without TLS that other machines reach; it
// warns of the latter if they are wanted, and of what has no effect there.
func (f *tlsFlags) checkAddresses(c *config, flag string, urls []url.URL) error {
	for _, u := range urls {
		switch {
		case withTLS(u) && f.certFile == "" && !f.autoTLS:
			return usage("%s %s asks for TLS, and there is no certificate: give --cert-file and --key-file, or --auto-tls", flag, u.String())
		case withTLS(u):
			continue
		}
		if f.certFile != "" || f.autoTLS {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s %s is served without TLS, although there is a certificate", flag, u.String()))
		}
		if f.trustedCAFile != "" {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s %s is served without TLS, and so asks clients for no certificate", flag, u.String()))
		}
		if thisMachine(u) {
			continue
		}
		if !f.insecurePlaintext {
			return usage("%s %s would be served to other machines without TLS: listen on https:// with --cert-file and --key-file or with --auto-tls, or allow it with --insecure-plaintext", flag, u.String())
		}
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s %s is served without TLS: whoever can see the traffic reads all of it, passwords included, and can change it", flag, u.String()))
	}
	return nil
}

// tlsVersion reads the name of a version; 0 for none.
func tlsVersion(flag, name string) (uint16, error) {
	switch name {
	case "":
		return 0, nil
	case tls12:
		return tls.VersionTLS12, nil
	case tls13:
		return tls.VersionTLS13, nil
	default:
		return 0, usage("%s must be TLS1.2 or TLS1.3, not %q", flag, name)
	}
}

// cipherSuite finds a cipher suite by its name in Go, or by one of two older names that etcd knows as well.
func cipherSuite(name string) (uint16, bool) {
	if strings.HasSuffix(name, "_WITH_CHACHA20_POLY1305") {
		name += "_SHA256"
	}
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if suite.Name == name {
			return suite.ID, true
		}
	}
	return 0, false
}
