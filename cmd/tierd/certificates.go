package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/tierd/tierd/functions/certs"
)

// openCertificates reads the certificates that clients are served with, and makes one where that is wanted.
func (f *frontend) openCertificates(context.Context) error {
	var err error
	if f.certificates, err = certs.NewMetrics(f.metrics); err != nil {
		return err
	}
	wanted := f.config.TLS
	if wanted == nil {
		return nil
	}
	if wanted.SelfSigned {
		made, isNew, err := certs.SelfSigned(filepath.Join(f.config.DataDir, "fixtures", "client"), wanted.Hosts, wanted.Validity, time.Now())
		if err != nil {
			return usage("--auto-tls has failed: %v", err)
		}
		wanted.Files.Cert, wanted.Files.Key = made.Cert, made.Key
		f.logger.Warn("clients are served with a certificate that nobody has signed", "cert-file", made.Cert, "new", isNew)
	}
	store, err := f.openStore("server", wanted.Files)
	if err != nil {
		return usage("--cert-file, --key-file, --trusted-ca-file or --client-crl-file cannot be used: %v", err)
	}
	settings := wanted.Settings
	settings.Certificates = store
	f.config.Endpoint.TLS = &settings
	return nil
}

// openStore reads certificate files, and tells of them in log and metrics.
func (f *frontend) openStore(use string, files certs.Files) (*certs.Store, error) {
	return certs.Open(files, certs.Components{Use: use, Logger: f.logger, Now: time.Now, Metrics: f.certificates})
}
