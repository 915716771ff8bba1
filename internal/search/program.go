package search

import (
	"context"
	"iter"
	"slices"
	"time"

	"mox/imap"
	"mox/internal/fts"
	"mox/internal/search/textindex"
	"mox/message"
	"mox/store"
)

// batchSize is how many messages are looked at together: what is read from the database
// at a time, and between two looks at the context.
const batchSize = 500

// Mail is where a search reads messages from. *store.Account is one.
type Mail interface {
	// Digests calls fn for each content id, in order; with nil for one that is gone.
	Digests(ctx context.Context, contentIDs []int64, fn func(i int, d message.Digest) error) error
	// OpenContent opens the file of a message.
	OpenContent(ctx context.Context, contentID int64) (*store.Content, error)
}

// Scope is what a program is compiled for.
type Scope struct {
	Index  *store.Index
	Saved  imap.Ranges // UIDs that "$" stands for. RFC 5182 §2
	Recent imap.Ranges // UIDs of messages that are \Recent in this session. RFC 3501 §2.3.2
	Now    time.Time   // For OLDER and YOUNGER.

	// AnySequence lets message sequence numbers be larger than the number of messages, as
	// they can be in mailboxes that are not selected. RFC 7377 §2
	AnySequence bool
}

// A Program is a compiled search key. It gives positions in the Index that it was
// compiled for.
type Program struct {
	index *store.Index
	root  node

	// All results have exactly the flags of want among those of mask, changed after since,
	// and are in one of the intervals. This narrows down what the root is asked for.
	mask, want imap.Flags
	since      store.ModSeq
	intervals  []interval // Ascending, not empty, not overlapping.

	needles  []needle      // Of BODY and TEXT.
	patterns []fts.Pattern // That the text index is asked for: first those of needles.
	leaves   []*node       // Conditions that are asked of digests and headers.
	digests  bool          // Digests can decide something that is not in the index.
}

// interval is the positions from first up to, but not including, end.
type interval struct{ first, end int }

// Options are for [Program.Run].
type Options struct {
	// Descending gives the last message first.
	Descending bool

	// Unreadable, if not nil, is called for a message whose file cannot be read, though
	// whether it matches depends on it. Such a message is no result.
	Unreadable func(pos int, err error)

	// Texts is the text index of the account. Nil: texts are read from messages.
	Texts *textindex.Reader

	// Keys, if not nil, keeps texts of Mailbox, whose Index is that of the program.
	Keys    *Keys
	Mailbox Mailbox

	// Limited says that the search may end early, so that texts that Keys does not have
	// are not worth being read of all messages.
	Limited bool

	// Progress, if not nil, is called at times with how many messages of the mailbox have
	// been looked at.
	Progress func(done int)
}

// AsksTexts reports whether the text index is of use for the program.
func (p *Program) AsksTexts() bool { return len(p.patterns) > 0 }

// Run calls yield with the position of each message that matches, in order, until it
// returns false. An error is one of the database or of the context.
func (p *Program) Run(ctx context.Context, mail Mail, opts Options, yield func(pos int) bool) error {
	if p.root.op == opAll {
		return p.runIndex(ctx, opts, yield)
	}
	r := run{Program: p, ctx: ctx, mail: mail, opts: opts}
	r.startTexts()
	if err := r.startColumns(); err != nil {
		return err
	}
	for pos := range p.positions(opts.Descending) {
		r.batch = append(r.batch, candidate{pos: pos})
		if len(r.batch) == batchSize {
			if more, err := r.flush(yield); err != nil || !more {
				return err
			}
			r.progress(pos)
		}
	}
	_, err := r.flush(yield)
	return err
}

// runIndex is Run for a program that flags and intervals decide.
func (p *Program) runIndex(ctx context.Context, opts Options, yield func(pos int) bool) error {
	n := 0
	for pos := range p.positions(opts.Descending) {
		if n++; n%batchSize == 1 && ctx.Err() != nil {
			return ctx.Err()
		}
		if !yield(pos) {
			break
		}
	}
	return ctx.Err()
}

// positions iterates over the messages that flags and intervals leave.
func (p *Program) positions(descending bool) iter.Seq[int] {
	whole := len(p.intervals) == 1 && p.intervals[0] == interval{0, p.index.Len()}
	switch {
	case descending:
		return p.backwards
	case whole && p.mask != 0 && p.since == 0:
		return p.index.MatchFlags(p.mask, p.want)
	}
	return func(yield func(int) bool) {
		for _, iv := range p.intervals {
			for pos, it := range p.index.ChangedSince(p.since, iv.first, iv.end) {
				if it.Flags&p.mask == p.want && !yield(pos) {
					return
				}
			}
		}
	}
}

// backwards iterates over the positions from the last to the first.
func (p *Program) backwards(yield func(int) bool) {
	var block []int
	for _, iv := range slices.Backward(p.intervals) {
		for end := iv.end; end > iv.first; end -= batchSize {
			block = block[:0]
			for pos, it := range p.index.ChangedSince(p.since, max(iv.first, end-batchSize), end) {
				if it.Flags&p.mask == p.want {
					block = append(block, pos)
				}
			}
			for _, pos := range slices.Backward(block) {
				if !yield(pos) {
					return
				}
			}
		}
	}
}

// candidate is a message of a batch with what is known of its result.
type candidate struct {
	pos    int
	result verdict
	digest message.Digest // If it was read.
	found  []fts.Answer   // Of the text index, if texts were looked at.
}

// run is the state of one Run.
type run struct {
	*Program
	ctx  context.Context
	mail Mail
	opts Options

	batch []candidate
	ids   []int64 // Content ids of those that need a digest, or a look at their text.
	at    []int   // Their indexes in batch.

	texts   *fts.Search // Nil if there is no text index.
	columns [][]verdict // See subject.
}

// progress tells that the message at a position has been looked at.
func (r *run) progress(pos int) {
	switch {
	case r.opts.Progress == nil:
	case r.opts.Descending:
		r.opts.Progress(r.index.Len() - pos)
	default:
		r.opts.Progress(pos + 1)
	}
}

// flush decides on the messages of the batch and yields those that match.
func (r *run) flush(yield func(int) bool) (more bool, err error) {
	if err := r.ctx.Err(); err != nil {
		return false, err
	}
	if err := r.decide(); err != nil {
		return false, err
	}
	for _, c := range r.batch {
		if c.result == unknown {
			// Files are opened in the order of results, so that an early end saves them.
			if c.result, err = r.read(&c); err != nil {
				return false, err
			}
		}
		if c.result == yes && !yield(c.pos) {
			return false, nil
		}
	}
	r.batch = r.batch[:0]
	return true, nil
}

// subject returns what is known of a candidate.
func (r *run) subject(c *candidate) subject {
	return subject{pos: c.pos, entry: r.index.At(c.pos), flags: r.index.Flags(c.pos), digest: c.digest, texts: r.texts, found: c.found, columns: r.columns}
}

// open lists the candidates of which the result is not known yet, and reports whether
// there are any.
func (r *run) open() bool {
	r.ids, r.at = r.ids[:0], r.at[:0]
	for i := range r.batch {
		if c := &r.batch[i]; c.result == unknown {
			r.ids, r.at = append(r.ids, r.index.At(c.pos).ContentID), append(r.at, i)
		}
	}
	return len(r.ids) > 0
}

// decide asks the index, then the digests for what the index leaves open, and then the
// text index.
func (r *run) decide() error {
	for i := range r.batch {
		c := &r.batch[i]
		m := r.subject(c)
		c.result = m.eval(&r.root)
	}
	if (r.digests || r.texts == nil) && r.open() {
		err := r.mail.Digests(r.ctx, r.ids, func(i int, d message.Digest) error {
			c := &r.batch[r.at[i]]
			if d == nil {
				c.result = no // Gone: it is not found by what it was.
				return nil
			}
			c.digest = d
			m := r.subject(c)
			c.result = m.eval(&r.root)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if r.texts != nil && r.open() {
		return r.match()
	}
	return nil
}
