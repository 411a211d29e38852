// Package migrate carries keyspaces between real etcds and the built tierd, there and back, and
// compares what is served with what was: it has tests only.
package migrate
