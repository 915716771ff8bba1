package junk

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"mox/message"
)

// Read makes the tokens of a message of size bytes whose structure is root, as
// message.Parse gives it. Line ends, transfer encodings and charsets make no
// difference to them. The work is bounded by the constants in limits.go, whatever the
// message is. The error is one of reading.
func Read(r io.ReaderAt, size int64, root *message.Part) (*Tokens, error) {
	h, err := message.ReadHeader(r, size, message.Limits{})
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	b := &builder{}
	b.list = make([]token, 0, 1024)
	b.text = make([]byte, 0, 8<<10)
	hd := headReader{b: b, h: &h}
	hd.read()
	body := bodyReader{b: b, r: r, org: b.org, list: hd.isList()}
	if err := body.read(root); err != nil {
		return nil, fmt.Errorf("read text: %w", err)
	}
	return b.finish(), nil
}

// A bodyReader adds tokens of the parts of a message.
type bodyReader struct {
	b    *builder
	r    io.ReaderAt
	org  string // Of the sender.
	list bool   // It came over a mailing list.
	text int64  // Bytes of text so far,
	n    int    // and parts.
	buf  []byte

	links links
}

func (d *bodyReader) read(root *message.Part) error {
	d.links = links{b: d.b, org: d.org}
	words := wordReader{b: d.b, pairs: true}
	visible := false
	for p := range root.Walk() {
		if d.n++; d.n > MaxParts || d.b.full {
			d.b.sign("many parts")
			break
		}
		d.part(p)
		if p.IsMultipart() || p.Message != nil || p.Type != "TEXT" || p.IsAttachment() && p.Subtype != "HTML" {
			continue
		}
		limit := min(MaxPartText, MaxText-d.text)
		if limit <= 0 {
			continue
		}
		if p.Subtype == "HTML" {
			if err := d.html(p); err != nil {
				return err
			}
		}
		text, err := d.readText(p, limit)
		if err != nil {
			return err
		}
		d.text += int64(len(text))
		visible = visible || len(strings.TrimSpace(string(text[:min(len(text), 1024)]))) > 0
		if d.list {
			text = cutFooter(text)
		}
		d.links.text(text, &words)
	}
	d.links.end()
	if !visible {
		d.b.sign("no text")
	}
	if words.total > 20 && words.shouts*3 > words.total {
		d.b.sign("text in capitals")
	}
	return nil
}

// readText reads the text of a part, up to a limit.
func (d *bodyReader) readText(p *message.Part, limit int64) ([]byte, error) {
	if d.buf == nil {
		d.buf = make([]byte, 0, 16<<10)
	}
	buf := d.buf[:0]
	tr := io.LimitReader(p.TextReader(d.r), limit)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := tr.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	d.buf = buf
	return buf, nil
}

// part adds what kind of part it is.
func (d *bodyReader) part(p *message.Part) {
	d.b.addString(kindHead, "type:", strings.ToLower(p.Type+"/"+p.Subtype))
	if name := p.Filename(); name != "" {
		if i := strings.LastIndexByte(name, '.'); i >= 0 && len(name)-i <= 10 {
			d.b.addString(kindHead, "file:", message.Fold(name[i:]))
			if j := strings.LastIndexByte(name[:i], '.'); j >= 0 && i-j <= 5 && i-j > 2 {
				d.b.sign("file with two extensions")
			}
		}
	}
}

// cutFooter returns text of a message that came over a mailing list without the footer
// of the list, or a signature: what follows the first of the lines of dashes and the
// like among the last ones. All messages of a list have it, whoever wrote them.
func cutFooter(text []byte) []byte {
	end := bytes.TrimRight(text, "\r\n\t ")
	pos, cut := len(end), len(end)
	for lines := 0; pos > 0 && lines < MaxFooterLines && len(end)-pos < MaxFooter; {
		i := bytes.LastIndexByte(end[:pos], '\n')
		if isSeparator(end[i+1 : pos]) {
			cut = i + 1
		}
		pos = max(i, 0)
		lines++
	}
	return text[:cut]
}

// isSeparator says whether a line is one of dashes, underscores, equal signs or stars,
// as between a text and a footer.
func isSeparator(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) >= 2 && len(bytes.Trim(line, "-_=*~")) == 0
}
