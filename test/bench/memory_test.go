//go:build bench

package bench

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	memoryName = "memory per live key"
	memoryKeys = 200_000
	// memoryPage is the page of the list that reads the keys.
	memoryPage = 500
	// settleTime is how long a server rests before its memory is read: enough for
	// background work that the load caused.
	settleTime = 5 * time.Second
)

// footprint is the memory of one system: without data, with the keys, and after a
// client has read them all once. The last is of interest because a server that maps
// its file into memory takes what was written as its own only when it is read.
type footprint struct {
	system              *system
	empty, loaded, read usage
	refused             error // why it has none, of a peer
}

// perKey is what a key takes, in bytes, without what the empty server takes.
func (f footprint) perKey(used usage) float64 {
	return float64(used.total-f.empty.total) / memoryKeys
}

// split shows the processes of a system that has several.
func (f footprint) split() string {
	if len(f.system.processes) < 2 {
		return ""
	}
	var parts []string
	for i, p := range f.system.processes {
		parts = append(parts, p.role+" "+mebibytes(f.loaded.processes[i]))
	}
	return strings.Join(parts, ", ")
}

// compareMemory loads the same keys into each system that stores any, one after the
// other.
func compareMemory(t *testing.T, starters []starter) []footprint {
	var footprints []footprint
	data := newFolder("memory", memoryKeys, 512)
	for _, starter := range starters {
		if starter.name == floor {
			continue
		}
		t.Run(starter.name, func(t *testing.T) {
			s := starter.start(t)
			measured, err := measureMemory(t.Context(), s, data)
			if err != nil && !s.peer {
				t.Fatalf("%s: %s: %v", s.name, memoryName, err)
			}
			measured.system, measured.refused = s, err
			footprints = append(footprints, measured)
		})
	}
	return footprints
}

func measureMemory(ctx context.Context, s *system, data folder) (footprint, error) {
	var measured footprint
	var err error
	if measured.empty, err = settledMemory(ctx, s); err != nil {
		return measured, err
	}
	if _, err := data.load(ctx, s); err != nil {
		return measured, fmt.Errorf("load %d keys: %w", data.count, err)
	}
	if measured.loaded, err = settledMemory(ctx, s); err != nil {
		return measured, err
	}
	if err := list(ctx, s.dial(1)[0], data, memoryPage); err != nil {
		return measured, fmt.Errorf("read the keys: %w", err)
	}
	measured.read, err = settledMemory(ctx, s)
	return measured, err
}

func settledMemory(ctx context.Context, s *system) (usage, error) {
	select {
	case <-time.After(settleTime):
		return s.usedMemory()
	case <-ctx.Done():
		return usage{}, context.Cause(ctx)
	}
}
