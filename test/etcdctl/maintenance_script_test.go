package etcdctl_test

import (
	"slices"
	"strings"
)

var (
	// tables lets columns have any width.
	tables = []mask{hide(`[ -]*([|+])[ -]*`, "$1"), hide(`[│├┤┌┐└┘┬┴┼─ ]+`, "|")}

	// members hides ids and the addresses between members, which tierd has not.
	members = []mask{
		hide(`\b[0-9a-f]{10,16}\b`, "ID"),
		hide(`"ID":\d+`, `"ID":N`),
		hide(`"ID" : \d+`, `"ID" : N`),
		hide(`"peerURLs":\[[^]]*\],`, ""),
		hide(`"PeerURL" : "[^"]*"\n`, ""),
		hide(`started\W+default(, | +│ +)\S*?(, | +│ +)`, "started default PEER "),
	}

	// status hides sizes, ids, raft's counters and the patch version.
	status = []mask{
		hide(`"(dbSize|dbSizeInUse|leader|raftIndex|raftTerm|raftAppliedIndex)":\d+`, `"$1":N`),
		hide(`"(DBSize|DBSizeInUse|Leader|RaftIndex|RaftTerm|RaftAppliedIndex)" : \d+`, `"$1" : N`),
		hide(`3\.7\.\d+`, "3.7.X"),
		hide(`\b[0-9a-f]{10,16}\b`, "ID"),
		hide(`\d+(\.\d+)? [kMG]?B`, "SIZE"),
		hide(`\d+%`, "PERCENT"),
		hide(`(true|false)(\W+)(true|false)(\W+)\d+(\W+)\d+(\W+)\d+`, "$1$2$3${4}N${5}N${6}N"),
	}
)

func maintenanceSections() []section {
	return []section{
		{name: "members", steps: memberSteps()},
		{name: "endpoint", steps: append(someKeys(), endpointSteps()...)},
		{name: "alarms", quotaBytes: 4 << 20, steps: alarmSteps()},
	}
}

func memberSteps() []step {
	changing := "(?i)member"
	return []step{
		{cmd: "member list", masks: members},
		{cmd: "member list -w json", masks: members},
		{cmd: "member list -w fields", masks: members},
		{cmd: "member list -w table", masks: slices.Concat(members, tables)},
		{cmd: "member list --consistency=s", masks: members},
		{cmd: "member add another --peer-urls=http://127.0.0.1:1", refused: changing},
		{cmd: "member add another --learner --peer-urls=http://127.0.0.1:1", refused: changing},
		{cmd: "member remove 1", refused: changing},
		{cmd: "member update 1 --peer-urls=http://127.0.0.1:1", refused: changing},
		{cmd: "member promote 1", refused: changing},
		{cmd: "move-leader 1", refused: "(?i)leader"},
		{cmd: "downgrade validate 3.6.0", refused: "(?i)downgrad"},
		{cmd: "downgrade enable 3.6.0", refused: "(?i)downgrad"},
		{cmd: "downgrade cancel", refused: "(?i)downgrad"},
	}
}

func endpointSteps() []step {
	return []step{
		{cmd: "endpoint health"},
		{cmd: "endpoint health -w json"},
		{cmd: "endpoint health --cluster"},
		{cmd: "endpoint health -w table", masks: append(slices.Clone(tables), hide(`\|[0-9.]+[µm]?s\|`, "|T|"))},
		{cmd: "endpoint status -w json", masks: status},
		{cmd: "endpoint status -w fields", masks: status},
		{cmd: "endpoint status", masks: status},
		{cmd: "endpoint status -w table", masks: slices.Concat(status, tables)},
		{cmd: "endpoint status --cluster -w json", masks: status},
		{cmd: "endpoint hashkv"},
		{cmd: "endpoint hashkv -w json"},
		{cmd: "endpoint hashkv -w fields"},
		{cmd: "endpoint hashkv -w table", masks: tables},
		{cmd: "endpoint hashkv --cluster"},
		{cmd: "endpoint hashkv --rev=1 -w json"},
		{cmd: "endpoint hashkv --rev=5 -w json"},
		{cmd: "endpoint hashkv --rev=8 -w json"},
		{cmd: "endpoint hashkv --rev=100"},
		{cmd: "defrag"},
		{cmd: "defrag --cluster"},
		{cmd: "get '' --prefix -w json"},
		{cmd: "alarm list"},
		{cmd: "alarm list -w json"},
		{cmd: "alarm disarm"},
		{cmd: "version"},
	}
}

// alarmSteps fills a small store until it refuses writes, and frees it again.
func alarmSteps() []step {
	alarmed := []mask{hide(`memberID:\d+`, "memberID:N"), hide(`"memberID":\d+`, `"memberID":N`), hide(`"revision":\d+`, `"revision":N`), hide(` +`, " ")}
	halfMegabyte := strings.Repeat("x", 512<<10)
	steps := []step{{cmd: "put kept 1"}}
	for range 12 {
		steps = append(steps, step{cmd: "put filler", stdin: halfMegabyte, unchecked: true})
	}
	return append(steps,
		step{cmd: "put a 1"},
		step{cmd: "alarm list", masks: alarmed},
		step{cmd: "alarm list -w json", masks: alarmed},
		step{cmd: "endpoint health"},
		step{cmd: "get kept"},
		step{cmd: "txn", stdin: "\nget kept\n\n\n"},
		step{cmd: "txn", stdin: "\nput kept 2\n\n\n"},
		step{cmd: "lease grant 60"},
		step{cmd: "del filler"},
		step{cmd: "get filler --rev=1 --count-only -w fields", unchecked: true, save: `REV="Revision" : (\d+)`},
		step{cmd: "compaction $REV --physical", masks: []mask{hide(`\d+`, "N")}},
		step{cmd: "defrag"},
		step{cmd: "put a 1"},
		step{cmd: "alarm disarm", masks: alarmed},
		step{cmd: "alarm list"},
		step{cmd: "put a 1"},
		step{cmd: "endpoint health"},
	)
}
