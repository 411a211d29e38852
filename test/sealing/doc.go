// Package sealing checks encryption at rest in the hot tier on real processes: that no value
// is found in what a Redis has or ever wrote to its disk, that turning it on and off and changing
// keys under load loses and changes nothing, and what happens without the right key.
package sealing
