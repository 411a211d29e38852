package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/tierd/tierd/backup/restore"
)

const (
	// barEvery and lineEvery are how often progress is shown on a terminal and elsewhere.
	barEvery  = 200 * time.Millisecond
	lineEvery = 5 * time.Second
	barWidth  = 30
)

// progressView shows how far a restore is.
type progressView struct {
	out   io.Writer
	meter *restore.Meter
	bar   bool
	// begun and base are when versions began to be stored, and how many were there then.
	begun time.Time
	bytes int64
	base  int64
	known bool
}

// showProgress shows a restore until the function that it returns is called, which says whether it has come
// to its end. What is written may be lost: a restore does not fail because nobody can watch it.
func showProgress(out io.Writer, meter *restore.Meter, now func() time.Time, every func(time.Duration) (<-chan time.Time, func())) func(done bool) {
	view := &progressView{out: out, meter: meter, bar: isTerminal(out)}
	interval := lineEvery
	if view.bar {
		interval = barEvery
	}
	tick, stop := every(interval)
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-tick:
				view.show(now())
			case <-stopped:
				return
			}
		}
	}()
	return func(done bool) {
		stop()
		close(stopped)
		<-ended
		if view.bar && view.known {
			view.show(now())
			fmt.Fprintln(out)
		}
	}
}

func (v *progressView) show(now time.Time) {
	versions, bytes, total := v.meter.Versions.Load(), v.meter.Bytes.Load(), v.meter.Total.Load()
	if total == 0 {
		return
	}
	if !v.known {
		v.known, v.begun, v.bytes, v.base = true, now, bytes, versions
	}
	text := v.line(now.Sub(v.begun), versions, bytes, total)
	if v.bar {
		done := int(min(bytes, total) * barWidth / total)
		fmt.Fprintf(v.out, "\r[%s%s] %s\x1b[K", strings.Repeat("=", done), strings.Repeat(" ", barWidth-done), text)
		return
	}
	fmt.Fprintln(v.out, "restoring: "+text)
}

// line says how much is done, how fast, and how long the rest takes.
func (v *progressView) line(taken time.Duration, versions, bytes, total int64) string {
	text := fmt.Sprintf("%d %%, %s of %s", min(bytes, total)*100/total, humanize.IBytes(uint64(min(bytes, total))), humanize.IBytes(uint64(total)))
	if taken <= 0 {
		return text
	}
	text += fmt.Sprintf(", %s versions, %s/s", humanize.Comma(versions), humanize.Comma(int64(float64(versions-v.base)/taken.Seconds())))
	if rate := float64(bytes-v.bytes) / taken.Seconds(); rate > 0 && bytes < total {
		left := time.Duration(float64(total-bytes) / rate * float64(time.Second))
		text += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	return text
}
