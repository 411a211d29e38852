package etcdctl_test

import "slices"

func authSections() []section {
	return []section{
		{name: "auth", steps: authSteps()},
		{name: "users and roles", steps: slices.Concat(userSteps(), roleSteps())},
		{name: "rights", steps: slices.Concat(rightsSteps(), usersOfRightsSteps(), revokedSteps())},
	}
}

// authSteps turn the checks on and off, in the right order and in wrong ones.
func authSteps() []step {
	return []step{
		{cmd: "auth status"},
		{cmd: "auth status -w json"},
		{cmd: "auth disable"},
		{cmd: "auth enable"}, // etcdctl makes the role root where there is none
		{cmd: "--user=root:secret get a"},
		{cmd: "user add root:secret"},
		{cmd: "auth status"},
		{cmd: "auth enable"},
		{cmd: "user get root"},
		{cmd: "role get root"},
		{cmd: "user grant-role root root"},
		{cmd: "auth enable"},
		{cmd: "auth status"},
		{cmd: "put a 1"},
		{cmd: "--user=root:secret put a 1"},
		{cmd: "--user=root:wrong put a 2"},
		{cmd: "--user=nobody:secret put a 2"},
		{cmd: "--user=root --password=secret get a"},
		{cmd: "--user=root:secret auth status -w json"},
		{cmd: "--user=root:secret auth enable"},
		{cmd: "auth disable"},
		{cmd: "--user=root:secret user delete root"},
		{cmd: "--user=root:secret role delete root"},
		{cmd: "--user=root:secret user revoke-role root root"},
		{cmd: "--user=root:secret user passwd root --interactive=false", stdin: "changed\n"},
		{cmd: "--user=root:secret get a"},
		{cmd: "--user=root:changed get a"},
		{cmd: "--user=root:changed auth disable"},
		{cmd: "auth status -w json"},
		{cmd: "get a"},
		{cmd: "--user=root:changed get a"},
		{cmd: "user delete root"},
		{cmd: "auth enable"},
	}
}

func userSteps() []step {
	return []step{
		{cmd: "user list"},
		{cmd: "user add anna:one"},
		{cmd: "user add anna:two"},
		{cmd: "user add ben --interactive=false", stdin: "two\n"},
		{cmd: "user add clara --no-password"},
		{cmd: "user add dora --new-user-password=four"},
		{cmd: "user add :x"},
		{cmd: "user add"},
		{cmd: "user list"},
		{cmd: "user list -w json"},
		{cmd: "user list -w fields"},
		{cmd: "user get anna"},
		{cmd: "user get anna --detail"},
		{cmd: "user get none"},
		{cmd: "user passwd anna --interactive=false", stdin: "three\n"},
		{cmd: "user passwd none --interactive=false", stdin: "three\n"},
		{cmd: "user passwd clara --interactive=false", stdin: "three\n"},
		{cmd: "user grant-role anna reader"},
		{cmd: "user delete dora"},
		{cmd: "user delete dora"},
		{cmd: "user list"},
	}
}

func roleSteps() []step {
	return []step{
		{cmd: "role list"},
		{cmd: "role add reader"},
		{cmd: "role add reader"},
		{cmd: "role add writer -w json"},
		{cmd: "role add ''"},
		{cmd: "role list"},
		{cmd: "role list -w json"},
		{cmd: "role get reader"},
		{cmd: "role get none"},
		{cmd: "role grant-permission reader read a"},
		{cmd: "role grant-permission reader read a b"},
		{cmd: "role grant-permission reader readwrite a"},
		{cmd: "role grant-permission reader read app/ --prefix"},
		{cmd: "role grant-permission reader read z --from-key"},
		{cmd: "role grant-permission reader write '' --from-key"},
		{cmd: "role grant-permission reader read '' --prefix"},
		{cmd: "role grant-permission reader read b a"},
		{cmd: "role grant-permission reader sing a"},
		{cmd: "role grant-permission none read a"},
		{cmd: "role get reader"},
		{cmd: "role get reader -w json"},
		{cmd: "role get reader -w fields"},
		{cmd: "role revoke-permission reader a b"},
		{cmd: "role revoke-permission reader a b"},
		{cmd: "role revoke-permission reader app/ --prefix"},
		{cmd: "role revoke-permission reader z --from-key"},
		{cmd: "role revoke-permission none a"},
		{cmd: "role get reader"},
		{cmd: "user grant-role anna reader"},
		{cmd: "user grant-role anna reader"},
		{cmd: "user grant-role anna writer"},
		{cmd: "user grant-role anna none"},
		{cmd: "user get anna"},
		{cmd: "user get anna --detail"},
		{cmd: "user get anna -w json"},
		{cmd: "user revoke-role anna writer"},
		{cmd: "user revoke-role anna writer"},
		{cmd: "role delete reader"},
		{cmd: "role delete reader"},
		{cmd: "user get anna"},
		{cmd: "role list"},
		{cmd: "auth status -w json"},
	}
}

// rightsSteps make users with rights of every kind, and turn the checks on.
func rightsSteps() []step {
	return []step{
		{cmd: "put a 1"},
		{cmd: "put ab 1"},
		{cmd: "put b 1"},
		{cmd: "put app/x 1"},
		{cmd: "user add root:r"},
		{cmd: "user add reader:r"},
		{cmd: "user add writer:w"},
		{cmd: "user add silent --no-password"},
		{cmd: "role add root"},
		{cmd: "role add reading"},
		{cmd: "role add writing"},
		{cmd: "role grant-permission reading read a"},
		{cmd: "role grant-permission reading read app/ --prefix"},
		{cmd: "role grant-permission writing write a c"},
		{cmd: "user grant-role root root"},
		{cmd: "user grant-role reader reading"},
		{cmd: "user grant-role writer writing"},
		{cmd: "auth enable"},
	}
}

// usersOfRightsSteps are what users may do, and what not.
func usersOfRightsSteps() []step {
	few := []string{"get a", "put a 2", "lease list", "compaction 3", "alarm list", "user list", "user get reader", "role get reading"}
	all := append([]string{
		"get a b", "get '' --prefix", "get a --from-key", "get app/ --prefix",
		"put a 3 --prev-kv", "put app/x 2", "put z 2",
		"del b", "del a --prev-kv", "del a c", "put a 1", "put b 1",
		"lease timetolive 1 --keys", "lease revoke 1",
		"defrag", "alarm disarm", "endpoint hashkv", "endpoint health",
		"user get writer", "role list", "role get writing",
		"user add intruder:x", "role add intruding", "user grant-role reader none",
	}, few...)
	var steps []step
	for _, user := range []struct {
		flag string
		cmds []string
	}{
		{"", few}, {"--user=reader:wrong ", few[:1]}, {"--user=silent: ", few[:1]},
		{"--user=root:r ", all}, {"--user=reader:r ", all}, {"--user=writer:w ", all},
	} {
		for _, cmd := range user.cmds {
			steps = append(steps, step{cmd: user.flag + cmd})
		}
		steps = append(steps,
			step{cmd: user.flag + "member list", masks: members},
			step{cmd: user.flag + "endpoint status", masks: status},
			step{cmd: user.flag + "txn", stdin: "value('a') = '1'\n\nget a\n\nput b 9\n\n"},
			step{cmd: user.flag + "txn", stdin: "\nput a 5\nput b 5\n\n\n"},
			step{cmd: user.flag + "txn", stdin: "\nget a\nget app/x\n\n\n"},
			step{cmd: user.flag + "txn", stdin: "\ndel b\n\n\n"},
		)
	}
	return append(steps,
		step{cmd: "snapshot save $DIR/of-nobody"},
		step{cmd: "--user=reader:r snapshot save $DIR/of-reader"},
		step{cmd: "--user=root:r snapshot save $DIR/of-root", unchecked: true},
	)
}

// revokedSteps take rights away again, and watch with those that are left.
func revokedSteps() []step {
	return []step{
		{cmd: "--user=root:r put a 7"},
		{cmd: "--user=reader:r watch a --rev=4", lines: 3},
		{cmd: "--user=reader:r watch a --prefix --rev=4"},
		{cmd: "--user=reader:r watch a --from-key --rev=4"},
		{cmd: "--user=writer:w watch a --rev=4"},
		{cmd: "watch a --rev=4"},
		{cmd: "--user=writer:w lock a -- echo locked"},
		{cmd: "--user=root:r lease grant 600", save: "L=lease ([0-9a-f]+) granted"},
		{cmd: "--user=root:r put b 1 --lease=$L"},
		{cmd: "--user=root:r put z 1 --lease=$L"},
		{cmd: "--user=writer:w put a 1 --lease=$L"},
		{cmd: "--user=writer:w lease keep-alive --once $L"},
		{cmd: "--user=writer:w lease revoke $L"},
		{cmd: "--user=reader:r lease timetolive $L --keys"},
		{cmd: "--user=reader:r lease timetolive $L", masks: remaining},
		{cmd: "--user=root:r role revoke-permission reading a"},
		{cmd: "--user=reader:r get a"},
		{cmd: "--user=reader:r get app/x"},
		{cmd: "--user=root:r user revoke-role reader reading"},
		{cmd: "--user=reader:r get app/x"},
		{cmd: "--user=root:r role delete writing"},
		{cmd: "--user=writer:w put a 1"},
		{cmd: "--user=root:r user delete writer"},
		{cmd: "--user=writer:w put a 1"},
		{cmd: "--user=root:r get '' --prefix -w json"},
		{cmd: "--user=root:r auth status -w json"},
		{cmd: "--user=root:r auth disable"},
		{cmd: "get '' --prefix -w json"},
	}
}
