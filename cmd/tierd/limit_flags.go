package main

import (
	"math"

	"github.com/spf13/pflag"

	"github.com/tierd/tierd/functions/endpoint"
	"github.com/tierd/tierd/functions/watch"
	"github.com/tierd/tierd/router"
)

// limitFlags are the settings of what clients may make a frontend hold, see
// docs/limits.md.
type limitFlags struct {
	requests, streams, watches, connections, perAddress int
	keepNoSpace                                         bool
	deletes                                             int
	bytes                                               int64
}

// register declares the flags.
func (f *limitFlags) register(fs *pflag.FlagSet) {
	fs.IntVar(&f.requests, "max-inflight-requests", endpoint.MaxInFlightRequestsDefault, "most calls under way at once, streams aside; further ones are refused; 0 means no limit")
	fs.Int64Var(&f.bytes, "max-inflight-bytes", 0, "most memory for requests and answers under way, in bytes; calls that need more are refused; 0 means 1 GiB, or a quarter of the container's memory if that is less; less than 0 no limit")
	fs.IntVar(&f.deletes, "max-deleted-keys", router.DeletesMaxDefault, "most keys that the ranges of one transaction may delete; larger ones are refused; 0 means no limit, and everybody waits for large ones")
	fs.BoolVar(&f.keepNoSpace, "keep-nospace-alarm", false, "leave the NOSPACE alarm up until it is disarmed, as etcd does, although there is room again")
	fs.IntVar(&f.streams, "max-streams", endpoint.MaxStreamsOpenDefault, "most streams open at once (watches, keep-alives, snapshots, waiting locks); further ones are refused; 0 means no limit")
	fs.IntVar(&f.watches, "max-watches-per-stream", watch.WatchesMaxDefault, "most watches of one watch stream; further ones are refused; 0 means no limit")
	fs.IntVar(&f.connections, "max-connections", endpoint.MaxConnectionsDefault, "most connections of clients; further ones are closed; 0 means no limit")
	fs.IntVar(&f.perAddress, "max-connections-per-address", endpoint.MaxConnectionsPerAddressDefault, "most connections from one IP address; further ones are closed; 0 means no limit")
}

// check puts the limits into the configuration.
func (f *limitFlags) check(c *config) error {
	limits := &c.Endpoint.Limits
	for _, l := range []struct {
		name  string
		value int
		field *int
	}{
		{"--max-inflight-requests", f.requests, &limits.InFlightRequests}, {"--max-streams", f.streams, &limits.Streams},
		{"--max-watches-per-stream", f.watches, &limits.WatchesPerStream}, {"--max-connections", f.connections, &limits.Connections},
		{"--max-connections-per-address", f.perAddress, &limits.ConnectionsPerAddress},
	} {
		if l.value < 0 {
			return usage("%s must not be negative, not %d", l.name, l.value)
		}
		if *l.field = l.value; l.value == 0 {
			*l.field = -1
		}
	}
	if c.DeletesMax = f.deletes; f.deletes < 0 {
		return usage("--max-deleted-keys must not be negative, not %d", f.deletes)
	}
	c.KeepNoSpace = f.keepNoSpace
	limits.InFlightBytes = f.bytes
	return nil
}

// inFlightBytesShare is the part of a container's memory that requests and answers
// may take unless told otherwise: one part in so many.
const inFlightBytesShare = 4

// inFlightBytesOf is the limit on bytes: what is wanted, or a share of the memory
// limit (0 for none), but no more than the default.
func inFlightBytesOf(wanted int64, memoryLimit uint64) int64 {
	if wanted != 0 {
		return wanted
	}
	if memoryLimit == 0 || memoryLimit > math.MaxInt64 {
		return endpoint.MaxInFlightBytesDefault
	}
	return min(endpoint.MaxInFlightBytesDefault, int64(memoryLimit/inFlightBytesShare))
}
