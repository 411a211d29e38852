// Package limits holds the tests of what clients can do to a frontend at worst, on real
// processes: floods of leases, deletions of many keys, more load than can be served, memory
// that runs out, and clients that do not read. What a flood costs others is reported as
// figures, never asserted: how fast a machine is, is no property of tierd.
package limits
