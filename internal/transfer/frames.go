package transfer

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"mox/imap"
	"mox/internal/safefile"
)

// A loaded is a message of a source that was read.
type loaded struct {
	Item
	Size    int64  // Zero if it is left out.
	Skipped string `json:",omitempty"` // Why it is left out.

	spool *safefile.Spool // Nil if it is left out.
	sum   [sha256.Size]byte
}

func (l *loaded) close() error {
	if l.spool == nil {
		return nil
	}
	return l.spool.Close()
}

// lenient takes what is too large without complaint.
type lenient struct {
	w     io.Writer
	large bool
}

func (l *lenient) Write(p []byte) (int, error) {
	if l.large {
		return len(p), nil
	}
	n, err := l.w.Write(p)
	if errors.Is(err, safefile.ErrTooLarge) {
		l.large = true
		return len(p), nil
	}
	return n, err
}

// load reads the next message of a source.
func load(src Source, tempDir string) (*loaded, error) {
	_, stored := src.(*exportSource) // What we have stays as it is.
	l := &loaded{spool: safefile.NewSpool(safefile.SpoolOptions{Dir: tempDir, MaxSize: MaxMessageSize, CRLF: !stored})}
	w := lenient{w: l.spool}
	var err error
	if l.Item, err = src.Next(&w); err != nil {
		return nil, errors.Join(err, l.spool.Close())
	}
	if y := l.Received.Year(); y < 1 || y > 9999 {
		l.Received = time.Time{} // Dates of files can be anything.
	}
	switch {
	case w.large:
		l.Skipped = fmt.Sprintf("larger than %d octets", MaxMessageSize)
	case l.spool.Size() == 0:
		l.Skipped = "empty"
	default:
		l.Size = l.spool.Size()
		return l, l.digest()
	}
	err = l.spool.Close()
	l.spool = nil
	return l, err
}

func (l *loaded) digest() error {
	h := sha256.New()
	if _, err := io.Copy(h, l.spool.Reader()); err != nil {
		return err
	}
	h.Sum(l.sum[:0])
	return nil
}

// chain returns the hash of all messages up to this one.
func (l *loaded) chain(before []byte) []byte {
	h := sha256.New()
	h.Write(before)
	fmt.Fprintf(h, "%q %d %q\n", l.Mailbox, l.Size, l.Flags.Names())
	h.Write(l.sum[:])
	return h.Sum(nil)
}

// ErrOtherSource: an import is to go on with something else than it began with.
var ErrOtherSource = errors.New("this is not what the import began with, or it has changed")

// Skip reads the messages of a source that an import has stored before it was interrupted.
func Skip(src Source, tempDir string, st State) error {
	var sum []byte
	for range st.Done {
		l, err := load(src, tempDir)
		if errors.Is(err, io.EOF) {
			return ErrOtherSource
		} else if err != nil {
			return err
		}
		sum = l.chain(sum)
		if err := l.close(); err != nil {
			return err
		}
	}
	if string(sum) != string(st.Hash) {
		return ErrOtherSource
	}
	return nil
}

// Send writes the messages of a source to w, for [Importer.Receive] on the other side.
// Progress is called after each.
func Send(w io.Writer, src Source, tempDir string, progress func(Item, int64)) error {
	bw := bufio.NewWriterSize(w, 512<<10)
	for {
		l, err := load(src, tempDir)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if err := errors.Join(l.send(bw), l.close()); err != nil {
			return err
		}
		progress(l.Item, l.Size)
	}
	if err := writeFrame(bw, nil); err != nil {
		return err
	}
	return bw.Flush()
}

func (l *loaded) send(w io.Writer) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := writeFrame(w, b); err != nil || l.spool == nil {
		return err
	}
	_, err = io.Copy(w, l.spool.Reader())
	return err
}

func writeFrame(w io.Writer, b []byte) error {
	if len(b) > maxFrame {
		return fmt.Errorf("description of a message has %d octets", len(b))
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

// receive reads a message that was sent. The error is io.EOF at the end.
func receive(r io.Reader, tempDir string) (*loaded, error) {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	size := binary.BigEndian.Uint32(n[:])
	if size == 0 {
		return nil, io.EOF
	} else if size > maxFrame {
		return nil, fmt.Errorf("description of a message has %d octets", size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	l := &loaded{}
	if err := json.Unmarshal(b, l); err != nil {
		return nil, fmt.Errorf("description of a message: %w", err)
	}
	names := l.Flags.Keywords
	l.Flags = imap.FlagSet{Flags: l.Flags.Flags & imap.FlagsAll}
	for _, n := range names {
		addFlag(&l.Flags, n)
	}
	if l.Skipped != "" {
		return l, nil
	}
	if l.Size <= 0 || l.Size > MaxMessageSize {
		return nil, fmt.Errorf("message has %d octets", l.Size)
	}
	l.spool = safefile.NewSpool(safefile.SpoolOptions{Dir: tempDir, MaxSize: l.Size})
	h := sha256.New()
	if n, err := io.Copy(io.MultiWriter(l.spool, h), io.LimitReader(r, l.Size)); err != nil || n < l.Size {
		return nil, errors.Join(io.ErrUnexpectedEOF, err, l.spool.Close())
	}
	h.Sum(l.sum[:0])
	return l, nil
}
