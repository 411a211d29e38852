package main

import (
	"github.com/spf13/pflag"

	"github.com/tierd/tierd/functions/endpoint"
)

// browserFlags say which pages may reach this frontend through somebody's browser, as
// etcd has them.
type browserFlags struct {
	origins, hosts []string
}

func (b *browserFlags) register(fs *pflag.FlagSet) {
	fs.StringSliceVar(&b.origins, "cors", []string{"*"}, `comma-separated origins, such as https://console.example, whose pages browsers let in; "*" lets in all`)
	fs.StringSliceVar(&b.hosts, "host-whitelist", []string{"*"}, `comma-separated names and addresses by which HTTP requests without TLS may come; "*" allows all`)
}

func (b *browserFlags) settings() endpoint.Browsers {
	return endpoint.Browsers{Origins: b.origins, Hosts: b.hosts}
}
