package objectstore

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Fault is what happens to one call.
type Fault int

// The faults.
const (
	// None: nothing.
	None Fault = iota
	// Lost: the call does not reach the store, and nobody says so.
	Lost
	// Unanswered: the store does it, and the reply is lost.
	Unanswered
	// Failed: the store does nothing, and says that it failed (500).
	Failed
	// DoneButFailed: the store does it, and says that it failed (500).
	DoneButFailed
	// Busy: the store does nothing, and asks for patience (503).
	Busy
	// Denied: the store refuses (403).
	Denied
	// Slow: it takes Faults.Delay longer.
	Slow
	// Truncated: half of what is transferred comes, then the connection ends.
	Truncated

	faultCount
)

// String names the fault.
func (f Fault) String() string {
	return [...]string{"none", "lost", "unanswered", "failed", "done but failed", "busy", "denied", "slow", "truncated"}[f]
}

// All are the faults, Denied too: after that one nobody tries again.
func All() []Fault {
	all := make([]Fault, 0, faultCount)
	for f := Lost; f < faultCount; f++ {
		all = append(all, f)
	}
	return all
}

// Passing are those after which another attempt may succeed.
func Passing() []Fault {
	return []Fault{Lost, Unanswered, Failed, DoneButFailed, Busy, Slow, Truncated}
}

// Call is one call, as a plan sees it: an HTTP request, or a method of object.Store.
type Call struct {
	// Number counts the calls of one Faults from 1.
	Number int
	// Operation is the HTTP method; of a wrapped store create, replace, open, list or remove.
	Operation string
	// Name is the path of the URL; of a wrapped store the name (or prefix).
	Name string
	// Query and Header are those of the request; nil of a wrapped store.
	Query  url.Values
	Header http.Header
	// Removed are the keys that a request for the removal of many names.
	Removed []string
}

// Plan decides what happens to a call. Calls are decided on one after the other.
type Plan func(Call) Fault

// Random strikes a share of all calls, 0 to 1, with one of the faults each.
func Random(seed uint64, share float64, faults ...Fault) Plan {
	source := rand.New(rand.NewPCG(seed, seed))
	return func(Call) Fault {
		if source.Float64() >= share {
			return None
		}
		return faults[source.IntN(len(faults))]
	}
}

// Sequence strikes the first calls with these faults, and no call after them.
func Sequence(faults ...Fault) Plan {
	return func(Call) Fault {
		if len(faults) == 0 {
			return None
		}
		next := faults[0]
		faults = faults[1:]
		return next
	}
}

// Faults strike calls by a plan. The zero value strikes none. It is safe for concurrent use.
type Faults struct {
	// Delay is that of Slow.
	Delay time.Duration

	mu     sync.Mutex
	plan   Plan
	calls  int
	counts [faultCount]int
}

// Set changes the plan; nil ends the faults.
func (f *Faults) Set(plan Plan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = plan
}

// Count is how many calls were struck by a fault, or by none.
func (f *Faults) Count(fault Fault) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[fault]
}

// Calls is how many there were.
func (f *Faults) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// String tells what was done, for a log.
func (f *Faults) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	text := fmt.Sprintf("%d calls", f.calls)
	for fault, count := range f.counts {
		if count > 0 {
			text += fmt.Sprintf(", %d %s", count, Fault(fault))
		}
	}
	return text
}

// next decides on a call.
func (f *Faults) next(call Call) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	call.Number = f.calls
	fault := None
	if f.plan != nil {
		fault = f.plan(call)
	}
	f.counts[fault]++
	return fault
}
