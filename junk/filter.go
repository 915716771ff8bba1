package junk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// The closed set of errors that callers tell apart. Anything else is an error of the
// disk, or of the context.
var (
	// ErrVersion: the file is of another version. It can be removed, and made again
	// from the messages.
	ErrVersion = errors.New("junk filter file is of another version")
	// ErrClosed: the filter is closed.
	ErrClosed = errors.New("junk filter is closed")
	// ErrParams: a parameter is out of its range.
	ErrParams = errors.New("bad parameter of junk filter")
	// ErrTooMany: more than MaxLessons lessons at once.
	ErrTooMany = errors.New("too many lessons at once")
)

// DefaultThreshold is the probability from which on a message is junk.
const DefaultThreshold = 0.95

// Params are what the configuration of an account can say, with the names it has there.
// See the package comment for what each still means. The zero value is the default.
type Params struct {
	Onegrams    bool    // Look at single words.
	Twograms    bool    // Look at pairs of words. Default, if neither is set: both.
	Threegrams  bool    // Accepted, without effect.
	MaxPower    float64 // Counts give no word a probability nearer to 0 or 1, below 0.5. Default 0.0067.
	TopWords    int     // How many words a verdict names for each side. Default 10.
	IgnoreWords float64 // Accepted, without effect.
	RareWords   int     // Accepted, without effect.
}

// Options are for [Open].
type Options struct {
	Params     Params
	Threshold  float64 // Probability from which on a message is junk. Zero is DefaultThreshold.
	Prior      *Prior  // What is known before the first lessons; nil for nothing.
	CacheWords int     // Words in memory. Zero is DefaultCacheWords.
	MaxWords   int     // Words in the file. Zero is DefaultMaxWords.
}

// Check returns an error that matches ErrParams if a value is out of its range.
func (p Params) Check() error {
	switch {
	case p.MaxPower < 0 || p.MaxPower >= 0.5:
		return fmt.Errorf("%w: MaxPower %v is not at least 0 and below 0.5", ErrParams, p.MaxPower)
	case p.TopWords < 0:
		return fmt.Errorf("%w: TopWords %d is negative", ErrParams, p.TopWords)
	case p.IgnoreWords < 0 || p.IgnoreWords >= 0.5:
		return fmt.Errorf("%w: IgnoreWords %v is not at least 0 and below 0.5", ErrParams, p.IgnoreWords)
	case p.RareWords < 0:
		return fmt.Errorf("%w: RareWords %d is negative", ErrParams, p.RareWords)
	}
	return nil
}

func (o Options) check() error {
	if err := o.Params.Check(); err != nil {
		return err
	}
	if o.Threshold < 0 || o.Threshold >= 1 {
		return fmt.Errorf("%w: Threshold %v is not at least 0 and below 1", ErrParams, o.Threshold)
	}
	return nil
}

func (o Options) withDefaults() Options {
	p := &o.Params
	if !p.Onegrams && !p.Twograms {
		p.Onegrams, p.Twograms = true, true
	}
	p.MaxPower = cmp.Or(p.MaxPower, defaultPower)
	p.TopWords = cmp.Or(p.TopWords, 10)
	o.Threshold = cmp.Or(o.Threshold, DefaultThreshold)
	o.CacheWords = cmp.Or(o.CacheWords, DefaultCacheWords)
	o.MaxWords = cmp.Or(o.MaxWords, DefaultMaxWords)
	return o
}

// A Filter is the filter of an account. It is safe for concurrent use.
type Filter struct {
	opts Options

	mu  sync.Mutex
	tab *table // Nil when closed.
	st  state
}

// Open opens the filter in a file, which is made if it is not there. One process can
// have it open at a time.
func Open(ctx context.Context, path string, o Options) (*Filter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	tab, st, err := openTable(path, o.CacheWords)
	if err != nil {
		return nil, fmt.Errorf("open junk filter %s: %w", path, err)
	}
	return &Filter{opts: o, tab: tab, st: st}, nil
}

// Close closes the file. It may be called more than once.
func (f *Filter) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tab == nil {
		return nil
	}
	err := f.tab.db.Close()
	f.tab = nil
	return err
}

// Stats are numbers about a filter.
type Stats struct {
	Ham, Spam int     // Lessons, less those taken back.
	Words     int     // Words, pairs and signs in the file.
	Prior     float64 // How much the prior still counts, 1 for fully.
}

// Stats returns numbers about the filter.
func (f *Filter) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := newModel(f.st, f.opts.Params, f.opts.Prior)
	return Stats{Ham: int(f.st.Ham), Spam: int(f.st.Spam), Words: int(f.st.Words), Prior: m.share}
}

// Last returns the last row of the journal whose lessons the filter has taken, zero if
// there is none.
func (f *Filter) Last() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.st.Row
}

// A Word is a token of a message and what it adds to the score: above zero towards
// junk, below towards ham.
type Word struct {
	Text      string
	Score     float64
	Ham, Spam int // Lessons of the account that had it.
}

// A Verdict is what the filter thinks of a message.
type Verdict struct {
	Junk        bool    // Significant, and the probability is at least the threshold.
	Probability float64 // That it is junk, 0 to 1.
	// Significant says that enough is known to say anything: lessons or a prior, and
	// some words of the message in them.
	Significant bool
	Score       float64 // From which Probability comes; zero is where the default threshold is met.
	Ham, Spam   []Word  // Words that say most for each side, strongest first, at most Params.TopWords.
}

// Classify judges a message.
func (f *Filter) Classify(ctx context.Context, t *Tokens) (Verdict, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, err := f.vector(ctx, t, nil)
	if err != nil {
		return Verdict{}, err
	}
	m := newModel(f.st, f.opts.Params, f.opts.Prior)
	parts := make([]float64, len(v.keys))
	score := m.score(v, parts)
	verdict := Verdict{Probability: m.probability(score), Score: score - m.cut()}
	known := 0
	for i := range v.keys {
		if h, s := v.counts(i, m.share); h+s > 0 {
			known++
		}
	}
	_, spam := m.totals()
	verdict.Significant = spam > 0 && known >= minKnownWords
	verdict.Junk = verdict.Significant && verdict.Probability >= f.opts.Threshold
	verdict.Ham, verdict.Spam = f.words(t, v, parts)
	return verdict, nil
}

// words returns the words that say most for each side.
func (f *Filter) words(t *Tokens, v *vector, parts []float64) (ham, spam []Word) {
	order := make([]int, 0, len(parts))
	for i, p := range parts {
		if p != 0 {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(parts[b], parts[a]), cmp.Compare(v.keys[a], v.keys[b]))
	})
	word := func(i int) Word {
		return Word{Text: v.text(t, i), Score: parts[i], Ham: int(v.known[i].ham), Spam: int(v.known[i].spam)}
	}
	for i := 0; i < len(order) && i < f.opts.Params.TopWords && parts[order[i]] > 0; i++ {
		spam = append(spam, word(order[i]))
	}
	for i := len(order) - 1; i >= 0 && len(ham) < f.opts.Params.TopWords && parts[order[i]] < 0; i-- {
		ham = append(ham, word(order[i]))
	}
	return ham, spam
}

// text returns the text of a token of a vector.
func (v *vector) text(t *Tokens, i int) string {
	if i >= len(v.tokens) {
		return newSender
	}
	return t.textOf(v.tokens[i])
}

// newSender is the sign that no message of the sender's organisation was in a lesson. It
// depends on the account, and so is no part of Tokens.
const newSender = "sign:sender never seen before"

// vector looks up the tokens of a message. Changed has entries that are newer than the
// table.
func (f *Filter) vector(ctx context.Context, t *Tokens, changed map[uint64]entry) (*vector, error) {
	if f.tab == nil {
		return nil, ErrClosed
	}
	v := &vector{tokens: make([]token, 0, len(t.list)), keys: make([]uint64, 0, len(t.list)+1)}
	for _, k := range t.list {
		if k.kind == kindWord && !f.opts.Params.Onegrams || k.kind == kindPair && !f.opts.Params.Twograms {
			continue
		}
		v.tokens = append(v.tokens, k)
		v.keys = append(v.keys, k.hash)
	}
	keys := v.keys
	if t.org != "" {
		keys = append(keys, hashText([]byte("from:"+t.org)), hashText([]byte(newSender)))
	}
	v.known = make([]entry, len(keys))
	if err := f.tab.get(ctx, keys, v.known); err != nil {
		return nil, fmt.Errorf("look up words: %w", err)
	}
	for i, k := range keys {
		if e, ok := changed[k]; ok {
			v.known[i] = e
		}
	}
	if t.org != "" {
		n := len(v.keys)
		if v.known[n].zero() {
			v.keys = append(v.keys, keys[n+1])
			v.known[n] = v.known[n+1]
			v.known = v.known[:n+1]
		} else {
			v.known = v.known[:n]
		}
	}
	if p := f.opts.Prior; p != nil {
		v.prior = make([]priorWord, len(v.keys))
		for i, k := range v.keys {
			v.prior[i] = p.words[k]
		}
	}
	return v, nil
}

// A Lesson says what a message is.
type Lesson struct {
	Tokens *Tokens
	Spam   bool // Junk, else ham.
	Undo   bool // Take back an earlier lesson that said so.
}

// Apply takes lessons, in order, in one commit that is on disk when it returns. Row is
// the number of the last row of the journal that they come from; if the filter has
// taken that row or a later one before, Apply does nothing, so that each row counts once
// whatever crashes. With row zero the lessons come from no journal. After an error
// nothing was taken.
func (f *Filter) Apply(ctx context.Context, row int64, lessons []Lesson) error {
	if len(lessons) > MaxLessons {
		return fmt.Errorf("%w: %d", ErrTooMany, len(lessons))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tab == nil {
		return ErrClosed
	}
	if row != 0 && row <= f.st.Row {
		return nil
	}
	st := f.st
	changed := map[uint64]entry{}
	for _, l := range lessons {
		v, err := f.vector(ctx, l.Tokens, changed)
		if err != nil {
			return err
		}
		m := newModel(st, f.opts.Params, f.opts.Prior)
		m.learn(v, l)
		st = m.state
		for i, k := range v.keys {
			changed[k] = v.known[i]
		}
	}
	if row != 0 {
		st.Row = row
	}
	if err := f.tab.commit(changed, &st, f.opts.MaxWords); err != nil {
		return err
	}
	f.st = st
	return nil
}
