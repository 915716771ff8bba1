package junk

import (
	"bytes"
	"io"
	"strings"

	"golang.org/x/net/html"

	"mox/message"
)

// html adds tokens of the source of an HTML part: where its links lead, whether their
// text says otherwise, and what it is made of. The words come from the text.
func (d *bodyReader) html(p *message.Part) error {
	// As plain text, the reader gives the source in UTF-8.
	source := *p
	source.Subtype = "PLAIN"
	z := html.NewTokenizer(io.LimitReader(source.TextReader(d.r), MaxHTML))
	z.SetMaxBuf(MaxHTML)
	h := htmlReader{links: &d.links, b: d.b}
	for !d.b.full {
		switch z.Next() {
		case html.ErrorToken:
			h.endLink()
			if err := z.Err(); err != io.EOF && err != html.ErrBufferExceeded {
				return err
			}
			return nil
		case html.TextToken:
			if h.target != "" && len(h.anchor) < MaxLinkText {
				t := z.Raw()
				h.anchor = append(h.anchor, t[:min(len(t), MaxLinkText)]...)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			h.start(z)
		case html.EndTagToken:
			if name, _ := z.TagName(); string(name) == "a" {
				h.endLink()
			}
		case html.CommentToken:
			h.comments++
		}
	}
	return nil
}

// An htmlReader adds tokens of HTML.
type htmlReader struct {
	links    *links
	b        *builder
	target   string // The host of the link whose text is read.
	anchor   []byte // The text so far.
	comments int
	tags     int
}

func (h *htmlReader) start(z *html.Tokenizer) {
	name, more := z.TagName()
	tag := string(name)
	if h.tags++; h.tags <= 2000 && len(tag) <= 12 {
		h.b.addString(kindSign, "html:", tag)
	}
	if tag == "a" {
		h.endLink()
	}
	for more {
		var key, val []byte
		key, val, more = z.TagAttr()
		switch string(key) {
		case "href", "src", "action", "background":
			h.url(tag, string(key), val)
		case "color", "bgcolor", "face", "size":
			if len(val) < 20 && h.tags <= 2000 {
				h.b.addString(kindSign, "html:", tag+" "+string(key)+"="+string(bytes.ToLower(val)))
			}
		case "style":
			h.style(val)
		}
	}
}

// style adds a sign if text is hidden.
func (h *htmlReader) style(val []byte) {
	s := strings.ReplaceAll(strings.ToLower(string(val[:min(len(val), MaxURL)])), " ", "")
	if strings.Contains(s, "display:none") || strings.Contains(s, "font-size:0") || strings.Contains(s, "visibility:hidden") || strings.Contains(s, "font-size:1px") {
		h.b.sign("hidden text")
	}
}

func (h *htmlReader) url(tag, key string, val []byte) {
	val = bytes.TrimSpace(val)
	scheme, _, ok := bytes.Cut(val[:min(len(val), 12)], []byte(":"))
	if !ok {
		return
	}
	switch s := string(bytes.ToLower(scheme)); s {
	case "http", "https", "ftp":
		host := h.links.url(val)
		if tag == "a" && key == "href" {
			h.target, h.anchor = host, h.anchor[:0]
		}
		if tag == "img" {
			h.b.sign("image from elsewhere")
		}
		if tag == "form" {
			h.b.sign("form")
		}
	case "mailto":
		h.b.sign("link to mail")
	case "cid", "data", "javascript", "file":
		h.b.addString(kindSign, "html:", tag+" "+s+":")
	}
}

// endLink compares the text of a link with its target.
func (h *htmlReader) endLink() {
	target := h.target
	h.target = ""
	if target == "" {
		return
	}
	text := strings.TrimSpace(html.UnescapeString(string(h.anchor)))
	_, rest, ok := strings.Cut(text, "://")
	if ok {
		text = rest
	}
	if i := strings.IndexAny(text, "/?# \t\r\n:"); i >= 0 {
		text = text[:i]
	}
	if claimed, ok := claimedDomain(text); ok && claimed != organization(target) {
		h.b.sign("link text names another host")
	}
}
