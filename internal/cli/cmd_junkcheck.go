package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"mox/junk"
)

var cmdJunkTest = command{
	words: "junk test",
	args:  "hamdir spamdir",
	help: `Test a junk filter with messages in files.

Each file in and below the directories is a message, of which those in the second are
junk. Messages that the filter judges wrongly are printed, with the probability that
they are junk, and how many there are. The filter does not learn from them.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		j := junkFlagSet(fs, true)
		return func(ctx context.Context, e *env, args []string) error { return runJunkTest(ctx, e, args, j) }
	},
}

func runJunkTest(ctx context.Context, e *env, args []string, j *junkFlags) (rerr error) {
	if len(args) != 2 {
		return usageError("")
	}
	files, err := listJunkMail(args[0], args[1])
	if err != nil {
		return err
	}
	if _, err := os.Stat(j.path); err != nil {
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
			return printMistake(e, m, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, &tally)
	return err
}

// printMistake prints a message that was judged wrongly.
func printMistake(e *env, m junkMail, v junk.Verdict) error {
	what := "ham taken for junk"
	if m.spam {
		what = "junk taken for ham"
	}
	_, err := fmt.Fprintf(e.out, "%s: probability %.6f: %s\n", what, v.Probability, printableText(m.path))
	return err
}

var cmdJunkCheck = command{
	words: "junk check",
	args:  "file",
	help: `Check with a junk filter whether a message is junk, and why.

The words that say most for junk and for ham are printed, strongest first, with what
each adds to the score, and in how many trained messages of each kind it was.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		j := junkFlagSet(fs, true)
		return func(ctx context.Context, e *env, args []string) error { return runJunkCheck(ctx, e, args, j) }
	},
}

func runJunkCheck(ctx context.Context, e *env, args []string, j *junkFlags) (rerr error) {
	if len(args) != 1 {
		return usageError("")
	}
	m, err := readJunkMail(args[0], false)
	if err != nil {
		return err
	}
	if _, err := os.Stat(j.path); err != nil {
		// Without lessons, what comes with mox can still say something.
		j.path = ""
	}
	f, closeFilter, err := j.open(ctx)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, closeFilter()) }()
	v, err := f.Classify(ctx, m.tokens)
	if err != nil {
		return err
	}
	verdict := "ham"
	if v.Junk {
		verdict = "junk"
	}
	fmt.Fprintf(e.out, "%s\nprobability: %.6f\nscore: %.2f\nsignificant: %v\n", verdict, v.Probability, v.Score, v.Significant)
	printJunkWords(e, "for junk", v.Spam)
	printJunkWords(e, "for ham", v.Ham)
	return nil
}

func printJunkWords(e *env, title string, words []junk.Word) {
	if len(words) == 0 {
		return
	}
	fmt.Fprintf(e.out, "%s:\n", title)
	for _, w := range words {
		fmt.Fprintf(e.out, "\t%+.3f  %s (%d junk, %d ham)\n", w.Score, printableText(w.Text), w.Spam, w.Ham)
	}
}
