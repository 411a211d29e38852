//go:build e2e

package terraform

import (
	"context"
	"fmt"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// watcher watches everything, and holds each event against what a watch promises.
type watcher struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex // guards what follows
	progress *sync.Cond
	last     int64
	// told are the changes by revision.
	told map[int64]write
	err  error
}

// startWatch watches from the revision behind one on.
func startWatch(t *testing.T, client *clientv3.Client, after int64) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{cancel: cancel, done: make(chan struct{}), last: after, told: make(map[int64]write)}
	w.progress = sync.NewCond(&w.mu)
	go func() {
		defer close(w.done)
		err := w.follow(client.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(after+1)))
		w.mu.Lock()
		defer w.mu.Unlock()
		if ctx.Err() == nil {
			w.err = err
		}
		w.progress.Broadcast()
	}()
	t.Cleanup(w.stop)
	return w
}

func (w *watcher) stop() {
	w.cancel()
	<-w.done
}

func (w *watcher) follow(responses clientv3.WatchChan) error {
	for resp := range responses {
		if err := resp.Err(); err != nil {
			return fmt.Errorf("the watch was canceled: %w", err)
		}
		for _, event := range resp.Events {
			if err := w.take(event); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("the watch has ended")
}

// take wants the next revision: every write of this test changes one key, and takes one.
func (w *watcher) take(event *clientv3.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	revision := event.Kv.ModRevision
	if revision != w.last+1 {
		return fmt.Errorf("revision %d was told after revision %d", revision, w.last)
	}
	w.last = revision
	w.told[revision] = write{string(event.Kv.Key), string(event.Kv.Value), revision}
	w.progress.Broadcast()
	return nil
}

// seen is the last revision that was told.
func (w *watcher) seen() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// await waits until the watch has told a revision.
func (w *watcher) await(revision int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.last < revision && w.err == nil {
		w.progress.Wait()
	}
	return w.err
}
