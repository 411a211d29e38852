package router

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tierd/tierd/tiers/hot"
)

// Limits of leases.
const (
	// leaseTTLMin is the shortest time to live in seconds, as etcd with its
	// default election timeout.
	leaseTTLMin = 2
	leaseLanes  = 1
	leasesMax   = 1024
	// expiriesMax bounds how many leases one ExpireLeases revokes.
	expiriesMax = 256
	// leaseLooksMax bounds how often the keys of a lease on several shards are looked at
	// before these are made to stand still for it.
	leaseLooksMax = 3
)

// leaseAnswer is the result of one call on leases.
type leaseAnswer struct {
	hot.LeaseResult
	revision Revision
}

// leaseRequest is a call on its way, in an epoch of the map.
type leaseRequest struct {
	hot.LeaseCall
	epoch hot.Epoch
}

type leaseItem = item[leaseRequest, leaseAnswer]

func weighLease(r *leaseRequest) weight {
	if r.Long() {
		return weight{requests: leasesMax}
	}
	return weight{requests: 1}
}

func (k *Keyspace) serveLeases(batch []*leaseItem) {
	ctx, cancel := context.WithTimeout(k.working, k.settings.RequestTimeout)
	defer cancel()
	calls, epoch := make([]hot.LeaseCall, len(batch)), batch[0].request.epoch
	for i, it := range batch {
		calls[i], epoch = it.request.LeaseCall, min(epoch, it.request.epoch)
	}
	revision, results, err := k.hot.Leases(ctx, epoch, calls)
	if errors.Is(err, hot.ErrOutOfMemory) && k.raiseNoSpace(ctx) == nil {
		revision, results, err = k.hot.Leases(ctx, epoch, calls) // keep-alives are done then
	}
	if err != nil {
		failAll(batch, translate(err))
		return
	}
	for i, it := range batch {
		it.finish(leaseAnswer{results[i], revision}, nil)
	}
}

// callLease makes one call on a lease. A lost reply is no harm for calls that
// change nothing or can be made twice: they are made again.
func (k *Keyspace) callLease(ctx context.Context, call hot.LeaseCall, repeatable bool) (leaseAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, k.settings.RequestTimeout)
	defer cancel()
	for {
		m, err := k.route(ctx)
		if err != nil {
			return leaseAnswer{}, err
		}
		answer, err := k.leases.do(ctx, leaseRequest{call, m.now().epoch})
		if errors.Is(err, errStaleMap) {
			if err := k.reloadMap(ctx); err != nil {
				return leaseAnswer{}, err
			}
			continue
		}
		if err == nil && answer.Err != nil {
			return answer, translate(answer.Err)
		}
		if !repeatable || !errors.Is(err, ErrOutcomeUnknown) || ctx.Err() != nil {
			return answer, err
		}
	}
}

// LeaseGrant implements API.
func (k *Keyspace) LeaseGrant(ctx context.Context, id, ttlSeconds int64) (Lease, Revision, error) {
	if ttlSeconds > LeaseTTLMax {
		return Lease{}, 0, k.refuseTTL(ctx)
	}
	own := id == 0
	for id == 0 {
		random, err := k.random()
		if err != nil {
			return Lease{}, 0, err
		}
		id = int64(random & math.MaxInt64)
	}
	answer, err := k.callLease(ctx, hot.GrantLease(id, max(ttlSeconds, leaseTTLMin)), false)
	if errors.Is(err, ErrOutcomeUnknown) && own {
		return k.grantedAfterAll(ctx, id, err)
	}
	if err != nil {
		return Lease{}, 0, err
	}
	return leaseOf(answer.Leases[0]), answer.revision, nil
}

// refuseTTL is why a grant with too large a TTL is refused. As in etcd, an alarm
// that forbids all grants comes first.
func (k *Keyspace) refuseTTL(ctx context.Context) error {
	up, err := k.Alarms(ctx)
	if err != nil {
		return err
	}
	for _, a := range up {
		if a.Type == alarmNoSpace {
			return ErrNoSpace
		}
		if a.Type == alarmCorrupt {
			return ErrCorrupt
		}
	}
	return ErrLeaseTTLTooLarge
}

// grantedAfterAll looks whether a grant whose reply was lost took place. Nobody
// else uses an id that was chosen here, so a lease of that id that exists now
// answers for the grant; one that does not may still come to be, so its outcome
// stays unknown. So does that of a grant whose id the client chose: that lease may
// be an older one, for which the grant was refused.
func (k *Keyspace) grantedAfterAll(ctx context.Context, id int64, lost error) (Lease, Revision, error) {
	lease, revision, err := k.oneLease(ctx, hot.DescribeLease(id, false))
	if err != nil {
		return Lease{}, 0, fmt.Errorf("grant lease %x: %w", id, lost)
	}
	return lease, revision, nil
}

// LeaseKeepAlive implements API.
func (k *Keyspace) LeaseKeepAlive(ctx context.Context, id int64) (Lease, Revision, error) {
	return k.ended(ctx, id, func() (Lease, Revision, error) { return k.oneLease(ctx, hot.KeepAliveLease(id)) })
}

// LeaseTimeToLive implements API.
func (k *Keyspace) LeaseTimeToLive(ctx context.Context, id int64, keys bool) (Lease, Revision, error) {
	return k.ended(ctx, id, func() (Lease, Revision, error) { return k.oneLease(ctx, hot.DescribeLease(id, keys)) })
}

// ended sees to it that a lease which is said to be gone stays so. One whose time is
// over, but which nobody has ended yet, would have its full time again after a restart
// of Redis.
func (k *Keyspace) ended(ctx context.Context, id int64, call func() (Lease, Revision, error)) (Lease, Revision, error) {
	for {
		lease, revision, err := call()
		if !errors.Is(err, ErrLeaseNotFound) {
			return lease, revision, err
		}
		_, failure := k.revoke(ctx, id, true)
		if errors.Is(failure, ErrLeaseNotFound) {
			return lease, revision, err
		}
		if failure != nil {
			return lease, revision, failure
		}
	}
}

func (k *Keyspace) oneLease(ctx context.Context, call hot.LeaseCall) (Lease, Revision, error) {
	for range leaseLooksMax {
		answer, err := k.callLease(ctx, call, true)
		if err != nil {
			return Lease{}, answer.revision, err
		}
		lease := &answer.Leases[0]
		if len(lease.Sharers) == 0 {
			return leaseOf(*lease), answer.revision, nil
		}
		if lease.Keys, err = k.allLeasedKeys(ctx, lease); err != nil {
			return Lease{}, answer.revision, err
		}
		// What several shards have said is of one revision if nothing happened meanwhile.
		now, err := k.latest(ctx)
		if err != nil {
			return Lease{}, answer.revision, err
		}
		if now.revision == answer.revision {
			return leaseOf(*lease), answer.revision, nil
		}
	}
	return k.leaseStill(ctx, call)
}

// leaseStill describes a lease while the shards that hold its keys stand still.
func (k *Keyspace) leaseStill(ctx context.Context, call hot.LeaseCall) (Lease, Revision, error) {
	ctx, cancel := context.WithTimeout(ctx, k.settings.RequestTimeout)
	defer cancel()
	for {
		answer, err := k.callLease(ctx, call, true)
		if err != nil {
			return Lease{}, answer.revision, err
		}
		sharers := answer.Leases[0].Sharers
		c, err := k.crossSharers(ctx, sharers)
		if err != nil {
			return Lease{}, answer.revision, err
		}
		answer, err = k.callLease(ctx, call, true)
		if err == nil && slices.Equal(answer.Leases[0].Sharers, sharers) {
			answer.Leases[0].Keys, err = k.allLeasedKeys(ctx, &answer.Leases[0])
			c.abort(ctx)
			return leaseOf(answer.Leases[0]), c.at, err
		}
		c.abort(ctx)
		if err != nil {
			return Lease{}, answer.revision, err
		}
	}
}

// crossSharers locks the home shard and all that hold keys of a lease.
func (k *Keyspace) crossSharers(ctx context.Context, sharers []hot.Shard) (*crossing, error) {
	return k.cross(ctx, func(m *mapVersion) []hot.Shard {
		shards := slices.DeleteFunc(slices.Clone(sharers), func(s hot.Shard) bool { return !m.owns(s) })
		return append(shards, hot.HomeShard)
	})
}

// allLeasedKeys gathers the keys of a lease from all shards that may hold some.
func (k *Keyspace) allLeasedKeys(ctx context.Context, l *hot.Lease) ([][]byte, error) {
	now, err := k.latest(ctx)
	if err != nil {
		return nil, err
	}
	m := k.shardMap().now()
	keys := ownedBy(m, hot.HomeShard, l.Keys)
	for _, id := range l.Sharers {
		if !m.owns(id) {
			continue
		}
		s, err := k.shard(id)
		if err == nil {
			err = s.stampTo(ctx, now.revision)
		}
		var found [][]byte
		if err == nil {
			found, err = s.client.LeasedKeys(ctx, l.ID)
		}
		if err = translate(err); errors.Is(err, errStaleMap) {
			if err := k.reloadMap(ctx); err != nil {
				return nil, err
			}
			return k.allLeasedKeys(ctx, l)
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, ownedBy(m, id, found)...)
	}
	slices.SortFunc(keys, bytes.Compare)
	return keys, nil
}

// ownedBy keeps those keys that a shard owns: it may hold others, for readers of the past.
func ownedBy(m *mapVersion, id hot.Shard, keys [][]byte) [][]byte {
	return slices.DeleteFunc(slices.Clone(keys), func(key []byte) bool { return m.owner(key) != id })
}

// Leases implements API.
func (k *Keyspace) Leases(ctx context.Context) ([]Lease, Revision, error) {
	var leases []Lease
	var revision Revision
	for from, first := uint64(0), true; first || from != 0; first = false {
		answer, err := k.callLease(ctx, hot.ListLeases(from), true)
		if err != nil {
			return nil, 0, err
		}
		if first {
			revision = answer.revision
		}
		if err := take(ctx, int64(len(answer.Leases))*leaseMemory); err != nil {
			return nil, 0, err
		}
		leases = slices.Grow(leases, len(answer.Leases))
		for _, l := range answer.Leases {
			leases = append(leases, leaseOf(l))
		}
		from = answer.More
	}
	slices.SortFunc(leases, func(a, b Lease) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(leases, func(a, b Lease) bool { return a.ID == b.ID }), revision, nil
}

// leaseMemory is about what a lease takes in a list and in the answer made of it.
const leaseMemory = 160

func leaseOf(l hot.Lease) Lease {
	return Lease{ID: l.ID, GrantedTTL: l.TTLSeconds, RemainingTTL: int64(l.Remaining / time.Second), Keys: l.Keys}
}
