package training

import (
	"testing"

	"mox/junk"
)

// BenchmarkRetrain is how long it takes to make a filter anew from 1,000 messages.
func BenchmarkRetrain(b *testing.B) {
	e := newEnv(b, Options{})
	e.deliver("ann", 500)
	for b.Loop() {
		if _, err := e.Retrain(ctxbg, "ann", nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClassify is a verdict by a filter that is open.
func BenchmarkClassify(b *testing.B) {
	prior, err := junk.DefaultPrior()
	tcheck(b, err)
	e := newEnv(b, Options{Prior: prior})
	e.deliver("ann", 50)
	tcheck(b, e.Flush(ctxbg, "ann"))
	l := tokens(b, text(-1, true))
	for b.Loop() {
		if _, _, err := e.Classify(ctxbg, "ann", l); err != nil {
			b.Fatal(err)
		}
	}
}
