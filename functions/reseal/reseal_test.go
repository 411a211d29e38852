package reseal_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tierd/tierd/functions/reseal"
	"github.com/tierd/tierd/router"
)

// keyspace is a fake: its setting, and what was done.
type keyspace struct {
	leader, self uint64
	text         string
	// meanwhile changes the setting while values are renewed.
	meanwhile string
	all       bool
	// renewed is what the next pass finds to be renewed.
	renewed int64
	failure error
	done    []string
}

func (k *keyspace) LeaderID() uint64                            { return k.leader }
func (k *keyspace) Self() router.Member                         { return router.Member{ID: k.self} }
func (k *keyspace) SealingText(context.Context) (string, error) { return k.text, k.failure }

func (k *keyspace) ChangeSealing(ctx context.Context, binding bool, change func(context.Context, string) (string, error)) (bool, error) {
	after, err := change(ctx, k.text)
	if err != nil || after == k.text {
		return false, err
	}
	k.text = after
	if binding {
		k.done = append(k.done, "bound")
	} else {
		k.done = append(k.done, "settled")
	}
	return true, nil
}

func (k *keyspace) RenewSeals(_ context.Context, report func(router.SealProgress)) (bool, error) {
	k.done = append(k.done, "renewed")
	report(router.SealProgress{Looked: 5, Total: 10, Renewed: k.renewed / 2})
	report(router.SealProgress{Looked: 10, Total: 10, Renewed: k.renewed})
	k.renewed = 0
	if k.meanwhile != "" {
		k.text = k.meanwhile
	}
	return k.all, nil
}

// rotator gives a setting as if there were a new key.
type rotator struct{}

func (rotator) Rotate(_ context.Context, text string) (string, error) {
	return strings.Replace(text, `"current":1`, `"current":2`, 1), nil
}

const (
	// runs are made at half of the time that has to pass before keys are dropped.
	runs      = 6
	made      = 1_800_000_000
	keys      = `"keys":[{"id":1,"made":1800000000},{"id":2,"made":1800000000}]`
	settled   = `{"format":1,"on":true,"current":1,"last":2,` + keys + `,"settled":true}`
	unsettled = `{"format":1,"on":true,"current":2,"last":2,` + keys + `,"settled":false}`
)

// TestRun: only the leader acts; it renews what is not settled and settles it, unless the setting has
// changed since; and takes another key when the current one is old.
func TestRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keyspace
		age  time.Duration
		want string
	}{
		"never sealed":            {keyspace: keyspace{}},
		"nothing to do":           {keyspace: keyspace{text: settled}, age: 2 * time.Hour},
		"any age":                 {keyspace: keyspace{text: settled}},
		"an old key":              {keyspace: keyspace{text: settled}, age: time.Hour, want: "bound"},
		"to be renewed":           {keyspace: keyspace{text: unsettled, all: true, renewed: 3}, want: "renewed renewed settled"},
		"nothing is left":         {keyspace: keyspace{text: unsettled, all: true}, want: "renewed renewed settled"},
		"not all were renewed":    {keyspace: keyspace{text: unsettled, renewed: 3}, want: "renewed renewed renewed renewed renewed"},
		"changed meanwhile":       {keyspace: keyspace{text: unsettled, all: true, meanwhile: strings.Replace(unsettled, `"last":2`, `"last":3`, 1)}, want: "renewed renewed renewed settled"},
		"another one is to do it": {keyspace: keyspace{text: unsettled, leader: 7}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			metrics, err := reseal.NewMetrics(prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			k, now := c.keyspace, time.Unix(made, 0).Add(time.Hour)
			var state reseal.State
			for range runs {
				err := reseal.Run(t.Context(), reseal.Components{
					Keyspace: &k, Vault: rotator{}, Logger: slog.New(slog.DiscardHandler), Metrics: metrics,
					Now: func() time.Time { return now },
				}, reseal.Settings{KeyAge: c.age}, &state)
				if err != nil {
					t.Fatal(err)
				}
				now = now.Add(reseal.Grace / 2)
			}
			if got := strings.Join(k.done, " "); got != c.want {
				t.Errorf("did %q, want %q", got, c.want)
			}
		})
	}
}

// TestLoopGoesOn: a failure ends nothing.
func TestLoopGoesOn(t *testing.T) {
	t.Parallel()
	metrics, err := reseal.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	k, looks := &keyspace{failure: errors.New("away")}, 0
	reseal.Loop(ctx, reseal.Components{
		Keyspace: k, Vault: rotator{}, Logger: slog.New(slog.DiscardHandler), Metrics: metrics, Now: time.Now,
		After: func(time.Duration) <-chan time.Time {
			if looks++; looks == 3 {
				k.failure = nil
			}
			if looks == 4 {
				stop()
			}
			at := make(chan time.Time, 1)
			at <- time.Time{}
			return at
		},
	}, reseal.Settings{})
	if looks != 4 {
		t.Errorf("%d looks", looks)
	}
}
