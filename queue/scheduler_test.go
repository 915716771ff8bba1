package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"mox/queue/queuedb"
)

// model has what is due in each flow, as the database would.
type schedulerModel struct {
	t    *testing.T
	s    *scheduler
	due  map[string]int
	head map[string]queuedb.Head
	busy map[string]int
}

func newModel(t *testing.T, perLane int) *schedulerModel {
	return &schedulerModel{t, newScheduler(perLane, func() {}), map[string]int{}, map[string]queuedb.Head{}, map[string]int{}}
}

func flowName(lane, account string, bulk bool) string {
	return fmt.Sprintf("%s %s %v", lane, account, bulk)
}

func (m *schedulerModel) add(lane, account string, bulk bool, n int) {
	name := flowName(lane, account, bulk)
	m.due[name] += n
	m.head[name] = queuedb.Head{Flow: name, Lane: lane, Account: account, Bulk: bulk}
	m.tell(name)
}

func (m *schedulerModel) tell(name string) {
	h := m.head[name]
	if m.due[name] > 0 {
		h.Next = time.Now().Add(-time.Minute)
	}
	m.s.update([]queuedb.Head{h}, false)
}

// take picks and claims, and returns the flow, empty if there is nothing to do.
func (m *schedulerModel) take() (picked, bool) {
	m.t.Helper()
	for {
		p, ok := m.s.pick(time.Now())
		if !ok {
			return p, false
		}
		got := m.due[p.name] > 0
		if got {
			m.due[p.name]--
			m.busy[p.lane]++
			m.tell(p.name)
		}
		m.s.claimed(p, got, time.Time{})
		if m.busy[p.lane] > m.s.perLane {
			m.t.Fatalf("%d deliveries in lane %s", m.busy[p.lane], p.lane)
		}
		if got {
			return p, true
		}
	}
}

func (m *schedulerModel) done(p picked) {
	m.busy[p.lane]--
	m.s.done(p.lane)
}

func TestAccountsTakeTurns(t *testing.T) {
	t.Parallel()
	m := newModel(t, 3)
	m.add("one", "ann", false, 100)
	m.add("one", "bob", false, 100)
	m.add("two", "bob", false, 100)
	count := map[string]int{}
	for range 60 {
		p, ok := m.take()
		if !ok {
			t.Fatal("nothing to do")
		}
		count[p.flow.head.Account]++
		m.done(p)
	}
	if n := count["ann"]; n < 28 || n > 32 {
		t.Errorf("turns %v", count)
	}
}

func TestPersonsPassBulkMailWhichIsNotStarved(t *testing.T) {
	t.Parallel()
	m := newModel(t, 3)
	m.add("one", "ann", true, 1000)
	var running []picked
	for {
		p, ok := m.take()
		if !ok {
			break
		}
		running = append(running, p)
	}
	if len(running) != 3 {
		t.Fatalf("%d deliveries to a lane", len(running))
	}
	// The same account, and another one.
	m.add("one", "ann", false, 1)
	m.add("one", "bob", false, 1)
	persons := 0
	for i := range 4 {
		m.done(running[i%3])
		p, ok := m.take()
		if !ok {
			t.Fatal("nothing to do")
		}
		running[i%3] = p
		if !p.flow.head.Bulk {
			persons++
		}
	}
	if persons != 2 {
		t.Fatalf("%d messages of persons among the next 4", persons)
	}
	m.add("one", "bob", false, 1000)
	bulk := 0
	for i := range 80 {
		m.done(running[i%3])
		p, ok := m.take()
		if !ok {
			t.Fatal("nothing to do")
		}
		running[i%3] = p
		if p.flow.head.Bulk {
			bulk++
		}
	}
	if bulk < 10 || bulk > 30 {
		t.Errorf("%d of 80 turns for bulk mail", bulk)
	}
}

// All that is due is delivered, whatever happens in which order, and lanes never have
// more deliveries than they can.
func TestSchedulerForgetsNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		m := newModel(t, 1+rng.IntN(3))
		var running []picked
		left := 400
		for left > 0 || len(running) > 0 {
			switch k := rng.IntN(10); {
			case k < 4 && left > 0:
				n := min(left, 1+rng.IntN(5))
				m.add(fmt.Sprint("lane", rng.IntN(4)), fmt.Sprint("acc", rng.IntN(5)), rng.IntN(2) == 0, n)
				left -= n
			case k < 7 && len(running) < 6:
				if p, ok := m.take(); ok {
					running = append(running, p)
				}
			case k == 7 && rng.IntN(10) == 0:
				var all []queuedb.Head // As after a disk failure.
				for name, h := range m.head {
					if m.due[name] > 0 {
						h.Next = time.Now().Add(-time.Second)
						all = append(all, h)
					}
				}
				m.s.update(all, true)
			case len(running) > 0:
				i := rng.IntN(len(running))
				m.done(running[i])
				running = append(running[:i], running[i+1:]...)
			}
		}
		for {
			p, ok := m.take()
			if !ok {
				break
			}
			m.done(p)
		}
		for name, n := range m.due {
			if n != 0 {
				t.Fatalf("seed %d: %d messages of %s were forgotten", seed, n, name)
			}
		}
		if len(m.s.flows) != 0 || len(m.s.lanes) != 0 || len(m.s.accounts[0]) != 0 || len(m.s.accounts[1]) != 0 {
			t.Fatalf("seed %d: left %d flows, %d lanes, %v accounts", seed, len(m.s.flows), len(m.s.lanes), m.s.accounts)
		}
	}
}

// A person's message to the same domain passes a run of single messages, of another
// and of the same account.
func TestAPersonsMessagePassesARun(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(func(ctx context.Context, m queuedb.Message) error {
			time.Sleep(2 * time.Second)
			return nil
		})
		for i := range 280 {
			e.enqueue(e.submission("ann@example.org", fmt.Sprintf("a%d@one.example", i)))
		}
		person := func(account, rcpt string) {
			t.Helper()
			sub := e.submission(account+"@example.org", rcpt)
			sub.Account = account
			e.enqueue(sub)
			time.Sleep(4500 * time.Millisecond) // One delivery must end, and this one be made.
			left := len(e.queued())
			if !slices.ContainsFunc(e.tr.seen(), func(c call) bool { return c.rcpts[0] == rcpt }) || left == 0 {
				t.Errorf("message of %s waits for the run, of which %d are left", account, left)
			}
		}
		time.Sleep(10 * time.Second)
		person("mox", "person@one.example")
		time.Sleep(2 * time.Minute) // What was sent of late is forgotten.
		person("ann", "friend@one.example")
		time.Sleep(10 * time.Minute)
		if l := e.queued(); len(l) != 0 {
			t.Fatalf("%d left", len(l))
		}
	})
}

func BenchmarkScheduler(b *testing.B) {
	s := newScheduler(3, func() {})
	past := time.Now().Add(-time.Hour)
	var heads []queuedb.Head
	for i := range 100000 {
		lane := fmt.Sprintf("d%d.example", i)
		heads = append(heads, queuedb.Head{Flow: lane + "\tn\ta", Lane: lane, Account: fmt.Sprint("a", i%1000), Next: past})
	}
	s.update(heads, true)
	for b.Loop() {
		p, ok := s.pick(time.Now())
		if !ok {
			b.Fatal("nothing to do")
		}
		s.claimed(p, true, time.Time{})
		s.done(p.lane)
	}
}

func TestAFlowThatCannotBeClaimedDoesNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	m := newModel(t, 2)
	m.add("bad", "ann", false, 1)
	p, ok := m.s.pick(time.Now())
	if !ok {
		t.Fatal("nothing to do")
	}
	until := time.Now().Add(time.Hour)
	m.s.claimed(p, false, until)
	m.add("good", "ann", false, 1)
	if p, ok := m.take(); !ok || p.lane != "good" {
		t.Fatalf("got %+v", p)
	}
	if _, ok := m.take(); ok {
		t.Fatal("flow that has failed is tried again at once")
	}
	if !m.s.next().Equal(until) {
		t.Fatalf("next at %v", m.s.next())
	}
	if _, ok := m.s.pick(until); !ok {
		t.Fatal("flow that has failed is forgotten")
	}
}
