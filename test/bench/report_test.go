//go:build bench

package bench

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/status"
)

// bar is what tierd is to reach: a figure as a multiple of etcd's in the same run.
type bar struct {
	figure figure
	ratio  float64
}

// report writes tables as results come in, and keeps what it wrote.
type report struct {
	out  io.Writer
	text strings.Builder
	bars [][]string // rows of the table of bars
	// others is the part of the cores that something else took, in every round;
	// disturbed counts the rounds that were measured again for that.
	others    []float64
	disturbed int
	// open is the head of the table that the last row went to.
	open string
}

// row writes one row below its head, which is written first if another table or
// none is open.
func (r *report) row(head []string, cells []string) {
	if name := strings.Join(head, "|"); r.open != name {
		if r.open != "" {
			r.line("")
		}
		r.open = name
		r.line("| " + strings.Join(head, " | ") + " |")
		r.line(strings.Repeat("|---", len(head)) + "|")
	}
	r.line("| " + strings.Join(cells, " | ") + " |")
}

func (r *report) line(text string) {
	r.text.WriteString(text + "\n")
	fmt.Fprintln(r.out, text)
}

// addSpeed writes the rows of one workload.
func (r *report) addSpeed(w workload, results []result) {
	head := []string{"workload", "system", "per second", "p50", "p99", "server CPU per operation", "of which",
		"x etcd: per second", "p50", "p99", "CPU"}
	base := results[0]
	for _, one := range results {
		if one.system.name == etcd {
			base = one
		}
	}
	for _, one := range results {
		r.disturbed += one.disturbed
		for _, round := range one.rounds {
			r.others = append(r.others, round.others)
		}
		if one.refused != nil {
			r.row(head, []string{w.name, one.system.name, refusal(one.refused), "", "", "", "", "", "", "", ""})
			continue
		}
		cells := []string{w.name, one.system.name, amount(one.median(throughput)), duration(one.median(p50)),
			duration(one.median(p99)), duration(one.median(cpu)), split(one)}
		for _, which := range []figure{throughput, p50, p99, cpu} {
			cells = append(cells, multiple(one.against(base, which)))
		}
		r.row(head, cells)
		for _, b := range w.bars {
			if one.system.name == tierd {
				r.bars = append(r.bars, b.row(w.name, one.against(base, b.figure)))
			}
		}
	}
}

// addMemory writes the rows of the table of memory.
func (r *report) addMemory(results []footprint) {
	head := []string{"memory of all processes", "empty", "with " + thousands(memoryKeys) + " keys x 512 B", "of which", "of which anonymous",
		"per live key", "x etcd", "after reading all once", "per live key", "x etcd"}
	base := results[0]
	for _, one := range results {
		if one.system.name == etcd {
			base = one
		}
	}
	for _, one := range results {
		if one.refused != nil {
			r.row(head, []string{one.system.name, "", refusal(one.refused), "", "", "", "", "", "", ""})
			continue
		}
		ratio := one.perKey(one.loaded) / base.perKey(base.loaded)
		r.row(head, []string{
			one.system.name, mebibytes(one.empty.total),
			mebibytes(one.loaded.total), one.split(), mebibytes(one.loaded.anonymous), bytesPerKey(one.perKey(one.loaded)), multiple(ratio),
			mebibytes(one.read.total), bytesPerKey(one.perKey(one.read)), multiple(one.perKey(one.read) / base.perKey(base.read)),
		})
		if one.system.name == tierd {
			r.bars = append(r.bars, bar{memory, 1.5}.row(memoryName, ratio))
		}
	}
}

// row is what became of a bar.
func (b bar) row(workload string, ratio float64) []string {
	relation, met := "<=", ratio <= b.ratio
	if b.figure.atLeast() {
		relation, met = ">=", ratio >= b.ratio
	}
	verdict := "**missed**"
	if met {
		verdict = "met"
	}
	return []string{workload, string(b.figure), relation + " " + multiple(b.ratio), fmt.Sprintf("%.3f", ratio), verdict}
}

// finish writes the table of bars below its head and returns all that was written.
func (r *report) finish(head []string) string {
	for _, row := range r.bars {
		r.row(head, row)
	}
	if len(r.others) > 0 {
		r.line("")
		r.line(fmt.Sprintf("Other processes, and other machines on the same host, took %.0f%% of the cores in the median round and %.0f%% in the worst;"+
			" %d rounds in which they took more than %.0f%% were measured again.",
			100*median(r.others), 100*slices.Max(r.others), r.disturbed, 100*othersMax))
	}
	return r.text.String()
}

// refusal shows why a peer has no figures: the words of its answer, where it answered.
func refusal(err error) string {
	var answer interface{ GRPCStatus() *status.Status }
	if errors.As(err, &answer) {
		return "refused: " + answer.GRPCStatus().Message()
	}
	return "refused: " + err.Error()
}

// split shows the processes of a system that has several.
func split(r result) string {
	if len(r.system.processes) < 2 {
		return ""
	}
	var parts []string
	for i, p := range r.system.processes {
		parts = append(parts, p.role+" "+duration(r.process(i)))
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

// digits shows a number with three digits.
func digits(value float64) string {
	switch {
	case value >= 99.95:
		return fmt.Sprintf("%.0f", value)
	case value >= 9.995:
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

// multiple shows a ratio.
func multiple(ratio float64) string { return fmt.Sprintf("%.2f", ratio) }

func bytesPerKey(bytes float64) string { return thousands(int(bytes)) + " B" }

func mebibytes(bytes int64) string { return digits(float64(bytes)/(1<<20)) + " MiB" }

// thousands shows a number as 12,345.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
