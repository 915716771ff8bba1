package search

import (
	"cmp"
	"context"
	"slices"

	"mox/imap"
)

// Threads are messages in threads, as a list of words: positions, and Open and Close around
// each thread and each of several branches, as in a THREAD response. RFC 5256 §4
type Threads []int32

// What words of Threads are besides positions.
const (
	Open  int32 = -1
	Close int32 = -2
)

// Thread puts the messages at positions, which ascend, into threads. RFC 5256 §3
func (k *Keys) Thread(ctx context.Context, mb Mailbox, positions []int, algorithm imap.ThreadAlgorithm) (Threads, error) {
	n := needs{links: algorithm == imap.ThreadReferences}
	n.columns[columnDate], n.columns[columnSubject] = true, true
	t, rows, err := k.get(ctx, mb, positions, n)
	if err != nil {
		return nil, err
	}
	f := newForest(t, rows)
	if algorithm == imap.ThreadReferences {
		f.links()
		f.prune()
		f.mergeSubjects()
	} else {
		f.bySubject()
	}
	return f.threads(positions), nil
}

// forest is the tree of RFC 5256 §3 as it is made. A node is an index of a message, or, from
// that number on, a dummy. Messages are in order of their sequence numbers.
type forest struct {
	t    *table
	rows []int
	n    int // Messages.

	parent  []int32 // none for the root, gone for what is not in the tree (any more).
	parents []bool  // Nodes that have been a parent.
	steps   int     // Left for looking for loops.

	// Lists of children, when references do not change them any more.
	first, last, next []int32
	roots             []int32
	scratch           []int32
}

const (
	none int32 = -1
	gone int32 = -2
)

// loopSteps is how many ancestors are looked at for loops, for each message. Only messages
// that were made for it come near: for what is beyond, no link is made.
const loopSteps = 1000

func newForest(t *table, rows []int) *forest {
	f := &forest{t: t, rows: rows, n: len(rows), steps: loopSteps * (len(rows) + 100)}
	for range rows {
		f.add()
	}
	return f
}

// add adds a node without links.
func (f *forest) add() int32 {
	f.parent, f.parents = append(f.parent, none), append(f.parents, false)
	f.first, f.last, f.next = append(f.first, none), append(f.last, none), append(f.next, none)
	return int32(len(f.parent) - 1)
}

func (f *forest) dummy(node int32) bool { return int(node) >= f.n }

func (f *forest) date(node int32) uint32    { return f.t.columns[columnDate].ranks[f.rows[node]] }
func (f *forest) subject(node int32) uint32 { return f.t.columns[columnSubject].ranks[f.rows[node]] }
func (f *forest) reply(node int32) bool     { return f.t.links.reply[f.rows[node]] }

// links does step 1: parents by references.
func (f *forest) links() {
	l := f.t.links
	byID := map[uint32]int32{}
	for i, row := range f.rows {
		if id := l.ids[row]; id != 0 {
			if _, ok := byID[id]; !ok { // A duplicate has a Message-ID that nobody refers to.
				byID[id] = int32(i)
			}
		}
	}
	for i, row := range f.rows {
		last := none
		for _, id := range l.refsOf(row) {
			node, ok := byID[id]
			if !ok {
				node = f.add()
				byID[id] = node
			}
			if last != none && f.parent[node] == none {
				f.link(last, node)
			}
			last = node
		}
		f.parent[i] = none
		if last != none {
			f.link(last, int32(i))
		}
	}
}

// link makes a node without a parent the child of another, unless it is above it.
func (f *forest) link(parent, child int32) {
	if parent == child {
		return
	}
	if f.parents[child] {
		for up := f.parent[parent]; up != none; up = f.parent[up] {
			if f.steps--; up == child || f.steps < 0 {
				return
			}
		}
	}
	f.parent[child] = parent
	f.parents[parent] = true
}

// prune does steps 2 and 3: dummies stay at the root only, with two children or more. It
// makes the lists of children.
func (f *forest) prune() {
	// Each dummy is replaced by the message above it, or else by the dummy at the root.
	above := make([]int32, len(f.parent)-f.n) // By dummy; none is not known yet.
	for i := range above {
		above[i] = none
	}
	var path []int32
	for i := range f.n {
		up := f.parent[i]
		path = path[:0]
		for up != none && f.dummy(up) {
			if a := above[int(up)-f.n]; a != none {
				up = a
				break
			}
			path = append(path, up)
			if f.parent[up] == none {
				break
			}
			up = f.parent[up]
		}
		for _, d := range path {
			above[int(d)-f.n] = up
		}
		f.parent[i] = up
	}
	for d := f.n; d < len(f.parent); d++ {
		f.parent[d] = gone
	}
	for i := range int32(f.n) {
		up := f.parent[i]
		switch {
		case up == none:
			f.roots = append(f.roots, i)
		case f.dummy(up) && f.parent[up] == gone:
			f.parent[up] = none
			f.roots = append(f.roots, up)
			fallthrough
		default:
			f.adopt(up, i)
		}
	}
	for i, root := range f.roots {
		if f.dummy(root) && f.first[root] == f.last[root] { // One child only.
			f.parent[root] = gone
			f.roots[i] = f.first[root]
			f.parent[f.roots[i]] = none
		}
	}
}

// adopt makes a node the last child of another.
func (f *forest) adopt(parent, child int32) {
	f.parent[child], f.next[child] = parent, none
	if f.first[parent] == none {
		f.first[parent] = child
	} else {
		f.next[f.last[parent]] = child
	}
	f.last[parent] = child
}

// head returns the message that stands for a node at the root: itself, or the first child
// of a dummy. The children of dummies must be sorted.
func (f *forest) head(node int32) int32 {
	if f.dummy(node) {
		return f.first[node]
	}
	return node
}

// mergeSubjects does steps 4 and 5: threads with the same subject are put together.
func (f *forest) mergeSubjects() {
	for _, root := range f.roots {
		if f.dummy(root) {
			f.sortChildren(root)
		}
	}
	f.sortSiblings(f.roots)
	subjects := f.t.columns[columnSubject]
	empty := subjects.hasEmpty()
	byName := make([]int32, subjects.values.len()) // The subject table, by rank.
	for i := range byName {
		byName[i] = none
	}
	for _, root := range f.roots {
		subject := f.subject(f.head(root))
		if empty && subject == 0 {
			continue
		}
		old := byName[subject]
		if old == none || !f.dummy(old) && (f.dummy(root) || f.reply(old) && !f.reply(root)) {
			byName[subject] = root
		}
	}
	// What children a dummy gets does not change its subject, which is that of all of them.
	subject := make([]uint32, len(f.roots))
	for i, root := range f.roots {
		subject[i] = f.subject(f.head(root))
	}
	for i, root := range f.roots {
		if empty && subject[i] == 0 || f.parent[root] != none {
			continue
		}
		if into := byName[subject[i]]; into != root {
			byName[subject[i]] = f.merge(into, root)
		}
	}
	f.roots = slices.DeleteFunc(f.roots, func(root int32) bool { return f.parent[root] != none })
}

// merge makes one thread of two with the same subject, of which into is that of the subject
// table, and returns what is to be there now.
func (f *forest) merge(into, node int32) int32 {
	switch {
	case f.dummy(into) && f.dummy(node):
		f.parent[node] = gone
		for child := f.first[node]; child != none; {
			next := f.next[child]
			f.adopt(into, child)
			child = next
		}
		return into
	case f.dummy(into) || f.reply(node) && !f.reply(into):
		f.adopt(into, node)
		return into
	}
	d := f.add()
	f.adopt(d, into)
	f.adopt(d, node)
	f.roots = append(f.roots, d)
	return d
}

// bySubject makes threads of messages with the same subject: all are children of the first.
func (f *forest) bySubject() {
	order := make([]int32, f.n)
	for i := range order {
		order[i] = int32(i)
	}
	f.sortSiblings(order)
	roots := make([]int32, f.t.columns[columnSubject].values.len())
	for i := range roots {
		roots[i] = none
	}
	for _, i := range order {
		if root := &roots[f.subject(i)]; *root != none {
			f.adopt(*root, i)
		} else {
			*root = i
			f.roots = append(f.roots, i)
		}
	}
}

// sortSiblings sorts nodes by sent date, and then by sequence number. RFC 5256 §2.2
func (f *forest) sortSiblings(nodes []int32) {
	slices.SortFunc(nodes, func(a, b int32) int {
		a, b = f.head(a), f.head(b)
		return cmp.Or(cmp.Compare(f.date(a), f.date(b)), cmp.Compare(a, b))
	})
}

// sortChildren sorts the children of a node, which must not be dummies.
func (f *forest) sortChildren(node int32) {
	if f.first[node] == f.last[node] {
		return
	}
	f.scratch = f.scratch[:0]
	for child := f.first[node]; child != none; child = f.next[child] {
		f.scratch = append(f.scratch, child)
	}
	f.sortSiblings(f.scratch)
	f.first[node] = none
	for _, child := range f.scratch {
		f.adopt(node, child)
	}
}

// threads does step 6, sorting, and returns the threads.
func (f *forest) threads(positions []int) Threads {
	for node, parent := range f.parent {
		if parent != gone {
			f.sortChildren(int32(node))
		}
	}
	f.sortSiblings(f.roots)
	words := make(Threads, 0, f.n+2*len(f.roots))
	var stack []int32 // Nodes, and Close for what is open.
	for _, root := range f.roots {
		stack = append(stack, root)
		for len(stack) > 0 {
			node := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if node == Close {
				words = append(words, Close)
				continue
			}
			words = append(words, Open)
			stack = append(stack, Close)
			for {
				if !f.dummy(node) {
					words = append(words, int32(positions[node]))
				}
				if f.first[node] == none || f.first[node] != f.last[node] {
					break
				}
				node = f.first[node]
			}
			from := len(stack)
			for child := f.first[node]; child != none; child = f.next[child] {
				stack = append(stack, child)
			}
			slices.Reverse(stack[from:])
		}
	}
	return words
}
