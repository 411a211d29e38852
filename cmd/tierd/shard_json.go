package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/tierd/tierd/functions/balance"
	"github.com/tierd/tierd/router"
)

// The JSON of the shard commands. Keys may hold any byte, so each stands there as
// text, for people, in which what is no UTF-8 is replaced, and in hexadecimal digits,
// for programs.

type keyJSON struct {
	Text string `json:"text"`
	Hex  string `json:"hex"`
}

func keyJSONOf(key []byte) keyJSON { return keyJSON{Text: string(key), Hex: hex.EncodeToString(key)} }

type endpointJSON struct {
	ID             int    `json:"id"`
	URL            string `json:"url"`
	Draining       bool   `json:"draining"`
	MemoryBytes    int64  `json:"memory_bytes"`
	MemoryMaxBytes int64  `json:"memory_max_bytes"`
	Failure        string `json:"failure,omitempty"`
}

type shardJSON struct {
	ID        int    `json:"id"`
	Endpoint  int    `json:"endpoint"`
	Role      string `json:"role"`
	Keys      int64  `json:"keys"`
	Bytes     int64  `json:"bytes"`
	Tail      int64  `json:"tail"`
	Ordered   int64  `json:"ordered"`
	Stamped   int64  `json:"stamped"`
	Unordered int64  `json:"unordered"`
	Unstamped int64  `json:"unstamped"`
	Locked    bool   `json:"locked"`
	Failure   string `json:"failure,omitempty"`
}

type rangeJSON struct {
	From     keyJSON `json:"from"`
	To       keyJSON `json:"to"`
	Shard    int     `json:"shard"`
	Endpoint int     `json:"endpoint"`
	Keys     int64   `json:"keys"`
	Bytes    int64   `json:"bytes"`
	Writes   int64   `json:"writes"`
}

type moveJSON struct {
	From     keyJSON `json:"from"`
	To       keyJSON `json:"to"`
	Shard    int     `json:"shard"`
	Endpoint int     `json:"endpoint"`
	Step     string  `json:"step"`
	Keys     int64   `json:"keys"`
	Total    int64   `json:"total"`
	Percent  int     `json:"percent"`
}

type alarmJSON struct {
	Type   string `json:"type"`
	Member string `json:"member"`
}

type topologyJSON struct {
	Revision  int64          `json:"revision"`
	Epoch     int64          `json:"epoch"`
	Endpoints []endpointJSON `json:"endpoints"`
	Shards    []shardJSON    `json:"shards,omitempty"`
	Ranges    []rangeJSON    `json:"ranges"`
	Move      *moveJSON      `json:"move,omitempty"`
	Alarms    []alarmJSON    `json:"alarms,omitempty"`
}

type decisionJSON struct {
	Kind   string   `json:"kind"`
	From   keyJSON  `json:"from"`
	To     keyJSON  `json:"to"`
	At     *keyJSON `json:"at,omitempty"`
	Shard  int      `json:"shard"`
	Source int      `json:"source_endpoint"`
	Target int      `json:"target_endpoint"`
	Keys   int64    `json:"keys"`
	Bytes  int64    `json:"bytes"`
	Reason string   `json:"reason"`
}

type planJSON struct {
	Decisions []decisionJSON `json:"decisions"`
	Notes     []string       `json:"notes"`
}

// changeJSON is what a changing command did, or would do.
type changeJSON struct {
	Change   string   `json:"change"`
	DryRun   bool     `json:"dry_run"`
	At       *keyJSON `json:"at,omitempty"`
	From     *keyJSON `json:"from,omitempty"`
	To       *keyJSON `json:"to,omitempty"`
	Endpoint *int     `json:"endpoint,omitempty"`
	// Ranges, Keys and Bytes are what is copied, or would be.
	Ranges  int    `json:"ranges"`
	Keys    int64  `json:"keys"`
	Bytes   int64  `json:"bytes"`
	Message string `json:"message"`
}

func moveJSONOf(m router.MoveStatus) moveJSON {
	return moveJSON{
		From: keyJSONOf(m.From), To: keyJSONOf(m.To), Shard: m.Shard, Endpoint: m.Endpoint,
		Step: m.Step, Keys: m.Keys, Total: m.Total, Percent: percentOf(m),
	}
}

// topologyJSONOf is the shard map; details adds its shards, the move under way and the
// alarms.
func topologyJSONOf(topology router.Topology, details bool, alarms []router.Alarm) topologyJSON {
	j := topologyJSON{Revision: int64(topology.Revision), Epoch: topology.Epoch, Endpoints: []endpointJSON{}, Ranges: []rangeJSON{}}
	for _, e := range topology.Endpoints {
		j.Endpoints = append(j.Endpoints, endpointJSON(e))
	}
	for _, r := range topology.Ranges {
		j.Ranges = append(j.Ranges, rangeJSON{
			From: keyJSONOf(r.From), To: keyJSONOf(r.To), Shard: r.Shard, Endpoint: r.Endpoint, Keys: r.Keys, Bytes: r.Bytes, Writes: r.Writes,
		})
	}
	if !details {
		return j
	}
	for _, s := range topology.Shards {
		j.Shards = append(j.Shards, shardJSON{
			ID: s.ID, Endpoint: s.Endpoint, Role: string(s.Role), Keys: s.Keys, Bytes: s.Bytes,
			Tail: s.Tail, Ordered: s.Ordered, Stamped: s.Stamped, Unordered: s.Tail - s.Ordered, Unstamped: s.Ordered - s.Stamped,
			Locked: s.Locked, Failure: s.Failure,
		})
	}
	if topology.Move != nil {
		move := moveJSONOf(*topology.Move)
		j.Move = &move
	}
	for _, a := range alarms {
		j.Alarms = append(j.Alarms, alarmJSON{Type: a.Type.String(), Member: fmt.Sprintf("%x", a.MemberID)})
	}
	return j
}

func planJSONOf(o balance.Outlook) planJSON {
	j := planJSON{Decisions: []decisionJSON{}, Notes: append([]string{}, o.Notes...)}
	for _, d := range o.Decisions {
		decision := decisionJSON{
			Kind: string(d.Kind), From: keyJSONOf(d.From), To: keyJSONOf(d.To), Shard: d.Shard, Source: d.Source, Target: d.Target,
			Keys: d.Keys, Bytes: d.Bytes, Reason: d.Reason,
		}
		if d.Kind != balance.Move {
			at := keyJSONOf(d.At)
			decision.At = &at
		}
		j.Decisions = append(j.Decisions, decision)
	}
	return j
}

// printJSON prints one indented document.
func (t *shardTool) printJSON(document any) error {
	encoder := json.NewEncoder(t.out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	return nil
}
