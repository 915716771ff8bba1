package junk

import (
	"math"
)

// The numbers that the score is made with. They were chosen on the first two thirds of
// the corpus that internal/junkbench measures with, never looking at the last third.
const (
	startCut = 2.0  // The score from which on a message is junk, before there are lessons.
	minCut   = 1.0  // It never falls below.
	maxCut   = 12.0 // Nor rises above.
	cutUp    = 1.0  // How much it rises when ham was taken for junk,
	cutDown  = 0.02 // and falls when junk was taken for ham: losing ham is 50 times worse.

	ratioWeight   = 1.2  // Weight of the ratios of counts beside the logistic part.
	ratioLessons  = 50.0 // Lessons of both classes at which they count half of it.
	ratioPower    = 0.8  // The sum of n ratios is divided by n to this power.
	ratioSmooth   = 0.1  // Occurrences that an unknown word is assumed to have.
	ratioAgainst  = 0.25 // Weight of a sum that speaks for ham: junk among much ham should not hide.
	ratioCut      = 5.0  // How much higher the cut is for the wider range of scores, once the ratios count fully.
	ratioMinimum  = 0.45 // Words with a probability nearer to one half say nothing.
	defaultPower  = 0.0067
	learnRate     = 6.0   // Of the logistic part.
	learnHam      = 3.0   // How much more a lesson about ham teaches.
	learnMargin   = 0.15  // A message whose probability is this near to right teaches nothing.
	learnSteps    = 4     // Steps for a lesson, at most.
	learnBias     = 0.01  // The share of a step that goes to the bias.
	priorLessons  = 100.0 // Lessons of each class at which the prior counts a quarter.
	priorMinimum  = 0.01  // It is dropped when it counts less than this.
	priorCut      = 4.0   // How much higher the cut is while there is nothing but the prior.
	ageLessons    = 200   // See age.
	minKnownWords = 5     // With fewer known words, nothing can be said.
)

// A vector is a message with what is known of its tokens.
type vector struct {
	tokens []token // Those that count.
	keys   []uint64
	known  []entry
	prior  []priorWord // Of the same tokens; nil without a prior.
}

// counts returns in how many lessons a token was, with the share of the prior.
func (v *vector) counts(i int, share float64) (ham, spam float64) {
	ham, spam = float64(v.known[i].ham), float64(v.known[i].spam)
	if v.prior != nil {
		ham += share * float64(v.prior[i].ham)
		spam += share * float64(v.prior[i].spam)
	}
	return ham, spam
}

// A model is what the score depends on besides the words.
type model struct {
	state
	params Params
	share  float64 // Of the prior, 0 to 1.
	prior  *Prior
}

func newModel(st state, params Params, prior *Prior) model {
	m := model{state: st, params: params, prior: prior}
	if prior != nil {
		own := priorLessons / (priorLessons + float64(min(st.Ham, st.Spam)))
		if m.share = own * own; m.share < priorMinimum {
			m.share = 0
		}
	}
	return m
}

// cut returns the score from which on a message is junk.
func (m *model) cut() float64 {
	return m.Cut + priorCut*m.share + ratioCut*(1-m.share)*m.enough()
}

// enough returns how much the ratios of counts say, from 0 to 1: little before there
// are lessons of both classes.
func (m *model) enough() float64 {
	ham, spam := m.totals()
	n := min(ham, spam)
	return n / (n + ratioLessons)
}

// totals returns the number of lessons, with the share of the prior.
func (m *model) totals() (ham, spam float64) {
	ham, spam = float64(m.Ham), float64(m.Spam)
	if m.share > 0 {
		ham += m.share * float64(m.prior.ham)
		spam += m.share * float64(m.prior.spam)
	}
	return ham, spam
}

// ratio returns the logarithm of the odds that a message with a word is junk, by the
// counts of the word, and zero if it says nothing (Robinson's f(w), as odds).
func (m *model) ratio(ham, spam, allHam, allSpam float64) float64 {
	n := ham + spam
	if n <= 0 {
		return 0
	}
	h, s := ham/max(allHam, 1), spam/max(allSpam, 1)
	p := s / (h + s)
	p = (ratioSmooth*0.5 + n*p) / (ratioSmooth + n)
	if math.Abs(p-0.5) < ratioMinimum {
		return 0
	}
	p = max(m.params.MaxPower, min(1-m.params.MaxPower, p))
	return math.Log(p / (1 - p))
}

// score returns the score of a message. If parts is not nil, it gets what each token
// adds to it.
func (m *model) score(v *vector, parts []float64) float64 {
	logistic := m.logistic(v)
	allHam, allSpam := m.totals()
	sum, n := 0.0, 0.0
	for i := range v.keys {
		ham, spam := v.counts(i, m.share)
		r := m.ratio(ham, spam, allHam, allSpam)
		if r != 0 {
			sum += r
			n++
		}
		if parts != nil {
			parts[i] = r
		}
	}
	scale := ratioWeight * m.enough() / math.Pow(max(n, 1), ratioPower)
	if sum < 0 {
		scale *= ratioAgainst
	}
	if parts != nil {
		unit := v.unit()
		for i := range parts {
			parts[i] = parts[i]*scale + float64(v.known[i].weight)*unit
		}
	}
	return logistic + sum*scale
}

// unit is the value of each token of a message in the logistic part, by which all
// messages have the same length as vectors.
func (v *vector) unit() float64 { return 1 / math.Sqrt(max(float64(len(v.keys)), 1)) }

// logistic returns the score by logistic regression: the weights of the words, learned
// from one lesson after another.
func (m *model) logistic(v *vector) float64 {
	sum := 0.0
	for _, e := range v.known {
		sum += float64(e.weight)
	}
	return sum*v.unit() + m.Bias
}

// learn takes a lesson: it moves the cut if the message was judged wrongly, moves the
// weights until the message is judged rightly, and counts the words.
func (m *model) learn(v *vector, l Lesson) {
	m.Lessons++
	target := 0.0
	if l.Spam {
		target = 1
	}
	if l.Undo {
		target = 0.5
	} else {
		m.moveCut(v, l.Spam)
	}
	unit := v.unit()
	for range learnSteps {
		miss := target - 1/(1+math.Exp(-m.logistic(v)))
		if math.Abs(miss) < learnMargin || l.Undo && (miss > 0) == l.Spam {
			break
		}
		if miss < 0 && !l.Undo {
			miss *= learnHam
		}
		for i := range v.known {
			v.known[i].weight += float32(learnRate * miss * unit)
		}
		m.Bias += learnRate * miss * learnBias
	}
	m.count(v, l)
}

func (m *model) moveCut(v *vector, spam bool) {
	switch junk := m.score(v, nil) > m.cut(); {
	case junk && !spam:
		m.Cut = min(maxCut, m.Cut+cutUp)
	case !junk && spam:
		m.Cut = max(minCut, m.Cut-cutDown)
	}
}

// count adds a lesson to the counts, or takes it back.
func (m *model) count(v *vector, l Lesson) {
	change(&m.Ham, &m.Spam, l)
	for i := range v.known {
		e := &v.known[i]
		change(&e.ham, &e.spam, l)
		e.seen = m.Lessons
	}
}

func change(ham, spam *uint32, l Lesson) {
	n := ham
	if l.Spam {
		n = spam
	}
	switch {
	case !l.Undo && *n < math.MaxUint32:
		*n++
	case l.Undo && *n > 0:
		*n--
	}
}

// probability turns a score into one: the default threshold is met at the cut.
func (m *model) probability(score float64) float64 {
	return 1 / (1 + math.Exp(-(score - m.cut() + math.Log(DefaultThreshold/(1-DefaultThreshold)))))
}
