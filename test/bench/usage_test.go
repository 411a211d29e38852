//go:build bench

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is the unit of /proc/PID/stat, the same on every Linux.
const ticksPerSecond = 100

// Fields of /proc/PID/stat, counted from the one behind the program's name.
const (
	statParent        = 1
	statChildrenFirst = 13 // cutime, cstime
	statChildrenLast  = 14
)

// usedCPU is the processor time that each process of the system has used so far. It
// counts children that the process has waited for, too: a Redis rewrites its file in
// one.
func (s *system) usedCPU() ([]time.Duration, error) {
	used := make([]time.Duration, len(s.processes))
	for i, p := range s.processes {
		fields, err := stat(p.pid)
		if err == nil {
			used[i], err = processorClock(p.pid)
		}
		if err != nil {
			return nil, fmt.Errorf("processor time of %s: %w", p.role, err)
		}
		for _, ticks := range fields[statChildrenFirst : statChildrenLast+1] {
			used[i] += time.Duration(ticks) * time.Second / ticksPerSecond
		}
	}
	return used, nil
}

// processorClock reads the clock of the processor time of a process, all its threads,
// in nanoseconds; its /proc/PID/stat has hundredths of seconds, which is too coarse for
// processes that are nearly idle.
func processorClock(pid int) (time.Duration, error) {
	const perProcess = 2 // CPUCLOCK_SCHED of <linux/posix-timers.h>
	var used unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|perProcess), &used); err != nil {
		return 0, err
	}
	return time.Duration(used.Nano()), nil
}

// stat reads the first fields of /proc/PID/stat behind the state; other than numbers
// read as 0.
func stat(pid int) ([]int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The name in parentheses may hold anything, parentheses too.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) <= statChildrenLast {
		return nil, fmt.Errorf("%d fields in the state of process %d", len(fields), pid)
	}
	numbers := make([]int64, statChildrenLast+1)
	for i := range numbers {
		numbers[i], _ = strconv.ParseInt(fields[i], 10, 64)
	}
	return numbers, nil
}

// moment is what was used up to a point in time: by each process of the system under
// load, by the load generator, and by everything on the machine, time that the host
// gave to other machines included.
type moment struct {
	at        time.Time
	processes []time.Duration
	generator time.Duration
	machine   time.Duration
}

func (s *system) now() (moment, error) {
	processes, err := s.usedCPU()
	if err != nil {
		return moment{}, err
	}
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return moment{}, fmt.Errorf("processor time of the load generator: %w", err)
	}
	machine, err := machineCPU()
	if err != nil {
		return moment{}, fmt.Errorf("processor time of the machine: %w", err)
	}
	generator := time.Duration(self.Utime.Nano() + self.Stime.Nano())
	return moment{at: time.Now(), processes: processes, generator: generator, machine: machine}, nil
}

// machineCPU is the time that all cores were not idle, from the first line of
// /proc/stat: user, nice, system, idle, waiting for disks, interrupts (two kinds),
// stolen.
func machineCPU() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 {
		return 0, fmt.Errorf("%d fields", len(fields))
	}
	var ticks int64
	for i, field := range fields[1:9] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		if i != 3 && i != 4 {
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// others is the part of all cores that neither the system nor the load generator
// used between two moments.
func others(before, after moment) float64 {
	used := after.machine - before.machine - (after.generator - before.generator)
	for i := range after.processes {
		used -= after.processes[i] - before.processes[i]
	}
	return used.Seconds() / after.at.Sub(before.at).Seconds() / float64(runtime.NumCPU())
}

// usage is memory in bytes: each page divided by the number of processes that share
// it (PSS), so that a sum over processes counts it once.
type usage struct {
	// total is all of it, processes the part of each process and its children,
	// anonymous the part that is not a file's content.
	total, anonymous int64
	processes        []int64
}

// usedMemory is the memory of all processes of the system and their children.
func (s *system) usedMemory() (usage, error) {
	children, err := childProcesses()
	if err != nil {
		return usage{}, err
	}
	var roots []int
	for _, p := range s.processes {
		roots = append(roots, p.pid)
	}
	var sum usage
	for _, p := range s.processes {
		tree := []int{p.pid}
		for at := 0; at < len(tree); at++ {
			for _, child := range children[tree[at]] {
				// A process of the system that another one started counts for itself.
				if !slices.Contains(roots, child) {
					tree = append(tree, child)
				}
			}
		}
		used := int64(0)
		for _, pid := range tree {
			total, anonymous, err := proportionalSet(pid)
			if err != nil {
				return usage{}, fmt.Errorf("memory of %s: %w", p.role, err)
			}
			used, sum.anonymous = used+total, sum.anonymous+anonymous
		}
		sum.total, sum.processes = sum.total+used, append(sum.processes, used)
	}
	return sum, nil
}

// childProcesses lists the children of every process that has some.
func childProcesses() (map[int][]int, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, path := range paths {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		// One that has ended meanwhile has no memory either.
		if fields, err := stat(pid); err == nil {
			parent := int(fields[statParent])
			children[parent] = append(children[parent], pid)
		}
	}
	return children, nil
}

// proportionalSet reads the memory of one process, all of it and the anonymous part.
func proportionalSet(pid int) (total, anonymous int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		if name != "Pss" && name != "Pss_Anon" {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("read %s of process %d: %w", name, pid, err)
		}
		if name == "Pss" {
			total = kib << 10
		} else {
			anonymous = kib << 10
		}
	}
	return total, anonymous, nil
}
