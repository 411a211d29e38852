//go:build bench

package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of /proc/PID/stat, the same on every Linux.
const ticksPerSecond = 100

// usedCPU is the processor time that each process of the system has used so far.
func (s *system) usedCPU() ([]time.Duration, error) {
	used := make([]time.Duration, len(s.processes))
	for i, p := range s.processes {
		var err error
		if used[i], err = p.usedCPU(); err != nil {
			return nil, fmt.Errorf("processor time of %s: %w", p.role, err)
		}
	}
	return used, nil
}

// usedCPU counts the process, and the children that it has waited for: a Redis
// rewrites its file in one.
func (p process) usedCPU() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold anything. Behind it, the fields from the
	// twelfth on are utime, stime, cutime and cstime.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return 0, fmt.Errorf("%d fields in stat", len(fields))
	}
	var ticks int64
	for _, field := range fields[11:15] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}
