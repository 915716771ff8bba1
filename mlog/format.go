package mlog

import (
	"encoding"
	"encoding/base64"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxDepth is how deep values of structs, maps and slices are shown.
	maxDepth = 4
	// maxElems is how many elements of a slice or map are shown.
	maxElems = 50
	// maxValue is how many bytes of one value are shown.
	maxValue = 32 << 10
)

// appendAttr appends the fields of an attribute: one, or one per member of a
// group or struct.
func appendAttr(fields []field, prefix string, a slog.Attr) []field {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, m := range v.Group() {
			fields = appendAttr(fields, prefix, m)
		}
		return fields
	}
	if a.Equal(slog.Attr{}) {
		return fields
	}
	key := prefix + cleanKey(a.Key)
	if v.Kind() == slog.KindAny {
		x := v.Any()
		if err, ok := x.(error); ok {
			return append(fields, field{key, clip(safely(err.Error)), a.Key == ErrKey})
		}
		if rv, ok := asStruct(x); ok {
			return appendStruct(fields, key+".", rv, 0)
		}
	}
	return append(fields, field{key, clip(text(v)), a.Key == ErrKey})
}

// cleanKey keeps a key from looking like more than one.
func cleanKey(k string) string {
	if k == "" {
		return "_"
	}
	if strings.IndexFunc(k, func(r rune) bool { return r <= ' ' || r == '=' || r == '"' || r == 0x7f }) < 0 {
		return k
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == '=' || r == '"' || r == 0x7f {
			return '_'
		}
		return r
	}, k)
}

func clip(s string) string {
	if len(s) > maxValue {
		return s[:maxValue] + "..."
	}
	return s
}

// safely calls a method of a value that may be a nil pointer. A log line must not
// end a connection.
func safely(f func() string) (s string) {
	defer func() {
		if x := recover(); x != nil {
			s = "(invalid value)"
		}
	}()
	return f()
}

func text(v slog.Value) string {
	switch v.Kind() {
	case slog.KindTime:
		return formatTime(v.Time())
	case slog.KindDuration:
		return v.Duration().String()
	case slog.KindFloat64:
		return strconv.FormatFloat(v.Float64(), 'g', -1, 64)
	case slog.KindAny:
		return anyText(v.Any(), 0)
	}
	return v.String()
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339Nano)
}

// special returns the text of values that say themselves how they look.
func special(x any) (string, bool) {
	switch x := x.(type) {
	case nil:
		return "", true
	case slog.LogValuer:
		return text(slog.AnyValue(x).Resolve()), true // Resolve bounds how often it asks, and recovers.
	case time.Time:
		return formatTime(x), true
	case []byte:
		return base64.RawURLEncoding.EncodeToString(x), true
	case error:
		return safely(x.Error), true
	case fmt.Stringer:
		return safely(x.String), true
	case encoding.TextMarshaler:
		return safely(func() string {
			b, err := x.MarshalText()
			if err != nil {
				return "(invalid value)"
			}
			return string(b)
		}), true
	}
	return "", false
}

func anyText(x any, depth int) string {
	if s, ok := special(x); ok {
		return s
	}
	rv := reflect.ValueOf(x)
	if depth >= maxDepth {
		return "..."
	}
	switch rv.Kind() {
	case reflect.Pointer, reflect.Interface:
		if rv.IsNil() {
			return "(nil)"
		}
		return anyText(rv.Elem().Interface(), depth+1)
	case reflect.Slice, reflect.Array:
		if rv.Kind() == reflect.Slice && rv.Type().Elem().Kind() == reflect.Uint8 {
			return base64.RawURLEncoding.EncodeToString(rv.Bytes())
		}
		return sliceText(rv, depth)
	case reflect.Map:
		return mapText(rv, depth)
	case reflect.Struct:
		return structText(rv, depth)
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return rv.Type().String()
	}
	return fmt.Sprint(x)
}

func sliceText(rv reflect.Value, depth int) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := range rv.Len() {
		if i > 0 {
			b.WriteString("; ")
		}
		if i == maxElems {
			b.WriteString("...")
			break
		}
		b.WriteString(anyText(rv.Index(i).Interface(), depth+1))
	}
	b.WriteByte(']')
	return b.String()
}

func mapText(rv reflect.Value, depth int) string {
	var elems []string
	for it := rv.MapRange(); it.Next(); {
		elems = append(elems, anyText(it.Key().Interface(), depth+1)+":"+anyText(it.Value().Interface(), depth+1))
	}
	slices.Sort(elems)
	if len(elems) > maxElems {
		elems = append(elems[:maxElems], "...")
	}
	return "[" + strings.Join(elems, "; ") + "]"
}

// structText is for structs inside of slices and maps.
func structText(rv reflect.Value, depth int) string {
	var b strings.Builder
	for _, f := range appendStruct(nil, "", rv, depth) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(f.key + "=" + quoteIfNeeded(f.value))
	}
	return "(" + b.String() + ")"
}

// asStruct returns the struct that x is or points to, unless it has a text of its
// own.
func asStruct(x any) (reflect.Value, bool) {
	if _, ok := special(x); ok {
		return reflect.Value{}, false
	}
	rv := reflect.ValueOf(x)
	if rv.Kind() == reflect.Pointer && !rv.IsNil() {
		if _, ok := special(rv.Elem().Interface()); ok {
			return reflect.Value{}, false
		}
		rv = rv.Elem()
	}
	return rv, rv.Kind() == reflect.Struct
}

// appendStruct appends the exported fields of a struct, those of embedded and
// nested structs too. Zero values are left out.
func appendStruct(fields []field, prefix string, rv reflect.Value, depth int) []field {
	if depth >= maxDepth {
		return append(fields, field{key: strings.TrimSuffix(prefix, "."), value: "..."})
	}
	for i := range rv.NumField() {
		sf := rv.Type().Field(i)
		fv := rv.Field(i)
		if !sf.IsExported() || fv.IsZero() {
			continue
		}
		key := prefix + strings.ToLower(sf.Name)
		if sub, ok := asStruct(fv.Interface()); ok {
			p := key + "."
			if sf.Anonymous {
				p = prefix
			}
			fields = appendStruct(fields, p, sub, depth+1)
			continue
		}
		fields = append(fields, field{key: key, value: clip(anyText(fv.Interface(), depth+1))})
	}
	return fields
}

// quoteIfNeeded returns s in quotes if it holds a byte that would make a logfmt
// value end early or be unclear: space, quote, backslash, equals sign, control
// characters, anything beyond ASCII.
func quoteIfNeeded(s string) string {
	if s == "" {
		return `""`
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == '"' || c == '\\' || c == '=' || c >= 0x7f {
			return quote(s)
		}
	}
	return s
}

// quote quotes like strconv.Quote, which leaves printable Unicode readable.
func quote(s string) string {
	if utf8.ValidString(s) {
		return strconv.Quote(s)
	}
	return strconv.QuoteToASCII(s)
}
