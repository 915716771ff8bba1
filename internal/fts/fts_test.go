package fts

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestAnswersAreThoseOfAScan(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 7))
		x, m := newIndex(t), newModel()
		for round := range 30 {
			m.fill(t, r, x, r.IntN(1+40*(round%3)))
			if r.IntN(3) == 0 {
				m.remove(t, r, x, 2+r.IntN(10))
			}
			if r.IntN(3) > 0 {
				tcheck(t, x.Maintain(ctxbg))
			}
			for range 5 {
				m.verify(t, x, m.pattern(r), m.pattern(r))
			}
		}
		m.remove(t, r, x, 1)
		tcheck(t, x.Maintain(ctxbg))
		m.verify(t, x, m.pattern(r))
		if s, err := x.Stats(); err != nil || s.Messages != 0 || s.Text != 0 || s.Packed != 0 {
			t.Errorf("after all were removed: %+v %v", s, err)
		}
	}
}

func TestNothingMatchesAcrossTexts(t *testing.T) {
	t.Parallel()
	x := newIndex(t)
	var b Batch
	tcheck(t, b.Add(5, Text{Body: fold("one two", "three four"), Fields: fold("subject: five")}))
	tcheck(t, x.Apply(ctxbg, &b, 6))
	for text, want := range map[string]Answer{
		"two": Yes, "twothree": No, "two three": No, "four": Yes, "foursubject": No, "five": Yes, "fo": Yes, "q": No,
	} {
		s, err := x.Search(ctxbg, []Pattern{{Text: []byte(text)}})
		tcheck(t, err)
		found := make([]Answer, 1)
		tcheck(t, s.Match(ctxbg, []int64{5}, found))
		if found[0] != want {
			t.Errorf("%q: %d instead of %d", text, found[0], want)
		}
	}
}

func TestTextsThatComeWhileASearchRunsAreLookedAt(t *testing.T) {
	t.Parallel()
	x := newIndex(t)
	s, err := x.Search(ctxbg, []Pattern{{Text: []byte("two")}, {Text: []byte("six")}})
	tcheck(t, err)
	var b Batch
	tcheck(t, b.Add(5, Text{Body: fold("one two")}))
	tcheck(t, x.Apply(ctxbg, &b, 6))
	found := make([]Answer, 4)
	tcheck(t, s.Match(ctxbg, []int64{5, 6}, found))
	if want := []Answer{Yes, No, Unknown, Unknown}; !slices.Equal(found, want) {
		t.Errorf("got %v, want %v", found, want)
	}
}

func TestTextsThatAreTooLongAreSkipped(t *testing.T) {
	t.Parallel()
	x := newIndex(t)
	var b Batch
	tcheck(t, b.Add(1, Text{Body: make([]byte, MaxText), Fields: []byte("x")}))
	long := make([]byte, MaxText)
	rand.NewChaCha8([32]byte{}).Read(long)
	for i := range long {
		long[i] &= 0x7f
	}
	tcheck(t, b.Add(2, Text{Body: long}))
	tcheck(t, b.Add(3, Text{Body: long[:1000]}))
	if !b.Full() && MaxBatchText <= MaxText {
		t.Error("batch is not full")
	}
	tcheck(t, x.Apply(ctxbg, &b, 10))
	s, err := x.Search(ctxbg, []Pattern{{Text: long[500:520]}})
	tcheck(t, err)
	found := make([]Answer, 3)
	tcheck(t, s.Match(ctxbg, []int64{1, 2, 3}, found))
	if found[0] != Unknown || found[1] != Yes || found[2] != Yes {
		t.Errorf("found %v", found)
	}
}

func TestContentsAreAddedInOrderAndOnce(t *testing.T) {
	t.Parallel()
	x := newIndex(t)
	var b Batch
	tcheck(t, b.Add(5, Text{Body: []byte("text")}))
	if err := b.Add(5, Text{}); err == nil {
		t.Error("added twice")
	}
	if err := x.Apply(ctxbg, &b, 5); err == nil {
		t.Error("mark is not above the batch")
	}
	tcheck(t, x.Apply(ctxbg, &b, 6))
	var again Batch
	tcheck(t, again.Add(5, Text{Body: []byte("text")}))
	if err := x.Apply(ctxbg, &again, 7); err == nil {
		t.Error("applied below the mark")
	}
	if x.Mark() != 6 {
		t.Errorf("mark %d", x.Mark())
	}
}

func TestInterruptedMergeIsDoneAgain(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), "fts.db")
	x, m := open(t, path), newModel()
	for range 2 * mergeRun {
		m.fill(t, r, x, 30)
	}
	ctx, cancel := context.WithCancel(ctxbg)
	cancel()
	if err := x.Maintain(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("canceled: %v", err)
	}
	m.verify(t, x, m.pattern(r))
	tcheck(t, x.Close())
	x = open(t, path)
	tcheck(t, x.Maintain(ctxbg))
	m.verify(t, x, m.pattern(r), m.pattern(r))
	tcheck(t, errors.Join(x.Close(), Check(path)))
}

func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), "fts.db")
	x, m := open(t, path), newModel()
	m.fill(t, r, x, 500)
	tcheck(t, errors.Join(x.Maintain(ctxbg), x.Close(), Check(path)))
	good, err := os.ReadFile(path)
	tcheck(t, err)
	for name, change := range map[string]func(b []byte) []byte{
		"cut off":  func(b []byte) []byte { return b[:len(b)/2] },
		"no index": func([]byte) []byte { return []byte("something else") },
		"bits flip": func(b []byte) []byte {
			for i := 3 * os.Getpagesize(); i < len(b); i += 777 {
				b[i] ^= 0x10
			}
			return b
		},
	} {
		bad := filepath.Join(t.TempDir(), "bad.db")
		tcheck(t, os.WriteFile(bad, change(append([]byte(nil), good...)), 0600))
		if err := Check(bad); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClosedIndex(t *testing.T) {
	t.Parallel()
	x := open(t, filepath.Join(t.TempDir(), "fts.db"))
	s, err := x.Search(ctxbg, []Pattern{{Text: []byte("abc")}})
	tcheck(t, err)
	tcheck(t, x.Close())
	if err := s.Match(ctxbg, []int64{1}, make([]Answer, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("match: %v", err)
	}
	if _, err := x.Search(ctxbg, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("search: %v", err)
	}
}
