package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/tierd/tierd/router"
)

// table is a heading with rows under it, or lines of text where it has no columns.
type table struct {
	columns []string
	rows    [][]string
}

func (t *shardTool) printTables(tables ...table) error { return printTables(t.out, tables...) }

// headTable says what holds for the whole keyspace.
func (t *shardTool) headTable(topology router.Topology, alarms []router.Alarm) table {
	move := "none"
	if m := topology.Move; m != nil {
		move = fmt.Sprintf("%s, to the new shard %d", strings.TrimSpace(progressText(*m)), m.Shard)
	}
	raised := make([]string, 0, len(alarms))
	for _, a := range alarms {
		raised = append(raised, fmt.Sprintf("%s (member %x)", a.Type, a.MemberID))
	}
	if len(raised) == 0 {
		raised = []string{"none"}
	}
	return table{rows: [][]string{
		{"Revision:", strconv.FormatInt(int64(topology.Revision), 10)},
		{"Map epoch:", strconv.FormatInt(topology.Epoch, 10)},
		{"Move:", move},
		{"Alarms:", strings.Join(raised, ", ")},
	}}
}

func (t *shardTool) endpointTable(topology router.Topology) table {
	owned := make(map[int]int)
	for _, r := range topology.Ranges {
		owned[r.Endpoint]++
	}
	living := make(map[int]int)
	for _, s := range topology.Shards {
		living[s.Endpoint]++
	}
	all := table{columns: []string{"ENDPOINT", "URL", "SHARDS", "RANGES", "MEMORY", "LIMIT", "USED", "STATE"}}
	for _, e := range topology.Endpoints {
		limit, used, state := "none", "-", "ok"
		if e.MemoryMaxBytes > 0 {
			limit = sizeText(e.MemoryMaxBytes)
			used = fmt.Sprintf("%d%%", 100*e.MemoryBytes/e.MemoryMaxBytes)
		}
		if e.Draining {
			state = "draining"
		}
		if e.Failure != "" {
			state = strings.TrimPrefix(state+", ", "ok, ") + "failing: " + e.Failure
		}
		all.rows = append(all.rows, []string{
			strconv.Itoa(e.ID), e.URL, strconv.Itoa(living[e.ID]), strconv.Itoa(owned[e.ID]), sizeText(e.MemoryBytes), limit, used, state,
		})
	}
	return all
}

func (t *shardTool) shardTable(topology router.Topology) table {
	all := table{columns: []string{"SHARD", "ENDPOINT", "ROLE", "KEYS", "SIZE", "TAIL", "UNORDERED", "UNSTAMPED", "STATE"}}
	for _, s := range topology.Shards {
		state := "ok"
		if s.Locked {
			state = "locked"
		}
		if s.Failure != "" {
			state = strings.TrimPrefix(state+", ", "ok, ") + "failing: " + s.Failure
		}
		all.rows = append(all.rows, []string{
			strconv.Itoa(s.ID), strconv.Itoa(s.Endpoint), string(s.Role), humanize.Comma(s.Keys), sizeText(s.Bytes),
			humanize.Comma(s.Tail), humanize.Comma(s.Tail - s.Ordered), humanize.Comma(s.Ordered - s.Stamped), state,
		})
	}
	return all
}

func (t *shardTool) rangeTable(topology router.Topology) table {
	all := table{columns: []string{"FROM", "TO", "SHARD", "ENDPOINT", "KEYS", "SIZE", "WRITES"}}
	for _, r := range topology.Ranges {
		all.rows = append(all.rows, []string{
			t.keyText(r.From), t.keyText(r.To), strconv.Itoa(r.Shard), strconv.Itoa(r.Endpoint),
			humanize.Comma(r.Keys), sizeText(r.Bytes), humanize.Comma(r.Writes),
		})
	}
	return all
}

// statusLegend explains the numbers of shard status.
func statusLegend() table {
	return table{rows: [][]string{
		{"UNORDERED is tail - ordered: writes that a shard has and that have no revision yet. It falls to 0 when writing pauses."},
		{"UNSTAMPED is ordered - stamped: writes with a revision that the shard's index does not show yet; whoever reads or writes there next sees to it."},
		{`A shard is "history" when it has given its keys away and keeps their old versions until they are compacted, "copying" while a move fills it.`},
		{"SIZE and WRITES of a range are its share of its shard's; WRITES are counted since the shard began, copied keys included."},
	}}
}

// sizeText is a number of bytes as people read it.
func sizeText(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }

// cost is what a move copies.
func cost(keys, bytes int64) string {
	return fmt.Sprintf("%s keys, %s", humanize.Comma(keys), sizeText(bytes))
}
