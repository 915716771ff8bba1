package queue

import (
	"container/heap"
	"slices"
	"sync"
	"time"

	"mox/queue/queuedb"
)

// scheduler decides which flow a worker takes a message of next. It has in memory
// when the first message of each flow is due, which the database tells after each
// commit, so that a decision takes a time that does not depend on the length of the
// queue.
//
// A flow is in one of these places: among those whose messages are not due yet;
// with its account, which waits for its turn; with its lane, where as many deliveries
// are made as there can be; or nowhere, while its first message is being claimed.
// Flows of bulk mail wait apart from the others and get one turn in bulkShare.
type scheduler struct {
	perLane int
	ready   func() // Called when there may be something to pick.

	mu       sync.Mutex // Guards what follows.
	flows    map[string]*flowState
	lanes    map[string]*laneState
	accounts [2]map[string]*accountState // By class.
	rings    [2]fifo[*accountState]      // Those with flows that are due.
	waiting  flowHeap
	turn     int
	stopped  bool
}

// bulkShare is how many turns there are for one that bulk mail gets while other mail
// waits: none would make it wait forever.
const bulkShare = 4

type flowPlace int

const (
	placeNone flowPlace = iota
	placeWaiting
	placeAccount
	placeLane
)

type flowState struct {
	head   queuedb.Head
	class  int // 1 for bulk mail.
	place  flowPlace
	index  int  // In the heap.
	claims int  // In progress.
	called bool // It has had its turn in its lane, and another flow was faster.
	more   bool // The last claim left another due message, so several can be made at a time.
}

type laneState struct {
	busy   int
	turn   int
	parked [2]fifo[*flowState]
}

type accountState struct {
	name  string
	flows fifo[*flowState]
}

func newScheduler(perLane int, ready func()) *scheduler {
	s := &scheduler{perLane: perLane, ready: ready, lanes: map[string]*laneState{}}
	s.clear()
	return s
}

// clear forgets all flows.
func (s *scheduler) clear() {
	s.flows = map[string]*flowState{}
	s.accounts = [2]map[string]*accountState{{}, {}}
	s.rings = [2]fifo[*accountState]{}
	s.waiting = nil
	for name, l := range s.lanes {
		l.parked = [2]fifo[*flowState]{}
		if l.busy == 0 {
			delete(s.lanes, name)
		}
	}
}

// update takes over when flows are due next, for all there are if all is set.
func (s *scheduler) update(heads []queuedb.Head, all bool) {
	s.mu.Lock()
	due := false
	if all {
		s.clear()
	}
	now := time.Now()
	for _, h := range heads {
		f := s.flows[h.Flow]
		if f == nil {
			if h.Next.IsZero() {
				continue
			}
			f = &flowState{}
			if h.Bulk {
				f.class = 1
			}
			s.flows[h.Flow] = f
		}
		f.head = h
		if f.place == placeWaiting {
			heap.Remove(&s.waiting, f.index)
			f.place = placeNone
		}
		// One that is being claimed is placed when that is done. Where one waits for its
		// turn, its time is looked at then.
		if f.place == placeNone && f.claims == 0 {
			s.put(f, now)
		}
		due = due || f.place == placeAccount
	}
	due = due || len(s.waiting) > 0
	s.mu.Unlock()
	if due {
		s.ready()
	}
}

// put places a flow that is nowhere.
func (s *scheduler) put(f *flowState, now time.Time) {
	switch {
	case f.head.Next.IsZero():
		if f.claims == 0 && s.flows[f.head.Flow] == f {
			delete(s.flows, f.head.Flow)
		}
	case f.head.Next.After(now):
		f.place = placeWaiting
		heap.Push(&s.waiting, f)
	default:
		f.place = placeAccount
		a := s.accounts[f.class][f.head.Account]
		if a == nil {
			a = &accountState{name: f.head.Account}
			s.accounts[f.class][f.head.Account] = a
			s.rings[f.class].push(a)
		}
		a.flows.push(f)
	}
}

// picked is a flow that a worker is to claim a message of. It has a place in its lane.
type picked struct {
	flow *flowState
	name string
	lane string
}

// pick returns the flow whose turn it is, if there is one.
func (s *scheduler) pick(now time.Time) (picked, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return picked{}, false
	}
	for len(s.waiting) > 0 && !s.waiting[0].head.Next.After(now) {
		f := heap.Pop(&s.waiting).(*flowState)
		f.place = placeNone
		s.put(f, now)
	}
	s.turn++
	first := 0
	if s.turn%bulkShare == 0 {
		first = 1
	}
	for _, class := range []int{first, 1 - first} {
		if p, ok := s.pickOf(class, now); ok {
			return p, true
		}
	}
	return picked{}, false
}

// pickOf is pick for a class.
func (s *scheduler) pickOf(class int, now time.Time) (picked, bool) {
	ring := &s.rings[class]
	for ring.len() > 0 {
		a := ring.pop()
		f := a.flows.pop()
		if a.flows.len() > 0 {
			ring.push(a)
		} else {
			delete(s.accounts[class], a.name)
		}
		f.place = placeNone
		lane := s.lane(f.head.Lane)
		if f.head.Next.IsZero() || f.head.Next.After(now) {
			s.put(f, now)
			s.unpark(f.head.Lane, lane, now)
			continue
		}
		if lane.busy >= s.perLane {
			f.place = placeLane
			if f.called {
				lane.parked[f.class].pushFront(f)
			} else {
				lane.parked[f.class].push(f)
			}
			continue
		}
		f.called = false
		lane.busy++
		f.claims++
		if f.more {
			s.put(f, now)
		}
		return picked{f, f.head.Flow, f.head.Lane}, true
	}
	return picked{}, false
}

func (s *scheduler) lane(name string) *laneState {
	l := s.lanes[name]
	if l == nil {
		l = &laneState{}
		s.lanes[name] = l
	}
	return l
}

// unpark lets a flow wait for its turn that has waited for its lane.
func (s *scheduler) unpark(name string, l *laneState, now time.Time) {
	if l.busy >= s.perLane {
		return
	}
	l.turn++
	first := 0
	if l.turn%bulkShare == 0 {
		first = 1
	}
	for _, class := range []int{first, 1 - first} {
		if l.parked[class].len() == 0 {
			continue
		}
		f := l.parked[class].pop()
		f.place, f.called = placeNone, true
		s.put(f, now)
		return
	}
	if l.busy == 0 {
		delete(s.lanes, name)
	}
}

// claimed tells that the claim of a flow that was picked is over, and whether there
// was a message. If there was none, its place in the lane is free. With a time that is
// not zero, the claim has failed and the flow is left alone until then.
func (s *scheduler) claimed(p picked, ok bool, until time.Time) {
	s.mu.Lock()
	now := time.Now()
	f := p.flow
	f.claims--
	if !until.IsZero() && f.place != placeWaiting && !f.head.Next.IsZero() && f.head.Next.Before(until) {
		f.head.Next = until
	}
	f.more = ok && !f.head.Next.IsZero() && !f.head.Next.After(now)
	if f.place == placeNone && s.flows[f.head.Flow] == f {
		s.put(f, now)
	}
	due := f.place == placeAccount
	s.mu.Unlock()
	if !ok {
		s.done(p.lane)
	}
	if due {
		s.ready()
	}
}

// done frees a place in a lane.
func (s *scheduler) done(lane string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lane(lane)
	l.busy--
	s.unpark(lane, l, time.Now())
}

// next returns when the next message is due that is not yet, zero if there is none.
func (s *scheduler) next() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return time.Time{}
	}
	return s.waiting[0].head.Next
}

// stop makes pick return nothing any more.
func (s *scheduler) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

// flowHeap has flows by when they are due.
type flowHeap []*flowState

func (h flowHeap) Len() int { return len(h) }

func (h flowHeap) Less(i, j int) bool { return h[i].head.Next.Before(h[j].head.Next) }

func (h flowHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for package heap.
func (h *flowHeap) Push(x any) {
	f := x.(*flowState)
	f.index = len(*h)
	*h = append(*h, f)
}

// Pop is for package heap.
func (h *flowHeap) Pop() any {
	old := *h
	f := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return f
}

// fifo is a queue in memory.
type fifo[T any] struct {
	l    []T
	head int
}

func (q *fifo[T]) len() int { return len(q.l) - q.head }

func (q *fifo[T]) push(v T) { q.l = append(q.l, v) }

// pushFront adds an element before all others.
func (q *fifo[T]) pushFront(v T) {
	if q.head > 0 {
		q.head--
		q.l[q.head] = v
		return
	}
	q.l = slices.Insert(q.l, 0, v)
}

// pop returns the first element. There must be one.
func (q *fifo[T]) pop() T {
	var zero T
	v := q.l[q.head]
	q.l[q.head] = zero
	q.head++
	if q.head == len(q.l) {
		q.l, q.head = q.l[:0], 0
	} else if q.head > 32 && q.head > len(q.l)/2 {
		q.l = append(q.l[:0], q.l[q.head:]...)
		q.head = 0
	}
	return v
}
