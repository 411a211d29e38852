package feed

// progressWantedMax bounds the revisions that one stream's progress requests
// wait for: the first one is answered as soon as it can be, however many follow.
const progressWantedMax = 2

// RequestProgress asks for a Progress item for all watchers of the stream at
// once, at a revision that is at least the keyspace's at the time of the call.
// It does not wait. As in etcd there is no item when the stream has no watcher,
// or has one that catches up or starts later, or when the source is out of reach.
func (s *Stream) RequestProgress() {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.err != nil || len(s.watchers) == 0 {
		return
	}
	f.progressAsked[s] = struct{}{}
	if !f.progressRunning && f.startLocked(f.learnProgress) {
		f.progressRunning = true
	}
}

// learnProgress asks the source for the revision, once for all the requests that
// have gathered, until no more come.
func (f *Feed) learnProgress() {
	for {
		f.mu.Lock()
		asked := f.progressAsked
		if len(asked) == 0 {
			f.progressRunning = false
			f.mu.Unlock()
			return
		}
		f.progressAsked = make(map[*Stream]struct{})
		f.mu.Unlock()

		current, _, err := f.ask(f.ctx, nil)
		if err != nil {
			f.logger.Debug("a progress request is not answered", "cause", err)
			continue
		}
		f.mu.Lock()
		for s := range asked {
			f.wantProgressLocked(s, current)
		}
		f.tellProgressLocked()
		f.mu.Unlock()
	}
}

// wantProgressLocked makes s wait for the follower to reach revision.
func (f *Feed) wantProgressLocked(s *Stream, revision Revision) {
	if s.err != nil {
		return
	}
	if len(s.progressWanted) == progressWantedMax {
		s.progressWanted = s.progressWanted[:progressWantedMax-1]
	}
	s.progressWanted = append(s.progressWanted, revision)
	f.progressDue[s] = struct{}{}
}

// tellProgressLocked answers the streams whose revision has been dispatched.
func (f *Feed) tellProgressLocked() {
	for s := range f.progressDue {
		if f.follower == nil {
			s.progressWanted = nil
		}
		reached := false
		for len(s.progressWanted) > 0 && s.progressWanted[0] < f.next {
			s.progressWanted = s.progressWanted[1:]
			reached = true
		}
		if reached && f.allAtLocked(s, f.next-1) {
			s.offerProgress(nil, f.next-1)
		}
		if len(s.progressWanted) == 0 {
			delete(f.progressDue, s)
		}
	}
}

// allAtLocked tells whether revision means something to every watcher of s, and
// every one has been given all events up to it.
func (f *Feed) allAtLocked(s *Stream, revision Revision) bool {
	for w := range s.watchers {
		if w.standing != live || revision < w.floor {
			return false
		}
	}
	return len(s.watchers) > 0
}

// Announce queues a Progress item for one watcher of this stream, at the
// revision reached so far, unless it catches up or starts later.
func (s *Stream) Announce(w *Watcher) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.standing == live && f.next-1 >= w.floor {
		s.offerProgress(w, f.next-1)
	}
}
