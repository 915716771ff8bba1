package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"

	"mox/junk"
)

var cmdJunkAnalyze = command{
	words: "junk analyze",
	args:  "hamdir spamdir",
	help: `Show how well a junk filter does on messages in files, for choosing parameters.

A temporary filter is trained with a part of the messages, taken by chance, and tested
with the others. How much junk is found is printed for several numbers of ham lost.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		j := junkFlagSet(fs, false)
		ratio := fs.Float64("trainratio", 0.5, "`share` of the messages to train with")
		seed := fs.Uint64("seed", 1, "`number` that decides which messages those are")
		return func(ctx context.Context, e *env, args []string) error {
			return runJunkAnalyze(ctx, e, args, j, *ratio, *seed)
		}
	},
}

func runJunkAnalyze(ctx context.Context, e *env, args []string, j *junkFlags, ratio float64, seed uint64) (rerr error) {
	if len(args) != 2 {
		return usageError("")
	}
	if ratio < 0 || ratio >= 1 {
		return usageError("flag -trainratio: not at least 0 and below 1")
	}
	files, err := listJunkMail(args[0], args[1])
	if err != nil {
		return err
	}
	f, closeFilter, err := j.open(ctx)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, closeFilter()) }()
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(files), func(i, k int) { files[i], files[k] = files[k], files[i] })
	n := int(ratio * float64(len(files)))
	if err := trainJunk(ctx, f, files[:n]); err != nil {
		return err
	}
	var tally junkTally
	var scores []junkScore
	err = eachJunkMail(ctx, files[n:], func(m junkMail) error {
		v, err := f.Classify(ctx, m.tokens)
		tally.add(m, v)
		scores = append(scores, junkScore{v.Score, m.spam})
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "trained with %d messages\n%s\n", n, &tally)
	printJunkCurve(e, scores, tally)
	return nil
}

type junkScore struct {
	score float64
	spam  bool
}

// printJunkCurve prints how much junk is found for numbers of ham lost.
func printJunkCurve(e *env, l []junkScore, t junkTally) {
	slices.SortFunc(l, func(a, b junkScore) int {
		if c := cmp.Compare(b.score, a.score); c != 0 || a.spam == b.spam {
			return c
		}
		if b.spam {
			return -1
		}
		return 1
	})
	lost, found, next := 0, 0, 0
	for _, s := range append(l, junkScore{}) {
		if s.spam {
			found++
			continue
		}
		if lost == next {
			fmt.Fprintf(e.out, "%6d ham lost (%.2f%%): %6d junk found (%.2f%%)\n", lost, percent(lost, t.ham), found, percent(found, t.spam))
			next = max(1, 2*next)
		}
		lost++
	}
}

var cmdJunkPlay = command{
	words: "junk play",
	args:  "hamdir spamdir",
	help: `Show how a junk filter would have done with messages in files, one after another.

Messages are taken in the order of their first Received field, else of Date. A
temporary filter judges each, and learns from those it judged wrongly, which are printed.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		j := junkFlagSet(fs, false)
		all := fs.Bool("all", false, "learn from all messages")
		return func(ctx context.Context, e *env, args []string) error {
			return runJunkPlay(ctx, e, args, j, *all)
		}
	},
}

func runJunkPlay(ctx context.Context, e *env, args []string, j *junkFlags, all bool) (rerr error) {
	if len(args) != 2 {
		return usageError("")
	}
	files, err := listJunkMail(args[0], args[1])
	if err != nil {
		return err
	}
	if files, err = sortJunkMail(ctx, files); err != nil {
		return err
	}
	f, closeFilter, err := j.open(ctx)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, closeFilter()) }()
	var tally junkTally
	err = eachJunkMail(ctx, files, func(m junkMail) error {
		v, err := f.Classify(ctx, m.tokens)
		if err != nil {
			return err
		}
		tally.add(m, v)
		if v.Junk != m.spam {
			if err := printMistake(e, m, v); err != nil {
				return err
			}
		} else if !all {
			return nil
		}
		return f.Apply(ctx, 0, []junk.Lesson{{Tokens: m.tokens, Spam: m.spam}})
	})
	if err != nil {
		return err
	}
	s := f.Stats()
	_, err = fmt.Fprintf(e.out, "%s\nlearned from %d ham and %d junk\n", &tally, s.Ham, s.Spam)
	return err
}
