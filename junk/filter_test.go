package junk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

func TestFilterLearnsAndSaysWhy(t *testing.T) {
	t.Parallel()
	f := open(t, Options{})
	spam, ham := read(t, text("buy cheap pills now from our store")), read(t, text("water the roses in the garden"))
	if v := classify(t, f, spam); v.Junk || v.Significant {
		t.Fatalf("before lessons: %+v", v)
	}
	trainSome(t, f, 30)
	v := classify(t, f, spam)
	if !v.Junk || !v.Significant || v.Probability < DefaultThreshold || v.Score < 0 {
		t.Errorf("junk: got %+v", v)
	}
	if len(v.Spam) == 0 || !slices.ContainsFunc(v.Spam, func(w Word) bool { return w.Text == "pills" && w.Spam == 30 && w.Ham == 0 }) {
		t.Errorf("words for junk: got %+v", v.Spam)
	}
	for i, w := range v.Spam {
		if w.Score <= 0 || i > 0 && w.Score > v.Spam[i-1].Score {
			t.Errorf("words for junk are not in order: %+v", v.Spam)
		}
	}
	v = classify(t, f, ham)
	if v.Junk || v.Probability > 0.5 || len(v.Ham) == 0 || v.Ham[0].Score >= 0 {
		t.Errorf("ham: got %+v", v)
	}
	if len(v.Ham) > 10 || len(v.Spam) > 10 {
		t.Errorf("more than the default of words: %d and %d", len(v.Ham), len(v.Spam))
	}
	s := f.Stats()
	if s.Ham != 30 || s.Spam != 30 || s.Words == 0 || s.Prior != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestFewKnownWordsSayNothing(t *testing.T) {
	t.Parallel()
	f := open(t, Options{})
	trainSome(t, f, 30)
	if v := classify(t, f, readRaw(t, "X: y\r\n\r\nqwertz")); v.Significant || v.Junk {
		t.Errorf("got %+v", v)
	}
}

func TestLessonsOfARowCountOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "junk.db")
	f := openAt(t, path, Options{})
	l := Lesson{Tokens: read(t, text("pills")), Spam: true}
	apply(t, f, 7, l, l)
	apply(t, f, 7, l)
	apply(t, f, 6, l)
	if s := f.Stats(); s.Spam != 2 || f.Last() != 7 {
		t.Errorf("got %+v, row %d", s, f.Last())
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = openAt(t, path, Options{})
	apply(t, f, 7, l)
	if s := f.Stats(); s.Spam != 2 || f.Last() != 7 {
		t.Errorf("reopened: got %+v, row %d", s, f.Last())
	}
	apply(t, f, 8)
	apply(t, f, 0, l)
	if s := f.Stats(); s.Spam != 3 || f.Last() != 8 {
		t.Errorf("rows without lessons, lessons without row: got %+v, row %d", s, f.Last())
	}
}

func TestWhatWasLearnedOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "junk.db")
	f := openAt(t, path, Options{})
	trainSome(t, f, 10)
	tokens := read(t, text("cheap pills and roses"))
	want := classify(t, f, tokens)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got := classify(t, openAt(t, path, Options{}), tokens)
	if math.Abs(got.Score-want.Score) > 1e-9 || got.Junk != want.Junk {
		t.Errorf("got %v, want %v", got.Score, want.Score)
	}
}

func TestLessonsThatAreTakenBackLeaveNoCounts(t *testing.T) {
	t.Parallel()
	f := open(t, Options{})
	trainSome(t, f, 20)
	before := f.Stats()
	tokens := read(t, text("an offer for zebras only"))
	scoreBefore := classify(t, f, tokens).Score
	apply(t, f, 0, Lesson{Tokens: tokens, Spam: true})
	taught := classify(t, f, tokens).Score
	apply(t, f, 0, Lesson{Tokens: tokens, Spam: true, Undo: true})
	after := f.Stats()
	if after != before {
		t.Errorf("stats: got %+v, want %+v", after, before)
	}
	if s := classify(t, f, tokens).Score; s >= taught || taught <= scoreBefore {
		t.Errorf("scores: %v before, %v taught, %v taken back", scoreBefore, taught, s)
	}
	// More is taken back than there was.
	apply(t, f, 0, Lesson{Tokens: tokens, Undo: true}, Lesson{Tokens: tokens, Undo: true})
	if s := f.Stats(); s.Ham != before.Ham-2 {
		t.Errorf("got %+v", s)
	}
}

func TestAMistakeIsMadeGood(t *testing.T) {
	t.Parallel()
	f := open(t, Options{})
	trainSome(t, f, 30)
	ham := read(t, text("buy cheap pills now from our store offer, says uncle"))
	if v := classify(t, f, ham); !v.Junk {
		t.Fatalf("not a mistake: %+v", v)
	}
	cut := f.st.Cut
	apply(t, f, 0, Lesson{Tokens: ham})
	if v := classify(t, f, ham); v.Junk {
		t.Errorf("still junk after the lesson: %+v", v)
	}
	if f.st.Cut != cut+cutUp {
		t.Errorf("cut: got %v, want %v more than %v", f.st.Cut, cutUp, cut)
	}
}

func TestCutStaysWithinItsBounds(t *testing.T) {
	t.Parallel()
	f := open(t, Options{})
	spam := func(i int) Lesson {
		return Lesson{Tokens: read(t, text(fmt.Sprintf("a%d b%d c%d d%d", i, i, i, i))), Spam: true}
	}
	f.st.Cut = minCut + cutDown/2
	apply(t, f, 0, spam(1))
	if f.st.Cut < minCut {
		t.Errorf("cut fell to %v", f.st.Cut)
	}
	f.st.Cut = maxCut
	f.st.Bias = 2 * maxCut
	apply(t, f, 0, Lesson{Tokens: read(t, text("q r s"))})
	if f.st.Cut > maxCut {
		t.Errorf("cut rose to %v", f.st.Cut)
	}
}

func TestSenderNeverSeenBeforeIsASign(t *testing.T) {
	t.Parallel()
	f := open(t, Options{})
	tokens := read(t, text("hello"))
	has := func() bool {
		v, err := f.vector(context.Background(), tokens, nil)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(v.keys, hashText([]byte(newSender)))
	}
	if !has() {
		t.Errorf("no sign for a new sender")
	}
	apply(t, f, 0, Lesson{Tokens: tokens})
	if has() {
		t.Errorf("sign for a known sender")
	}
	if tokens = read(t, "From: x@sub.example.org\n\nx\n"); has() {
		t.Errorf("sign for a known organisation")
	}
}

func TestCacheSparesLookingUpWords(t *testing.T) {
	t.Parallel()
	f := open(t, Options{})
	trainSome(t, f, 3)
	tokens := read(t, text("never seen words and pills"))
	classify(t, f, tokens)
	before := f.tab.gets
	classify(t, f, tokens)
	if f.tab.gets != before {
		t.Errorf("%d words were looked up again", f.tab.gets-before)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	const limit = 100
	f := open(t, Options{CacheWords: limit})
	trainSome(t, f, 20)
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "word%d ", i)
	}
	big := read(t, text(b.String()))
	classify(t, f, big)
	apply(t, f, 0, Lesson{Tokens: big})
	classify(t, f, read(t, text("some pills")))
	// One message may be larger; what comes after it makes room.
	if n := len(f.tab.cache); n > limit {
		t.Errorf("%d words in the cache", n)
	}
}

func TestTableIsBoundedAndForgetsWhatIsRare(t *testing.T) {
	t.Parallel()
	const limit = 400
	f := open(t, Options{MaxWords: limit})
	for i := range 300 {
		apply(t, f, 0, Lesson{Tokens: read(t, text(fmt.Sprintf("cheap pills once%d twice%d", i, i))), Spam: true})
		if s := f.Stats(); s.Words > limit {
			t.Fatalf("%d words after %d lessons", s.Words, i)
		}
	}
	n := 0
	err := f.tab.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketWords).ForEach(func(_, _ []byte) error { n++; return nil })
	})
	if err != nil || n != f.Stats().Words {
		t.Errorf("table has %d words, counted %d, error %v", n, f.Stats().Words, err)
	}
	v := classify(t, f, read(t, text("cheap pills once1 once299")))
	known := map[string]int{}
	for _, w := range append(v.Spam, v.Ham...) {
		known[w.Text] = w.Spam
	}
	if known["pills"] < 200 || known["once1"] != 0 {
		t.Errorf("got %v", known)
	}
}

func TestParamsAreCheckedAndUsed(t *testing.T) {
	t.Parallel()
	for _, p := range []Params{{MaxPower: 0.5}, {MaxPower: -1}, {TopWords: -1}, {IgnoreWords: 0.5}, {RareWords: -1}} {
		if _, err := Open(context.Background(), filepath.Join(t.TempDir(), "x"), Options{Params: p}); !errors.Is(err, ErrParams) {
			t.Errorf("%+v: got %v", p, err)
		}
	}
	if _, err := Open(context.Background(), filepath.Join(t.TempDir(), "x"), Options{Threshold: 1}); !errors.Is(err, ErrParams) {
		t.Errorf("threshold 1: got %v", err)
	}
	tokens := read(t, text("one two three"))
	for _, tc := range []struct {
		p           Params
		word, pairs bool
	}{
		{Params{}, true, true}, {Params{Onegrams: true}, true, false}, {Params{Twograms: true}, false, true}, {Params{Onegrams: true, Twograms: true, Threegrams: true}, true, true},
	} {
		f := open(t, Options{Params: tc.p})
		v, err := f.vector(context.Background(), tokens, nil)
		if err != nil {
			t.Fatal(err)
		}
		one, two := hashText([]byte("one")), hashText([]byte("two"))
		if slices.Contains(v.keys, one) != tc.word || slices.Contains(v.keys, hashPair(one, two)) != tc.pairs {
			t.Errorf("%+v: words and pairs are not as they should", tc.p)
		}
	}
	f := open(t, Options{Threshold: 0.9999, Params: Params{TopWords: 2}})
	trainSome(t, f, 5)
	v := classify(t, f, read(t, text("cheap pills")))
	if v.Junk != (v.Probability >= 0.9999) || len(v.Spam) > 2 || len(v.Ham) > 2 {
		t.Errorf("got %+v", v)
	}
}

func TestErrorsChangeNothing(t *testing.T) {
	t.Parallel()
	f := open(t, Options{})
	trainSome(t, f, 3)
	before := f.Stats()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tokens := read(t, text("unheard of"))
	if err := f.Apply(ctx, 5, []Lesson{{Tokens: tokens}}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
	if _, err := f.Classify(ctx, tokens); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
	if err := f.Apply(context.Background(), 5, make([]Lesson, MaxLessons+1)); !errors.Is(err, ErrTooMany) {
		t.Errorf("too many: got %v", err)
	}
	if f.Stats() != before || f.Last() != 0 {
		t.Errorf("got %+v, row %d, want %+v", f.Stats(), f.Last(), before)
	}
	// A commit that fails.
	if err := f.tab.db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Apply(context.Background(), 5, []Lesson{{Tokens: read(t, text("pills"))}}); err == nil {
		t.Errorf("no error for a closed database")
	}
	if f.Stats() != before || f.Last() != 0 {
		t.Errorf("after a failed commit: got %+v, row %d, want %+v", f.Stats(), f.Last(), before)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Classify(context.Background(), tokens); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: got %v", err)
	}
	if err := f.Apply(context.Background(), 9, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: got %v", err)
	}
}

func TestFilesOfOtherVersionsAreRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		state []byte
		want  error
	}{{[]byte{version + 1}, ErrVersion}, {[]byte{version, 1}, errCorrupt}, {[]byte{}, errCorrupt}} {
		path := filepath.Join(t.TempDir(), "junk.db")
		f := openAt(t, path, Options{})
		err := f.tab.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyState, tc.state) })
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(context.Background(), path, Options{}); !errors.Is(err, tc.want) {
			t.Errorf("%v: got %v, want %v", tc.state, err, tc.want)
		}
	}
}

func TestEntriesKeepTheirValues(t *testing.T) {
	t.Parallel()
	for _, e := range []entry{{}, {1, 2, 0.5, 3}, {math.MaxUint32, math.MaxUint32, -math.MaxFloat32, math.MaxUint32}} {
		var got entry
		if err := got.unmarshal(e.marshal()); err != nil || got != e {
			t.Errorf("got %+v, %v, want %+v", got, err, e)
		}
	}
	for _, b := range [][]byte{nil, {1}, {1, 2, 3, 4}, bytes.Repeat([]byte{0xff}, 20)} {
		if err := new(entry).unmarshal(b); !errors.Is(err, errCorrupt) {
			t.Errorf("%v: got %v", b, err)
		}
	}
}

func TestFilterIsUsedByMany(t *testing.T) {
	t.Parallel()
	f := open(t, Options{CacheWords: 50})
	tokens := read(t, text("cheap pills"))
	done := make(chan error)
	for i := range 8 {
		go func() {
			var err error
			for range 20 {
				if i%2 == 0 {
					_, cerr := f.Classify(context.Background(), tokens)
					err = errors.Join(err, cerr)
				} else {
					err = errors.Join(err, f.Apply(context.Background(), 0, []Lesson{{Tokens: tokens, Spam: true}}))
				}
			}
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if s := f.Stats(); s.Spam != 80 {
		t.Errorf("got %+v", s)
	}
}
