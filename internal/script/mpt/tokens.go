package mpt

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// A node is an element of an IMAP response: an atom, a string or a list.
type node struct {
	kind nodeKind
	text string
	list []node
}

type nodeKind int

const (
	atomNode nodeKind = iota
	stringNode
	listNode
)

var errTokens = errors.New("response cannot be parsed")

// maxDepth bounds the lists within lists of a response.
const maxDepth = 1000

// parseNodes parses the elements of a response.
func parseNodes(s string) ([]node, error) {
	p := nodeParser{s: s}
	l, err := p.list(0)
	if err == nil && p.s != "" {
		err = errTokens
	}
	return l, err
}

type nodeParser struct{ s string }

// list parses up to the end or a closing parenthesis, which is left.
func (p *nodeParser) list(depth int) ([]node, error) {
	var l []node
	for depth < maxDepth {
		p.s = strings.TrimLeft(p.s, " ")
		if p.s == "" || p.s[0] == ')' {
			return l, nil
		}
		n, err := p.node(depth)
		if err != nil {
			return nil, err
		}
		l = append(l, n)
	}
	return nil, errTokens
}

func (p *nodeParser) node(depth int) (node, error) {
	switch p.s[0] {
	case '(':
		p.s = p.s[1:]
		l, err := p.list(depth + 1)
		if err != nil || p.s == "" {
			return node{}, errTokens
		}
		p.s = p.s[1:]
		return node{kind: listNode, list: l}, nil
	case '"':
		return p.quoted()
	case '{':
		return p.literal()
	}
	return p.atom(), nil
}

func (p *nodeParser) quoted() (node, error) {
	var b strings.Builder
	for i := 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '"':
			p.s = p.s[i+1:]
			return node{kind: stringNode, text: b.String()}, nil
		case c == '\\' && i+1 < len(p.s):
			i++
			b.WriteByte(p.s[i])
		default:
			b.WriteByte(c)
		}
	}
	return node{}, errTokens
}

func (p *nodeParser) literal() (node, error) {
	head, rest, ok := strings.Cut(p.s, "}\r\n")
	n, err := strconv.Atoi(strings.TrimPrefix(head, "{"))
	if !ok || err != nil || n > len(rest) {
		return node{}, errTokens
	}
	p.s = rest[n:]
	return node{kind: stringNode, text: rest[:n]}, nil
}

// atom parses an atom, which for FETCH items has a section with spaces, parentheses
// and strings in brackets.
func (p *nodeParser) atom() node {
	depth, i := 0, 0
	for ; i < len(p.s); i++ {
		c := p.s[i]
		if c == '[' {
			depth++
		} else if c == ']' && depth > 0 {
			depth--
		} else if depth == 0 && (c == ' ' || c == '(' || c == ')') {
			break
		}
	}
	n := node{text: p.s[:i]}
	p.s = p.s[i:]
	return n
}

// String returns the element the way the files write it: strings quoted, and as
// literals where they have line ends or a quote.
func (n node) String() string {
	switch n.kind {
	case stringNode:
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(n.text) + `"`
	case listNode:
		return "(" + join(n.list) + ")"
	}
	return n.text
}

// bodyStructure returns a body structure in one of the forms with the same meaning:
// a text without a charset has US-ASCII (RFC 2046 §4.1.2), parameters are in the order
// of their names, and a list of one language is that language.
func (n node) bodyStructure() node {
	if n.kind != listNode {
		return n
	}
	var l []node
	strs := true
	for _, e := range n.list {
		l = append(l, e.bodyStructure())
		strs = strs && e.kind == stringNode
	}
	switch {
	case len(l) > 2 && l[0].isString("text"):
		l[2] = l[2].withCharset()
	case strs && len(l) == 1:
		return l[0]
	case strs && len(l)%2 == 0:
		pairs := slices.Collect(slices.Chunk(l, 2))
		slices.SortStableFunc(pairs, func(a, b []node) int {
			return strings.Compare(strings.ToLower(a[0].text), strings.ToLower(b[0].text))
		})
		l = slices.Concat(pairs...)
	}
	return node{kind: listNode, list: l}
}

// withCharset returns the parameters of a text with a charset.
func (n node) withCharset() node {
	for i := 0; i+1 < len(n.list); i += 2 {
		if n.list[i].isString("charset") {
			return n
		}
	}
	charset := []node{{kind: stringNode, text: "charset"}, {kind: stringNode, text: "US-ASCII"}}
	return node{kind: listNode, list: append(charset, n.list...)}.bodyStructure()
}

func (n node) isNIL() bool { return n.kind == atomNode && strings.EqualFold(n.text, "NIL") }

func (n node) isString(s string) bool { return n.kind == stringNode && strings.EqualFold(n.text, s) }

// join returns elements with spaces between them, except between lists, as in the
// addresses of an envelope.
func join(l []node) string {
	var b strings.Builder
	for i, n := range l {
		if i > 0 && (n.kind != listNode || l[i-1].kind != listNode) {
			b.WriteByte(' ')
		}
		b.WriteString(n.String())
	}
	return b.String()
}

// words returns the texts of atoms and strings.
func words(l []node) []string {
	var w []string
	for _, n := range l {
		w = append(w, n.text)
	}
	return w
}
