package transfer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"mox/imap"
	"mox/store"
)

// ImportOptions are for [Transfers.Import].
type ImportOptions struct {
	// Mailbox is where messages at the top of the source go. Others go to mailboxes below
	// it; if it is the Inbox, or empty, they keep their names.
	Mailbox string
	Source  string // What is imported, for those who ask later.
	ID      string // Of an import that was interrupted and is to go on. Empty for a new one.
}

// An Importer stores messages of one import. Close must be called, after which an import
// that is not complete can go on later, or be aborted.
type Importer struct {
	t       *Transfers
	a       *store.Account
	j       journal
	release func()
}

// Import begins an import, or goes on with one.
func (t *Transfers) Import(ctx context.Context, a *store.Account, opts ImportOptions) (*Importer, error) {
	j := journal{State: State{ID: opts.ID}}
	if opts.ID == "" {
		if opts.Mailbox != "" {
			name, err := imap.ParseMailboxName(opts.Mailbox)
			if err != nil {
				return nil, fmt.Errorf("mailbox %q: %w", opts.Mailbox, err)
			}
			opts.Mailbox = name
		}
		j.State = State{ID: newID(), Mailbox: opts.Mailbox, Source: opts.Source, Started: time.Now()}
	}
	release, err := t.alone(a.Name(), notePrefix+j.ID)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", j.ID, err)
	}
	im := &Importer{t, a, j, release}
	if opts.ID != "" {
		im.j, err = readJournal(ctx, a, opts.ID)
		if err == nil && im.j.Aborting {
			err = fmt.Errorf("import %s is being aborted", opts.ID)
		}
	}
	if err != nil {
		release()
		return nil, err
	}
	return im, nil
}

// State returns how far the import is.
func (im *Importer) State() State { return im.j.State }

// Close ends the use of the importer.
func (im *Importer) Close() { im.release() }

// Read stores the messages of a source, and ends the import. For an import that goes on,
// those that it has stored are skipped.
func (im *Importer) Read(ctx context.Context, src Source) (State, error) {
	if err := Skip(src, im.t.opts.TempDir, im.j.State); err != nil {
		return im.j.State, err
	}
	return im.run(ctx, func() (*loaded, error) { return load(src, im.t.opts.TempDir) })
}

// Receive is Read for what was written by [Send].
func (im *Importer) Receive(ctx context.Context, r io.Reader) (State, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	return im.run(ctx, func() (*loaded, error) { return receive(br, im.t.opts.TempDir) })
}

// run stores what next returns. While a batch is being stored, the next one is read.
func (im *Importer) run(ctx context.Context, next func() (*loaded, error)) (State, error) {
	start, before := time.Now(), im.j.Stored
	storing := make(chan error, 1)
	storing <- nil
	var err error
	for err == nil {
		var batch []*loaded
		batch, err = readBatch(ctx, next)
		if serr := <-storing; serr != nil || err != nil && !errors.Is(err, io.EOF) {
			// What was read since is read again when the import goes on.
			closeAll(batch)
			err = errors.Join(serr, err)
			im.log(ctx, slog.LevelWarn, "import was interrupted", slog.Any("err", err))
			return im.j.State, err
		}
		go func() { storing <- im.store(ctx, batch) }()
	}
	if err := <-storing; err != nil {
		return im.j.State, err
	}
	if err := im.finish(ctx); err != nil {
		return im.j.State, err
	}
	im.log(ctx, slog.LevelInfo, "import is complete", slog.Int("messages", im.j.Stored-before), slog.Duration("duration", time.Since(start)))
	return im.j.State, nil
}

func (im *Importer) log(ctx context.Context, level slog.Level, text string, attrs ...slog.Attr) {
	attrs = append(attrs, slog.String("account", im.a.Name()), slog.String("import", im.j.ID), slog.String("source", im.j.Source), slog.Int("stored", im.j.Stored), slog.Int("skipped", im.j.Skipped))
	im.t.opts.Log.LogAttrs(ctx, level, text, attrs...)
}

// readBatch reads messages. With an error there can be messages too.
func readBatch(ctx context.Context, next func() (*loaded, error)) (batch []*loaded, err error) {
	var size int64
	for len(batch) < batchMessages && size < batchSize {
		if err := ctx.Err(); err != nil {
			return batch, err
		}
		l, err := next()
		if err != nil {
			return batch, err
		}
		batch = append(batch, l)
		size += l.Size
	}
	return batch, nil
}

func closeAll(batch []*loaded) {
	for _, l := range batch {
		_ = l.close() // A temporary file, which goes at the latest with the next start.
	}
}

// store stores a batch and notes that, in one commit.
func (im *Importer) store(ctx context.Context, batch []*loaded) error {
	defer closeAll(batch)
	j := im.j.clone()
	var msgs []store.NewMessage
	var to []int // Box of each message.
	for _, l := range batch {
		j.Done++
		j.Hash = l.chain(j.Hash)
		if l.spool == nil {
			j.Skipped++
			continue
		}
		i, err := im.box(ctx, &j, l.Mailbox)
		if err != nil {
			return err
		}
		msgs = append(msgs, store.NewMessage{MailboxID: j.Boxes[i].ID, Spool: l.spool, Flags: l.Flags.Flags, Keywords: l.Flags.Keywords, Received: l.Received})
		to = append(to, i)
		j.Stored++
		j.Octets += l.Size
	}
	var done journal
	then := func(tx *store.Tx, stored []store.Message) error {
		done = j.clone()
		done.Updated = time.Now()
		for n, m := range stored {
			if b := &done.Boxes[to[n]]; !b.Hidden {
				b.UIDs.Add(m.UID)
			}
		}
		return done.write(tx)
	}
	var err error
	if len(msgs) > 0 {
		_, err = im.a.AppendThen(ctx, then, msgs...)
	} else {
		err = im.a.Update(ctx, func(tx *store.Tx) error { return then(tx, nil) })
	}
	if err != nil {
		return err
	}
	im.j = done
	metricMessages.WithLabelValues("import").Add(float64(len(msgs)))
	return nil
}

// box returns which of the boxes in the journal messages of a path go to. Its mailbox is
// made, hidden, if there is none of that name.
func (im *Importer) box(ctx context.Context, j *journal, path string) (int, error) {
	for i, b := range j.Boxes {
		if b.Path == path {
			return i, nil
		}
	}
	if len(j.Boxes) >= maxMailboxes {
		return 0, fmt.Errorf("%w: more than %d mailboxes", store.ErrLimit, maxMailboxes)
	}
	b := journalBox{Path: path, Name: destination(j.Mailbox, path)}
	for _, o := range j.Boxes {
		if o.Name == b.Name {
			b.ID, b.Hidden, b.UIDs = o.ID, o.Hidden, nil
		}
	}
	if mb, ok := im.a.Tree().ByName(b.Name); ok && b.ID == 0 {
		b.ID = mb.ID
	}
	if b.ID != 0 {
		j.Boxes = append(j.Boxes, b)
		return len(j.Boxes) - 1, nil
	}
	err := im.a.Update(ctx, func(tx *store.Tx) error {
		mb, err := tx.CreateHidden()
		if err != nil {
			return err
		}
		b.ID, b.Hidden = mb.ID, true
		// What is noted of the batch comes with its messages; the mailbox is there now.
		im.j.Boxes = append(im.j.Boxes[:len(im.j.Boxes):len(im.j.Boxes)], b)
		im.j.Updated = time.Now()
		return im.j.write(tx)
	})
	j.Boxes = append(j.Boxes, b)
	return len(j.Boxes) - 1, err
}

// destination returns the mailbox for a path in a source.
func destination(mailbox, path string) string {
	name := path
	switch {
	case path == "":
		name = mailbox
	case mailbox != "" && mailbox != imap.Inbox:
		name = mailbox + "/" + path
	}
	if name == "" {
		return imap.Inbox
	}
	return cleanName(name)
}

// cleanName returns a name for a mailbox that is like another one.
func cleanName(name string) string {
	if n, err := imap.ParseMailboxName(name); err == nil {
		return n
	}
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == '%' || r == '*' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	var levels []string
	for l := range strings.SplitSeq(name, "/") {
		if l = strings.TrimLeft(l, "#"); l != "" {
			levels = append(levels, l)
		}
	}
	if n, err := imap.ParseMailboxName(strings.Join(levels, "/")); err == nil {
		return n
	}
	return "Imported"
}

// finish makes all visible, and forgets the journal.
func (im *Importer) finish(ctx context.Context) error {
	return im.a.Update(ctx, func(tx *store.Tx) error {
		shown := map[int64]bool{}
		for i := range im.j.Boxes {
			b := &im.j.Boxes[i]
			if !b.Hidden || shown[b.ID] {
				continue
			}
			shown[b.ID] = true
			// Somebody may have made one of that name since the import began.
			for _, err := tx.MailboxByName(b.Name); err == nil; _, err = tx.MailboxByName(b.Name) {
				b.Name += " (import " + im.j.ID + ")"
			}
			if err := tx.Reveal(b.ID, b.Name); err != nil {
				return fmt.Errorf("mailbox %q: %w", b.Name, err)
			}
		}
		return tx.SetNote(notePrefix+im.j.ID, nil)
	})
}
