// Package advisories shows that tierd does not have the faults that etcd's public
// security advisories tell of: one test for each, on running frontends where the fault
// was one of the service, and a look at what comes nearest where it was one of a part
// that tierd does not have. docs/advisories.md is the same list for readers; a test
// holds the two together.
package advisories
