package main

import (
	"crypto/tls"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// How a running etcd is connected to.
const (
	sourceDialTimeout   = 5 * time.Second
	sourceKeepaliveTime = 10 * time.Second
)

// etcdFlags say how to reach a running etcd. Names and meaning are etcdctl's.
type etcdFlags struct {
	endpoints         []string
	caCert, cert, key string
	user, password    string
}

func (f *etcdFlags) register(fs *pflag.FlagSet) {
	fs.StringSliceVar(&f.endpoints, "endpoints", nil, "comma-separated client URLs of the running etcd to import from")
	fs.StringVar(&f.caCert, "cacert", "", "file with the certificates to verify the etcd by (default those of the system)")
	fs.StringVar(&f.cert, "cert", "", "file with the certificate to identify by to the etcd")
	fs.StringVar(&f.key, "key", "", "file with the key of --cert")
	fs.StringVar(&f.user, "user", "", "name to log in to the etcd with, or name:password")
	fs.StringVar(&f.password, "password", "", "password of --user; the environment variable ETCDCTL_PASSWORD does not show in process lists")
}

// check refuses what does not go together; live says that there are endpoints.
func (f *etcdFlags) check(live bool) error {
	switch {
	case !live && f.caCert+f.cert+f.key+f.user+f.password != "":
		return usage("--cacert, --cert, --key, --user and --password say how to reach an etcd, and need --endpoints")
	case (f.cert == "") != (f.key == ""):
		return usage("--cert and --key only work together")
	case f.user == "" && f.password != "":
		return usage("--password needs --user")
	}
	return nil
}

// connect makes a client. Nothing is sent yet.
func (f *etcdFlags) connect(environ []string) (*clientv3.Client, error) {
	config := clientv3.Config{
		Endpoints: f.endpoints, DialTimeout: sourceDialTimeout, Logger: zap.NewNop(),
		DialKeepAliveTime: sourceKeepaliveTime, DialKeepAliveTimeout: sourceKeepaliveTime,
	}
	if f.user != "" {
		config.Username, config.Password = f.login(environ)
	}
	tlsConfig, err := f.tls()
	if err != nil {
		return nil, err
	}
	config.TLS = tlsConfig
	client, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", strings.Join(f.endpoints, ", "), err)
	}
	return client, nil
}

// login is the name and the password, from where they were given.
func (f *etcdFlags) login(environ []string) (name, password string) {
	if f.password != "" {
		return f.user, f.password
	}
	for _, entry := range environ {
		if value, found := strings.CutPrefix(entry, "ETCDCTL_PASSWORD="); found {
			return f.user, value
		}
	}
	name, password, _ = strings.Cut(f.user, ":")
	return name, password
}

// tls is the configuration for https endpoints; nil if there are none.
func (f *etcdFlags) tls() (*tls.Config, error) {
	secure := f.caCert+f.cert != ""
	for _, endpoint := range f.endpoints {
		secure = secure || strings.HasPrefix(endpoint, "https://")
	}
	if !secure {
		return nil, nil
	}
	info := transport.TLSInfo{CertFile: f.cert, KeyFile: f.key, TrustedCAFile: f.caCert, Logger: zap.NewNop()}
	config, err := info.ClientConfig()
	if err != nil {
		return nil, usage("--cacert, --cert or --key cannot be used: %v", err)
	}
	return config, nil
}
