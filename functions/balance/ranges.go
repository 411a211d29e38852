package balance

import (
	"bytes"
	"fmt"

	"github.com/dustin/go-humanize"
)

// splits decides which ranges are too hot or too large.
func (p *picture) splits(o *Outlook) {
	endpoints := make(map[int]*endpoint)
	for _, e := range p.endpoints {
		endpoints[e.ID] = e
	}
	for i := range p.ranges {
		r := &p.ranges[i]
		if !r.able || endpoints[r.Endpoint].Draining {
			continue // what drains is split on its way
		}
		d, wanted := p.splitOf(r, endpoints[r.Endpoint])
		if !wanted {
			continue
		}
		if len(p.ranges)+len(o.Decisions) >= p.policy.RangesMax {
			o.Notes = append(o.Notes, fmt.Sprintf("%s should be split, but there are %d ranges already, and %d are the most", Keys(r.From, r.To), len(p.ranges), p.policy.RangesMax))
			return
		}
		o.Decisions = append(o.Decisions, d)
	}
}

// splitOf decides whether to split a range, and where. A range whose writes all go
// to one key has no key to be split at.
func (p *picture) splitOf(r *keyRange, e *endpoint) (Decision, bool) {
	if r.writes > p.policy.RangeWritesHigh && r.holds(r.WrittenMiddle) {
		return p.split(r, r.WrittenMiddle, fmt.Sprintf("%s take %s, more than %s: %q halves the last ones",
			Keys(r.From, r.To), rate(r.writes), rate(p.policy.RangeWritesHigh), r.WrittenMiddle)), true
	}
	if why := p.large(r, e); why != "" && r.holds(r.Middle) {
		return p.split(r, r.Middle, fmt.Sprintf("%s hold %s: %q halves them", Keys(r.From, r.To), why, r.Middle)), true
	}
	return Decision{}, false
}

// large says by which measure a range is large; it is empty if the range is not.
func (p *picture) large(r *keyRange, e *endpoint) string {
	share := float64(r.Bytes) / float64(e.capacity)
	switch {
	case r.Bytes > p.policy.RangeBytesHigh:
		return fmt.Sprintf("%s, more than %s", bytesText(r.Bytes), bytesText(p.policy.RangeBytesHigh))
	case r.Keys > p.policy.RangeKeysHigh:
		return fmt.Sprintf("%s keys, more than %s", humanize.Comma(r.Keys), humanize.Comma(p.policy.RangeKeysHigh))
	case e.share(0) > p.policy.MemoryShareHigh && share > p.policy.RangeShareHigh:
		return fmt.Sprintf("%s of the memory of endpoint %d, more than %s, and that endpoint uses %s",
			percent(share), e.ID, percent(p.policy.RangeShareHigh), percent(e.share(0)))
	default:
		return ""
	}
}

// split is the decision to divide a range.
func (p *picture) split(r *keyRange, at []byte, reason string) Decision {
	return Decision{Kind: Split, From: r.From, To: r.To, At: at, Shard: r.Shard, Source: r.Endpoint, Target: r.Endpoint, Reason: reason}
}

// merge decides on one pair of small cold neighbours.
func (p *picture) merge(o *Outlook) {
	if len(p.ranges) <= p.policy.RangesKept {
		return
	}
	for i := 1; i < len(p.ranges); i++ {
		a, b := &p.ranges[i-1], &p.ranges[i]
		writes, size, keys := a.writes+b.writes, a.Bytes+b.Bytes, a.Keys+b.Keys
		if a.Shard != b.Shard || !a.able || !bytes.Equal(a.To, b.From) || p.changed(a) || p.changed(b) {
			continue
		}
		if writes > p.policy.MergedWritesMax || size > p.policy.MergedBytesMax || keys > p.policy.MergedKeysMax {
			continue
		}
		o.Decisions = append(o.Decisions, Decision{
			Kind: Merge, From: a.From, To: b.To, At: b.From, Shard: a.Shard, Source: a.Endpoint, Target: a.Endpoint,
			Reason: fmt.Sprintf("there are %d ranges, more than %d, and the two on both sides of %q take %s and hold %s keys and %s together",
				len(p.ranges), p.policy.RangesKept, b.From, rate(writes), humanize.Comma(keys), bytesText(size)),
		})
		return
	}
}
