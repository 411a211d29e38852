package auth

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// metrics count what was decided. None of them names a user.
type metrics struct {
	logins, refusals *prometheus.CounterVec
	again            prometheus.Counter
}

// The outcomes of logins.
const (
	loginGranted = "granted"
	loginRefused = "refused"
)

// newMetrics makes the metrics of a store, and registers them if there is somewhere to.
func newMetrics(registerer prometheus.Registerer, s *Store) (*metrics, error) {
	m := &metrics{
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tierd_auth_logins_total", Help: "Passwords that clients gave, by outcome.",
		}, []string{"outcome"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tierd_auth_refusals_total", Help: "Calls refused by the auth data, by reason.",
		}, []string{"reason"}),
		again: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tierd_auth_decided_again_total", Help: "Calls decided again because the auth data had changed meanwhile.",
		}),
	}
	for _, outcome := range []string{loginGranted, loginRefused} {
		m.logins.WithLabelValues(outcome)
	}
	if registerer == nil {
		return m, nil
	}
	known := func(value func(*state) float64) func() float64 {
		return func() float64 {
			if st := s.state.Load(); st != nil {
				return value(st)
			}
			return 0
		}
	}
	for _, c := range []prometheus.Collector{
		m.logins, m.refusals, m.again,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "etcd_debugging_auth_revision", Help: "The auth revision that this frontend has seen last.",
		}, known(func(st *state) float64 { return float64(st.revision) })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tierd_auth_enabled", Help: "1 while authentication is on, as far as this frontend has seen.",
		}, known(func(st *state) float64 {
			if st.enabled {
				return 1
			}
			return 0
		})),
	} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// refused counts a refusal by its reason.
func (m *metrics) refused(err error) {
	reason := "other"
	for _, r := range [...]struct {
		err  error
		name string
	}{
		{rpctypes.ErrGRPCPermissionDenied, "permission_denied"}, {rpctypes.ErrGRPCInvalidAuthToken, "invalid_token"},
		{rpctypes.ErrGRPCUserEmpty, "no_user"}, {rpctypes.ErrGRPCAuthOldRevision, "old_revision"},
		{rpctypes.ErrGRPCAuthFailed, "wrong_password"},
	} {
		if errors.Is(err, r.err) {
			reason = r.name
		}
	}
	m.refusals.WithLabelValues(reason).Inc()
}
