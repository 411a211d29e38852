package etcdctl_test

func watchSections() []section {
	return []section{
		{name: "watch history", steps: append(someKeys(), watchHistorySteps()...)},
		{name: "watch live", steps: watchLiveSteps()},
	}
}

func watchHistorySteps() []step {
	return []step{
		{cmd: "watch key1 --rev=1", lines: 6},
		{cmd: "watch key1 --rev=2 --prev-kv", lines: 8},
		{cmd: "watch key --prefix --rev=1", lines: 18},
		{cmd: "watch key --prefix --rev=5 --prev-kv", lines: 13},
		{cmd: "watch key2 key4 --rev=1", lines: 12},
		{cmd: "watch key3 --rev=1 -w json", lines: 1},
		{cmd: "watch key2 --rev=8 -w fields", lines: 11},
		{cmd: "watch '' --prefix --rev=9", lines: 3},
		{cmd: "watch key1 key0 --rev=1"},
		{cmd: "watch key1 --rev=5 -- sh -c 'echo $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE $ETCD_WATCH_REVISION'", lines: 4},
		{cmd: "watch"},
		{cmd: "watch key1 key2 --prefix"},

		{start: "i", cmd: "watch -i", stdin: "watch key1 --rev=2\n"},
		{await: "i", lines: 6},
		{send: "i", stdin: "progress\n"},
		{await: "i", lines: 7},
		{send: "i", stdin: "watch key3 --rev=2\n"},
		{await: "i", lines: 10},
		{stop: "i"},
	}
}

// watchLiveSteps starts its watches at the next revision, so that it does not
// matter when the server sees them. JSON shows how events are grouped into
// responses, so each write to that watch waits for the one before.
func watchLiveSteps() []step {
	return []step{
		{start: "one", cmd: "watch a --rev=2"},
		{start: "all", cmd: "watch '' --prefix --rev=2 --prev-kv"},
		{start: "json", cmd: "watch b c --rev=2 -w json"},
		{cmd: "put a 1"},
		{await: "one", lines: 3},
		{cmd: "put b 1"},
		{await: "json", lines: 1},
		{cmd: "txn", stdin: "\nput a 2\nput b 2\nput d 2\n\n\n"},
		{await: "json", lines: 2},
		{cmd: "put a 2"},
		{cmd: "del a"},
		{cmd: "del absent"},
		{cmd: "del '' --prefix"},
		{await: "one", lines: 12},
		{await: "all", lines: 38},
		{await: "json", lines: 3},
		{stop: "one"},
		{stop: "all"},
		{stop: "json"},

		{start: "compacted", cmd: "watch a --rev=100"},
		{cmd: "compaction 7"},
		{cmd: "watch a --rev=3 -w json"},
		{stop: "compacted"},
	}
}
