//go:build bench

package bench

import "strconv"

// scalingBase is the number of shards whose cost the others' is a multiple of.
const scalingBase = 2

// of is the median of a number over the rounds of an offer.
func (s *scaled) of(at int, number func(scaling) float64) float64 {
	var all []float64
	for _, round := range s.measured[at] {
		all = append(all, number(round))
	}
	return median(all)
}

// against is the median over the rounds of the cost as a multiple of another size's.
func (s *scaled) against(base *scaled, at int) float64 {
	var all []float64
	for i, round := range s.measured[at] {
		all = append(all, round.cpu/base.measured[at][i].cpu)
	}
	return median(all)
}

// cpuTarget is the most that the cost of a write with the most shards may be, as a
// multiple of that with scalingBase; ceilings are the least writes that a core of the
// sequencer has to be able to order in a second, by the writes of a batch.
const cpuTarget = 1.1

func ceilings() map[int]float64 { return map[int]float64{1: 50_000, 64: 500_000} }

// addScaling writes the rows of one offer.
func (r *report) addScaling(o offer, at int, sizes []*scaled) {
	head := []string{"load", "shards", "writes per second", "writes per batch", "shards per order",
		"sequencer", "shards", "frontend", "CPU per write", "x 2 shards", "a sequencer's core, at that"}
	base := sizes[0]
	for _, s := range sizes {
		if s.shards == scalingBase {
			base = s
		}
	}
	for _, s := range sizes {
		r.disturbed += s.results[at].disturbed
		for _, round := range s.results[at].rounds {
			r.others = append(r.others, round.others)
		}
		show := func(number func(scaling) float64, how func(float64) string) string { return how(s.of(at, number)) }
		name, batch, asks := strconv.Itoa(s.shards), show(func(m scaling) float64 { return m.batch }, digits), show(func(m scaling) float64 { return m.asks }, digits)
		sequencer, others := show(func(m scaling) float64 { return m.sequencer }, duration), show(func(m scaling) float64 { return m.shards }, duration)
		ceiling := amount(1e6/s.of(at, func(m scaling) float64 { return m.sequencer })) + "/s"
		if s.shards == homeOnly {
			name, asks, others, ceiling = "home", "", "", ""
		}
		ratio := s.against(base, at)
		r.row(head, []string{o.name, name, show(func(m scaling) float64 { return m.perSecond }, amount), batch, asks,
			sequencer, others, show(func(m scaling) float64 { return m.frontend }, duration), show(func(m scaling) float64 { return m.cpu }, duration),
			multiple(ratio), ceiling})
		if last := scalingShards(); o.batch > 0 && s.shards == last[len(last)-1] {
			r.bars = append(r.bars, targetRow(o.name+", 2 to 16 shards", "CPU per write, x", "<= ", cpuTarget, ratio, ratio <= cpuTarget, multiple))
		}
	}
}

// addRest writes what is used without any load.
func (r *report) addRest(sizes []*scaled) {
	head := []string{"shards, without load", "sequencer", "all shards", "frontend"}
	for _, s := range sizes {
		name, others := strconv.Itoa(s.shards), duration(s.rest.shards)+" per second"
		if s.shards == homeOnly {
			name, others = "home", ""
		}
		r.row(head, []string{name, duration(s.rest.sequencer) + " per second", others, duration(s.rest.frontend) + " per second"})
	}
}

// addOrdering writes a row of the sequencer alone.
func (r *report) addOrdering(o ordering) {
	head := []string{"writes per batch", "shards per order", "sequencer's CPU per order", "per write", "one core orders"}
	for _, round := range o.result.rounds {
		r.others = append(r.others, round.others)
	}
	per := o.perWrite()
	r.row(head, []string{strconv.Itoa(o.writes), strconv.Itoa(o.over), duration(per * float64(o.over*o.writes)), duration(per), amount(1e6/per) + "/s"})
	counts := scalingShards()
	if least, ok := ceilings()[o.writes]; ok && (o.over == 1 || o.over == counts[len(counts)-1]) {
		r.bars = append(r.bars, targetRow("sequencer, batches of "+strconv.Itoa(o.writes)+", "+strconv.Itoa(o.over)+" to an order",
			"writes per second and core", ">= ", least, 1e6/per, 1e6/per >= least, amount))
	}
}

func targetRow(what, figure, relation string, target, measured float64, met bool, how func(float64) string) []string {
	verdict := "**missed**"
	if met {
		verdict = "met"
	}
	return []string{what, figure, relation + how(target), how(measured), verdict}
}
