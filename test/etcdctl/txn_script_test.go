package etcdctl_test

import "fmt"

func txnSections() []section {
	return []section{
		{name: "txn", steps: append(someKeys(), txnSteps()...)},
		{name: "txn compares", steps: append(someKeys(), compareSteps()...)},
	}
}

func txnSteps() []step {
	return []step{
		{cmd: "txn -i", stdin: "mod(\"key1\") > \"0\"\n\nput key1 overwritten\n\nput key1 created\n\n"},
		{cmd: "txn", stdin: "mod(\"absent\") > \"0\"\n\nput absent overwritten\n\nput absent created\nget key1\n\n"},
		{cmd: "txn", stdin: "\nget key1\nput key1 new\nget key1\ndel key2\nget key2\n\n\n"},
		{cmd: "txn -w json", stdin: "\nput key1 v --prev-kv\nput key2 v --prev-kv\ndel key3 --prev-kv\nget key --prefix\n\n\n"},
		{cmd: "txn -w json", stdin: "ver(\"key1\") = \"1000\"\n\nput key1 no\n\nget key --prefix --keys-only\nget key1 --rev=2\n\n"},
		{cmd: "txn -w fields", stdin: "\nput key5 five\nget key5\ndel other/ --prefix\n\n\n"},
		{cmd: "txn", stdin: "\nget key --prefix --order=DESCEND --sort-by=VALUE --limit=2\nget key --prefix --count-only\n\n\n"},
		{cmd: "txn -w json", stdin: "\n\n\n"},
		{cmd: "txn -w json", stdin: "\nget key1 --rev=1000\n\n\n"},
		{cmd: "txn -w json", stdin: "\nput key9 never\nget key1 --rev=1000\n\n\n"},
		{cmd: "txn -w json", stdin: "\nput key1 v --lease=123456\n\n\n"},
		{cmd: "txn", stdin: "\nput absent2 --ignore-value\n\n\n"},
		{cmd: "txn", stdin: "\nput key1 --ignore-value\nput key2 two --ignore-lease\n\n\n"},
		{cmd: "get '' --prefix -w json"},
		{cmd: "txn", stdin: "nonsense\n\n\n\n"},
		{cmd: "txn", stdin: "\nnonsense\n\n\n"},
		{cmd: "txn extra"},
	}
}

// compareSteps asks every target with every operator, of a key that is there and
// of one that is not.
func compareSteps() []step {
	var steps []step
	for _, target := range []struct{ name, value string }{
		{"ver", "2"}, {"create", "2"}, {"mod", "5"}, {"val", "delta"},
	} {
		for _, operator := range []string{"=", "!=", ">", "<"} {
			for _, key := range []string{"key1", "key3", "absent"} {
				compare := fmt.Sprintf("%s(%q) %s %q", target.name, key, operator, target.value)
				steps = append(steps, step{cmd: "txn -w json", stdin: compare + "\n\nget key1 --count-only\n\nget key2 --keys-only\n\n"})
			}
		}
	}
	return append(steps,
		step{cmd: "txn", stdin: "mod(\"absent\") = \"0\"\n\nput absent 1\n\n\n"},
		step{cmd: "txn", stdin: "mod(\"absent\") = \"0\"\nval(\"key1\") = \"delta\"\n\nput absent 2\n\nget absent\n\n"},
	)
}
