package junkbench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"mox/junk"
)

// openFilter opens a new filter with default parameters.
func openFilter(t testing.TB, prior *junk.Prior) *junk.Filter {
	t.Helper()
	f, err := junk.Open(context.Background(), filepath.Join(t.TempDir(), "junk.db"), junk.Options{Prior: prior})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func train(t testing.TB, f *junk.Filter, mails []mail) {
	t.Helper()
	for len(mails) > 0 {
		n := min(200, len(mails))
		var l []junk.Lesson
		for _, m := range mails[:n] {
			l = append(l, junk.Lesson{Tokens: m.tokens, Spam: m.spam})
		}
		if err := f.Apply(context.Background(), 0, l); err != nil {
			t.Fatal(err)
		}
		mails = mails[n:]
	}
}

func judgeOne(t testing.TB, f *junk.Filter, m mail) result {
	t.Helper()
	v, err := f.Classify(context.Background(), m.tokens)
	if err != nil {
		t.Fatal(err)
	}
	score := v.Score
	if !v.Significant {
		score = math.Min(score, 0)
	}
	return result{score: score, junk: v.Junk, spam: m.spam}
}

func judge(t testing.TB, f *junk.Filter, mails []mail) []result {
	t.Helper()
	var l []result
	for _, m := range mails {
		l = append(l, judgeOne(t, f, m))
	}
	return l
}

// A policy says which messages a filter learns from, one by one.
type policy struct {
	late     int  // Lessons come so many messages late.
	accepted bool // What nobody complains about is a lesson too, as late.
}

// An outcome is what happens one by one.
type outcome struct {
	results []result
	lessons int
	worst   int // Most ham lost in a stretch of 200 messages.
}

// oneByOne judges messages in order, and learns as the policy says.
func oneByOne(t testing.TB, f *junk.Filter, mails []mail, p policy) outcome {
	t.Helper()
	var o outcome
	var due []int
	var lost []int
	learn := func(until int) {
		for len(due) > 0 && due[0]+p.late <= until {
			train(t, f, mails[due[0]:due[0]+1])
			o.lessons++
			due = due[1:]
		}
	}
	for i, m := range mails {
		learn(i - 1)
		r := judgeOne(t, f, m)
		o.results = append(o.results, r)
		if r.junk && !r.spam {
			lost = append(lost, i)
			n := 0
			for _, l := range lost {
				if l > i-200 {
					n++
				}
			}
			o.worst = max(o.worst, n)
		}
		if r.junk != r.spam || p.accepted {
			due = append(due, i)
		}
	}
	return o
}

// TestJunkBench is "make junkbench": it prints how well the filter does. With
// MOX_JUNKBENCH=tune it only uses the first two thirds of the corpus.
func TestJunkBench(t *testing.T) {
	if os.Getenv("MOX_JUNKBENCH") == "" {
		t.Skip("a benchmark: run it with make junkbench")
	}
	w := os.Stdout
	c := readCorpus(t)
	fmt.Fprintf(w, "corpus: %d ham and %d spam; without repeats %d and %d\n", c.hamAll, c.spamAll, c.ham, c.spam)
	fmt.Fprintf(w, "a repeat has the body of an earlier message, in order of file names, if all white space is taken out\n")
	fmt.Fprintf(w, "order: date of the first Received field, else Date; %d messages without\n", c.noDate)
	for i := range 6 {
		part := c.mails[i*len(c.mails)/6 : (i+1)*len(c.mails)/6]
		ham, spam := 0, 0
		for _, m := range part {
			count(m.spam, &ham, &spam)
		}
		fmt.Fprintf(w, "sixth %d, until %s: %d ham, %d spam\n", i+1, part[len(part)-1].at.UTC().Format("2006-01-02"), ham, spam)
	}
	fmt.Fprintf(w, "parameters were chosen on the first two thirds (sixths 1 to 4)\n")
	if os.Getenv("MOX_JUNKBENCH") == "tune" {
		fmt.Fprintf(w, "for choosing parameters: the last third of the corpus is left out\n")
		c.mails = c.mails[:len(c.mails)*2/3]
	}
	experimentA(t, w, c)
	experimentB(t, w, c)
	experimentC(t, w, c)
	experimentD(t, w, c)
}

// experimentA trains on two thirds and judges the rest, beside bogofilter.
func experimentA(t *testing.T, w io.Writer, c corpus) {
	n := len(c.mails) * 2 / 3
	f := openFilter(t, nil)
	train(t, f, c.mails[:n])
	ours := judge(t, f, c.mails[n:])
	b := newBogofilter(t, c.mails)
	b.train(t, c.mails, 0, n)
	theirs := b.judge(t, c.mails, n, len(c.mails))
	fmt.Fprintf(w, "\n(a) trained on the first two thirds, judged on the rest, no prior\n")
	behind, even := printROC(w, []string{"mox", "bogofilter"}, ours, theirs)
	fmt.Fprintf(w, "mox is behind at %d points of the curve, even at %d\n", behind, even)
	fmt.Fprintf(w, "caught where 1 ham in 1000 is lost: mox %.1f%%, bogofilter %.1f%%; area above the curve: %.4f%%, %.4f%%\n",
		100*at(ours, 1), 100*at(theirs, 1), auc(ours), auc(theirs))
	fmt.Fprintf(w, "mox %s\nbogofilter %s\n", decisionText(ours), decisionText(theirs))
}

// experimentB judges the second half with nothing but a prior from the first.
func experimentB(t *testing.T, w io.Writer, c corpus) {
	n := len(c.mails) / 2
	prior, size := makePrior(t, c.mails[:n])
	l := judge(t, openFilter(t, prior), c.mails[n:])
	fmt.Fprintf(w, "\n(b) cold, with a prior of %d words (%d bytes) from the first half, judged on the second\n", prior.Words(), size)
	printROC(w, []string{"mox"}, l)
	fmt.Fprintf(w, "caught where 2 ham in 1000 are lost: %.1f%%; where 1 is: %.1f%%\n%s\n", 100*at(l, 2), 100*at(l, 1), decisionText(l))
}

// experimentC starts from nothing and judges all, one by one.
func experimentC(t *testing.T, w io.Writer, c corpus) {
	for _, e := range []struct {
		name string
		p    policy
	}{
		{"(c) from nothing, one by one, trained on errors only", policy{}},
		{"(c) trained on errors only, lessons 200 messages late", policy{late: 200}},
		{"(c) trained on errors, and what nobody complains about is taken as judged", policy{accepted: true}},
		{"(c) the same, all lessons 200 messages late", policy{late: 200, accepted: true}},
	} {
		o := oneByOne(t, openFilter(t, nil), c.mails, e.p)
		fmt.Fprintf(w, "\n%s: %d lessons\n%s\nmost ham lost in a stretch of 200 messages: %d\n", e.name, o.lessons, decisionText(o.results), o.worst)
		fmt.Fprintf(w, "%10s %10s %10s %10s\n", "messages", "ham lost", "caught", "of spam")
		step := (len(o.results) + 11) / 12
		for i := 0; i < len(o.results); i += step {
			end := min(i+step, len(o.results))
			lost, _, caught, spam := decision(o.results[i:end])
			fmt.Fprintf(w, "%10d %10d %10d %10d\n", end, lost, caught, spam)
		}
	}
}

// experimentD is what a new account sees: a prior from other mail, and lessons.
func experimentD(t *testing.T, w io.Writer, c corpus) {
	n := len(c.mails) / 2
	prior, _ := makePrior(t, c.mails[:n])
	for _, p := range []policy{{}, {late: 200}} {
		o := oneByOne(t, openFilter(t, prior), c.mails[n:], p)
		fmt.Fprintf(w, "\n(d) prior from the first half; the second one by one, trained on errors only, lessons %d late: %d lessons\n%s\nmost ham lost in a stretch of 200 messages: %d\n",
			p.late, o.lessons, decisionText(o.results), o.worst)
	}
}

// makePrior makes a prior as the one that comes with the program.
func makePrior(t testing.TB, mails []mail) (*junk.Prior, int) {
	t.Helper()
	var buf bytes.Buffer
	if err := writePrior(&buf, mails); err != nil {
		t.Fatal(err)
	}
	size := buf.Len()
	p, err := junk.ReadPrior(&buf)
	if err != nil {
		t.Fatal(err)
	}
	return p, size
}
