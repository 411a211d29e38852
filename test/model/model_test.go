package model

import (
	"os"
	"testing"
)

// statesMax bounds one exploration: about 100 bytes each.
const statesMax = 15_000_000

// sized are the scenarios to explore: the environment asks for larger ones.
func sized() []Scenario {
	if os.Getenv("TIERD_MODEL_SIZE") == "large" {
		return append(scenarios(), largeScenarios()...)
	}
	return scenarios()
}

// Nothing goes wrong in any interleaving of the protocol as it is.
func TestEveryInterleaving(t *testing.T) {
	for _, s := range sized() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			r := Explore(s, None, statesMax)
			t.Logf("%s: %d states, %d steps, %d states left by the dead", s.Name, r.States, r.Steps, r.Healed)
			if r.Failure != "" {
				t.Error("\n" + r.String())
			}
			if r.Finished == 0 {
				t.Error("no client ever comes to the end of its operations")
			}
			if s.Failover && !s.Acks && r.Corrupt == 0 {
				t.Error("nothing is ever lost")
			}
		})
	}
}

// A protocol without one of its rules breaks an invariant.
func TestEveryRuleIsNeeded(t *testing.T) {
	named := make(map[string]Scenario)
	for _, s := range scenarios() {
		named[s.Name] = s
	}
	tested := map[Mutation]bool{None: true}
	for _, m := range mutations() {
		tested[m.broken] = true
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s, known := named[m.scenario]
			if !known {
				t.Fatalf("there is no scenario %q", m.scenario)
			}
			r := Explore(s, m.broken, statesMax)
			if r.Failure == "" {
				t.Fatalf("%d states of %s without the rule, and nothing is found", r.States, s.Name)
			}
			t.Logf("%s, after %d states:\n%s", s.Name, r.States, r)
		})
	}
	for m := None; m <= TrimUnreplicated; m++ {
		if !tested[m] {
			t.Errorf("mutation %d is not tested", m)
		}
	}
}

// An exploration that is cut short does not pass.
func TestTooManyStatesFail(t *testing.T) {
	t.Parallel()
	if r := Explore(scenarios()[0], None, 100); r.Failure == "" {
		t.Errorf("an exploration of %d states stayed within 100", r.States)
	}
}

// mutation names the scenario that shows that a rule is needed.
type mutation struct {
	name     string
	broken   Mutation
	scenario string
}

func mutations() []mutation {
	return []mutation{
		{"no-again", NoAgain, "puts"},
		{"append-ignores-lock", AppendIgnoresLock, "transaction-put"},
		{"lane-stays-open", LaneStaysOpen, "puts"},
		{"stamp-skips-plan", StampSkipsPlan, "transaction-put"},
		{"no-ticket-check", NoTicketCheck, "transaction-put"},
		{"resolve-keeps-ticket", ResolveKeepsTicket, "transaction-put"},
		{"no-locks", NoLocks, "transaction-put"},
		{"tails-not-ordered", TailsNotOrdered, "transaction-put"},
		{"no-home-conditions", NoHomeConditions, "transaction-home"},
		{"no-home-conditions-of-a-move", NoHomeConditions, "move-home"},
		{"apply-twice", ApplyTwice, "transactions"},
		{"no-last-delta", NoLastDelta, "move"},
		{"load-overwrites", LoadOverwrites, "move-home"},
		{"gate-not-raised", GateNotRaised, "move-late"},
		{"home-ignores-epoch", HomeIgnoresEpoch, "move-home"},
		{"reads-by-newest-map", ReadsByNewestMap, "move"},
		{"move-given-up-commits", MoveGivenUpCommits, "move-given-up"},
		{"committed-move-given-up", CommittedMoveGivenUp, "movers"},
		{"move-number-reused", MoveNumberReused, "move-given-up"},
		{"order-any-incarnation", OrderAnyIncarnation, "failover-loss"},
		{"order-any-incarnation-acks", OrderAnyIncarnation, "failover-acks"},
		{"plan-any-incarnation", PlanAnyIncarnation, "failover-transaction-loss"},
		{"read-any-incarnation", ReadAnyIncarnation, "failover-acks"},
		{"read-ignores-length", ReadIgnoresLength, "failover-trim-acks"},
		{"adopt-keeps-incarnation", AdoptKeepsIncarnation, "failover-loss"},
		{"adopt-takes-back", AdoptTakesBack, "failover-acks"},
		{"recover-ignores-tail", RecoverIgnoresTail, "failover-loss"},
		{"recover-ignores-trim", RecoverIgnoresTrim, "failover-trim-loss"},
		{"recover-skips-plan", RecoverSkipsPlan, "failover-transaction-acks"},
		{"recover-forgets-gate", RecoverForgetsGate, "failover-move-loss"},
		{"refill-forgets-lanes", RefillForgetsLanes, "failover-refill"},
		{"order-unreplicated", OrderUnreplicated, "failover-acks"},
		{"order-others-unreplicated", OrderOthersUnreplicated, "failover-acks"},
		{"plan-unreplicated-lock", PlanUnreplicatedLock, "failover-transaction-acks"},
		{"forget-unreplicated", ForgetUnreplicated, "failover-transaction-acks"},
		{"trim-unreplicated", TrimUnreplicated, "failover-trim-acks"},
	}
}
