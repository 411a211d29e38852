package router

import (
	"context"
	"time"

	"github.com/tierd/tierd/tiers/hot"
)

// lanesInterval is how often a shard is asked whose calls it remembers.
const lanesInterval = time.Minute

// oldLanes makes a shard forget the calls of frontends that are gone for so long that
// none of their calls can still be on their way. (The home shard does so by itself.)
type oldLanes struct {
	next time.Time
	// missing says since when a frontend that has lanes was not seen alive.
	missing map[uint64]time.Time
}

// forget is called at each look at the shard, and acts now and then.
func (o *oldLanes) forget(ctx context.Context, client *hot.Client, summary *hot.Summary, now time.Time) error {
	if now.Before(o.next) || summary == nil {
		return nil
	}
	o.next = now.Add(lanesInterval)
	var gone []uint64
	for member, since := range o.missing {
		if now.Sub(since) >= hot.MemberKept {
			gone = append(gone, member)
		}
	}
	left, err := client.ForgetLanes(ctx, gone)
	if err != nil {
		return translate(err)
	}
	alive := make(map[uint64]bool, len(summary.Members))
	for _, m := range summary.Members {
		alive[m.ID] = true
	}
	missing := make(map[uint64]time.Time)
	for _, member := range left {
		if alive[member] {
			continue
		}
		missing[member] = now
		if since, known := o.missing[member]; known {
			missing[member] = since
		}
	}
	o.missing = missing
	return nil
}
