package mpt

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A want is a response that is expected.
type want struct {
	lines []line // The second and following ones are of literals.
	tag   string // As in response.
	kind  string // Upper case; empty for a continuation request.
	num   string // Regular expression.
	code  string // Regular expression of a response code, without brackets.
}

var (
	untaggedWant = regexp.MustCompile(`^\\\* (?:(\S+) (EXISTS|RECENT|EXPUNGE|FETCH)\b|(\S+)(.*)$)`)
	taggedWant   = regexp.MustCompile(`^(\S+) (OK|NO|BAD)\b(.*)$`)
	codeWant     = regexp.MustCompile(`^ \\\[([A-Z-]+)(?:(.*?)\\?\]|.*)`)
)

// parseWants groups lines to responses. Tags are those of commands that were sent.
func parseWants(lines []line, tags map[string]bool) []*want {
	var l []*want
	for _, ln := range lines {
		w := parseWant(ln, tags)
		if w == nil && len(l) > 0 {
			last := l[len(l)-1]
			last.lines = append(last.lines, ln)
			continue
		}
		if w == nil {
			w = &want{tag: "*", lines: []line{ln}, kind: strings.ToUpper(unescape(ln.text))}
		}
		l = append(l, w)
	}
	return l
}

// parseWant returns the response that a line is the start of, or nil.
func parseWant(ln line, tags map[string]bool) *want {
	w := &want{lines: []line{ln}}
	if strings.HasPrefix(ln.text, `\+`) {
		w.tag = "+"
		return w
	}
	if m := untaggedWant.FindStringSubmatch(ln.text); m != nil {
		w.tag, w.num, w.kind = "*", m[1], m[2]
		if w.kind == "" {
			w.kind = strings.ToUpper(m[3])
			w.setCode(m[4])
		}
		return w
	}
	if m := taggedWant.FindStringSubmatch(ln.text); m != nil && tags[unescape(m[1])] {
		w.tag, w.kind = unescape(m[1]), m[2]
		w.setCode(m[3])
		return w
	}
	return nil
}

func (w *want) setCode(after string) {
	if m := codeWant.FindStringSubmatch(after); m != nil && slices.Contains(statusKinds, w.kind) {
		w.code = m[1] + m[2]
		if !strings.Contains(m[0], "]") {
			w.code += ".*" // The file leaves the rest open.
		}
	}
}

// source returns the regular expression of a want, with CRLF between lines.
func (w *want) source() string {
	var l []string
	for _, ln := range w.lines {
		l = append(l, ln.text)
	}
	return literalWant.ReplaceAllString(strings.Join(l, "\r\n"), " \\{$1\\}$2")
}

// literalWant is a size of a literal that is not escaped, as some files have it.
var literalWant = regexp.MustCompile(` \{([0-9]+)\}(\r\n|$)`)

var escape = regexp.MustCompile(`\\(.)`)

// unescape returns the text that a regular expression without metacharacters
// matches.
func unescape(re string) string { return escape.ReplaceAllString(re, "$1") }

var meta = regexp.MustCompile(`(^|[^\\])(\\\\)*(\.[*+?]|\\[dwsS]|\[|\()`)

// isPattern reports whether a regular expression matches more than one text, apart
// from dots.
func isPattern(re string) bool { return meta.MatchString(re) }

var lineEnds = regexp.MustCompile(`[ \t]+(\r\n|$)`)

// fullMatch matches all of a text, except spaces at the ends of lines, which the
// files do not have. The sizes of literals tell whether they were there.
func fullMatch(re, text string) (bool, error) {
	r, err := regexp.Compile(`\A(?:` + lineEnds.ReplaceAllString(re, "$1") + `)\z`)
	if err != nil {
		return false, err
	}
	return r.MatchString(lineEnds.ReplaceAllString(text, "$1")), nil
}

// matches reports whether a response is what is wanted. Delim is as in Options.
func (w *want) matches(r *response, delim byte) (bool, error) {
	if w.tag != r.tag || w.kind != r.kind {
		return false, nil
	}
	if w.num != "" {
		if ok, err := fullMatch(w.num, r.num); !ok {
			return false, err
		}
	}
	switch {
	case r.tag == "+" || r.kind == "EXISTS":
		return true, nil
	case r.tag != "*":
		return w.matchTagged(r), nil
	case slices.Contains(statusKinds, r.kind):
		return w.matchStatus(r)
	case r.err != nil:
		return false, fmt.Errorf("%w: %q", r.err, r.raw)
	}
	switch r.kind {
	case "FLAGS":
		return matchFlags(listOf(w.source()), r.data)
	case "LIST", "LSUB":
		return w.matchList(r, delim)
	case "FETCH", "STATUS", "ESEARCH":
		return w.matchItems(r, delim)
	}
	return fullMatch(w.source(), "* "+r.kind+" "+join(r.data))
}

// acted are the response codes that clients act on.
var acted = []string{"TRYCREATE", "OVERQUOTA", "READ-ONLY", "READ-WRITE"}

func (w *want) matchTagged(r *response) bool {
	return !slices.Contains(acted, codeName(w.code)) || codeName(w.code) == codeName(r.code)
}

// matchStatus compares an untagged status response. PERMANENTFLAGS has at least the
// flags that are expected.
func (w *want) matchStatus(r *response) (bool, error) {
	if w.code == "" {
		return true, nil
	}
	if codeName(r.code) == "PERMANENTFLAGS" && codeName(w.code) == "PERMANENTFLAGS" {
		l, err := parseNodes(r.code)
		if err != nil || len(l) != 2 {
			return false, err
		}
		return matchFlags(listOf(w.code), l[1:])
	}
	return fullMatch("(?i:"+w.code+")", r.code)
}

var flagWord = regexp.MustCompile(`(?:\\\\)*\\?[A-Za-z$]\w*`)

// listOf returns the flags in the parentheses of an expression, without those that
// it leaves open.
func listOf(re string) []string {
	_, re, _ = strings.Cut(re, `\(`)
	i := strings.LastIndex(re, `\)`)
	if i < 0 {
		return nil
	}
	var l []string
	for _, s := range flagWord.FindAllString(re[:i], -1) {
		// In the files \\\Seen stands for \Seen too.
		s = strings.TrimLeft(s, `\`)
		if strings.HasPrefix(s, "Recent") {
			continue
		}
		l = append(l, strings.ToLower(s))
	}
	return l
}

// matchFlags reports whether a list has at least some flags.
func matchFlags(flags []string, data []node) (bool, error) {
	if len(data) != 1 || data[0].kind != listNode {
		return false, nil
	}
	for _, f := range flags {
		if !slices.ContainsFunc(data[0].list, func(n node) bool { return strings.EqualFold(strings.TrimPrefix(n.text, `\`), f) }) {
			return false, nil
		}
	}
	return true, nil
}

// matchList compares attributes as a set, delimiter, name and extended data.
func (w *want) matchList(r *response, delim byte) (bool, error) {
	re := w.source()
	if isPattern(re) {
		return fullMatch(re, "* "+r.kind+" "+join(r.data))
	}
	l, err := parseNodes(unescape(re))
	if err != nil || len(l) < 5 || len(r.data) < 3 {
		return false, err
	}
	l = l[2:]
	if delim != 0 && l[1].text == "." {
		l[1].text = string(delim)
		l[2].text = strings.ReplaceAll(l[2].text, ".", string(delim))
	}
	have := attributes(r.data[0])
	if r.kind == "LSUB" {
		// RFC 3501 §7.2.3 is about \Noselect only.
		have = slices.DeleteFunc(have, func(s string) bool { return s != `\noselect` })
	}
	return slices.Equal(attributes(l[0]), have) && l[1].text == r.data[1].text &&
		mailboxName(l[2].text) == mailboxName(r.data[2].text) && strings.EqualFold(join(l[3:]), join(r.data[3:])), nil
}

// attributes returns mailbox attributes in lower case, sorted.
func attributes(n node) []string {
	l := words(n.list)
	for i := range l {
		l[i] = strings.ToLower(l[i])
	}
	slices.Sort(l)
	return slices.Compact(l)
}

func mailboxName(s string) string {
	if strings.EqualFold(s, "INBOX") {
		return "INBOX"
	}
	if len(s) > 6 && strings.EqualFold(s[:6], "INBOX/") {
		return "INBOX" + s[5:]
	}
	return s
}

// expunged returns the messages that EXPUNGE responses are about, in the numbering
// before the first.
func expunged(nums []string) (string, error) {
	var l []int
	for _, s := range nums {
		n, err := strconv.Atoi(s)
		if err != nil {
			return "", err
		}
		l = append(l, n)
	}
	return fmt.Sprint(positions(l)), nil
}
