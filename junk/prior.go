package junk

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

//go:embed prior.gz
var priorFile []byte

// A Prior is what is known of words before an account has lessons of its own: in how
// many messages of a corpus they were. It is not changed, and can be shared by filters.
type Prior struct {
	ham, spam uint32
	words     map[uint64]priorWord
}

type priorWord struct{ ham, spam uint16 }

// ErrPrior says that a prior cannot be read.
var ErrPrior = errors.New("invalid prior of junk filter")

// DefaultPrior reads the prior that comes with the program. It takes some
// milliseconds and half a megabyte of memory: read it once for all accounts.
func DefaultPrior() (*Prior, error) { return ReadPrior(bytes.NewReader(priorFile)) }

// Words returns the number of words.
func (p *Prior) Words() int { return len(p.words) }

const (
	priorMagic    = "mox junk prior 1"
	maxPriorWords = 1 << 20
	priorPair     = "\t" // Between the words of a pair, in the file.
)

// ReadPrior reads a prior as PriorBuilder.WriteTo writes it: compressed lines, the first
// with the number of messages and the others with the counts of a word.
func ReadPrior(r io.Reader) (*Prior, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPrior, err)
	}
	sc := bufio.NewScanner(z)
	p := &Prior{words: map[uint64]priorWord{}}
	if !sc.Scan() || sc.Text() != priorMagic || !sc.Scan() {
		return nil, fmt.Errorf("%w: not a prior", ErrPrior)
	}
	ham, spam, _, err := priorLine(sc.Text() + " ")
	if err != nil {
		return nil, err
	}
	p.ham, p.spam = uint32(ham), uint32(spam)
	for sc.Scan() {
		ham, spam, text, err := priorLine(sc.Text())
		if err != nil {
			return nil, err
		}
		if len(p.words) >= maxPriorWords {
			return nil, fmt.Errorf("%w: too many words", ErrPrior)
		}
		hash := hashText([]byte(text))
		if first, second, ok := strings.Cut(text, priorPair); ok {
			hash = hashPair(hashText([]byte(first)), hashText([]byte(second)))
		}
		p.words[hash] = priorWord{ham, spam}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPrior, err)
	}
	return p, nil
}

// priorLine reads "ham spam text".
func priorLine(s string) (ham, spam uint16, text string, err error) {
	h, rest, ok := strings.Cut(s, " ")
	sp, text, ok2 := strings.Cut(rest, " ")
	hn, err1 := strconv.ParseUint(h, 10, 16)
	sn, err2 := strconv.ParseUint(sp, 10, 16)
	if !ok || !ok2 || err1 != nil || err2 != nil {
		return 0, 0, "", fmt.Errorf("%w: bad line", ErrPrior)
	}
	return uint16(hn), uint16(sn), text, nil
}

// PriorOptions are for a PriorBuilder.
type PriorOptions struct {
	MaxWords int // Words in the prior.
	// Senders is the number of different senders that a word must come from.
	Senders int
	// Skip says which tokens are left out, given their texts. A pair is left out with
	// one of its words. Nil is none.
	Skip func(text string) bool
}

// A PriorBuilder makes a prior from messages.
type PriorBuilder struct {
	o         PriorOptions
	ham, spam int
	words     map[string]*priorCount
}

type priorCount struct {
	ham, spam int
	senders   []string // The first few.
}

// NewPriorBuilder returns a builder without messages.
func NewPriorBuilder(o PriorOptions) *PriorBuilder {
	return &PriorBuilder{o: o, words: map[string]*priorCount{}}
}

// Add counts the words of a message. Sender is who is behind it: for mail that came
// over a list, the list.
func (b *PriorBuilder) Add(t *Tokens, sender string, spam bool) {
	if spam {
		b.spam++
	} else {
		b.ham++
	}
	for _, k := range t.list {
		first := string(t.text[k.off : k.off+uint32(k.len)])
		text := first
		if k.kind == kindPair {
			second := string(t.text[k.off2 : k.off2+uint32(k.len2)])
			text += priorPair + second
			if b.skip(second) {
				continue
			}
		}
		if b.skip(first) {
			continue
		}
		c := b.words[text]
		if c == nil {
			c = &priorCount{}
			b.words[text] = c
		}
		if spam {
			c.spam++
		} else {
			c.ham++
		}
		if len(c.senders) < b.o.Senders && !slices.Contains(c.senders, sender) {
			c.senders = append(c.senders, sender)
		}
	}
}

func (b *PriorBuilder) skip(text string) bool {
	return strings.ContainsAny(text, "\r\n\t") || b.o.Skip != nil && b.o.Skip(text)
}

// WriteTo writes the prior: of the words of enough senders those that say most.
func (b *PriorBuilder) WriteTo(w io.Writer) (int64, error) {
	type line struct {
		text string
		c    *priorCount
		gain float64
	}
	m := model{params: Options{}.withDefaults().Params}
	var lines []line
	for text, c := range b.words {
		if len(c.senders) < b.o.Senders {
			continue
		}
		r := m.ratio(float64(c.ham), float64(c.spam), float64(b.ham), float64(b.spam))
		if r == 0 {
			continue
		}
		lines = append(lines, line{text, c, math.Abs(r) * math.Sqrt(float64(c.ham+c.spam))})
	}
	slices.SortFunc(lines, func(x, y line) int {
		return cmp.Or(cmp.Compare(y.gain, x.gain), cmp.Compare(x.text, y.text))
	})
	lines = lines[:min(len(lines), b.o.MaxWords)]
	slices.SortFunc(lines, func(x, y line) int { return cmp.Compare(x.text, y.text) })
	cw := &countWriter{w: w}
	z, err := gzip.NewWriterLevel(cw, gzip.BestCompression)
	if err != nil {
		return 0, err
	}
	bw := bufio.NewWriter(z)
	fmt.Fprintf(bw, "%s\n%d %d\n", priorMagic, min(b.ham, math.MaxUint16), min(b.spam, math.MaxUint16))
	for _, l := range lines {
		fmt.Fprintf(bw, "%d %d %s\n", min(l.c.ham, math.MaxUint16), min(l.c.spam, math.MaxUint16), l.text)
	}
	if err := errors.Join(bw.Flush(), z.Close()); err != nil {
		return cw.n, fmt.Errorf("write prior: %w", err)
	}
	return cw.n, nil
}

// A countWriter counts what is written.
type countWriter struct {
	w io.Writer
	n int64
}

func (c *countWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
