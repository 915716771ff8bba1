package search

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/imap"
)

// threadOf writes threads as a THREAD response has them, with message sequence numbers.
func threadOf(threads Threads) string {
	var b strings.Builder
	number := false
	for _, w := range threads {
		if number && w != Close {
			b.WriteByte(' ')
		}
		number = w >= 0
		switch w {
		case Open:
			b.WriteByte('(')
		case Close:
			b.WriteByte(')')
		default:
			fmt.Fprint(&b, w+1)
		}
	}
	return b.String()
}

func (m *mailbox) positions() []int {
	l := make([]int, m.index().Len())
	for i := range l {
		l[i] = i
	}
	return l
}

func (m *mailbox) thread(k *Keys, a imap.ThreadAlgorithm, positions []int) string {
	m.t.Helper()
	threads, err := k.Thread(context.Background(), Mailbox{Mail: m, Owner: m.Account, Index: m.index()}, positions, a)
	if err != nil {
		m.t.Fatal(err)
	}
	return threadOf(threads)
}

// mail is a message of a thread: subject, day, Message-ID and references, each separated by
// "|".
func mail(s string) newMessage {
	f := append(strings.Split(s, "|"), "", "", "")
	data := "Subject: " + f[0] + "\n"
	if f[1] != "" {
		data += "Date: " + f[1] + " Nov 2026 10:00:00 +0000\n"
	}
	if f[2] != "" {
		data += "Message-ID: <" + f[2] + "@x>\n"
	}
	if f[3] != "" {
		data += "References: <" + strings.Join(strings.Fields(f[3]), "@x> <") + "@x>\n"
	}
	return newMessage{data: data + "\ntext\n", received: now}
}

func TestMessagesAreThreadedByReferences(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ mails, want string }{
		"none":                     {"", ""},
		"single":                   {"a|1|1", "(1)"},
		"reply":                    {"a|1|1;Re: a|2|2|1", "(1 2)"},
		"reply comes first":        {"Re: a|2|2|1;a|1|1", "(2 1)"},
		"chain":                    {"a|1|1;b|2|2|1;c|3|3|1 2", "(1 2 3)"},
		"branches":                 {"a|1|1;b|2|2|1;c|3|3|1", "(1 (2)(3))"},
		"branches by date":         {"a|1|1;b|4|2|1;c|3|3|1", "(1 (3)(2))"},
		"same date by number":      {"a|1|1;b|4|2|1;c|4|3|1", "(1 (2)(3))"},
		"example of the RFC":       {"a|1|1;b|2|2;c|3|3|2;d|4|4|2 3;e|5|5|2 3 4;f|6|6|2 3;g|7|7|2 3 6", "(1)(2 3 (4 5)(6 7))"},
		"no date is internal date": {"a||1;b|1|2;c|30|3", "(2)(1)(3)"},

		"missing parent of one":      {"a|1|1|9", "(1)"},
		"missing parent of two":      {"a|1|1|9;b|2|2|9", "((1)(2))"},
		"missing grandparent":        {"a|1|1|8 9;b|2|2|8 7", "((1)(2))"},
		"missing in the middle":      {"a|1|1;b|2|2|1 9;c|3|3|1 9", "(1 (2)(3))"},
		"missing with one child":     {"a|1|1|8 9;b|2|2|8 9 1", "(1 2)"},
		"missing nested with two":    {"a|1|1|7 8 9;b|2|2|7 8 9", "((1)(2))"},
		"dummies sort by first":      {"a|5|1|9;b|2|2|9;c|3|3", "((2)(1))(3)"},
		"dummies sort by first, too": {"a|5|1|9;b|4|2|9;c|3|3", "(3)((2)(1))"},

		"loop of two":             {"a|1|1|2;b|2|2|1", "(2 1)"},
		"loop of itself":          {"a|1|1|1", "(1)"},
		"loop of three":           {"a|1|1|3;b|2|2|1;c|3|3|2", "(3 1 2)"},
		"loop in references":      {"a|1|1|8 9 8", "(1)"},
		"loop through references": {"a|1|1;b|2|2|1 2 1;c|3|3|2 1", "(1 (2)(3))"},

		"duplicates":                 {"a|1|1;b|2|1;c|3|3|1", "(1 3)(2)"},
		"duplicate with references":  {"a|1|1;b|2|2|1;c|3|2|1", "(1 (2)(3))"},
		"no identifier":              {"a|1;b|2||1;c|3|1", "(1)(3 2)"},
		"existing parent is kept":    {"a|1|1;b|2|2;c|3|3|2;d|4|4|1 3", "(1)(2 3 4)"},
		"own references are right":   {"d|4|4|1 3;a|1|1;b|2|2;c|3|3|2", "(2)(3 4 1)"},
		"no references, no parent":   {"d|4|4|1 2;a|1|1;b|2|2", "(2)(3 1)"},
		"identifiers of other cases": {"a|1|Ab;b|2|2|aB", "(1 2)"},

		"reply by subject":              {"a|1|1;Re: a|2|2", "(1 2)"},
		"reply by subject comes first":  {"Re: a|1|1;a|2|2", "(2 1)"},
		"same subject, no reply":        {"a|1|1;a|2|2", "((1)(2))"},
		"two replies":                   {"Re: a|1|1;Re: a|2|2", "((1)(2))"},
		"three with one subject":        {"a|1|1;a|2|2;A |3|3", "((1)(2)(3))"},
		"reply to one of two":           {"a|1|1;a|2|2;Re: a|3|3", "((1)(2)(3))"},
		"forward by subject":            {"a|1|1;[Fwd: a]|2|2;a (fwd)|3|3", "(1 (2)(3))"},
		"no subject":                    {"|1|1;|2|2;Re:|3|3", "(1)(2)(3)"},
		"dummy and message":             {"a|1|1|9;a|2|2|9;a|3|3", "((1)(2)(3))"},
		"message and dummy":             {"a|1|1;a|2|2|9;a|3|3|9", "((1)(2)(3))"},
		"two dummies":                   {"a|1|1|8;b|2|2|8;a|3|3|9;b|4|4|9", "((1)(2)(3)(4))"},
		"subjects are for heads only":   {"a|1|1;b|2|2|1;b|3|3", "(1 2)(3)"},
		"reply with children by subj":   {"a|1|1;Re: a|2|2;x|3|3|2", "(1 2 3)"},
		"reply to a reply, and subject": {"Re: a|1|1;a|5|2;Re: a|3|3|1", "(2 1 3)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMailbox(t)
			if tt.mails != "" {
				var msgs []newMessage
				for s := range strings.SplitSeq(tt.mails, ";") {
					msgs = append(msgs, mail(s))
				}
				m.add(msgs...)
			}
			if got := m.thread(NewKeys(1<<20), imap.ThreadReferences, m.positions()); got != tt.want {
				t.Errorf("threads are %s, want %s", got, tt.want)
			}
		})
	}
}

func TestMessagesAreThreadedBySubject(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	m.add(mail("b|2|1"), mail("a|3|2"), mail("Re: b|1|3"), mail("Fwd: A|5|4"), mail("[list] re: a|4|5"), mail("|1|6"), mail("|9|7"), mail("c|1|8|1"))
	if got, want := m.thread(NewKeys(1<<20), imap.ThreadOrderedSubject, m.positions()), "(3 1)(6 7)(8)(2 (5)(4))"; got != want {
		t.Errorf("threads are %s, want %s", got, want)
	}
	if got, want := m.thread(NewKeys(1<<20), imap.ThreadOrderedSubject, []int{1, 3, 6}), "(2 4)(7)"; got != want {
		t.Errorf("threads of some are %s, want %s", got, want)
	}
}

// slowThreads is RFC 5256 §3 word by word, for messages without subjects: the children of
// each, by parent; messages have numbers from 1, dummies other names.
func slowThreads(ids []string, refs [][]string) map[string][]string {
	parent := map[string]string{}
	above := func(a, b string) bool {
		for ; b != ""; b = parent[b] {
			if a == b {
				return true
			}
		}
		return false
	}
	// (1)
	node := map[string]string{}
	for i, id := range ids {
		if _, ok := node[id]; !ok && id != "" {
			node[id] = fmt.Sprint(i + 1)
		}
	}
	for i := range ids {
		last := ""
		for _, ref := range refs[i] {
			n, ok := node[ref]
			if !ok {
				n = "dummy " + ref
				node[ref] = n
			}
			if last != "" && parent[n] == "" && !above(n, last) {
				parent[n] = last
			}
			last = n
		}
		own := fmt.Sprint(i + 1)
		delete(parent, own)
		if last != "" && !above(own, last) {
			parent[own] = last
		}
	}
	// (2), (3)
	children := map[string][]string{}
	for i := range ids {
		own := fmt.Sprint(i + 1)
		up := parent[own]
		for strings.HasPrefix(up, "dummy") && parent[up] != "" {
			up = parent[up]
		}
		children[up] = append(children[up], own)
	}
	for up, l := range children {
		if strings.HasPrefix(up, "dummy") {
			if len(l) == 1 {
				delete(children, up)
				children[""] = append(children[""], l[0])
			} else {
				children[""] = append(children[""], up)
			}
		}
	}
	return children
}

// first is the message that a node of slowThreads sorts by.
func first(children map[string][]string, node string) int {
	var n int
	if _, err := fmt.Sscan(node, &n); err != nil {
		n = 1 << 30
		for _, c := range children[node] {
			n = min(n, first(children, c))
		}
	}
	return n
}

func slowString(children map[string][]string, node string) string {
	kids := children[node]
	slices.SortFunc(kids, func(a, b string) int { return first(children, a) - first(children, b) })
	s := node
	if strings.HasPrefix(node, "dummy") {
		s = ""
	}
	for _, kid := range kids {
		k := slowString(children, kid)
		if len(kids) > 1 || node == "" {
			k = "(" + k + ")"
		}
		if len(kids) == 1 && s != "" || s == node && s != "" && kid == kids[0] {
			k = " " + k
		}
		s += k
	}
	return s
}

func TestThreadsAreThoseOfTheDescription(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		n := 1 + rnd.IntN(12)
		ids, refs := make([]string, n), make([][]string, n)
		f := &forest{n: n, steps: 1 << 20}
		l := &links{}
		number := func(id string) uint32 {
			if id == "" {
				return 0
			}
			return uint32(id[0])
		}
		name := func() string { return string(rune('a' + rnd.IntN(n+3))) }
		tb := &table{links: l}
		tb.columns[columnDate], tb.columns[columnSubject] = &column{}, &column{values: values{ends: []uint32{0}}}
		for i := range n {
			f.add()
			f.rows = append(f.rows, i)
			if rnd.IntN(8) > 0 {
				ids[i] = name()
			}
			for range rnd.IntN(4) {
				refs[i] = append(refs[i], name())
			}
			l.ids, l.reply = append(l.ids, number(ids[i])), append(l.reply, false)
			for _, r := range refs[i] {
				l.refs = append(l.refs, number(r))
			}
			l.ends = append(l.ends, uint32(len(l.refs)))
			tb.columns[columnDate].ranks = append(tb.columns[columnDate].ranks, uint32(i))
			tb.columns[columnSubject].ranks = append(tb.columns[columnSubject].ranks, 0)
		}
		f.t = tb
		f.links()
		f.prune()
		f.mergeSubjects()
		positions := make([]int, n)
		for i := range positions {
			positions[i] = i
		}
		got, want := threadOf(f.threads(positions)), slowString(slowThreads(ids, refs), "")
		if got != want {
			t.Fatalf("ids %q, references %q: threads are %s, want %s", ids, refs, got, want)
		}
	}
}

// A chain of messages in the worst order must not take the square of their number.
func TestDeepThreadsAreBounded(t *testing.T) {
	t.Parallel()
	const n = 100_000
	l := &links{}
	tb := &table{links: l}
	tb.columns[columnDate], tb.columns[columnSubject] = &column{ranks: make([]uint32, n)}, &column{ranks: make([]uint32, n), values: values{ends: []uint32{0}}}
	f := &forest{t: tb, n: n, steps: loopSteps * n}
	for i := range n {
		f.add()
		f.rows = append(f.rows, i)
		l.ids, l.reply = append(l.ids, uint32(i+1)), append(l.reply, false)
		// Odd ones hang below the one before; even ones have the long chain as references.
		l.refs = append(l.refs, uint32(max(1, i)), uint32((i+n/2)%n+1))
		l.ends = append(l.ends, uint32(len(l.refs)))
	}
	start := time.Now()
	f.links()
	f.prune()
	f.mergeSubjects()
	positions := make([]int, n)
	if got := len(f.threads(positions)); got < n {
		t.Errorf("%d words for %d messages", got, n)
	}
	t.Logf("took %v", time.Since(start))
}
