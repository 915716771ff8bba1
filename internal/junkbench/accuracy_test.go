package junkbench

import (
	"testing"
)

// The short form of the benchmark, within the first two thirds of the corpus, on which
// the parameters were chosen: it fails when the filter gets worse.
func TestFilterIsAsAccurateAsItWas(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	c := readCorpus(t)
	if c.ham != 4110 || c.spam != 1728 || c.noDate != 0 {
		t.Errorf("corpus has %d ham and %d spam without repeats, %d without a date", c.ham, c.spam, c.noDate)
	}
	mails := c.mails[:len(c.mails)*2/3]
	half := len(mails) / 2

	f := openFilter(t, nil)
	train(t, f, mails[:half])
	l := judge(t, f, mails[half:])
	if share := at(l, 1); share < 0.80 {
		t.Errorf("trained: %.1f%% caught where 1 ham in 1000 is lost", 100*share)
	}
	if area := auc(l); area > 0.6 {
		t.Errorf("trained: %.3f%% above the curve", area)
	}

	prior, _ := makePrior(t, mails[:half])
	l = judge(t, openFilter(t, prior), mails[half:])
	lost, ham, _, _ := decision(l)
	if share := at(l, 2); share < 0.75 || lost*1000 > 3*ham {
		t.Errorf("cold: %.1f%% caught where 2 ham in 1000 are lost; %s", 100*share, decisionText(l))
	}

	o := oneByOne(t, openFilter(t, nil), mails[:half], policy{accepted: true})
	lost, _, caught, spam := decision(o.results)
	if lost > 6 || o.worst > 2 || float64(caught)/float64(spam) < 0.80 {
		t.Errorf("one by one: %s; %d lost in 200 messages", decisionText(o.results), o.worst)
	}
}

func TestROCCountsFromTheHighestScore(t *testing.T) {
	t.Parallel()
	l := []result{{score: 3, spam: true}, {score: 2}, {score: 2, spam: true}, {score: 1, spam: true}, {score: 0}}
	caught, ham, spam := roc(l)
	if ham != 2 || spam != 3 || len(caught) != 3 || caught[0] != 1 || caught[1] != 3 || caught[2] != 3 {
		t.Errorf("got %v of %d, %d", caught, ham, spam)
	}
	if a := auc(l); a < 33.3 || a > 33.4 {
		t.Errorf("area: got %v", a)
	}
	if got := at(l, 500); got != 1 {
		t.Errorf("at 500 in 1000: got %v", got)
	}
}
