package feed

// ringMin is the first capacity of a ring; a power of two.
const ringMin = 8

// ring is a queue that grows as needed and keeps no popped value alive. Who uses
// it bounds what is pushed.
type ring[T any] struct {
	slots []T
	head  int
	count int
}

func (r *ring[T]) push(value T) {
	if r.count == len(r.slots) {
		r.grow()
	}
	r.slots[(r.head+r.count)&(len(r.slots)-1)] = value
	r.count++
}

func (r *ring[T]) grow() {
	slots := make([]T, max(ringMin, 2*len(r.slots)))
	n := copy(slots, r.slots[r.head:])
	copy(slots[n:], r.slots[:r.head])
	r.slots, r.head = slots, 0
}

func (r *ring[T]) pop() (T, bool) {
	var none T
	if r.count == 0 {
		return none, false
	}
	value := r.slots[r.head]
	r.slots[r.head] = none
	r.head = (r.head + 1) & (len(r.slots) - 1)
	r.count--
	return value, true
}

// last is the value pushed last, nil if the ring is empty.
func (r *ring[T]) last() *T {
	if r.count == 0 {
		return nil
	}
	return &r.slots[(r.head+r.count-1)&(len(r.slots)-1)]
}
