package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"mox/junk"
)

var cmdJunkTrain = command{
	words: "junk train",
	args:  "hamdir spamdir",
	help: `Train a junk filter with messages in files.

The filter is in a file of its own, which is made if it is not there, not in that of an
account. Each file in and below the directories is a message, of which those in the
second are junk. Messages that are trained twice count twice.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		j := junkFlagSet(fs, true)
		return func(ctx context.Context, e *env, args []string) error { return runJunkTrain(ctx, e, args, j) }
	},
}

// junkBatch is how many lessons are committed together.
const junkBatch = 200

func runJunkTrain(ctx context.Context, e *env, args []string, j *junkFlags) (rerr error) {
	if len(args) != 2 {
		return usageError("")
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
	if err := trainJunk(ctx, f, alternate(files)); err != nil {
		return err
	}
	s := f.Stats()
	_, err = fmt.Fprintf(e.out, "trained with %d messages; the filter knows %d ham, %d junk, %d words\n", len(files), s.Ham, s.Spam, s.Words)
	return err
}

// trainJunk trains a filter.
func trainJunk(ctx context.Context, f *junk.Filter, files []junkFile) error {
	var batch []junk.Lesson
	err := eachJunkMail(ctx, files, func(m junkMail) error {
		batch = append(batch, junk.Lesson{Tokens: m.tokens, Spam: m.spam})
		if len(batch) < junkBatch {
			return nil
		}
		err := f.Apply(ctx, 0, batch)
		batch = batch[:0]
		return err
	})
	if err != nil {
		return err
	}
	return f.Apply(ctx, 0, batch)
}

// alternate spreads ham and junk evenly: a filter that hears of nothing but one for long
// forgets part of the other.
func alternate(files []junkFile) []junkFile {
	var ham, spam, l []junkFile
	for _, f := range files {
		if f.spam {
			spam = append(spam, f)
		} else {
			ham = append(ham, f)
		}
	}
	for i := 0; len(l) < len(files); i++ {
		// So that the shares so far are those of the whole.
		if done := len(l) - i; len(spam) == 0 || i < len(ham) && i*len(spam) <= done*len(ham) {
			l = append(l, ham[i])
		} else {
			l = append(l, spam[done])
			i--
		}
	}
	return l
}
