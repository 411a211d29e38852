package main

import (
	"strconv"
	"time"
)

// checkCompaction reads the retention as etcd does: a whole number is hours, or
// revisions; anything else is a duration.
func (f *flags) checkCompaction(c *config) error {
	number, err := strconv.ParseInt(f.compactionRetention, 10, 64)
	isNumber := err == nil && number >= 0
	switch f.compactionMode {
	case "revision":
		if !isNumber {
			return usage("--auto-compaction-retention must be a number of revisions with --auto-compaction-mode revision, not %q", f.compactionRetention)
		}
		c.Compaction.Revisions = number
	case "periodic":
		const hoursMax = int64(1<<63-1) / int64(time.Hour)
		period, err := time.ParseDuration(f.compactionRetention)
		if isNumber && number <= hoursMax {
			period, err = time.Duration(number)*time.Hour, nil
		}
		if err != nil || period < 0 {
			return usage("--auto-compaction-retention must be hours or a duration such as 30m with --auto-compaction-mode periodic, not %q", f.compactionRetention)
		}
		c.Compaction.Period = period
	default:
		return usage("--auto-compaction-mode must be periodic or revision, not %q", f.compactionMode)
	}
	return nil
}
