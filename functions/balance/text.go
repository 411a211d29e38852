package balance

import (
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

// Keys names the keys of a range in a sentence.
func Keys(from, to []byte) string {
	switch {
	case len(from) == 0 && len(to) == 0:
		return "all keys"
	case len(from) == 0:
		return fmt.Sprintf("the keys below %q", to)
	case len(to) == 0:
		return fmt.Sprintf("the keys from %q on", from)
	default:
		return fmt.Sprintf("the keys from %q to %q", from, to)
	}
}

// bytesText is a size in words.
func bytesText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// rate is a number of writes per second in words.
func rate(perSecond float64) string {
	return humanize.Comma(int64(math.Round(perSecond))) + " writes/s"
}

// percent is a share in words.
func percent(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) }
