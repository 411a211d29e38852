package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/tierd/tierd/router"
)

// progressLineEvery is how often a line says how far a migration is.
const progressLineEvery = 3 * time.Second

// lineProgress says how far a migration is, a line every few seconds. What is written may be lost: a
// migration does not fail because nobody can watch it.
type lineProgress struct {
	out io.Writer
	now func() time.Time

	mu sync.Mutex // guards what follows
	// what is the step, begun when it began, base how much was done then (-1: unknown yet).
	what        string
	begun, told time.Time
	base, total int64
}

func (p *lineProgress) Step(what string, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.total, p.base = what, total, -1
	p.begun = p.now()
	p.told = p.begun
	fmt.Fprintf(p.out, "%s ...\n", what)
}

func (p *lineProgress) Done(count int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.base < 0 {
		p.base = count
	}
	now := p.now()
	if now.Sub(p.told) < progressLineEvery {
		return
	}
	p.told = now
	fmt.Fprintln(p.out, p.line(count, now.Sub(p.begun)))
}

// line says how much is done, how fast, and how long the rest takes.
func (p *lineProgress) line(count int64, taken time.Duration) string {
	rate := float64(count-p.base) / taken.Seconds()
	text := fmt.Sprintf("%s: %s", p.what, humanize.Comma(count))
	if p.total > 0 {
		text += fmt.Sprintf(" of %s (%d %%)", humanize.Comma(p.total), 100*count/p.total)
	}
	text += fmt.Sprintf(", %s/s", humanize.Comma(int64(rate)))
	if p.total > 0 && rate >= 1 {
		left := time.Duration(float64(p.total-count) / rate * float64(time.Second))
		text += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	return text
}

func (p *lineProgress) Following(imported, source router.Revision) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if now.Sub(p.told) < progressLineEvery {
		return
	}
	p.told = now
	fmt.Fprintf(p.out, "following: imported revision %d, the source is at %d, %d ahead\n", imported, source, max(0, source-imported))
}
