package etcdctl_test

// remaining hides the seconds a lease has left.
var remaining = []mask{
	hide(`remaining\(\d+s\)`, "remaining(Ns)"),
	hide(`"(ttl|TTL)":\d+,"granted`, `"$1":N,"granted`),
	// The keys of a lease have no order.
	hide(`\[([a-c]) ([a-c])]`, "[two keys]"),
	hide(`\["Y[Qg]==","Y[Qg]=="]`, "[two keys]"),
	hide(`("Key" : "[ab]"\n){2}`, "two keys\n"),
	hide(`"TTL" : \d+\n"GrantedTTL"`, "\"TTL\" : N\n\"GrantedTTL\""),
}

func leaseSections() []section {
	return []section{
		{name: "lease", steps: leaseSteps()},
		{name: "lease expiry", steps: leaseExpirySteps()},
	}
}

func leaseSteps() []step {
	return []step{
		{cmd: "lease list"},
		{cmd: "lease grant 600", save: "ONE=lease ([0-9a-f]+) granted"},
		{cmd: "lease grant 300 -w json", save: `DECIMAL="ID":(\d+)`},
		{cmd: "lease grant 0", save: "ZERO=lease ([0-9a-f]+) granted"},
		{cmd: "lease grant 1", save: "LEAST=lease ([0-9a-f]+) granted"},
		{cmd: "lease grant 9000000000", save: "MAX=lease ([0-9a-f]+) granted"},
		{cmd: "lease grant 9000000001"},
		{cmd: "lease grant nonsense"},
		{cmd: "put a 1 --lease=$ONE"},
		{cmd: "put b 1 --lease=$ONE"},
		{cmd: "put c 1 --lease=$MAX"},
		{cmd: "lease timetolive $ONE", masks: remaining},
		{cmd: "lease timetolive $ONE --keys", masks: remaining},
		{cmd: "lease timetolive $ONE --keys -w json", masks: remaining},
		{cmd: "lease timetolive $ONE --keys -w fields", masks: remaining},
		{cmd: "lease timetolive $MAX --keys", masks: remaining},
		{cmd: "lease timetolive 123456789"},
		{cmd: "lease timetolive 123456789 -w json"},
		{cmd: "lease keep-alive --once $ONE"},
		{cmd: "lease keep-alive --once $ONE -w json"},
		{cmd: "lease keep-alive $ONE", lines: 1},
		{cmd: "lease keep-alive --once 123456789"},
		{cmd: "put a 2 --lease=$MAX"},
		{cmd: "put b 2"},
		{cmd: "lease timetolive $ONE --keys", masks: remaining},
		{cmd: "lease timetolive $MAX --keys", masks: remaining},
		{cmd: "put d 1 --lease=$ONE"},
		{cmd: "get '' --prefix -w json"},
		{cmd: "lease revoke $MAX"},
		{cmd: "lease revoke $MAX"},
		{cmd: "lease timetolive $MAX"},
		{cmd: "get '' --prefix -w json"},
		{cmd: "watch '' --prefix --rev=7 --prev-kv", lines: 13},
		{cmd: "lease revoke 123456789"},
		{cmd: "put a 3 --lease=$MAX"},
		{cmd: "lease revoke $ONE -w json"},
		{cmd: "get '' --prefix -w json"},
	}
}

// leaseExpirySteps lets a lease run out: its keys go in one revision.
func leaseExpirySteps() []step {
	return []step{
		{start: "w", cmd: "watch '' --prefix --rev=2 -w json"},
		{cmd: "lease grant 2", save: "L=lease ([0-9a-f]+) granted"},
		{cmd: "lease list"},
		{cmd: "txn", stdin: "\nput a 1\nput b 1\nput c 1\n\n\n"},
		{cmd: "put a 2 --lease=$L"},
		{cmd: "put b 2 --lease=$L"},
		{await: "w", lines: 4},
		{cmd: "get '' --prefix -w json"},
		{cmd: "lease timetolive $L --keys"},
		{cmd: "lease list"},
		{cmd: "put a 3 --lease=$L"},
		{stop: "w"},
	}
}
