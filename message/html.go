package message

import (
	"bytes"
	"errors"
	"io"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	// maxHTMLToken is the longest tag, comment or run of text that is looked at as a
	// whole; images in data URLs make long ones.
	maxHTMLToken = 1 << 20
	// maxQuoteDepth is the depth of quoting that is marked.
	maxQuoteDepth = 8
)

// HTMLReader returns a reader of the text in HTML, which is read as UTF-8: without
// tags, scripts and styles, with white space collapsed, a line for each block, and the
// alternative text of images. It takes any input.
func HTMLReader(r io.Reader) io.Reader { return newHTMLReader(r, false) }

// htmlReader turns HTML into text as it is read.
type htmlReader struct {
	src pushback
	z   *html.Tokenizer
	err error

	out  []byte
	read int // Bytes of out that were read.

	cut   bool   // The last token was a comment, or the like, which may go on.
	raw   string // The element whose raw text comes next, such as script.
	hide  int    // Depth of elements that are not shown.
	pre   int    // Depth of preformatted text.
	quote int    // Depth of blockquote,
	mark  bool   // which is marked with ">".

	line  bool // The line has text in it.
	blank bool // There was white space since.
}

func newHTMLReader(r io.Reader, markQuotes bool) *htmlReader {
	h := &htmlReader{src: pushback{r: r}, mark: markQuotes}
	h.restart()
	return h
}

// restart makes a tokenizer for what is left of the source.
func (h *htmlReader) restart() {
	h.z = html.NewTokenizer(&h.src)
	h.z.SetMaxBuf(maxHTMLToken)
}

// Read implements io.Reader.
func (h *htmlReader) Read(p []byte) (int, error) {
	for h.read == len(h.out) {
		if h.err != nil {
			return 0, h.err
		}
		h.out, h.read = h.out[:0], 0
		h.next()
	}
	n := copy(p, h.out[h.read:])
	h.read += n
	return n, nil
}

// next handles one token.
func (h *htmlReader) next() {
	tt := h.z.Next()
	if tt == html.ErrorToken {
		h.recover(h.z.Err())
		return
	}
	h.cut = tt == html.CommentToken || tt == html.DoctypeToken
	switch tt {
	case html.TextToken:
		if h.raw == "" && h.hide == 0 {
			h.text(h.z.Text())
		}
	case html.StartTagToken, html.SelfClosingTagToken:
		h.start(tt == html.SelfClosingTagToken)
	case html.EndTagToken:
		h.end()
	}
}

// recover goes on after a token that was too long: after the end of a tag or comment,
// in raw text, or with the next piece of text.
func (h *htmlReader) recover(err error) {
	if !errors.Is(err, html.ErrBufferExceeded) {
		h.err = err
		return
	}
	tag := h.cut || len(h.z.Raw()) > 0
	h.src.head = append(bytes.Clone(h.z.Buffered()), h.src.head...)
	if h.raw != "" {
		h.src.head = append([]byte("<"+h.raw+">"), h.src.head...)
	} else if tag {
		if h.err = h.src.skipPast('>'); h.err != nil {
			return
		}
	}
	h.restart()
}

// pushback is a reader that gives head before r.
type pushback struct {
	head []byte
	r    io.Reader
}

// Read implements io.Reader.
func (p *pushback) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	return p.r.Read(b)
}

// skipPast reads up to and including c.
func (p *pushback) skipPast(c byte) error {
	buf := make([]byte, 4<<10)
	for {
		n, err := p.Read(buf)
		if i := bytes.IndexByte(buf[:n], c); i >= 0 {
			p.head = append(bytes.Clone(buf[i+1:n]), p.head...)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// start handles a start tag.
func (h *htmlReader) start(selfClosing bool) {
	name, attrs := h.z.TagName()
	switch a := atom.Lookup(name); a {
	case atom.Script, atom.Style, atom.Title, atom.Iframe, atom.Noembed, atom.Noframes, atom.Noscript:
		h.raw = a.String()
	case atom.Svg, atom.Math, atom.Template:
		if !selfClosing {
			h.hide++
		}
	case atom.Body:
		h.hide = 0
	case atom.Br, atom.Hr:
		h.newline()
	case atom.Td, atom.Th:
		h.blank = true
	case atom.Img:
		if attrs && h.hide == 0 {
			h.alt()
		}
	case atom.Pre, atom.Textarea:
		h.newline()
		h.pre++
	case atom.Blockquote:
		h.newline()
		h.quote++
	default:
		if isBlock(a) {
			h.newline()
		}
	}
}

// end handles an end tag.
func (h *htmlReader) end() {
	name, _ := h.z.TagName()
	a := atom.Lookup(name)
	if h.raw != "" && string(name) == h.raw {
		h.raw = ""
	}
	switch a {
	case atom.Svg, atom.Math, atom.Template:
		h.hide = max(h.hide-1, 0)
	case atom.Pre, atom.Textarea:
		h.newline()
		h.pre = max(h.pre-1, 0)
	case atom.Blockquote:
		h.newline()
		h.quote = max(h.quote-1, 0)
	default:
		if isBlock(a) {
			h.newline()
		}
	}
}

// alt shows the alternative text of an image.
func (h *htmlReader) alt() {
	for {
		key, val, more := h.z.TagAttr()
		if bytes.Equal(key, []byte("alt")) {
			h.blank = true
			h.text(val)
			h.blank = true
		}
		if !more {
			return
		}
	}
}

// isBlock says whether an element begins and ends a line.
func isBlock(a atom.Atom) bool {
	switch a {
	case atom.P, atom.Div, atom.Table, atom.Tr, atom.Ul, atom.Ol, atom.Li, atom.Dl, atom.Dt, atom.Dd,
		atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Header, atom.Footer, atom.Section,
		atom.Article, atom.Address, atom.Center, atom.Form, atom.Fieldset, atom.Figure, atom.Main,
		atom.Nav, atom.Aside, atom.Caption, atom.Thead, atom.Tbody, atom.Tfoot, atom.Option:
		return true
	}
	return false
}

// newline ends the line, if there is one.
func (h *htmlReader) newline() {
	if h.hide > 0 {
		return
	}
	h.blank = false
	if h.line {
		h.out = append(h.out, '\n')
		h.line = false
	}
}

// text shows text, with its white space collapsed outside of pre.
func (h *htmlReader) text(b []byte) {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		b = b[n:]
		switch {
		case h.pre > 0 && r == '\n':
			h.line = true
			h.newline()
		case h.pre > 0 && r != '\r':
			h.begin()
			h.out = utf8.AppendRune(h.out, r)
		case unicode.IsSpace(r):
			h.blank = true
		default:
			h.begin()
			h.out = utf8.AppendRune(h.out, r)
		}
	}
}

// begin puts before a character what is due: marks of quoting, or a space.
func (h *htmlReader) begin() {
	if !h.line {
		h.line = true
		if h.mark && h.quote > 0 {
			for range min(h.quote, maxQuoteDepth) {
				h.out = append(h.out, '>')
			}
			h.out = append(h.out, ' ')
		}
	} else if h.blank {
		h.out = append(h.out, ' ')
	}
	h.blank = false
}
