package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/objectstore"
)

const (
	// awake is how long a frontend sleeps, so that another one takes its role over meanwhile.
	awake = 7 * time.Second
	// scrapeBound bounds the question for a metric; a frontend that sleeps does not answer.
	scrapeBound = 2 * time.Second
)

// metric reads one of a frontend's metrics.
func metric(f *cluster.Frontend, name string) (float64, error) {
	client := &http.Client{Timeout: scrapeBound, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(f.Endpoint() + "/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("%s shows no %s", f.Name(), name)
}

// errNobody: no frontend has written a block since it was asked last.
var errNobody = errors.New("nobody writes the archive")

// writers tells who writes the archive.
type writers struct {
	frontends []*cluster.Frontend
	blocks    map[*cluster.Frontend]float64
}

// now is the frontend that has written blocks since it was called last.
func (w *writers) now() (*cluster.Frontend, error) {
	var most float64
	var writer *cluster.Frontend
	for _, f := range w.frontends {
		blocks, err := metric(f, "tierd_archive_blocks_total")
		if err != nil {
			continue
		}
		if more := blocks - w.blocks[f]; more > most {
			most, writer = more, f
		}
		w.blocks[f] = blocks
	}
	if writer == nil {
		return nil, errNobody
	}
	return writer, nil
}

// await waits until somebody writes.
func (w *writers) await(t *testing.T) (writer *cluster.Frontend) {
	t.Helper()
	cluster.Await(t, bound, "somebody writes the archive", func() (err error) {
		writer, err = w.now()
		return err
	})
	return writer
}

// strikeWriters kills and pauses whoever writes the archive until ctx ends, and at least so many times. All
// frontends run then.
func strikeWriters(ctx context.Context, t *testing.T, frontends []*cluster.Frontend, random *rand.Rand, least int) {
	t.Helper()
	w := &writers{frontends: frontends, blocks: make(map[*cluster.Frontend]float64)}
	killed, paused := 0, 0
	for strike := 0; ctx.Err() == nil || strike < least; strike++ {
		writer := w.await(t)
		pause(t.Context(), time.Duration(random.IntN(300))*time.Millisecond)
		if strike%2 == 0 {
			writer.Kill()
			writer.Restart()
			delete(w.blocks, writer)
			killed++
			continue
		}
		writer.Pause()
		pause(t.Context(), awake)
		writer.Resume()
		paused++
	}
	for _, f := range frontends {
		cluster.Await(t, bound, f.Name()+" serves", f.Ready)
	}
	t.Logf("the writer was killed %d times, and slept %d times for %v", killed, paused, awake)
}

// phaseLength is how long one kind of faults lasts.
const phaseLength = 1500 * time.Millisecond

// strikeCalls lets faults strike the calls to the object tier until ctx ends, in phases: few of all that pass, many
// of them, one alone on every call. There are none afterwards.
func strikeCalls(ctx context.Context, t *testing.T, faults *objectstore.Faults, random *rand.Rand) {
	defer func() {
		faults.Set(nil)
		t.Logf("the object tier: %s", faults)
	}()
	for ctx.Err() == nil {
		seed := random.Uint64()
		all := objectstore.All()
		plan := objectstore.Random(seed, 0.1, all...)
		switch random.IntN(3) {
		case 0:
			plan = objectstore.Random(seed, 0.5, objectstore.Passing()...)
		case 1:
			plan = objectstore.Random(seed, 1, all[random.IntN(len(all))])
		}
		faults.Set(plan)
		pause(ctx, phaseLength)
	}
}
