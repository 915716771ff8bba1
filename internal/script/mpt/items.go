package mpt

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	wantRecentFlag = regexp.MustCompile(` ?\\\\Recent`)
	wantRecentItem = regexp.MustCompile(`RECENT (?:\\d\+|[0-9]+) ?`)
)

// matchItems compares the items of FETCH, STATUS or ESEARCH responses, in whatever
// order they come: the response is written in the order of what is wanted.
func (w *want) matchItems(r *response, delim byte) (bool, error) {
	re, content, _ := strings.Cut(w.source(), "\r\n")
	if isBodyStructure(re) {
		re = "(?i)" + oneString.ReplaceAllString(strings.ReplaceAll(re, `\"`, `"`), "$1")
	}
	re = strings.ReplaceAll(re, `\) \(`, `\)\(`)
	re = wantRecentFlag.ReplaceAllString(re, "")
	re = strings.ReplaceAll(re, `FLAGS \( `, `FLAGS \(`)
	if len(w.lines) > 1 {
		re += "\r\n" + content
	}
	text := "* "
	var items []item
	switch r.kind {
	case "FETCH":
		if len(r.data) != 1 || r.data[0].kind != listNode {
			return false, nil
		}
		text += r.num + " FETCH ("
		items = fetchItems(r.data[0].list)
	case "STATUS":
		if len(r.data) != 2 || r.data[1].kind != listNode {
			return false, nil
		}
		re = strings.Replace(wantRecentItem.ReplaceAllString(re, ""), ` \)`, `\)`, 1)
		text += fmt.Sprintf("STATUS %q (", mailboxName(r.data[0].text))
		items = slices.DeleteFunc(fetchItems(r.data[1].list), func(it item) bool { return it.name == "RECENT" })
		if delim != 0 {
			re = delimit(re, delim)
		}
	case "ESEARCH":
		return w.matchESearch(r)
	}
	text += renderItems(re, items)
	return fullMatch(re, text+")")
}

// delimit changes the delimiter in the mailbox name of a STATUS response.
func delimit(re string, delim byte) string {
	head, name, ok := strings.Cut(re, `"`)
	name, tail, ok2 := strings.Cut(name, `"`)
	if !ok || !ok2 {
		return re
	}
	name = strings.ReplaceAll(strings.ReplaceAll(name, `\.`, "."), ".", string(delim))
	return head + `"` + name + `"` + tail
}

// isBodyStructure reports whether there are media types in what is wanted, which
// are case-insensitive. RFC 2045 §5.1
func isBodyStructure(re string) bool {
	return strings.Contains(re, "BODYSTRUCTURE") || strings.Contains(re, `BODY \(`)
}

// oneString is a list of one string, see node.bodyStructure.
var oneString = regexp.MustCompile(`\\\(("[^"]*")\\\)`)

// renderItems writes items in the order of their names in an expression. UID is left
// out where the expression does not have it: a server may always add it.
func renderItems(re string, items []item) string {
	plain := unescape(re)
	lower := strings.ToLower(plain)
	type placed struct {
		at   int
		text string
	}
	var l []placed
	for _, it := range items {
		name := strings.ReplaceAll(it.name, `"`, "")
		at := strings.Index(lower, strings.ToLower(name)+" ")
		if at >= 0 {
			name = plain[at : at+len(name)] // In the same case.
		} else if strings.EqualFold(name, "UID") {
			continue
		}
		l = append(l, placed{at, name + " " + it.render()})
	}
	slices.SortStableFunc(l, func(a, b placed) int { return a.at - b.at })
	var texts []string
	for _, p := range l {
		texts = append(texts, p.text)
	}
	return strings.Join(texts, " ")
}

// render writes the value of a FETCH item: parts of messages as literals, flags
// sorted and without \Recent, which RFC 9051 has removed.
func (it item) render() string {
	switch {
	case it.section() && it.value.kind == stringNode:
		return fmt.Sprintf("{%d}\r\n%s", len(it.value.text), it.value.text)
	case strings.EqualFold(it.name, "BODYSTRUCTURE") || strings.EqualFold(it.name, "BODY"):
		return it.value.bodyStructure().String()
	case it.section() && it.value.isNIL():
		return "{0}\r\n" // Of a part that is not there: RFC 9051 does not say what to answer.
	case strings.EqualFold(it.name, "FLAGS"):
		l := slices.DeleteFunc(words(it.value.list), func(s string) bool { return strings.EqualFold(s, `\Recent`) })
		slices.SortFunc(l, func(a, b string) int {
			if sa, sb := strings.HasPrefix(a, `\`), strings.HasPrefix(b, `\`); sa != sb {
				if sa {
					return -1
				}
				return 1
			}
			return strings.Compare(a, b)
		})
		return "(" + strings.Join(l, " ") + ")"
	}
	return it.value.String()
}

// matchESearch compares an ESEARCH response: tag, UID, and results in any order.
func (w *want) matchESearch(r *response) (bool, error) {
	var head []string
	l := r.data
	if len(l) > 0 && l[0].kind == listNode {
		head = append(head, l[0].String())
		l = l[1:]
	}
	if len(l) > 0 && l[0].text == "UID" {
		head = append(head, "UID")
		l = l[1:]
	}
	text := strings.Join(append(head, renderItems(w.source(), fetchItems(l))), " ")
	return fullMatch(w.source(), "* ESEARCH "+text)
}
