package fts

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"mox/message"
)

var ctxbg = context.Background()

func tcheck(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, path string) *Index {
	t.Helper()
	x, err := Open(path)
	tcheck(t, err)
	return x
}

// newIndex returns an index that is closed and checked at the end of the test.
func newIndex(t testing.TB) *Index {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fts.db")
	x := open(t, path)
	t.Cleanup(func() {
		tcheck(t, x.Close())
		tcheck(t, Check(path))
	})
	return x
}

// model is what an index should have.
type model struct {
	texts   map[int64]Text
	skipped map[int64]bool
	next    int64
}

func newModel() *model {
	return &model{texts: map[int64]Text{}, skipped: map[int64]bool{}, next: 1}
}

func (m *model) ids() (l []int64) {
	for id := range m.texts {
		l = append(l, id)
	}
	for id := range m.skipped {
		l = append(l, id)
	}
	slices.Sort(l)
	return l
}

// words are in several scripts, with characters of which the forms differ in length, that
// have no case, and that combine.
var words = []string{
	"the", "a", "meeting", "Straße", "ΣΊΣΥΦΟΣ", "σίσυφος", "İstanbul", "ısı", "K\u212Aelvin", "ſet", "naïve", "nai\u0308ve",
	"東京都", "検索", "검색어", "ภาษาไทย", "🙂", "🙂👍", "zz", "00000000", "=-=-=-=", "\u00a0", "Ⱥ", "x", "данные", "ДАННЫЕ",
}

func randomText(r *rand.Rand, n int) string {
	var b bytes.Buffer
	for range n {
		if r.IntN(8) == 0 {
			fmt.Fprintf(&b, "%x", r.Uint32())
		} else {
			b.WriteString(words[r.IntN(len(words))])
		}
		if r.IntN(5) > 0 {
			b.WriteByte(" \n\t,"[r.IntN(4)])
		}
	}
	return b.String()
}

// fold joins texts as what an index is given.
func fold(parts ...string) (b []byte) {
	for i, p := range parts {
		if i > 0 {
			b = append(b, Separator)
		}
		b = message.AppendFold(b, []byte(p))
	}
	return b
}

// fill adds n messages in one batch, with gaps between their ids.
func (m *model) fill(t testing.TB, r *rand.Rand, x *Index, n int) {
	t.Helper()
	var b Batch
	for range n {
		m.next += 1 + int64(r.IntN(3))
		if r.IntN(20) == 0 {
			tcheck(t, b.Skip(m.next))
			m.skipped[m.next] = true
			continue
		}
		text := Text{
			Body:   fold(randomText(r, r.IntN(60)), randomText(r, r.IntN(10))),
			Fields: fold(randomText(r, r.IntN(20))),
		}
		tcheck(t, b.Add(m.next, text))
		m.texts[m.next] = text
	}
	m.next++
	tcheck(t, x.Apply(ctxbg, &b, m.next))
}

// remove removes some messages.
func (m *model) remove(t testing.TB, r *rand.Rand, x *Index, odds int) {
	t.Helper()
	var gone []int64
	for _, id := range m.ids() {
		if r.IntN(odds) == 0 {
			gone = append(gone, id)
			delete(m.texts, id)
			delete(m.skipped, id)
		}
	}
	tcheck(t, x.Remove(ctxbg, append(gone, m.next+1000)))
}

// pattern returns a piece of some text, or something else.
func (m *model) pattern(r *rand.Rand) Pattern {
	p := Pattern{Text: fold(randomText(r, 1+r.IntN(3))), BodyOnly: r.IntN(2) == 0}
	if ids := m.ids(); r.IntN(4) > 0 && len(ids) > 0 {
		text := []rune(string(bytes.ReplaceAll(m.texts[ids[r.IntN(len(ids))]].Body, []byte{Separator}, nil)))
		if len(text) > 0 {
			start := r.IntN(len(text))
			p.Text = []byte(string(text[start:min(len(text), start+1+r.IntN(12))]))
		}
	}
	return p
}

// verify compares answers with a plain scan.
func (m *model) verify(t testing.TB, x *Index, patterns ...Pattern) {
	t.Helper()
	s, err := x.Search(ctxbg, patterns)
	tcheck(t, err)
	ids := append(m.ids(), m.next, m.next+5)
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	found := make([]Answer, len(ids)*len(patterns))
	tcheck(t, s.Match(ctxbg, ids, found))
	for i, id := range ids {
		text, known := m.texts[id]
		for p, pat := range patterns {
			want := No
			switch {
			case !known:
				want = Unknown
			case bytes.Contains(text.Body, pat.Text) || !pat.BodyOnly && bytes.Contains(text.Fields, pat.Text):
				want = Yes
			}
			if got := found[i*len(patterns)+p]; got != want {
				t.Fatalf("message %d, pattern %q: %d instead of %d", id, pat.Text, got, want)
			}
			if may := s.May(p, id); may != want && may != Maybe || may == Maybe && want == Unknown {
				t.Fatalf("message %d, pattern %q: may is %d, but it is %d", id, pat.Text, may, want)
			}
		}
	}
	got, err := x.IDs(0, len(ids))
	tcheck(t, err)
	if !slices.Equal(got, m.ids()) {
		t.Fatalf("ids %v instead of %v", got, m.ids())
	}
}
