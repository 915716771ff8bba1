package message

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
)

// crlf makes the line ends of a message CRLF, and drops the line feed at the
// beginning of a raw string.
func crlf(s string) string {
	return strings.ReplaceAll(strings.TrimPrefix(s, "\n"), "\n", "\r\n")
}

func mustParse(t testing.TB, msg string, limits Limits) *Part {
	t.Helper()
	p, err := Parse(strings.NewReader(msg), int64(len(msg)), limits)
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return p
}

func mustDigest(t testing.TB, msg string) Digest {
	t.Helper()
	d, err := NewDigest(strings.NewReader(msg), int64(len(msg)), Limits{})
	if err != nil {
		t.Fatalf("digest: %v", err)
	}
	if err := d.Valid(); err != nil {
		t.Fatalf("digest of %.200q: %v", msg, err)
	}
	return d
}

func body(msg string, p *Part) string { return msg[p.BodyStart:p.BodyEnd] }

// outline shows the types of a tree, such as "MULTIPART/MIXED(TEXT/PLAIN TEXT/HTML)".
func outline(p *Part) string {
	var b strings.Builder
	b.WriteString(p.Type + "/" + p.Subtype)
	for i, sub := range p.Parts {
		b.WriteString([]string{"(", " "}[min(i, 1)] + outline(sub))
	}
	if len(p.Parts) > 0 {
		b.WriteString(")")
	}
	if p.Message != nil {
		b.WriteString("[" + outline(p.Message) + "]")
	}
	return b.String()
}

// checkTree checks what must hold for each tree of a message.
func checkTree(t testing.TB, msg string, root *Part) {
	t.Helper()
	if root.HeaderStart != 0 || root.BodyEnd != int64(len(msg)) {
		t.Errorf("message is %d to %d, want 0 to %d", root.HeaderStart, root.BodyEnd, len(msg))
	}
	var check func(p *Part, start, end int64)
	check = func(p *Part, start, end int64) {
		if t.Failed() {
			return // One report is enough.
		}
		if p.HeaderStart < start || p.BodyStart < p.HeaderStart || p.BodyEnd < p.BodyStart || p.BodyEnd > end {
			t.Errorf("part at %d %d %d is not inside %d to %d", p.HeaderStart, p.BodyStart, p.BodyEnd, start, end)
			return
		}
		if n := int64(strings.Count(body(msg, p), "\n")); n != p.Lines {
			t.Errorf("%s at %d: %d lines, want %d", outline(p), p.HeaderStart, p.Lines, n)
		}
		if r, err := p.Decoder(strings.NewReader(msg)); err != nil {
			if p.DecodedSize != -1 {
				t.Errorf("%s: decoded size %d for unknown encoding", outline(p), p.DecodedSize)
			}
		} else if n, err := io.Copy(io.Discard, r); err != nil || n != p.DecodedSize {
			t.Errorf("%s at %d, %s: decoded size %d, but decodes to %d (%v)", outline(p), p.HeaderStart, p.Encoding, p.DecodedSize, n, err)
		}
		at := p.BodyStart
		for _, sub := range p.Parts {
			check(sub, at, p.BodyEnd)
			at = sub.BodyEnd
		}
		if p.Message != nil {
			if p.Message.HeaderStart != p.BodyStart || p.Message.BodyEnd != p.BodyEnd {
				t.Errorf("message at %d to %d in a body at %d to %d", p.Message.HeaderStart, p.Message.BodyEnd, p.BodyStart, p.BodyEnd)
			}
			check(p.Message, p.BodyStart, p.BodyEnd)
		}
	}
	check(root, 0, int64(len(msg)))
	if err := checkEnvelope(string(root.Envelope)); err != nil {
		t.Errorf("envelope %q: %v", root.Envelope, err)
	}
	for _, extended := range []bool{false, true} {
		if s := string(appendBody(nil, root, extended)); checkBody(s, extended) != nil {
			t.Errorf("body structure %q: %v", s, checkBody(s, extended))
		}
	}
}

// wireChecker checks the grammar of RFC 9051 §9, independent of the code that writes
// it.
type wireChecker struct {
	s        string
	pos      int
	extended bool
	err      error
}

func checkEnvelope(s string) error {
	c := &wireChecker{s: s}
	c.envelope()
	return c.end()
}

func checkBody(s string, extended bool) error {
	c := &wireChecker{s: s, extended: extended}
	c.body()
	return c.end()
}

func (c *wireChecker) end() error {
	if c.err == nil && c.pos != len(c.s) {
		c.fail("nothing more")
	}
	return c.err
}

func (c *wireChecker) fail(want string) {
	if c.err == nil {
		c.err = fmt.Errorf("at %d: want %s", c.pos, want)
		c.pos = len(c.s)
	}
}

func (c *wireChecker) at(s string) bool { return strings.HasPrefix(c.s[c.pos:], s) }

func (c *wireChecker) try(s string) bool {
	if c.at(s) {
		c.pos += len(s)
		return true
	}
	return false
}

func (c *wireChecker) need(s string) {
	if !c.try(s) {
		c.fail(strconv.Quote(s))
	}
}

// string = quoted / literal
func (c *wireChecker) string() string {
	start := c.pos
	switch {
	case c.try(`"`):
		for c.pos < len(c.s) {
			ch := c.s[c.pos]
			c.pos++
			switch {
			case ch == '"':
				return c.s[start+1 : c.pos-1]
			case ch == '\\':
				if !c.try(`"`) && !c.try(`\`) {
					c.fail("quoted-specials")
				}
			case ch == 0 || ch >= 0x80 || ch == '\r' || ch == '\n':
				c.fail("QUOTED-CHAR")
			}
		}
		c.fail("closing quote")
	case c.try("{"):
		end := strings.Index(c.s[c.pos:], "}\r\n")
		n, err := strconv.Atoi(c.s[c.pos:max(c.pos+end, c.pos)])
		if end < 0 || err != nil || c.pos+end+3+n > len(c.s) {
			c.fail("literal")
			return ""
		}
		c.pos += end + 3 + n
		data := c.s[c.pos-n : c.pos]
		if strings.Contains(data, "\x00") {
			c.fail("CHAR8")
		}
		return data
	default:
		c.fail("string")
	}
	return ""
}

func (c *wireChecker) nstring() {
	if !c.try("NIL") {
		_ = c.string()
	}
}

func (c *wireChecker) number() {
	start := c.pos
	for c.pos < len(c.s) && c.s[c.pos] >= '0' && c.s[c.pos] <= '9' {
		c.pos++
	}
	if c.pos == start {
		c.fail("number")
	}
}

func (c *wireChecker) envelope() {
	c.need("(")
	for i := range 10 {
		if i > 0 {
			c.need(" ")
		}
		if i < 2 || i > 7 {
			c.nstring()
			continue
		}
		c.addresses()
	}
	c.need(")")
}

// addresses also checks that marks of groups come in pairs.
func (c *wireChecker) addresses() {
	if c.try("NIL") {
		return
	}
	c.need("(")
	group, n := false, 0
	for c.err == nil && c.try("(") {
		n++
		c.nstring()
		c.need(" ")
		c.nstring()
		c.need(" ")
		mailbox := !c.at("NIL")
		c.nstring()
		c.need(" ")
		host := !c.at("NIL")
		c.nstring()
		c.need(")")
		if !host && mailbox == group {
			c.fail("groups that do not nest")
		}
		if !host {
			group = mailbox
		}
	}
	if n == 0 || group {
		c.fail("addresses and an end of the group")
	}
	c.need(")")
}

func (c *wireChecker) body() {
	c.need("(")
	if c.at("(") {
		for c.at("(") && c.err == nil {
			c.body()
		}
		c.need(" ")
		_ = c.string()
		if c.extended {
			c.need(" ")
			c.params()
			c.extension()
		}
		c.need(")")
		return
	}
	quoted := c.at(`"`)
	typ := strings.ToUpper(c.string())
	c.need(" ")
	sub := strings.ToUpper(c.string())
	c.need(" ")
	c.params()
	c.need(" ")
	c.nstring()
	c.need(" ")
	c.nstring()
	c.need(" ")
	_ = c.string()
	c.need(" ")
	c.number()
	switch {
	case typ == "MESSAGE" && (sub == "RFC822" || sub == "GLOBAL"):
		c.need(" ")
		c.envelope()
		c.need(" ")
		c.body()
		c.need(" ")
		c.number()
	case typ == "TEXT":
		c.need(" ")
		c.number()
	case typ == "MULTIPART":
		c.fail("no multipart here")
	}
	if !quoted {
		c.fail("quoted media type")
	}
	if c.extended {
		c.need(" ")
		c.nstring()
		c.extension()
	}
	c.need(")")
}

func (c *wireChecker) params() {
	if c.try("NIL") {
		return
	}
	c.need("(")
	for i := 0; c.err == nil; i++ {
		if i > 0 && !c.try(" ") {
			break
		}
		_ = c.string()
		c.need(" ")
		_ = c.string()
	}
	c.need(")")
}

func (c *wireChecker) extension() {
	c.need(" ")
	if !c.try("NIL") {
		c.need("(")
		_ = c.string()
		c.need(" ")
		c.params()
		c.need(")")
	}
	c.need(" ")
	if c.try("(") {
		_ = c.string()
		for c.try(" ") {
			_ = c.string()
		}
		c.need(")")
	} else {
		c.nstring()
	}
	c.need(" ")
	c.nstring()
}
