package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/dustin/go-humanize"

	"github.com/tierd/tierd/functions/balance"
	"github.com/tierd/tierd/router"
)

const (
	// progressWidth is how many characters a full bar has.
	progressWidth = 30
	// progressStep is the percentage after which another line is written where
	// there is no terminal to draw a bar on.
	progressStep = 10
)

// progress shows how far a move is: as a bar on a terminal, as lines elsewhere, as
// JSON objects, one a line, for programs. What is written to out may be lost: a move
// does not fail because nobody can watch it.
type progress struct {
	out      io.Writer
	json     bool
	terminal bool

	mu sync.Mutex // guards what follows; reports may come from anywhere
	// shown is what was shown last, drawn the length of the bar's line.
	shown router.MoveStatus
	begun bool
	drawn int
}

// newProgress shows moves on the error output.
func (t *shardTool) newProgress() *progress {
	return &progress{out: t.errOut, json: t.output == "json", terminal: isTerminal(t.errOut)}
}

// isTerminal tells whether a writer is one.
func isTerminal(out io.Writer) bool {
	file, is := out.(*os.File)
	if !is {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// report shows how far a move is.
func (p *progress) report(m router.MoveStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	news := !p.begun || m.Step != p.shown.Step
	switch {
	case p.terminal && !p.json:
		p.draw(m)
	case !news && percentOf(m)/progressStep == percentOf(p.shown)/progressStep:
		return
	case p.json:
		_ = json.NewEncoder(p.out).Encode(moveJSONOf(m))
	default:
		fmt.Fprintf(p.out, "%s\n", progressText(m))
	}
	p.shown, p.begun = m, true
}

// draw replaces the bar's line. What is moved stands on a line of its own, above it,
// since a line that a terminal has to break cannot be replaced.
func (p *progress) draw(m router.MoveStatus) {
	if !p.begun {
		fmt.Fprintf(p.out, "moving %s to endpoint %d\n", balance.Keys(m.From, m.To), m.Endpoint)
	}
	full := percentOf(m) * progressWidth / 100
	line := fmt.Sprintf("[%s%s] %3d%% %s, %s of %s keys", strings.Repeat("#", full), strings.Repeat(".", progressWidth-full),
		percentOf(m), m.Step, humanize.Comma(m.Keys), humanize.Comma(m.Total))
	fmt.Fprintf(p.out, "\r%-*s", p.drawn, line)
	p.drawn = len(line)
}

// end leaves the bar's line, so that what comes next has its own.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn > 0 {
		fmt.Fprintln(p.out)
	}
	p.begun, p.drawn = false, 0
}

// percentOf is the part of a move's keys that is copied. The total is an estimate:
// keys come and go during a move.
func percentOf(m router.MoveStatus) int {
	if m.Total <= 0 {
		return 0
	}
	return int(min(100, max(0, 100*m.Keys/m.Total)))
}

func progressText(m router.MoveStatus) string {
	return fmt.Sprintf("%3d%% of %s to endpoint %d: %s, %s of %s keys",
		percentOf(m), balance.Keys(m.From, m.To), m.Endpoint, m.Step, humanize.Comma(m.Keys), humanize.Comma(m.Total))
}
