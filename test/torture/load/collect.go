package load

import (
	"cmp"
	"slices"

	"github.com/tierd/tierd/test/torture/history"
)

// history puts together what everybody wrote down.
func (l *Load) history(last int64) *history.History {
	h := &history.History{Seed: l.settings.Seed, Last: last}
	for _, c := range l.clients {
		h.Operations = append(h.Operations, c.operations...)
	}
	slices.SortStableFunc(h.Operations, func(a, b *history.Operation) int { return cmp.Compare(a.Call, b.Call) })
	for _, w := range l.watchers {
		h.Sessions = append(h.Sessions, w.sessions...)
	}
	return h
}
