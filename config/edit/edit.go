package edit

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Errors of edits. A [Doc] is not changed by an edit that returns an error.
var (
	// ErrSyntax: the text cannot be read.
	ErrSyntax = errors.New("syntax of configuration file")
	// ErrValue: the value cannot be written in a configuration file.
	ErrValue = errors.New("value cannot be written in a configuration file")
	// ErrNotFound: nothing is in the file at the path.
	ErrNotFound = errors.New("not in configuration file")
	// ErrExists: the new name is in use.
	ErrExists = errors.New("already in configuration file")
	// ErrRequired: a field that must be there would go away.
	ErrRequired = errors.New("required in configuration file")
	// ErrPath: there is no such field, or the value is not for it.
	ErrPath = errors.New("no such field for the value")
)

// Doc is the text of a configuration file.
type Doc struct {
	typ   reflect.Type
	lines []string
	root  *node
}

// Parse returns a text for editing. v is a value, or a pointer to one, of the struct
// that the file is for.
func Parse(data []byte, v any) (*Doc, error) {
	d := &Doc{typ: indirect(reflect.TypeOf(v)), lines: split(data)}
	var err error
	d.root, err = read(d.lines, d.typ)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Bytes returns the text.
func (d *Doc) Bytes() []byte {
	return []byte(strings.Join(d.lines, "\n"))
}

// Has reports whether something is in the text at a path.
func (d *Doc) Has(p Path) bool {
	_, rest := d.root.find(p)
	return len(rest) == 0
}

// Set sets the value at a path, and adds what is missing on the way there. Setting an
// optional field to its zero value, or to an empty map or list, removes it. A value that
// has lines of its own replaces all lines of the previous one; to keep comments in
// there, set the fields in it instead.
func (d *Doc) Set(p Path, value any) error {
	if len(p) == 0 {
		return fmt.Errorf("%w: the file as a whole", ErrPath)
	}
	v := reflect.ValueOf(value)
	typ, optional, err := d.typeAt(p)
	if err != nil {
		return err
	}
	if !v.IsValid() || v.Type() != typ {
		return fmt.Errorf("%w: %s is a %s, not a %T", ErrPath, p, typ, value)
	}
	last := p[len(p)-1]
	n, rest := d.root.find(p)
	if parent, _, _ := d.typeAt(p[:len(p)-1]); optional && empty(v) && indirect(parent).Kind() == reflect.Struct {
		if len(rest) > 0 {
			return nil
		}
		return d.Remove(p)
	}
	if len(rest) == 0 {
		return d.replace(p, n, v)
	}
	if last.index >= 0 {
		return fmt.Errorf("%w: %s", ErrNotFound, p)
	}
	return d.insert(p, n, rest, v)
}

// Add adds an item at the end of the list at a path, which need not exist yet.
func (d *Doc) Add(p Path, item any) error {
	v := reflect.ValueOf(item)
	typ, _, err := d.typeAt(p)
	if err != nil {
		return err
	}
	if typ.Kind() != reflect.Slice || !composite(typ) || !v.IsValid() || v.Type() != typ.Elem() {
		return fmt.Errorf("%w: %s is a %s, not a list of %T", ErrPath, p, typ, item)
	}
	n, rest := d.root.find(p)
	if len(rest) == 0 {
		return d.insert(p.Item(len(n.children)), n, Path{{"", len(n.children)}}, v)
	}
	return d.insert(p, n, rest, reflect.Append(reflect.MakeSlice(typ, 0, 1), v))
}

// Remove removes what is at a path, with all lines nested in it. A field, or the value
// of an entry, of which nothing is left goes away with it; if it must be there, the
// error matches [ErrRequired].
func (d *Doc) Remove(p Path) error {
	n, rest := d.root.find(p)
	if len(p) == 0 || len(rest) > 0 {
		return fmt.Errorf("%w: %s", ErrNotFound, p)
	}
	for {
		if !n.optional {
			return fmt.Errorf("%w: %s", ErrRequired, p[:n.level()])
		}
		up := n.parent
		if up.parent == nil || len(up.children) > 1 {
			return d.splice(n.line, n.end, nil)
		}
		// Nothing is left in what is around it.
		typ, _, err := d.typeAt(p[:up.level()])
		if err != nil {
			return err
		}
		if up.typ.Kind() == reflect.Struct && (typ.Kind() == reflect.Pointer || up.step.index >= 0 || !up.optional) {
			// Something must be below its line.
			lines, err := placeholder(up.depth, up.typ)
			if err != nil {
				return err
			}
			return d.splice(n.line, n.end, lines)
		}
		if up.parent.typ.Kind() == reflect.Map {
			head := []string{tabs(up.depth-1) + up.step.key + ": " + nilValue}
			return d.splice(up.line, n.end, append(head, d.lines[up.line+1:n.line]...)) // Comments stay.
		}
		if up.step.index >= 0 {
			return fmt.Errorf("%w: list %s in a list would be empty", ErrValue, p[:up.level()])
		}
		n = up
	}
}

// level returns how many steps lead to a node.
func (n *node) level() int {
	l := 0
	for ; n.parent != nil; n = n.parent {
		l++
	}
	return l
}

// Rename gives an entry of a map another key.
func (d *Doc) Rename(p Path, key string) error {
	n, rest := d.root.find(p)
	if len(p) == 0 || len(rest) > 0 {
		return fmt.Errorf("%w: %s", ErrNotFound, p)
	}
	if n.parent.typ.Kind() != reflect.Map {
		return fmt.Errorf("%w: %s has no key that can be changed", ErrPath, p)
	}
	if err := checkKey(key); err != nil {
		return err
	}
	if n.parent.child(Step{key, -1}) != nil {
		return fmt.Errorf("%w: %s", ErrExists, p[:len(p)-1].Key(key))
	}
	prefix := tabs(n.depth - 1)
	return d.splice(n.line, n.line+1, []string{prefix + key + d.lines[n.line][len(prefix)+len(n.step.key):]})
}

// typeAt returns the type at a path, and whether it may be left out.
func (d *Doc) typeAt(p Path) (typ reflect.Type, optional bool, err error) {
	typ = d.typ
	for i, s := range p {
		t := indirect(typ)
		ok := false
		if s.index >= 0 && t.Kind() == reflect.Slice && composite(t) {
			typ, optional, ok = t.Elem(), true, true
		} else if s.index < 0 && (t.Kind() == reflect.Struct || t.Kind() == reflect.Map) {
			typ, optional, ok = childType(t, s.key)
		}
		if !ok {
			return nil, false, fmt.Errorf("%w: %s", ErrPath, p[:i+1])
		}
	}
	return typ, optional, nil
}

// replace sets the value of a node.
func (d *Doc) replace(p Path, n *node, v reflect.Value) error {
	head := "-"
	if n.step.index < 0 {
		head = n.step.key + ":"
	}
	lines, err := encode(n.depth-1, head, v, n.parent.typ.Kind() == reflect.Map)
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	return d.splice(n.line, n.end, lines)
}

// insert adds a value at a path, of which rest is missing in n.
func (d *Doc) insert(p Path, n *node, rest Path, v reflect.Value) error {
	var lines []string
	depth := n.depth
	for i, s := range rest {
		typ, _, err := d.typeAt(p[:len(p)-len(rest)+i])
		if err != nil {
			return err
		}
		isMap := indirect(typ).Kind() == reflect.Map
		if isMap {
			if err := checkKey(s.key); err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
		}
		head := s.key + ":"
		if s.index >= 0 {
			head = "-"
		}
		if i < len(rest)-1 {
			if s.index >= 0 {
				return fmt.Errorf("%w: %s", ErrNotFound, p)
			}
			lines = append(lines, tabs(depth+i)+head)
			continue
		}
		l, err := encode(depth+i, head, v, isMap)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		lines = append(lines, l...)
	}
	return d.insertLines(n, lines)
}

// insertLines adds lines at the end of what is nested in n.
func (d *Doc) insertLines(n *node, lines []string) error {
	switch {
	case n.parent == nil && len(n.children) == 0:
		return d.splice(len(d.lines), len(d.lines), lines)
	case n.parent == nil:
		at := n.children[len(n.children)-1].end
		return d.splice(at, at, lines)
	case n.value == nilValue && len(n.children) == 0:
		head := tabs(n.depth-1) + n.step.key + ":"
		return d.splice(n.line, n.line+1, append([]string{head}, lines...))
	}
	return d.splice(n.end, n.end, lines)
}

// splice replaces lines from up to, and not including, to. It fails if the text could
// not be read afterwards.
func (d *Doc) splice(from, to int, with []string) error {
	lines := slices.Clone(d.lines)
	if from == len(lines) && lines[from-1] == "" {
		from, to = from-1, to-1 // Before the end of the last line.
	}
	lines = slices.Replace(lines, from, to, with...)
	if len(lines) == 0 || lines[len(lines)-1] != "" {
		lines = append(lines, "")
	}
	root, err := read(lines, d.typ)
	if err != nil {
		return err
	}
	d.lines, d.root = lines, root
	return nil
}
