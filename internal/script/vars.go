package script

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A piece of a text with variables: either literal text or a reference.
type piece struct {
	text string
	name string // Of a variable, or "size:file". Empty for literal text.
}

// split parses the references in s. A dollar that does not start one is itself.
func split(s string) ([]piece, error) {
	var l []piece
	var lit strings.Builder
	for s != "" {
		i := strings.IndexByte(s, '$')
		if i < 0 {
			lit.WriteString(s)
			break
		}
		lit.WriteString(s[:i])
		s = s[i+1:]
		if strings.HasPrefix(s, "$") {
			lit.WriteByte('$')
			s = s[1:]
			continue
		}
		name, rest, err := reference(s)
		if err != nil {
			return nil, err
		}
		s = rest
		if name == "" {
			lit.WriteByte('$')
			continue
		}
		l = append(l, piece{text: lit.String()}, piece{name: name})
		lit.Reset()
	}
	return append(l, piece{text: lit.String()}), nil
}

// reference parses what comes after a dollar. The name is empty if it does not
// start a reference.
func reference(s string) (name, rest string, err error) {
	if in, ok := strings.CutPrefix(s, "{"); ok {
		name, rest, ok = strings.Cut(in, "}")
		if !ok || name == "" {
			return "", "", fmt.Errorf("${ without a name and }")
		}
		return name, rest, nil
	}
	n := identLen(s)
	return s[:n], s[n:], nil
}

// value returns the value of a variable.
func (r *Run) value(name string) (string, bool) {
	if file, ok := strings.CutPrefix(name, "size:"); ok {
		b, ok := r.script.files[file]
		return strconv.Itoa(len(b)), ok
	}
	v, ok := r.vars[name]
	return v, ok
}

// expand returns a text with values for its variables, which must have one.
func (r *Run) expand(s string) (string, error) {
	pieces, err := split(s)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.text)
		if p.name == "" {
			continue
		}
		v, ok := r.value(p.name)
		if !ok {
			return "", fmt.Errorf("variable $%s has no value (a dollar is written $$)", p.name)
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// A matcher is the expectation of one line.
type matcher struct {
	re    *regexp.Regexp
	names []string // Of the variables that the groups bind, by group number.
	shown string   // The expectation with the values of variables.
}

// matcher makes the matcher of a line with an expectation, with the variables
// that are bound now.
func (r *Run) matcher(l line) (*matcher, error) {
	if l.op == opRegexp {
		return r.regexpMatcher(l.arg)
	}
	if l.op == opQuoted {
		return newMatcher(regexp.QuoteMeta(l.arg), strconv.Quote(l.arg))
	}
	pieces, err := split(l.arg)
	if err != nil {
		return nil, err
	}
	var expr, shown strings.Builder
	names := []string{""}
	for _, p := range pieces {
		expr.WriteString(regexp.QuoteMeta(p.text))
		shown.WriteString(p.text)
		if p.name == "" {
			continue
		}
		if v, ok := r.value(p.name); ok {
			expr.WriteString(regexp.QuoteMeta(v))
			shown.WriteString(v)
			continue
		}
		if identLen(p.name) != len(p.name) {
			return nil, fmt.Errorf("no such value: ${%s}", p.name)
		}
		expr.WriteString(`(\S+?)`)
		shown.WriteString("$" + p.name)
		names = append(names, p.name)
	}
	m, err := newMatcher(expr.String(), shown.String())
	if err != nil {
		return nil, err
	}
	m.names = names
	return m, nil
}

func newMatcher(expr, shown string) (*matcher, error) {
	re, err := regexp.Compile(`\A(?:` + expr + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("regular expression: %w", err)
	}
	return &matcher{re, re.SubexpNames(), shown}, nil
}

// regexpMatcher puts the values of variables in an expression.
func (r *Run) regexpMatcher(expr string) (*matcher, error) {
	pieces, err := splitRegexp(expr)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.text)
		if p.name == "" {
			continue
		}
		v, ok := r.value(p.name)
		if !ok {
			return nil, fmt.Errorf("variable $%s has no value; (?P<%s>...) binds it", p.name, p.name)
		}
		b.WriteString(regexp.QuoteMeta(v))
	}
	return newMatcher(b.String(), b.String())
}

// splitRegexp is split for expressions, in which "\$" and a dollar that does not
// start a reference keep their meaning, and "$$" is a literal dollar.
func splitRegexp(expr string) ([]piece, error) {
	var l []piece
	var lit strings.Builder
	for expr != "" {
		i := strings.IndexAny(expr, `$\`)
		if i < 0 {
			lit.WriteString(expr)
			break
		}
		lit.WriteString(expr[:i])
		expr = expr[i:]
		if expr[0] == '\\' {
			n := min(2, len(expr))
			lit.WriteString(expr[:n])
			expr = expr[n:]
			continue
		}
		if strings.HasPrefix(expr, "$$") {
			lit.WriteString(`\$`)
			expr = expr[2:]
			continue
		}
		name, rest, err := reference(expr[1:])
		if err != nil {
			return nil, err
		}
		expr = rest
		if name == "" {
			lit.WriteByte('$')
			continue
		}
		l = append(l, piece{text: lit.String()}, piece{name: name})
		lit.Reset()
	}
	return append(l, piece{text: lit.String()}), nil
}

// match reports whether text is what is expected, and binds variables if it is. A
// name that occurs twice must have matched the same.
func (r *Run) match(m *matcher, text string) bool {
	groups := m.re.FindStringSubmatch(text)
	if groups == nil {
		return false
	}
	bound := map[string]string{}
	for i, name := range m.names {
		if name == "" {
			continue
		}
		if v, ok := bound[name]; ok && v != groups[i] {
			return false
		}
		if v, ok := r.vars[name]; ok && v != groups[i] {
			return false
		}
		bound[name] = groups[i]
	}
	for name, v := range bound {
		r.vars[name] = v
	}
	return true
}
