package edit

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"github.com/mjl-/sconf"
)

// node is a field, entry or item in the text.
type node struct {
	step     Step
	typ      reflect.Type
	optional bool   // It may be left out: a field that is not required, an entry or an item.
	parent   *node  // Nil for the file.
	line     int    // Index of its line.
	end      int    // Index of the line after all that is nested in it, and comments there.
	depth    int    // Of what is nested in it, in tabs.
	value    string // On its own line.
	children []*node
}

// reader makes nodes of lines. It follows the parser of sconf, which has read the same
// lines without an error.
type reader struct {
	lines []string
	next  int // Line to look at.
}

// read returns the structure of a text, after sconf has read it.
func read(lines []string, t reflect.Type) (*node, error) {
	v := reflect.New(t)
	if err := sconf.Parse(strings.NewReader(strings.Join(lines, "\n")), v.Interface()); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrSyntax, strings.TrimPrefix(err.Error(), ":"))
	}
	r := &reader{lines: lines}
	root := &node{typ: t, end: len(lines)}
	if err := r.children(root); err != nil {
		return nil, err
	}
	if r.next != len(lines) {
		return nil, fmt.Errorf("%w: line %d is not understood", ErrSyntax, r.next+1)
	}
	return root, nil
}

func isComment(line string) bool {
	return strings.HasPrefix(strings.TrimSpace(line), "#")
}

// skip goes to the next line with content. It reports whether that is nested at a depth.
func (r *reader) skip(depth int) bool {
	for r.next < len(r.lines) && (r.lines[r.next] == "" || isComment(r.lines[r.next])) {
		r.next++
	}
	return r.next < len(r.lines) && strings.HasPrefix(r.lines[r.next], tabs(depth))
}

// children reads what is nested in n.
func (r *reader) children(n *node) error {
	for r.skip(n.depth) {
		line := r.lines[r.next][n.depth:]
		c := &node{parent: n, line: r.next, depth: n.depth + 1, optional: true}
		var head string
		switch n.typ.Kind() {
		case reflect.Slice:
			head, c.step, c.typ = "-", Step{"", len(n.children)}, n.typ.Elem()
		default:
			key, _, _ := strings.Cut(line, ":")
			head, c.step = key+":", Step{key, -1}
			var ok bool
			if c.typ, c.optional, ok = childType(n.typ, key); !ok {
				return fmt.Errorf("%w: line %d: unknown key %q", ErrSyntax, r.next+1, key)
			}
		}
		c.typ = indirect(c.typ)
		c.value = strings.TrimPrefix(line[len(head):], " ")
		r.next++
		if composite(c.typ) && c.value == "" {
			if err := r.children(c); err != nil {
				return err
			}
		} else if composite(c.typ) && (c.value != nilValue || n.typ.Kind() != reflect.Map) {
			return fmt.Errorf("%w: line %d: what is nested begins on the line itself", ErrSyntax, c.line+1)
		}
		c.end = c.line + 1
		if len(c.children) > 0 {
			c.end = c.children[len(c.children)-1].end
		}
		for i := c.end; composite(c.typ) && i < len(r.lines) && isComment(r.lines[i]) && strings.HasPrefix(r.lines[i], tabs(c.depth)); i++ {
			c.end = i + 1
		}
		n.children = append(n.children, c)
	}
	return nil
}

// childType returns the type of a field of a struct or of the entries of a map.
func childType(t reflect.Type, key string) (typ reflect.Type, optional, ok bool) {
	if t.Kind() == reflect.Map {
		return t.Elem(), true, true
	}
	f, ok := t.FieldByName(key)
	if !ok || !f.IsExported() || hasWord(f, "-") || hasWord(f, "ignore") {
		return nil, false, false
	}
	return f.Type, hasWord(f, "optional"), true
}

func hasWord(f reflect.StructField, word string) bool {
	for w := range strings.SplitSeq(f.Tag.Get("sconf"), ",") {
		if w == word {
			return true
		}
	}
	return false
}

func indirect(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// composite reports whether a value of a type is on lines of its own.
func composite(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return true
	case reflect.Slice:
		return t.Elem().Kind() != reflect.Uint8
	}
	return false
}

func tabs(n int) string { return strings.Repeat("\t", n) }

// find returns the node of a path, or as much of the way as there is, and the rest.
func (n *node) find(p Path) (*node, Path) {
	for len(p) > 0 {
		c := n.child(p[0])
		if c == nil {
			break
		}
		n, p = c, p[1:]
	}
	return n, p
}

func (n *node) child(s Step) *node {
	for _, c := range n.children {
		if c.step == s {
			return c
		}
	}
	return nil
}

// split returns the lines of a file.
func split(data []byte) []string {
	return strings.Split(string(bytes.Clone(data)), "\n")
}
