package junk

import (
	"bytes"
	"net/netip"
	"strings"

	"mox/message"
)

// links adds tokens of the URLs in a message.
type links struct {
	b    *builder
	org  string
	n    int
	hits map[string]bool // Hosts seen.
	away int             // Links to others than the sender,
	own  int             // and to the sender.
}

// text adds the words and the URLs of text.
func (l *links) text(text []byte, words *wordReader) {
	for len(text) > 0 && !l.b.full {
		start, end := findURL(text)
		if start < 0 {
			break
		}
		words.bytes(text[:start])
		l.url(text[start:end])
		text = text[end:]
	}
	words.bytes(text)
}

// findURL returns where the first URL in text is.
func findURL(text []byte) (start, end int) {
	for from := 0; ; {
		i := bytes.IndexByte(text[from:], ':')
		w := indexWWW(text[from:])
		switch {
		case w >= 0 && (i < 0 || w < i):
			start = from + w
		case i < 0:
			return -1, -1
		default:
			i += from
			s := i
			for s > 0 && i-s < 6 && 'a' <= text[s-1]|0x20 && text[s-1]|0x20 <= 'z' {
				s--
			}
			scheme := string(bytes.ToLower(text[s:i]))
			if !(strings.HasSuffix(scheme, "http") || strings.HasSuffix(scheme, "https") || strings.HasSuffix(scheme, "ftp")) || !bytes.HasPrefix(text[i+1:], []byte("//")) {
				from = i + 1
				continue
			}
			start = s
		}
		for end = start; end < len(text) && end-start < 4*MaxURL && text[end] > ' ' && !bytes.ContainsRune([]byte("<>\"'()[]{}|\\^`"), rune(text[end])) && text[end] < 0x7f; end++ {
		}
		if end-start < 5 {
			from = end + 1
			if from >= len(text) {
				return -1, -1
			}
			continue
		}
		return start, end
	}
}

// indexWWW returns where a host name that begins with "www." is.
func indexWWW(text []byte) int {
	for from := 0; ; {
		i := bytes.Index(text[from:], []byte("ww."))
		if i < 1 {
			if i < 0 || from == 0 {
				return -1
			}
		}
		i += from
		if i > 0 && text[i-1]|0x20 == 'w' && i+3 < len(text) && text[i+3] > ' ' {
			return i - 1
		}
		from = i + 3
		if from >= len(text) {
			return -1
		}
	}
}

// url adds the tokens of one URL, and returns its host.
func (l *links) url(u []byte) string {
	if l.n++; l.n > MaxLinks {
		return ""
	}
	u = u[:min(len(u), MaxURL)]
	s := string(u)
	_, rest, ok := strings.Cut(s, "://")
	if !ok {
		rest = s
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		l.b.sign("user name in a link")
		authority = authority[i+1:]
	}
	host, port, _ := strings.Cut(authority, ":")
	if port != "" && port != "80" && port != "443" {
		l.b.sign("port in a link")
	}
	host = strings.TrimRight(message.Fold(host), ".,;:!?-_*")
	if strings.Contains(host, "%") {
		l.b.sign("encoded host in a link")
	}
	if host == "" {
		return ""
	}
	if _, err := netip.ParseAddr(host); err == nil || isNumeric(host) {
		l.b.sign("address in a link")
	}
	l.host(host)
	w := wordReader{b: l.b, prefix: "path:"}
	w.bytes([]byte(path))
	return host
}

// host adds the tokens of a host.
func (l *links) host(host string) {
	if l.hits[host] {
		return
	}
	if l.hits == nil {
		l.hits = map[string]bool{}
	}
	l.hits[host] = true
	org := organization(host)
	l.b.addString(kindLink, "url:", org)
	if host != org {
		l.b.addString(kindLink, "url:", host)
	}
	l.b.addString(kindLink, "url:", "."+host[strings.LastIndexByte(host, '.')+1:])
	if org == l.org {
		l.own++
	} else {
		l.away++
	}
}

// end adds what the links are together.
func (l *links) end() {
	switch {
	case l.n == 0:
		l.b.sign("no links")
	case l.own > 0:
		l.b.sign("links to the sender")
	}
	if l.n > MaxLinks {
		l.b.sign("many links")
	}
}

// isNumeric says whether a host is a number, which browsers take for an address.
func isNumeric(host string) bool {
	for _, c := range []byte(host) {
		if (c < '0' || c > '9') && c != '.' {
			return false
		}
	}
	return true
}
