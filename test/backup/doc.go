// Package backup proves the archive with real processes: under load, with kills of whoever
// writes it and faults on every call to the object tier, what is read and restored from it at any
// revision and time is what a watcher saw, and what a real etcd that was given the same operations
// has.
//
//	go test ./test/backup      the short rounds
//	make backup-faults         long ones, each compared at 100 revisions and 100 times
//	make drill                 Redis is destroyed under load, and brought back from the archive
package backup
