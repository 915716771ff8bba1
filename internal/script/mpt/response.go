package mpt

import (
	"slices"
	"strings"
)

// A response is what an IMAP server sends: tagged, untagged or a continuation
// request. RFC 9051 §2.2.2
type response struct {
	raw  string
	tag  string // "*" for untagged, "+" for a continuation request.
	num  string // Of message data such as "1 FETCH".
	kind string // Upper case: OK, NO, BAD, PREAUTH, BYE, FETCH, LIST ...
	code string // Of a status response, without brackets.
	data []node // Of others.
	err  error  // Of parsing data.
	used bool   // Something was expected that it fits.
}

// eof is the tag of what stands for the end of the connection.
const eof = "closed"

var statusKinds = []string{"OK", "NO", "BAD", "PREAUTH", "BYE"}

func parseResponse(raw string) *response {
	r := &response{raw: raw}
	var rest string
	r.tag, rest, _ = strings.Cut(raw, " ")
	if r.tag == "+" {
		return r
	}
	word, after, _ := strings.Cut(rest, " ")
	if r.tag == "*" && isNumber(word) {
		r.num = word
		word, after, _ = strings.Cut(after, " ")
	}
	r.kind = strings.ToUpper(word)
	if slices.Contains(statusKinds, r.kind) {
		r.code = responseCode(after)
	} else {
		r.data, r.err = parseNodes(after)
	}
	return r
}

// responseCode returns the code at the start of the text of a status response.
func responseCode(text string) string {
	if !strings.HasPrefix(text, "[") {
		return ""
	}
	quoted := false
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '"':
			quoted = !quoted
		case text[i] == '\\' && quoted:
			i++
		case text[i] == ']' && !quoted:
			return text[1:i]
		}
	}
	return ""
}

// codeName returns the first word of a response code.
func codeName(code string) string {
	name, _, _ := strings.Cut(code, " ")
	return strings.ToUpper(name)
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// fetchItems returns the pairs of names and values of a FETCH or STATUS response.
func fetchItems(l []node) []item {
	var items []item
	for i := 0; i+1 < len(l); i += 2 {
		items = append(items, item{l[i].text, l[i+1]})
	}
	return items
}

// An item is a FETCH or STATUS item.
type item struct {
	name  string
	value node
}

// section reports whether the value of a FETCH item is a part of a message.
func (it item) section() bool {
	up := strings.ToUpper(it.name)
	return strings.HasPrefix(up, "BODY[") || strings.HasPrefix(up, "BINARY[") ||
		up == "RFC822" || up == "RFC822.HEADER" || up == "RFC822.TEXT"
}

// mergeFetches puts the items of FETCH responses for one message, which a server
// may divide as it likes, into the first of them. Later values win.
func mergeFetches(responses []*response) []*response {
	first := map[string]*response{}
	var l []*response
	for _, r := range responses {
		if r.kind != "FETCH" || r.err != nil || len(r.data) != 1 {
			l = append(l, r)
			continue
		}
		f := first[r.num]
		if f == nil {
			first[r.num] = r
			l = append(l, r)
			continue
		}
		for i := 0; i+1 < len(r.data[0].list); i += 2 {
			name := r.data[0].list[i]
			at := slices.IndexFunc(f.data[0].list, func(n node) bool { return n.kind == atomNode && strings.EqualFold(n.text, name.text) })
			if at >= 0 && at%2 == 0 {
				f.data[0].list[at+1] = r.data[0].list[i+1]
			} else {
				f.data[0].list = append(f.data[0].list, name, r.data[0].list[i+1])
			}
		}
	}
	return l
}

// positions translates sequence numbers of EXPUNGE responses, each of which counts
// after those before it, to numbers before the first, ascending. RFC 9051 §7.5.1
func positions(nums []int) []int {
	var removed []int // Ascending.
	for _, n := range nums {
		i := 0
		for ; i < len(removed) && removed[i] <= n; i++ {
			n++
		}
		removed = slices.Insert(removed, i, n)
	}
	return removed
}
