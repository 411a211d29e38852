package feed

import (
	"context"
	"fmt"
)

// Rights say who may watch what. They change with the auth data of the keyspace, of
// which every page of events tells the version.
type Rights interface {
	// Know returns when MayWatch answers by a version of the auth data, or a later one.
	Know(ctx context.Context, version int64) error
	// MayWatch says whether a holder may see the events of key, or of [key, end), of
	// which an end of one zero byte is above all keys. It does not block.
	MayWatch(holder string, key, end []byte) bool
}

// rangeOf is the key, or the range, of a view as Rights want it.
func (v *view) rangeOf() (key, end []byte) {
	switch {
	case v.single:
		return []byte(v.key), nil
	case v.end == "":
		return []byte(v.key), []byte{0}
	}
	return []byte(v.key), []byte(v.end)
}

// honour ends the watchers whose right is gone, before events are given to anybody that
// were read at a version of the auth data. A watcher that is added later has been
// permitted by that version, or is checked then.
func (f *Feed) honour(ctx context.Context, version int64) error {
	if f.settings.Rights == nil || f.honoured(version) {
		return nil
	}
	if err := f.settings.Rights.Know(ctx, version); err != nil {
		return fmt.Errorf("read who may watch: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	type right struct {
		holder string
		group  *group
	}
	may := make(map[right]bool)
	for s := range f.streams {
		for w := range s.watchers {
			r := right{w.holder, w.group}
			if _, known := may[r]; !known {
				may[r] = f.mayWatch(w.holder, &w.group.view)
			}
			if !may[r] {
				f.revokeLocked(w)
			}
		}
	}
	f.auth = max(f.auth, version)
	return nil
}

func (f *Feed) honoured(version int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return version <= f.auth
}

func (f *Feed) mayWatch(holder string, v *view) bool {
	key, end := v.rangeOf()
	return f.settings.Rights.MayWatch(holder, key, end)
}

// revokeLocked ends w because its holder may not watch any more.
func (f *Feed) revokeLocked(w *Watcher) {
	f.removeLocked(w)
	w.stream.put(Item{Kind: Revoked, Watcher: w})
}

// Patiently repeats a call that needs the source, until it is answered. The error is
// ctx's, the stream's, or a fatal one of the source.
func (s *Stream) Patiently(ctx context.Context, call func(context.Context) error) error {
	pause := backoff{settings: &s.feed.settings}
	for {
		err := call(ctx)
		if err == nil || fatal(err) || ctx.Err() != nil {
			return err
		}
		if !pause.wait(ctx, s.done) {
			if ended := s.Err(); ended != nil {
				return ended
			}
			return ctx.Err()
		}
	}
}
