// Command etcd runs one member of real etcd 3.7 as a process of its own, so that a
// benchmark can measure what it uses.
package main

import (
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves on the client URL of the second argument until SIGTERM, with its data
// in the first and its peer URL in the third.
func run() error {
	if len(os.Args) != 4 {
		return fmt.Errorf("usage: %s DIR CLIENT-URL PEER-URL", os.Args[0])
	}
	client, err := url.Parse(os.Args[2])
	if err != nil {
		return err
	}
	peer, err := url.Parse(os.Args[3])
	if err != nil {
		return err
	}
	config := embed.NewConfig()
	config.Dir, config.LogLevel = os.Args[1], "error"
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.QuotaBackendBytes = 8 << 30
	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	server.Close()
	return nil
}
