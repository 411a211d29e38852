package etcdctl_test

// sessionKeys hides the lease id that ends the keys of locks and elections.
var sessionKeys = []mask{hide(`/[0-9a-f]{6,16}\b`, "/LEASE")}

func concurrencySections() []section {
	return []section{
		{name: "lock", steps: lockSteps()},
		{name: "elect", steps: electSteps()},
	}
}

func lockSteps() []step {
	return []step{
		{cmd: "lock mutex -- sh -c 'echo locked $ETCD_LOCK_KEY at $ETCD_LOCK_REV'", masks: sessionKeys},
		{cmd: "lock mutex -- sh -c 'exit 3'"},
		{cmd: "lock mutex --ttl=5", lines: 2, masks: sessionKeys},
		{start: "first", cmd: "lock mutex"},
		{await: "first", lines: 2},
		{start: "second", cmd: "lock mutex -- sh -c 'echo mine at $ETCD_LOCK_REV'"},
		{start: "waiting", cmd: "watch mutex --prefix --rev=8"},
		{await: "waiting", lines: 6},
		{stop: "first", masks: sessionKeys},
		{end: "second"},
		{await: "waiting", lines: 12},
		{stop: "waiting", masks: sessionKeys},
		{cmd: "get mutex --prefix -w json"},
		{cmd: "lock"},
	}
}

func electSteps() []step {
	return []step{
		{start: "first", cmd: "elect boss one"},
		{await: "first", lines: 2},
		{start: "observer", cmd: "elect -l boss"},
		{await: "observer", lines: 2},
		{start: "second", cmd: "elect boss two"},
		{start: "waiting", cmd: "watch boss --prefix --rev=2"},
		{await: "waiting", lines: 6},
		{stop: "first", masks: sessionKeys},
		{await: "second", lines: 2},
		{await: "observer", lines: 4},
		{stop: "second", masks: sessionKeys},
		{stop: "observer", masks: sessionKeys},
		{stop: "waiting", masks: sessionKeys},
		{cmd: "get boss --prefix -w json"},
		{cmd: "elect boss"},
		{cmd: "elect -l boss x"},
	}
}
