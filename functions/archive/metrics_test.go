package archive

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tierd/tierd/backup/archivetest"
	"github.com/tierd/tierd/router"
)

// TestLag: the lag is the time since the keyspace has been ahead, also after an idle hour, and for who has just
// come; blocks make it smaller.
func TestLag(t *testing.T) {
	t.Parallel()
	began := archivetest.Began()
	second := func(n int) time.Time { return began.Add(time.Duration(n) * time.Second) }
	type sight struct {
		at                int
		archived, current router.Revision
		// to is the second of the last block's end.
		to   int
		want float64
	}
	for name, sights := range map[string][]sight{
		"idle for an hour":    {{at: 0, archived: 5, current: 5}, {at: 3599, archived: 5, current: 5}, {at: 3600, archived: 5, current: 6, want: 1}, {at: 3610, archived: 5, current: 7, want: 11}, {at: 3611, archived: 7, current: 7, to: 3610}},
		"just come":           {{at: 100, archived: 5, current: 9, to: 40, want: 60}, {at: 101, archived: 9, current: 9, to: 101}},
		"never archived":      {{at: 100, current: 9}, {at: 130, current: 9, want: 30}},
		"always a bit behind": {{at: 1, archived: 1, current: 1, to: 1}, {at: 2, archived: 1, current: 2, to: 1, want: 1}, {at: 9, archived: 8, current: 9, to: 8, want: 1}, {at: 20, archived: 19, current: 21, to: 19, want: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := began
			m, err := NewMetrics(prometheus.NewRegistry(), func() time.Time { return now })
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range sights {
				now = second(s.at)
				m.show(s.archived, s.current, second(s.to), now)
				if got := m.lag(); got != s.want {
					t.Errorf("at second %d the lag is %v, want %v", s.at, got, s.want)
				}
			}
		})
	}
}
