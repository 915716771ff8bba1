package edit

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mjl-/sconf"
)

// FuzzEdits makes random edits to a text, and to the value that is read from it. The
// changed text must read as the changed value, and differ in the lines of the edit only.
func FuzzEdits(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(testText, seed)
		f.Add("Domains:\n\ta: nil", seed)
		f.Add("Routes:\n\t-\n\t\tTo:\n\t\t\t- x\n\n\t-\n\t\tAttempts: 1\nDomains:\n# x\n\ta:\n\t\tDKIM:\n\t\t\tSign:\n# y\n\t\t\t\t- q\nNames:\n\t-\n\t- nil\n", seed)
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		d, err := Parse([]byte(text), testFile{})
		if err != nil {
			return
		}
		m := &model{r: rand.New(rand.NewPCG(seed, 1))}
		for range 8 {
			m.edit(t, d)
		}
	})
}

// model makes random edits.
type model struct {
	r *rand.Rand
}

// value returns what a text is read into.
func value(t *testing.T, d *Doc) reflect.Value {
	t.Helper()
	v := reflect.New(d.typ)
	if err := sconf.Parse(strings.NewReader(string(d.Bytes())), v.Interface()); err != nil {
		t.Fatalf("text cannot be read: %v\n%s", err, d.Bytes())
	}
	return v.Elem()
}

// edit makes an edit in both ways and compares.
func (m *model) edit(t *testing.T, d *Doc) {
	t.Helper()
	before, want := string(d.Bytes()), value(t, d)
	p := m.path(want)
	n, rest := d.root.find(p)
	size := 0 // Lines that may change.
	if len(rest) == 0 {
		size = n.end - n.line
	}
	var op string
	var change func(v reflect.Value) reflect.Value
	var err error
	switch typ, _, terr := d.typeAt(p); {
	case terr != nil:
		t.Fatalf("type at %s: %v", p, terr)
	case m.r.IntN(3) == 0:
		op, err = "remove", d.Remove(p)
	case m.r.IntN(4) == 0 && typ.Kind() == reflect.Slice && composite(typ):
		item := m.random(typ.Elem())
		op, err = fmt.Sprintf("add %#v", item), d.Add(p, item.Interface())
		change = func(v reflect.Value) reflect.Value { return reflect.Append(v, item) }
		size = 0
	default:
		x := m.random(typ)
		op, err = fmt.Sprintf("set %#v", x), d.Set(p, x.Interface())
		change = func(reflect.Value) reflect.Value { return x }
		if err == nil && len(rest) > 0 && empty(x) && string(d.Bytes()) == before {
			return // What is not there is not made for it.
		}
	}
	if err != nil {
		if string(d.Bytes()) != before {
			t.Fatalf("%s %s: %v, but text was changed", op, p, err)
		}
		for _, known := range []error{ErrValue, ErrNotFound, ErrRequired, ErrSyntax} {
			if errors.Is(err, known) {
				return
			}
		}
		t.Fatalf("%s %s: error %v", op, p, err)
	}
	want = apply(want, p, change)
	if g, w := canonical(value(t, d)), canonical(want); g != w {
		t.Fatalf("%s %s:\ngot      %s\nexpected %s\nbefore:\n%s\nafter:\n%s", op, p, g, w, before, d.Bytes())
	}
	compareLines(t, op+" "+p.String(), before, string(d.Bytes()), size)
}

// compareLines checks that the lines around a change are the same. Besides the lines
// of a field, one before it may change, with the key of what it is in; and all that a
// removed field leaves empty goes away.
func compareLines(t *testing.T, op, before, after string, size int) {
	t.Helper()
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	if a[len(a)-1] != "" {
		a = append(a, "")
	}
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	tail := 0
	for tail < min(len(a), len(b))-same && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	changed := a[same : len(a)-tail]
	if len(changed) <= size+1 || strings.HasPrefix(op, "remove ") || strings.HasPrefix(op, "set ") && size > 0 {
		return
	}
	t.Fatalf("%s: %d lines were changed, expected %d: %q", op, len(changed), size, changed)
}

// path returns a random path within a value.
func (m *model) path(v reflect.Value) Path {
	var p Path
	for {
		for v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v = reflect.New(v.Type().Elem())
			}
			v = v.Elem()
		}
		if len(p) > 0 && (!composite(v.Type()) || m.r.IntN(4) == 0) {
			return p
		}
		switch v.Kind() {
		case reflect.Slice:
			if v.Len() == 0 {
				return p
			}
			i := m.r.IntN(v.Len())
			p, v = p.Item(i), v.Index(i)
		case reflect.Map:
			keys := append(sortedKeys(v), m.text())
			k := keys[m.r.IntN(len(keys))]
			p = p.Key(k)
			if e := v.MapIndex(reflect.ValueOf(k)); e.IsValid() {
				v = e
			} else {
				v = reflect.Zero(v.Type().Elem())
			}
		default:
			var names []string
			for f := range v.Type().Fields() {
				if _, _, ok := childType(v.Type(), f.Name); ok {
					names = append(names, f.Name)
				}
			}
			name := names[m.r.IntN(len(names))]
			p, v = p.Key(name), v.FieldByName(name)
		}
	}
}

func sortedKeys(v reflect.Value) []string {
	keys := map[string]bool{}
	for _, k := range v.MapKeys() {
		keys[k.String()] = true
	}
	return slices.Sorted(maps.Keys(keys))
}

// text returns a text, which may be one that cannot be written.
func (m *model) text() string {
	l := []string{"", "a", "b", "x y", " x", "x ", "nil", "#a", "a:b", "-", "- a", "é", "a\nb", "\ta", "true", "a@b.example"}
	return l[m.r.IntN(len(l))]
}

// random returns a random value of a type.
func (m *model) random(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	if m.r.IntN(4) == 0 {
		return v
	}
	switch t.Kind() {
	case reflect.Bool:
		v.SetBool(m.r.IntN(2) == 0)
	case reflect.Int:
		v.SetInt(m.r.Int64N(1000) - 500)
	case reflect.Int64: // A duration.
		v.SetInt(m.r.Int64N(100) * int64(time.Minute))
	case reflect.Uint:
		v.SetUint(m.r.Uint64())
	case reflect.Float64:
		v.SetFloat(m.r.NormFloat64())
	case reflect.String:
		v.SetString(m.text())
	case reflect.Pointer:
		v.Set(m.random(t.Elem()).Addr())
	case reflect.Slice:
		for range m.r.IntN(3) {
			v = reflect.Append(v, m.random(t.Elem()))
		}
	case reflect.Uint8:
		v.SetUint(uint64(m.r.IntN(256)))
	case reflect.Map:
		v = reflect.MakeMap(t)
		for range m.r.IntN(3) {
			v.SetMapIndex(reflect.ValueOf(m.text()), m.random(t.Elem()))
		}
	case reflect.Struct:
		for f := range t.Fields() {
			if _, _, ok := childType(t, f.Name); ok {
				v.FieldByName(f.Name).Set(m.random(f.Type))
			}
		}
	}
	return v
}

// apply returns v with what is at a path changed, or removed if change is nil.
func apply(v reflect.Value, p Path, change func(reflect.Value) reflect.Value) reflect.Value {
	if len(p) == 0 && change == nil {
		return reflect.Zero(v.Type())
	} else if len(p) == 0 {
		return change(v)
	}
	n := reflect.New(v.Type()).Elem()
	n.Set(v)
	switch s := p[0]; n.Kind() {
	case reflect.Pointer:
		x := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			x.Elem().Set(v.Elem())
		}
		x.Elem().Set(apply(x.Elem(), p, change))
		return x
	case reflect.Struct:
		n.FieldByName(s.key).Set(apply(v.FieldByName(s.key), p[1:], change))
	case reflect.Map:
		n = reflect.MakeMap(v.Type())
		for _, k := range v.MapKeys() {
			n.SetMapIndex(k, v.MapIndex(k))
		}
		k := reflect.ValueOf(s.key)
		if change == nil && len(p) == 1 {
			n.SetMapIndex(k, reflect.Value{})
			break
		}
		e := v.MapIndex(k)
		if !e.IsValid() {
			e = reflect.Zero(v.Type().Elem())
		}
		n.SetMapIndex(k, apply(e, p[1:], change))
	case reflect.Slice:
		n = reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v)
		if change == nil && len(p) == 1 {
			return reflect.AppendSlice(n.Slice(0, s.index), v.Slice(s.index+1, v.Len()))
		}
		n.Index(s.index).Set(apply(v.Index(s.index), p[1:], change))
	}
	return n
}

// canonical returns a value as text, in which what is the same in a file is the same.
func canonical(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return "nil"
		}
		return "&" + canonical(v.Elem())
	case reflect.Map:
		var b strings.Builder
		for _, k := range sortedKeys(v) {
			fmt.Fprintf(&b, "%q:%s,", k, canonical(v.MapIndex(reflect.ValueOf(k))))
		}
		return "{" + b.String() + "}"
	case reflect.Slice:
		var b strings.Builder
		for i := range v.Len() {
			b.WriteString(canonical(v.Index(i)) + ",")
		}
		return "[" + b.String() + "]"
	case reflect.Struct:
		var b strings.Builder
		for f := range v.Type().Fields() {
			fmt.Fprintf(&b, "%s:%s,", f.Name, canonical(v.FieldByIndex(f.Index)))
		}
		return "{" + b.String() + "}"
	}
	return fmt.Sprintf("%#v", v.Interface())
}
