package transfer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mox/imap"
	"mox/internal/safefile"
	"mox/store"
)

// Formats of an export.
const (
	FormatMbox    = "mbox"    // A file for each mailbox.
	FormatMaildir = "maildir" // A directory for each mailbox, those within others in them.
)

// exportSource has the messages of an account. In front of each mailbox is an empty message.
type exportSource struct {
	ctx   context.Context
	a     *store.Account
	boxes []store.Mailbox
	ix    *store.Index // Of the mailbox that is being read.
	pos   int
}

// Export returns a source with the messages of a mailbox, and those below it, or of all
// for an empty name. An empty message with the name of the mailbox comes before those of
// each. Messages that are removed meanwhile are left out.
func Export(ctx context.Context, a *store.Account, mailbox string) (Source, error) {
	s := &exportSource{ctx: ctx, a: a, boxes: a.Tree().Mailboxes()}
	if mailbox != "" {
		mailbox = imap.CanonicalInbox(mailbox)
		s.boxes = slices.DeleteFunc(s.boxes, func(mb store.Mailbox) bool {
			return mb.Name != mailbox && !strings.HasPrefix(mb.Name, mailbox+"/")
		})
		if len(s.boxes) == 0 {
			return nil, fmt.Errorf("mailbox %q: %w", mailbox, store.ErrNoMailbox)
		}
	}
	return s, nil
}

// Next implements [Source].
func (s *exportSource) Next(w io.Writer) (Item, error) {
	for len(s.boxes) > 0 {
		if err := s.ctx.Err(); err != nil {
			return Item{}, err
		}
		mb := s.boxes[0]
		if s.ix == nil {
			var err error
			if s.ix, err = s.a.Index(s.ctx, mb.ID); errors.Is(err, store.ErrNoMailbox) {
				s.boxes = s.boxes[1:]
				continue
			}
			s.pos = 0
			return Item{Mailbox: mb.Name}, err
		}
		if s.pos == s.ix.Len() {
			s.boxes, s.ix = s.boxes[1:], nil
			continue
		}
		e, flags := s.ix.At(s.pos), s.ix.Flags(s.pos)
		s.pos++
		it := Item{Mailbox: mb.Name, Flags: imap.FlagSet{Flags: flags, Keywords: e.Keywords()}, Received: e.Received()}
		err := s.copy(w, e.ContentID)
		if errors.Is(err, store.ErrNoMessage) {
			continue
		}
		metricMessages.WithLabelValues("export").Inc()
		if err != nil {
			err = fmt.Errorf("mailbox %q: message with uid %d: %w", mb.Name, e.UID, err)
		}
		return it, err
	}
	return Item{}, io.EOF
}

func (s *exportSource) copy(w io.Writer, id int64) (rerr error) {
	c, err := s.a.OpenContentOnce(s.ctx, id)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, c.Close()) }()
	_, err = io.Copy(w, io.NewSectionReader(c, 0, c.Size()))
	return err
}

// Close implements [Source].
func (s *exportSource) Close() error { return nil }

// An Exporter writes messages to new files.
type Exporter struct {
	format string
	ar     archive
	box    string
	any    bool // A mailbox has begun.
	n      int

	mbox  io.WriteCloser // Of this mailbox.
	names int            // Of files in this maildir.
	words []string       // Keywords with a letter.
	flags bytes.Buffer   // Of messages with others.
}

// NewExporter returns what writes to dst: a zip or tgz file if it has such a name (.zip,
// .tgz, .tar.gz), and otherwise a directory. There must be none. Finish or Discard must be
// called.
func NewExporter(dst, format string) (*Exporter, error) {
	if format != FormatMbox && format != FormatMaildir {
		return nil, fmt.Errorf("format %q is not %s or %s", format, FormatMbox, FormatMaildir)
	}
	ar, err := newArchive(dst)
	if err != nil {
		return nil, err
	}
	return &Exporter{format: format, ar: ar}, nil
}

// Messages returns how many messages were written.
func (e *Exporter) Messages() int { return e.n }

// Write writes all messages of a source. Those of a mailbox must come one after the other.
func (e *Exporter) Write(src Source, tempDir string) error {
	return e.write(func() (*loaded, error) { return load(src, tempDir) })
}

// Receive is Write for what was written by [Send].
func (e *Exporter) Receive(r io.Reader, tempDir string) error {
	br := bufio.NewReaderSize(r, 64<<10)
	return e.write(func() (*loaded, error) { return receive(br, tempDir) })
}

func (e *Exporter) write(next func() (*loaded, error)) error {
	for {
		l, err := next()
		if errors.Is(err, io.EOF) {
			return e.endBox()
		} else if err != nil {
			return err
		}
		if err := errors.Join(e.add(l), l.close()); err != nil {
			return err
		}
	}
}

func (e *Exporter) add(l *loaded) error {
	if !e.any || l.Mailbox != e.box {
		if err := e.beginBox(l.Mailbox); err != nil {
			return fmt.Errorf("mailbox %q: %w", l.Mailbox, err)
		}
	}
	if l.spool == nil {
		return nil
	}
	e.n++
	if e.format == FormatMbox {
		return writeMbox(e.mbox, l.Item, l.spool.Reader())
	}
	return e.maildirMessage(l)
}

func (e *Exporter) beginBox(name string) (err error) {
	if err := e.endBox(); err != nil {
		return err
	}
	e.any, e.box = true, name
	root := exportName(name)
	if e.format == FormatMbox {
		e.mbox, err = e.ar.create(root + ".mbox")
		return err
	}
	for _, dir := range []string{"", "/cur", "/new", "/tmp"} {
		if err := e.ar.dir(root + dir); err != nil {
			return err
		}
	}
	return nil
}

func (e *Exporter) endBox() error {
	if !e.any {
		return nil
	}
	e.any = false
	if e.format == FormatMbox {
		return e.mbox.Close()
	}
	var list strings.Builder
	for i, k := range e.words {
		fmt.Fprintf(&list, "%d %s\n", i, k)
	}
	root, at := exportName(e.box), time.Now()
	err := e.ar.file(root+"/"+keywordsName, int64(list.Len()), at, strings.NewReader(list.String()))
	if err == nil && e.flags.Len() > 0 {
		err = e.ar.file(root+"/"+flagsName, int64(e.flags.Len()), at, &e.flags)
	}
	e.words, e.names = nil, 0
	e.flags.Reset()
	return err
}

func (e *Exporter) maildirMessage(l *loaded) error {
	e.names++
	kw := imap.FlagSet{Flags: l.Flags.Flags &^ imap.FlagsSystem &^ imap.FlagForwarded, Keywords: l.Flags.Keywords}.Names()
	var flags strings.Builder
	for _, f := range letters {
		if l.Flags.Flags&f.flag != 0 {
			flags.WriteByte(f.letter)
		}
	}
	all := true
	var lettered []byte
	for _, k := range kw {
		i := slices.Index(e.words, k)
		if i < 0 && len(e.words) < maxLetters {
			e.words = append(e.words, k)
			i = len(e.words) - 1
		}
		if i < 0 {
			all = false
			continue
		}
		lettered = append(lettered, 'a'+byte(i))
	}
	slices.Sort(lettered)
	name := fmt.Sprintf("%d.%d.mox:2,%s%s", l.Received.Unix(), e.names, flags.String(), lettered)
	if !all {
		fmt.Fprintf(&e.flags, "%s\t%s\n", name, l.Flags)
	}
	return e.ar.file(exportName(e.box)+"/cur/"+name, l.Size, l.Received, l.spool.Reader())
}

// Finish makes all durable, and reads it again.
func (e *Exporter) Finish() error { return e.ar.finish() }

// Discard removes what was written.
func (e *Exporter) Discard() error { return e.ar.discard() }

// exportName returns the path for a mailbox.
func exportName(mailbox string) string {
	levels := strings.Split(mailbox, "/")
	for i, l := range levels {
		if reserved(l) {
			levels[i] = "_" + l
		}
	}
	return strings.Join(levels, "/")
}

// ExportTo writes all messages of an account to dst, see NewExporter, and returns how many.
// They are on stable storage, and were read again. If that fails, nothing of it is left.
func (t *Transfers) ExportTo(ctx context.Context, a *store.Account, dst, format string) (n int, err error) {
	e, err := NewExporter(dst, format)
	if err != nil {
		return 0, err
	}
	if a != nil {
		var src Source
		if src, err = Export(ctx, a, ""); err == nil {
			err = e.Write(src, t.opts.TempDir)
		}
	}
	if err == nil {
		err = e.Finish()
	}
	if err != nil {
		return 0, errors.Join(err, e.Discard())
	}
	return e.n, safefile.SyncDir(filepath.Dir(dst))
}

// maxKeywordsLine is how long a line of X-Keywords becomes.
const maxKeywordsLine = 900

// writeMbox writes a message in the format mboxrd, with LF line ends. Header fields for
// flags that it has are left out.
func writeMbox(w io.Writer, it Item, r io.Reader) error {
	bw := bufio.NewWriterSize(w, 64<<10)
	fmt.Fprintf(bw, "From MAILER-DAEMON %s\n", it.Received.UTC().Format(time.ANSIC))
	br := bufio.NewReaderSize(r, 64<<10)
	header, start, skip := true, true, false
	var last byte = '\n'
	for {
		b, err := br.ReadSlice('\n')
		if len(b) == 0 && errors.Is(err, io.EOF) {
			break
		} else if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		line := b
		if bytes.HasSuffix(b, []byte("\r\n")) {
			line = append(b[:len(b)-2], '\n')
		}
		if start && header && len(line) == 1 && line[0] == '\n' {
			header, skip = false, false
			writeStatus(bw, it)
		} else if start && header && line[0] != ' ' && line[0] != '\t' {
			skip = isStatus(line)
		}
		if start && !header && (bytes.HasPrefix(line, []byte("From ")) || isQuotedFrom(line)) {
			_ = bw.WriteByte('>') // Errors come with Flush.
		}
		if !skip {
			_, _ = bw.Write(line)
			last = line[len(line)-1]
		}
		start = b[len(b)-1] == '\n'
	}
	if last != '\n' {
		_ = bw.WriteByte('\n')
	}
	if header {
		writeStatus(bw, it)
	}
	_ = bw.WriteByte('\n')
	return bw.Flush()
}

func isStatus(line []byte) bool {
	name, _, _ := bytes.Cut(line, []byte(":"))
	return slices.ContainsFunc([]string{"Status", "X-Status", "X-Keywords"}, func(n string) bool { return strings.EqualFold(n, string(name)) })
}

// writeStatus writes the header fields for flags.
func writeStatus(w io.Writer, it Item) {
	status, more := "O", ""
	if it.Flags.Flags.Has(imap.FlagSeen) {
		status = "RO"
	}
	for _, c := range "AFTD" {
		if it.Flags.Flags.Has(statusFlags[c]) {
			more += string(c)
		}
	}
	fmt.Fprintf(w, "Status: %s\n", status)
	if more != "" {
		fmt.Fprintf(w, "X-Status: %s\n", more)
	}
	kw := imap.FlagSet{Flags: it.Flags.Flags &^ imap.FlagsSystem, Keywords: it.Flags.Keywords}.Names()
	for len(kw) > 0 {
		n, size := 0, 0
		for ; n < len(kw) && size < maxKeywordsLine; n++ {
			size += len(kw[n]) + 1
		}
		if n == 1 { // Twice, so that a comma in it is none between two.
			kw = append([]string{kw[0]}, kw...)
			n++
		}
		fmt.Fprintf(w, "X-Keywords: %s\n", strings.Join(kw[:n], " "))
		kw = kw[n:]
	}
}
