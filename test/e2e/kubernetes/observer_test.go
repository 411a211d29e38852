//go:build e2e

package kubernetes_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
)

// observer follows a namespace as an informer does: it watches from the version
// after the last it has seen, again and again. It never lists a second time, so a
// change that the watches do not show is one it misses.
type observer struct {
	api       *apiClient
	namespace string
	cancel    context.CancelFunc
	ended     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	version string
	seen    map[string]int // "ADDED name=value at version", deletions without version
	streams int
	fault   error
}

// startObserver begins at a version.
func startObserver(api *apiClient, namespace, version string) *observer {
	ctx, cancel := context.WithCancel(context.Background())
	o := &observer{api: api, namespace: namespace, cancel: cancel, version: version, seen: map[string]int{}}
	o.ended.Go(func() { o.follow(ctx) })
	return o
}

func (o *observer) stop() {
	o.cancel()
	o.ended.Wait()
}

func (o *observer) follow(ctx context.Context) {
	for ctx.Err() == nil {
		o.mu.Lock()
		from, faulty := o.version, o.fault != nil
		o.streams++
		o.mu.Unlock()
		if faulty {
			return
		}
		// A stream that cannot be opened while the store is away is tried again.
		_ = o.api.watch(ctx, configMaps(o.namespace)+"?watch=1&resourceVersion="+from, o.take)
	}
}

// take notes an event and says whether to go on.
func (o *observer) take(e event) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e.Type == "ERROR" {
		// An error that is not about versions ends the stream like a lost connection.
		if e.Object.Code == 410 {
			o.fault = fmt.Errorf("a watch from %s says %+v", o.version, e.Object)
		}
		return false
	}
	if err := increases(o.version, e.Object.Metadata.ResourceVersion); err != nil {
		o.fault = fmt.Errorf("%s of %s: %w", e.Type, e.Object.Metadata.Name, err)
		return false
	}
	o.version = e.Object.Metadata.ResourceVersion
	o.seen[describe(e.Type, e.Object.Metadata.Name, e.Object.Data["value"], o.version)]++
	return true
}

func describe(kind, name, value, version string) string {
	if kind == "DELETED" {
		return "DELETED " + name
	}
	return fmt.Sprintf("%s %s=%s at %s", kind, name, value, version)
}

func increases(before, after string) error {
	old, err := strconv.ParseInt(before, 10, 64)
	if err != nil {
		return err
	}
	young, err := strconv.ParseInt(after, 10, 64)
	if err != nil {
		return err
	}
	if young <= old {
		return fmt.Errorf("version %d after %d", young, old)
	}
	return nil
}

// opened is how many watches it took so far.
func (o *observer) opened() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.streams
}

// verdict compares what was seen with what was acknowledged.
func (o *observer) verdict(histories map[string]history) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fault != nil {
		return o.fault
	}
	missing, first := 0, ""
	for _, known := range histories {
		for _, done := range known.acknowledged {
			what := describe(done.kind, done.name, done.value, done.version)
			if o.seen[what] == 0 {
				missing++
				first = what
			}
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d acknowledged changes are missing, such as %s", missing, first)
	}
	for what, times := range o.seen {
		if times > 1 {
			return fmt.Errorf("%s was seen %d times", what, times)
		}
	}
	return nil
}
