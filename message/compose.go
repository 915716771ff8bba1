package message

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrMessageSize says that a message became larger than its limit.
var ErrMessageSize = errors.New("message too large")

// maxTextLine is the longest line of text that is sent as it is. RFC 5322 §2.1.1
// allows 998 and recommends 78.
const maxTextLine = 78

// Composer writes a message: header fields with folding and encoding, then a body, or
// a multipart with parts of which each is written in the same way. The first error
// sticks and is returned by Close.
//
// Text, HTML, attachments and whole messages are written by one call each, which ends
// the header. After Multipart, call Part before each part, and EndMultipart after the
// last.
type Composer struct {
	w    io.Writer
	opts ComposeOptions
	size int64
	err  error
	open []string // Boundaries of open multiparts.
	head HeaderWriter
}

// ComposeOptions are the options of a Composer.
type ComposeOptions struct {
	// MaxSize is the largest size of the message in bytes, 0 for no limit. Beyond it,
	// the error is ErrMessageSize and nothing more is written.
	MaxSize int64
	// SMTPUTF8 keeps UTF-8 in header fields as it is (RFC 6532). Without it, text is
	// sent in encoded words.
	SMTPUTF8 bool
}

// NewComposer returns a Composer that writes to w.
func NewComposer(w io.Writer, opts ComposeOptions) *Composer {
	return &Composer{w: w, opts: opts, head: HeaderWriter{text: true}}
}

// Write writes raw bytes, such as header fields made elsewhere.
func (c *Composer) Write(p []byte) (int, error) {
	c.flush()
	return c.write(p)
}

func (c *Composer) write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.opts.MaxSize > 0 && c.size+int64(len(p)) > c.opts.MaxSize {
		c.err = ErrMessageSize
		return 0, c.err
	}
	n, err := c.w.Write(p)
	c.size += int64(n)
	if err != nil {
		c.err = fmt.Errorf("write message: %w", err)
	}
	return n, c.err
}

// flush writes the header fields collected so far.
func (c *Composer) flush() {
	if b := c.head.Bytes(); len(b) > 0 {
		_, _ = c.write(b) // The error sticks.
		c.head = HeaderWriter{text: true}
	}
}

// Header writes an unstructured field such as Subject. Text beyond ASCII is encoded
// unless SMTPUTF8 is set.
func (c *Composer) Header(name, text string) {
	text = strings.TrimSpace(cleanText(validUTF8String(text)))
	if !c.opts.SMTPUTF8 || strings.Contains(text, "=?") || hasLongWord(text) {
		text = EncodeText(text)
	}
	c.head.Field(name)
	c.head.AddText(text)
}

// Field writes a structured field of words that are in its proper form already, such
// as the identifiers of References.
func (c *Composer) Field(name string, words ...string) {
	c.head.Field(name)
	c.head.Add(words...)
}

// Addresses writes a field of addresses. It writes nothing without any.
func (c *Composer) Addresses(name string, l ...Address) {
	if len(l) == 0 {
		return
	}
	c.head.Field(name)
	for i, a := range l {
		s := a.format(c.opts.SMTPUTF8)
		last := i == len(l)-1
		if !last && a.Kind != KindGroupStart && l[i+1].Kind != KindGroupEnd {
			s += ","
		}
		c.head.AddText(s)
	}
}

// Date writes a Date field.
func (c *Composer) Date(t time.Time) { c.Field("Date", FormatDate(t)) }

// Text writes text/plain or another subtype of text as the body. Line ends may be LF
// or CRLF. Where lines are long or there is more than ASCII it is encoded.
func (c *Composer) Text(subtype, text string) {
	text = validUTF8String(text)
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	charset, encoding := "us-ascii", "7bit"
	if nonASCII := countNonASCII(text); nonASCII > 0 {
		charset, encoding = "utf-8", "quoted-printable"
		if nonASCII > len(text)/4 {
			encoding = "base64"
		}
	} else if !fitsLines(text) {
		encoding = "quoted-printable"
	}
	c.contentType("text/"+subtype, "charset="+charset)
	c.Field("Content-Transfer-Encoding", encoding)
	c.blank()
	c.encode(encoding, strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")))
}

func countNonASCII(s string) int {
	n := 0
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			n++
		}
	}
	return n
}

// fitsLines says whether ASCII text can be sent as it is.
func fitsLines(s string) bool {
	if strings.IndexByte(s, 0) >= 0 {
		return false
	}
	for line := range strings.SplitSeq(s, "\n") {
		if len(line) > maxTextLine || strings.HasPrefix(line, "From ") {
			return false
		}
	}
	return true
}

// Attachment writes data in base64 as the body, with a file name if it is not empty.
func (c *Composer) Attachment(contentType, filename string, r io.Reader) {
	var params, disposition []string
	if filename != "" {
		params = []string{FormatParam("name", filename)}
		disposition = []string{FormatParam("filename", filename)}
		if !isASCII(filename) {
			// Old software wants encoded words here, RFC 2047 §5 notwithstanding.
			params = []string{"name=" + quote(EncodeText(filename))}
		}
	}
	c.contentType(contentType, params...)
	c.head.Field("Content-Disposition")
	c.head.AddSep(";", append([]string{"attachment"}, disposition...)...)
	c.Field("Content-Transfer-Encoding", "base64")
	c.blank()
	c.encode("base64", r)
}

// Raw writes a body as it is: lines that end in CRLF, of a type that must not be
// encoded, such as message/rfc822, or of short ASCII lines, such as
// message/delivery-status. The encoding is 7bit or 8bit.
func (c *Composer) Raw(contentType, encoding string, r io.Reader) {
	c.contentType(contentType)
	c.Field("Content-Transfer-Encoding", encoding)
	c.blank()
	if c.err == nil {
		if _, err := io.Copy(writerFunc(c.write), r); err != nil && c.err == nil {
			c.err = fmt.Errorf("read body: %w", err)
		}
	}
}

// Multipart begins a multipart. The parameters are in their proper form, see
// FormatParam.
func (c *Composer) Multipart(subtype string, params ...string) {
	boundary := "=_" + hex.EncodeToString(random(16))
	c.contentType("multipart/"+subtype, append(params, `boundary="`+boundary+`"`)...)
	c.blank()
	c.open = append(c.open, boundary)
}

// Part begins a part of the innermost multipart.
func (c *Composer) Part() {
	if len(c.open) == 0 {
		c.fail("part outside of a multipart")
		return
	}
	c.flush()
	_, _ = c.write([]byte("\r\n--" + c.open[len(c.open)-1] + "\r\n"))
}

// EndMultipart ends the innermost multipart.
func (c *Composer) EndMultipart() {
	if len(c.open) == 0 {
		c.fail("no multipart to end")
		return
	}
	_, _ = c.write([]byte("\r\n--" + c.open[len(c.open)-1] + "--\r\n"))
	c.open = c.open[:len(c.open)-1]
}

// Close ends all multiparts. It returns the first error.
func (c *Composer) Close() error {
	c.flush()
	for len(c.open) > 0 {
		c.EndMultipart()
	}
	return c.err
}

// Size returns the number of bytes written.
func (c *Composer) Size() int64 { return c.size }

func (c *Composer) fail(what string) {
	if c.err == nil {
		c.err = errors.New("compose message: " + what)
	}
}

func (c *Composer) contentType(contentType string, params ...string) {
	if len(c.open) == 0 {
		c.Field("MIME-Version", "1.0")
	}
	c.head.Field("Content-Type")
	c.head.AddSep(";", append([]string{contentType}, params...)...)
}

// blank ends the header.
func (c *Composer) blank() {
	c.flush()
	_, _ = c.write([]byte("\r\n"))
}

// writerFunc is a function as an io.Writer.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// encode writes a body.
func (c *Composer) encode(encoding string, r io.Reader) {
	w := io.WriteCloser(nopCloser{writerFunc(c.write)})
	switch encoding {
	case "base64":
		lines := &lineWriter{w: w}
		w = &wrapCloser{base64.NewEncoder(base64.StdEncoding, lines), lines}
	case "quoted-printable":
		w = quotedprintable.NewWriter(w)
	}
	_, err := io.Copy(w, r)
	if err == nil {
		err = w.Close()
	}
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("write body: %w", err)
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// wrapCloser closes two writers.
type wrapCloser struct {
	io.WriteCloser
	inner io.Closer
}

// Close implements io.Closer.
func (w *wrapCloser) Close() error {
	if err := w.WriteCloser.Close(); err != nil {
		return err
	}
	return w.inner.Close()
}

// lineWriter puts a line end after every 76 bytes, and at the end.
type lineWriter struct {
	w   io.Writer
	col int
	buf []byte
}

// Write implements io.Writer.
func (l *lineWriter) Write(p []byte) (int, error) {
	size := len(p)
	l.buf = l.buf[:0]
	for len(p) > 0 {
		n := min(len(p), foldColumn-l.col)
		l.buf = append(l.buf, p[:n]...)
		if l.col += n; l.col == foldColumn {
			l.buf = append(l.buf, '\r', '\n')
			l.col = 0
		}
		p = p[n:]
	}
	if _, err := l.w.Write(l.buf); err != nil {
		return 0, err
	}
	return size, nil
}

// Close implements io.Closer.
func (l *lineWriter) Close() error {
	if l.col == 0 {
		return nil
	}
	_, err := l.w.Write([]byte("\r\n"))
	return err
}

// random returns n bytes from crypto/rand, which does not fail.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// NewMessageID returns a new message identifier with its brackets: 16 random bytes at
// a host, given in ASCII (RFC 5322 §3.6.4).
func NewMessageID(host string) string {
	return "<" + base64.RawURLEncoding.EncodeToString(random(16)) + "@" + host + ">"
}
