package message

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxPreviewRead is the number of bytes of a part read for a preview.
	maxPreviewRead = 1 << 20
	// previewPiece is how much is read at a time. Most often one is enough.
	previewPiece = 1 << 10
	// maxPreviewText is the number of bytes of its text looked at.
	maxPreviewText = 16 << 10
	// maxPreviewParts is the number of parts tried.
	maxPreviewParts = 8
	// quoteMark stands for text that was left out.
	quoteMark = "[...]"
)

// Preview returns text from the beginning of a message for a list of messages, in
// UTF-8, in one line, at most MaxPreview characters (RFC 8970 §3.3). It is from the
// first part that is text and no attachment and has something to show. Quoted text
// becomes a mark, signatures are left out. It is empty if there is nothing to show,
// also for an encrypted message. The error is one of reading.
func Preview(r io.ReaderAt, root *Part) (string, error) {
	f := &previewFinder{r: r}
	s := f.part(root)
	return s, f.err
}

// previewFinder looks for the part that gives a preview. It notes an error of reading,
// which the readers of text may turn into the end of the text.
type previewFinder struct {
	r     io.ReaderAt
	err   error
	tried int
}

// ReadAt implements io.ReaderAt.
func (f *previewFinder) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.r.ReadAt(b, off)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

func (f *previewFinder) part(p *Part) string {
	parts := p.Parts
	if p.Type == "MULTIPART" {
		switch p.Subtype {
		case "ENCRYPTED":
			return ""
		case "SIGNED":
			parts = parts[:min(1, len(parts))]
		}
	}
	for _, sub := range parts {
		if s := f.part(sub); s != "" || f.err != nil {
			return s
		}
	}
	if len(parts) > 0 || p.Type != "TEXT" || p.Subtype != "PLAIN" && p.Subtype != "HTML" ||
		p.Disposition == "ATTACHMENT" || f.tried == maxPreviewParts {
		return ""
	}
	f.tried++
	head := *p
	head.BodyEnd = min(p.BodyEnd, p.BodyStart+maxPreviewRead)
	text := head.charsetReader(f, previewPiece)
	if p.Subtype == "HTML" {
		text = newHTMLReader(text, true)
	}
	return previewText(io.LimitReader(text, maxPreviewText))
}

// previewText makes a preview of text.
func previewText(r io.Reader) string {
	var b previewBuilder
	br := bufio.NewReaderSize(r, previewPiece)
	start := true // The piece is the beginning of a line.
	for b.chars < MaxPreview && !b.done {
		piece, err := br.ReadSlice('\n')
		b.line(piece, start)
		if err != nil && err != bufio.ErrBufferFull {
			break
		}
		start = err == nil
	}
	return b.String()
}

// previewBuilder collects lines.
type previewBuilder struct {
	out    []byte
	chars  int // Characters in out.
	some   bool
	marked bool // The last thing in out is a mark.
	done   bool
	// last is the last line, held back because it may introduce a quotation.
	last []byte
}

// line takes a line, or a piece of a long one.
func (b *previewBuilder) line(line []byte, start bool) {
	text := bytes.TrimSpace(line)
	if start {
		switch {
		case bytes.Equal(bytes.TrimRight(line, "\r\n"), []byte("-- ")):
			b.done = true
			return
		case bytes.HasPrefix(text, []byte(">")):
			b.mark()
			return
		case bytes.HasPrefix(text, []byte("-----BEGIN PGP MESSAGE-----")):
			b.out, b.last, b.some, b.done = nil, nil, false, true
			return
		case bytes.HasPrefix(text, []byte("-----Original Message-----")) ||
			len(text) >= 20 && len(bytes.Trim(text, "_")) == 0:
			b.mark()
			b.done = true
			return
		}
	}
	if len(text) == 0 {
		return
	}
	if b.introduces(text) {
		b.last = append(append(b.last, ' '), text...)
		return
	}
	b.flush()
	b.last = append(b.last[:0], text...)
}

// introduces says whether text is the second line of "On ... wrote:".
func (b *previewBuilder) introduces(text []byte) bool {
	return bytes.HasPrefix(b.last, []byte("On ")) && bytes.HasSuffix(text, []byte(":")) && len(b.last) < 120 && len(text) < 120
}

// mark puts a mark, in place of the line that introduces the quotation, if there is
// one: it ends in a colon.
func (b *previewBuilder) mark() {
	if bytes.HasSuffix(b.last, []byte(":")) {
		b.last = b.last[:0]
	}
	b.flush()
	if !b.marked {
		b.add([]byte(quoteMark))
		b.marked = true
	}
}

func (b *previewBuilder) flush() {
	if len(b.last) > 0 {
		before := b.chars
		b.add(b.last)
		if b.chars > before {
			b.some, b.marked = true, false
		}
		b.last = b.last[:0]
	}
}

// add appends text with white space collapsed and without characters that show
// nothing.
func (b *previewBuilder) add(text []byte) {
	space := len(b.out) > 0
	for len(text) > 0 && b.chars < MaxPreview {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		switch {
		case unicode.IsSpace(r):
			space = space || len(b.out) > 0
		case isInvisible(r):
		default:
			if space && b.chars < MaxPreview-1 {
				b.out = append(b.out, ' ')
				b.chars++
			}
			space = false
			b.out = utf8.AppendRune(b.out, r)
			b.chars++
		}
	}
}

// isInvisible says whether a character has no shape: controls, and those that senders
// fill the space after their own preview text with.
func isInvisible(r rune) bool {
	const joiner = 0x200d // Joins emoji.
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != joiner || r == 0x034f || r == utf8.RuneError
}

// String returns the preview. Marks alone are none.
func (b *previewBuilder) String() string {
	b.flush()
	if !b.some {
		return ""
	}
	return strings.TrimSpace(string(b.out))
}
