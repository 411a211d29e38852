//go:build bench

package bench

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// bar is what tierd is to reach: a figure as a multiple of etcd's in the same run.
type bar struct {
	figure figure
	ratio  float64
}

// report writes tables as results come in.
type report struct {
	out  io.Writer
	bars []string // rows of the table of bars
}

func newReport(out io.Writer) *report {
	r := &report{out: out}
	r.row("workload", "system", "per second", "p50", "p99", "server CPU per operation", "of which", "x etcd: per second", "p50", "p99", "CPU")
	r.row(strings.Split(strings.Repeat("---,", 10)+"---", ",")...)
	return r
}

func (r *report) row(cells ...string) {
	fmt.Fprintf(r.out, "| %s |\n", strings.Join(cells, " | "))
}

// add prints the rows of one workload.
func (r *report) add(w workload, results []result) {
	var base, own figures
	for _, one := range results {
		switch one.system.name {
		case etcd:
			base = one.median()
		case tierd:
			own = one.median()
		}
	}
	for _, one := range results {
		m := one.median()
		cells := []string{w.name, one.system.name, amount(m.perSecond), duration(m.p50), duration(m.p99), duration(m.cpu), split(one.system, m)}
		for _, which := range []figure{throughput, p50, p99, cpu} {
			cells = append(cells, fmt.Sprintf("%.2f", m.get(which)/base.get(which)))
		}
		r.row(cells...)
	}
	for _, b := range w.bars {
		r.bars = append(r.bars, b.row(w.name, own.get(b.figure)/base.get(b.figure)))
	}
}

// row is what became of a bar.
func (b bar) row(workload string, ratio float64) string {
	relation, met := "<=", ratio <= b.ratio
	if b.figure.atLeast() {
		relation, met = ">=", ratio >= b.ratio
	}
	verdict := "**missed**"
	if met {
		verdict = "met"
	}
	return fmt.Sprintf("| %s | %s | %s %.2f | %.2f | %s |", workload, b.figure, relation, b.ratio, ratio, verdict)
}

// finish prints the table of bars.
func (r *report) finish() {
	if len(r.bars) == 0 {
		return
	}
	r.row("")
	r.row("workload", "tierd's multiple of etcd's", "bar", "measured", "")
	r.row("---", "---", "---", "---", "---")
	for _, row := range r.bars {
		fmt.Fprintln(r.out, row)
	}
}

// split shows the processes of a system that has several.
func split(s *system, f figures) string {
	if len(s.processes) < 2 {
		return ""
	}
	var parts []string
	for i, p := range s.processes {
		parts = append(parts, p.role+" "+duration(f.processes[i]))
	}
	return strings.Join(parts, ", ")
}

// duration shows microseconds with three digits.
func duration(micros float64) string {
	switch {
	case micros >= 1e6:
		return digits(micros/1e6) + " s"
	case micros >= 1e3:
		return digits(micros/1e3) + " ms"
	default:
		return digits(micros) + " us"
	}
}

func digits(value float64) string {
	switch {
	case value >= 100:
		return fmt.Sprintf("%.0f", value)
	case value >= 10:
		return fmt.Sprintf("%.1f", value)
	default:
		return fmt.Sprintf("%.2f", value)
	}
}

// amount shows a number of things.
func amount(value float64) string {
	if value < 100 {
		return digits(value)
	}
	return thousands(int(value))
}

// thousands shows a number as 12,345.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
