// Package authz proves that changes of users, roles and permissions are linearizable
// with everything else: clients work through several frontends, as users whose rights
// are given and taken through others, while frontends are paused and killed. A right
// that was taken is not honoured by anybody after that was answered, one that was
// given is not denied, nothing is written by whoever had no right, and an open watch
// tells nothing that came after its right had gone.
//
// The tests write down when each call began and ended and how it was answered, and
// when each change was sent and answered; history_test.go compares the two.
package authz
