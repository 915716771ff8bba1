package junk

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"mox/message"
)

// benchMessages are messages of 20 KB of text like that of people: common words and
// rare ones.
func benchMessages(n int) []string {
	var l []string
	x := uint64(1)
	for i := range n {
		var b strings.Builder
		fmt.Fprintf(&b, "From: Ann <ann@h%d.example.org>\r\nSubject: about %d things\r\n\r\n", i%50, i)
		for b.Len() < 20<<10 {
			x = mix(x + 1)
			// Of 30,000 words, some much more often than others.
			word := x % 30_000 * (x >> 32 % 1000) / 1000 * (x >> 48 % 1000) / 1000
			fmt.Fprintf(&b, "word%x ", word*2654435761%0xfffff)
			if x>>20%12 == 0 {
				b.WriteString("\r\n")
			}
		}
		l = append(l, b.String())
	}
	return l
}

func BenchmarkRead20KB(b *testing.B) {
	msg := benchMessages(1)[0]
	r := strings.NewReader(msg)
	root, err := message.Parse(r, r.Size(), message.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(r, r.Size(), root); err != nil {
			b.Fatal(err)
		}
	}
}

// benchFilter is a filter with 60 lessons, and tokens of other messages.
func benchFilter(b *testing.B, o Options) (*Filter, []*Tokens) {
	b.Helper()
	f := open(b, o)
	var tokens []*Tokens
	for _, m := range benchMessages(110) {
		tokens = append(tokens, readRaw(b, m))
	}
	var l []Lesson
	for i, t := range tokens[:60] {
		l = append(l, Lesson{Tokens: t, Spam: i%3 == 0})
	}
	apply(b, f, 0, l...)
	return f, tokens[60:]
}

func benchClassify(b *testing.B, o Options) {
	f, tokens := benchFilter(b, o)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if _, err := f.Classify(context.Background(), tokens[i%len(tokens)]); err != nil {
			b.Fatal(err)
		}
	}
}

// All words are in the cache.
func BenchmarkClassify20KBCached(b *testing.B) { benchClassify(b, Options{CacheWords: 1_000_000}) }

// Nearly no word is.
func BenchmarkClassify20KBFromFile(b *testing.B) { benchClassify(b, Options{CacheWords: 1}) }

func benchTrain(b *testing.B, batch int) {
	f, tokens := benchFilter(b, Options{})
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		var l []Lesson
		for range batch {
			i++
			l = append(l, Lesson{Tokens: tokens[i%len(tokens)], Spam: i%3 == 0})
		}
		if err := f.Apply(context.Background(), 0, l); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "µs/message")
}

// Each lesson is a commit with its sync.
func BenchmarkTrain20KBOne(b *testing.B) { benchTrain(b, 1) }

// Lessons come together, as from the journal.
func BenchmarkTrain20KBBatch50(b *testing.B) { benchTrain(b, 50) }
