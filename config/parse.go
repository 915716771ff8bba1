package config

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/mjl-/sconf"
)

// maxSyntaxErrors is how many errors of one file are collected that keep it from
// being read at all.
const maxSyntaxErrors = 20

// MaxFileSize is the largest configuration file that is read, in bytes. A file
// with 100,000 accounts is a fifth of it.
const MaxFileSize = 64 << 20

// parse reads an sconf file into dst, a pointer to a zero Static or Dynamic. sconf
// stops at the first error: the line it complains about is taken out with all
// that is nested under it, and the rest is read again, so that an operator sees
// all errors at once.
func parse(file string, data []byte, dst any) (*outline, Errors) {
	o := parseOutline(data)
	var errs Errors
	lines := bytes.Split(data, []byte("\n"))
	for len(errs) < maxSyntaxErrors {
		v := reflect.New(reflect.TypeOf(dst).Elem())
		err := sconf.Parse(bytes.NewReader(bytes.Join(lines, []byte("\n"))), v.Interface())
		if err == nil {
			if len(errs) == 0 {
				reflect.ValueOf(dst).Elem().Set(v.Elem())
			}
			break
		}
		line, text := splitError(err)
		if strings.HasPrefix(text, "missing required key") {
			// The line is where reading stopped, not where the key is missing.
			errs = append(errs, missingKeys(file, o, errs, "", v.Type().Elem())...)
			break
		}
		if text == "expected indent" {
			text = "value is missing: nothing is indented under it"
			line = emptyParent(o, line)
		}
		errs = append(errs, &Error{file, line, o.at(line).field, text})
		if line == 0 || !blank(lines, o, line) {
			break
		}
	}
	return o, errs
}

// splitError returns line and text of an error of sconf, which looks like
// ":12: text".
func splitError(err error) (int, string) {
	s := strings.TrimPrefix(err.Error(), ":")
	if num, text, ok := strings.Cut(s, ": "); ok {
		if line, aerr := strconv.Atoi(num); aerr == nil {
			return line, text
		}
	}
	return 0, err.Error()
}

// emptyParent returns the line that lacks nested lines, when sconf noticed it at
// line: a later line that is not nested, or the end of the file.
func emptyParent(o *outline, line int) int {
	prev := o.previous(line)
	if e := o.at(line); e.content && (prev == 0 || e.open && o.previous(len(o.byLine)+1) == line) {
		return line
	}
	return prev
}

// blank empties a line with all that is nested under it, and the lines around it
// that would have nothing nested under them then. It reports whether anything
// has changed.
func blank(lines [][]byte, o *outline, line int) bool {
	changed := false
	for line > 0 {
		for n := range o.nested(line) {
			changed = changed || len(lines[n-1]) > 0
			lines[n-1] = nil
		}
		line = o.parent(line)
		for n := range o.nested(line) {
			if n > line && len(lines[n-1]) > 0 {
				return changed
			}
		}
	}
	return changed
}

// missingKeys returns an error for each required field of type t that is not in
// the file, for t at field prefix and what is nested in it. Nothing is missing
// where a known error is.
func missingKeys(file string, o *outline, known Errors, prefix string, t reflect.Type) Errors {
	var errs Errors
	if slices.ContainsFunc(known, func(e *Error) bool { return e.Field == prefix }) {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return missingKeys(file, o, known, prefix, t.Elem())
	case reflect.Map, reflect.Slice:
		if k := t.Elem().Kind(); k != reflect.Struct && k != reflect.Pointer {
			return nil
		}
		for _, field := range o.children(prefix) {
			errs = append(errs, missingKeys(file, o, known, field, t.Elem())...)
		}
	case reflect.Struct:
		for f := range t.Fields() {
			name := join(prefix, f.Name)
			if _, ok := o.byField[name]; ok {
				errs = append(errs, missingKeys(file, o, known, name, f.Type)...)
			} else if f.Tag.Get("sconf") != "optional" {
				errs = append(errs, &Error{file, o.line(prefix), name, fmt.Sprintf("required field %s is missing", f.Name)})
			}
		}
	}
	return errs
}

// children returns the fields that are directly nested in a field and have
// something nested under them, in order.
func (o *outline) children(field string) []string {
	line, ok := o.byField[field]
	if !ok {
		return nil
	}
	var l []string
	for n := range o.nested(line) {
		if e := o.at(n); e.content && e.depth == o.at(line).depth+1 && e.open {
			l = append(l, e.field)
		}
	}
	return l
}
