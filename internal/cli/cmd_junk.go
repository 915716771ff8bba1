package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mox/junk"
	"mox/message"
)

// junkFlags are the flags of all commands about the junk filter.
type junkFlags struct {
	path    string
	opts    junk.Options
	noPrior bool
}

// junkFlagSet defines flags. Commands that use a file say so.
func junkFlagSet(fs *flag.FlagSet, withFile bool) *junkFlags {
	var j junkFlags
	if withFile {
		fs.StringVar(&j.path, "db", "junkfilter.db", "`file` of the filter")
	}
	p := &j.opts.Params
	fs.BoolVar(&j.noPrior, "noprior", false, "start from nothing, without the prior that comes with mox")
	fs.Float64Var(&j.opts.Threshold, "threshold", junk.DefaultThreshold, "`probability` from which on a message is junk")
	fs.BoolVar(&p.Onegrams, "onegrams", false, "look at single words; with neither -onegrams nor -twograms, at both")
	fs.BoolVar(&p.Twograms, "twograms", false, "look at pairs of words")
	fs.Float64Var(&p.MaxPower, "maxpower", 0, "counts give no word a probability nearer than `this` to 0 or 1; 0 is the default")
	fs.IntVar(&p.TopWords, "topwords", 10, "`number` of words to name for ham and for junk")
	return &j
}

// open opens the filter. Without a file it is a temporary one.
func (j *junkFlags) open(ctx context.Context) (f *junk.Filter, closeFilter func() error, err error) {
	if !j.noPrior {
		if j.opts.Prior, err = junk.DefaultPrior(); err != nil {
			return nil, nil, err
		}
	}
	path, remove := j.path, func() error { return nil }
	if path == "" {
		dir, err := os.MkdirTemp("", "mox-junk-")
		if err != nil {
			return nil, nil, err
		}
		path, remove = filepath.Join(dir, "junkfilter.db"), func() error { return os.RemoveAll(dir) }
	}
	if f, err = junk.Open(ctx, path, j.opts); err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return f, func() error { return errors.Join(f.Close(), remove()) }, nil
}

// A junkMail is a message in a file.
type junkMail struct {
	path   string
	spam   bool
	at     time.Time // Of its first Received field, else of Date.
	tokens *junk.Tokens
}

// readJunkMail reads a message.
func readJunkMail(path string, spam bool) (m junkMail, rerr error) {
	f, err := os.Open(path)
	if err != nil {
		return junkMail{}, err
	}
	defer func() { rerr = errors.Join(rerr, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return junkMail{}, err
	}
	root, err := message.Parse(f, info.Size(), message.Limits{})
	if err != nil {
		return junkMail{}, fmt.Errorf("%s: %w", path, err)
	}
	m = junkMail{path: path, spam: spam}
	if m.tokens, err = junk.Read(f, info.Size(), root); err != nil {
		return junkMail{}, fmt.Errorf("%s: %w", path, err)
	}
	h, err := message.ReadHeader(f, info.Size(), message.Limits{})
	if err != nil {
		return junkMail{}, fmt.Errorf("%s: %w", path, err)
	}
	v := h.Value("Received")
	var ok bool
	if m.at, ok = message.ParseDate(v[strings.LastIndexByte(v, ';')+1:]); !ok {
		m.at, _ = message.ParseDate(h.Value("Date"))
	}
	return m, nil
}

// junkFile is the name of a file with a message, and what it is.
type junkFile struct {
	path string
	spam bool
}

// listJunkMail lists the files in and below two directories, with ham and with junk.
func listJunkMail(hamDir, spamDir string) ([]junkFile, error) {
	var l []junkFile
	for _, d := range []junkFile{{hamDir, false}, {spamDir, true}} {
		err := filepath.WalkDir(d.path, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				l = append(l, junkFile{path, d.spam})
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

// eachJunkMail reads messages and calls fn with each.
func eachJunkMail(ctx context.Context, files []junkFile, fn func(m junkMail) error) error {
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := readJunkMail(file.path, file.spam)
		if err != nil {
			return err
		}
		if err := fn(m); err != nil {
			return err
		}
	}
	return nil
}

// junkTally counts what a filter decides.
type junkTally struct {
	ham, spam    int
	lost, caught int
}

func (t *junkTally) add(m junkMail, v junk.Verdict) {
	n, judged := &t.ham, &t.lost
	if m.spam {
		n, judged = &t.spam, &t.caught
	}
	*n++
	if v.Junk {
		*judged++
	}
}

func (t *junkTally) String() string {
	return fmt.Sprintf("ham: %d of %d taken for junk (%.2f%%); junk: %d of %d found (%.2f%%)",
		t.lost, t.ham, percent(t.lost, t.ham), t.caught, t.spam, percent(t.caught, t.spam))
}

func percent(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }

// sortJunkMail sorts files by the time of their messages.
func sortJunkMail(ctx context.Context, files []junkFile) ([]junkFile, error) {
	times := map[string]time.Time{}
	err := eachJunkMail(ctx, files, func(m junkMail) error {
		times[m.path] = m.at
		return nil
	})
	slices.SortStableFunc(files, func(a, b junkFile) int {
		return cmp.Or(times[a.path].Compare(times[b.path]), strings.Compare(a.path, b.path))
	})
	return files, err
}
