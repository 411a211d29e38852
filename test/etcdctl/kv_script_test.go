package etcdctl_test

import "strings"

// someKeys is a small history: revisions 2 to 9, with an overwrite, a deletion and
// a key that was created twice.
func someKeys() []step {
	return []step{
		{cmd: "put key1 alpha"},
		{cmd: "put key2 beta"},
		{cmd: "put key3 gamma"},
		{cmd: "put key1 delta"},
		{cmd: "put other/one 1"},
		{cmd: "del key2"},
		{cmd: "put key2 aaa"},
		{cmd: "put other/two 'two words'"},
	}
}

func kvSections() []section {
	return []section{
		{name: "get", steps: append(someKeys(), getSteps()...)},
		{name: "get formats", steps: append(someKeys(), getFormatSteps()...)},
		{name: "put", steps: putSteps()},
		{name: "del", steps: append(someKeys(), delSteps()...)},
		{name: "compaction", steps: append(someKeys(), compactionSteps()...)},
		{name: "limits", steps: limitSteps()},
	}
}

func getSteps() []step {
	return []step{
		{cmd: "get key1"},
		{cmd: "get absent"},
		{cmd: "get key1 key3"},
		{cmd: "get key3 key1"},
		{cmd: "get key --prefix"},
		{cmd: "get '' --prefix"},
		{cmd: "get key3 --from-key"},
		{cmd: "get '' --from-key"},
		{cmd: "get ''"},
		{cmd: "get key --prefix --limit=2"},
		{cmd: "get key --prefix --limit=1 -w json"},
		{cmd: "get key --prefix --keys-only"},
		{cmd: "get key --prefix --count-only -w fields"},
		{cmd: "get key --prefix --count-only --limit=1 -w fields"},
		{cmd: "get key --prefix --count-only"},
		{cmd: "get key --prefix --print-value-only"},
		{cmd: "get key --prefix --order=DESCEND"},
		{cmd: "get key --prefix --order=ASCEND --sort-by=VALUE"},
		{cmd: "get key --prefix --order=DESCEND --sort-by=VALUE"},
		{cmd: "get key --prefix --order=ASCEND --sort-by=CREATE"},
		{cmd: "get key --prefix --order=DESCEND --sort-by=CREATE --limit=2"},
		{cmd: "get key --prefix --order=ASCEND --sort-by=MODIFY"},
		{cmd: "get key --prefix --order=DESCEND --sort-by=MODIFY"},
		{cmd: "get key --prefix --order=ASCEND --sort-by=VERSION --limit=1"},
		{cmd: "get key --prefix --order=DESCEND --sort-by=VERSION --limit=1"},
		{cmd: "get key --prefix --sort-by=MODIFY"},
		{cmd: "get key --prefix --order=SIDEWAYS"},
		{cmd: "get key --prefix --consistency=s"},
		{cmd: "get key --prefix --min-mod-rev=5 -w json"},
		{cmd: "get key --prefix --max-mod-rev=5 -w json"},
		{cmd: "get key --prefix --min-create-rev=3 -w json"},
		{cmd: "get key --prefix --max-create-rev=4 --limit=1 -w json"},
		{cmd: "get key --prefix --rev=1"},
		{cmd: "get key --prefix --rev=2"},
		{cmd: "get key --prefix --rev=4 -w json"},
		{cmd: "get key --prefix --rev=7 -w json"},
		{cmd: "get key1 --rev=5"},
		{cmd: "get key2 --rev=7"},
		{cmd: "get key2 --rev=8"},
		{cmd: "get key1 --rev=9"},
		{cmd: "get key1 --rev=10"},
		{cmd: "get key1 --rev=100"},
		{cmd: "get key --prefix --rev=5 --order=DESCEND --sort-by=VALUE --limit=2 -w json"},
		{cmd: "get '' --prefix --stream"},
		{cmd: "get key --prefix --stream --limit=2 -w json"},
		{cmd: "get key --prefix --stream --rev=4 -w json"},
		{cmd: "get key --prefix --stream --count-only -w fields"},
		{cmd: "get key --prefix --stream --order=DESCEND --sort-by=VALUE"},
		{cmd: "get key --prefix --stream --min-mod-rev=5"},
		{cmd: "get key --prefix --stream --rev=100"},
		{cmd: "get"},
	}
}

func getFormatSteps() []step {
	steps := []step{{cmd: "get key --prefix --hex"}}
	for _, format := range []string{"simple", "json", "fields", "table", "protobuf-of-no-kind"} {
		for _, cmd := range []string{
			"get key1",
			"get absent",
			"get key --prefix",
			"get key --prefix --keys-only",
			"get key --prefix --rev=3",
			"get key --prefix --limit=1",
			"put key4 written",
			"put key4 again --prev-kv",
			"del key4 --prev-kv",
			"del key4",
		} {
			steps = append(steps, step{cmd: cmd + " -w " + format})
		}
	}
	return steps
}

func putSteps() []step {
	return []step{
		{cmd: "put a 1"},
		{cmd: "put a 2 --prev-kv"},
		{cmd: "put fresh 1 --prev-kv"},
		{cmd: "put b", stdin: "from standard input"},
		{cmd: "get b -w json"},
		{cmd: "put c ''"},
		{cmd: "get c -w json"},
		{cmd: "put '' value"},
		{cmd: "put ключ значение"},
		{cmd: "get ключ -w json"},
		{cmd: "get ключ --hex"},

		{cmd: "lease grant 600", save: "L=lease ([0-9a-f]+) granted"},
		{cmd: "put a 3 --lease=$L"},
		{cmd: "get a -w json"},
		{cmd: "put a 4 --ignore-lease --prev-kv -w json"},
		{cmd: "get a -w json"},
		{cmd: "put a --ignore-value --prev-kv -w json"},
		{cmd: "get a -w json"},
		{cmd: "put a --ignore-value --lease=$L"},
		{cmd: "put a --ignore-value --ignore-lease"},
		{cmd: "get a -w json"},
		{cmd: "put a value --ignore-value"},
		{cmd: "put a 5 --lease=$L --ignore-lease"},
		{cmd: "put absent --ignore-value"},
		{cmd: "put absent 1 --ignore-lease"},
		{cmd: "put absent 1 --lease=123456789"},
		{cmd: "put absent 1 --lease=nonsense"},
		{cmd: "get '' --prefix -w json"},
	}
}

func delSteps() []step {
	return []step{
		{cmd: "del absent"},
		{cmd: "del absent -w json"},
		{cmd: "del ''"},
		{cmd: "del key1 --prev-kv"},
		{cmd: "del key2 key3 --range --prev-kv"},
		{cmd: "get '' --prefix"},
		{cmd: "put key1 again"},
		{cmd: "put key2 again"},
		{cmd: "del key --prefix --prev-kv -w json"},
		{cmd: "del key --prefix"},
		{cmd: "put y 1"},
		{cmd: "put z 1"},
		{cmd: "del y --from-key"},
		{cmd: "get '' --prefix -w json"},
		{cmd: "del '' --prefix -w json"},
		{cmd: "get '' --prefix -w json"},
		{cmd: "del a b --prefix"},
	}
}

func compactionSteps() []step {
	return []step{
		{cmd: "compaction 100"},
		{cmd: "compaction 5"},
		{cmd: "compaction 5"},
		{cmd: "compaction 4"},
		{cmd: "compaction 0"},
		{cmd: "get key --prefix --rev=4"},
		{cmd: "get key --prefix --rev=5 -w json"},
		{cmd: "get key1 --rev=6 -w json"},
		{cmd: "get key --prefix --stream --rev=4"},
		{cmd: "watch key --prefix --rev=4"},
		{cmd: "watch key --prefix --rev=5", lines: 8},
		{cmd: "endpoint hashkv -w json"},
		{cmd: "endpoint hashkv --rev=4"},
		// Not at revision 5: until it is restarted, etcd answers with what it hashed
		// while compacting, and with another hash afterwards.
		{cmd: "endpoint hashkv --rev=6 -w json"},
		{cmd: "endpoint hashkv --rev=7 -w json"},
		{cmd: "put key1 more"},
		{cmd: "compaction 10 --physical"},
		{cmd: "compaction 11 --physical"},
		{cmd: "get key1 --rev=9"},
		{cmd: "get key1 --rev=10"},
		{cmd: "get '' --prefix -w json"},
		{cmd: "endpoint hashkv -w json"},
		{cmd: "compaction"},
	}
}

func limitSteps() []step {
	megabyte := strings.Repeat("x", 1<<20)
	return []step{
		{cmd: "put big", stdin: megabyte},
		{cmd: "get big --count-only -w fields"},
		{cmd: "put bigger", stdin: megabyte + megabyte[:600<<10]},
		{cmd: "put biggest", stdin: megabyte + megabyte + megabyte},
		{cmd: "txn", stdin: "\n" + strings.Repeat("get a\n", 128) + "\n\n"},
		{cmd: "txn", stdin: "\n" + strings.Repeat("get a\n", 129) + "\n\n"},
		{cmd: "txn", stdin: "\n\n" + strings.Repeat("get a\n", 129) + "\n"},
		{cmd: "txn", stdin: "\nput a 1\nput a 2\n\n\n"},
		{cmd: "txn", stdin: "\nput a 1\ndel a\n\n\n"},
		{cmd: "txn", stdin: "\nput b 1\ndel a --prefix\n\n\n"},
		{cmd: "txn", stdin: "\nput ab 1\ndel a --prefix\n\n\n"},
		{cmd: "txn", stdin: "\ndel a --prefix\ndel a\n\n\n"},
		{cmd: "txn", stdin: "\nput '' 1\n\n\n"},
		{cmd: "get '' --prefix --keys-only -w json"},
	}
}
