package edit

import (
	"encoding/base64"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// nilValue stands for the zero value of an entry of a map.
const nilValue = "nil"

var durationType = reflect.TypeFor[time.Duration]()

// encode returns the lines for a value: the first begins with head, which is a key with
// its colon or a dash, and the rest is nested below it. entry says that it is one of a
// map.
func encode(depth int, head string, v reflect.Value, entry bool) ([]string, error) {
	pointer := v.Kind() == reflect.Pointer
	if entry && (pointer && v.IsNil() || !pointer && composite(v.Type()) && empty(v)) {
		return []string{tabs(depth) + head + " " + nilValue}, nil
	}
	if pointer && v.IsNil() {
		return nil, fmt.Errorf("%w: %s has no value", ErrValue, head)
	} else if pointer {
		v = v.Elem()
	}
	if composite(v.Type()) {
		return compositeLines(depth, head, v)
	}
	s, err := scalar(v)
	if err != nil {
		return nil, err
	}
	if entry && s == nilValue {
		return nil, fmt.Errorf("%w: the text %q as an entry stands for nothing", ErrValue, s)
	}
	return []string{tabs(depth) + headed(head, s)}, nil
}

// headed returns a key or dash with a value.
func headed(head, value string) string {
	if value == "" {
		return head
	}
	return head + " " + value
}

// compositeLines is encode for what has lines of its own.
func compositeLines(depth int, head string, v reflect.Value) ([]string, error) {
	nested, err := nestedLines(depth+1, v)
	if err != nil {
		return nil, err
	}
	if len(nested) == 0 && v.Kind() == reflect.Struct {
		// Something must be below the line: a default that is written out.
		nested, err = placeholder(depth+1, v.Type())
	} else if len(nested) == 0 {
		err = fmt.Errorf("%w: %s has no entries", ErrValue, head)
	}
	if err != nil {
		return nil, err
	}
	return append([]string{tabs(depth) + head}, nested...), nil
}

// placeholder returns a line for a field of a struct without any, which does not change
// its value.
func placeholder(depth int, t reflect.Type) ([]string, error) {
	for f := range t.Fields() {
		if _, _, ok := childType(t, f.Name); ok && f.Type.Kind() != reflect.Pointer && !composite(f.Type) {
			s, err := scalar(reflect.Zero(f.Type))
			return []string{tabs(depth) + headed(f.Name+":", s)}, err
		}
	}
	return nil, fmt.Errorf("%w: a %s without any field", ErrValue, t.Name())
}

// nestedLines returns the lines within a value.
func nestedLines(depth int, v reflect.Value) ([]string, error) {
	var lines []string
	add := func(head string, v reflect.Value, entry bool) error {
		l, err := encode(depth, head, v, entry)
		lines = append(lines, l...)
		return err
	}
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			if err := add("-", v.Index(i), false); err != nil {
				return nil, err
			}
		}
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String {
			return nil, fmt.Errorf("%w: keys of type %s", ErrValue, v.Type().Key())
		}
		entries := map[string]reflect.Value{}
		for it := v.MapRange(); it.Next(); {
			entries[it.Key().String()] = it.Value()
		}
		for _, k := range slices.Sorted(maps.Keys(entries)) {
			if err := checkKey(k); err != nil {
				return nil, err
			}
			if err := add(k+":", entries[k], true); err != nil {
				return nil, err
			}
		}
	case reflect.Struct:
		for f := range v.Type().Fields() {
			_, optional, ok := childType(v.Type(), f.Name)
			if !ok || optional && empty(v.FieldByIndex(f.Index)) {
				continue
			}
			if err := add(f.Name+":", v.FieldByIndex(f.Index), false); err != nil {
				return nil, err
			}
		}
	}
	return lines, nil
}

// empty reports whether a value is the zero value, or has no entries, which is the same
// in a file.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		return v.Len() == 0
	case reflect.Struct:
		for f := range v.Type().Fields() {
			if _, _, ok := childType(v.Type(), f.Name); ok && !empty(v.FieldByIndex(f.Index)) {
				return false
			}
		}
		return true
	}
	return v.IsZero()
}

// scalar returns the text of a value that is on one line.
func scalar(v reflect.Value) (string, error) {
	if v.Type() == durationType {
		return duration(time.Duration(v.Int())), nil
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10), nil
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits()), nil
	case reflect.Slice:
		return base64.StdEncoding.EncodeToString(v.Bytes()), nil
	case reflect.String:
		if strings.ContainsAny(v.String(), "\r\n\x00") {
			return "", fmt.Errorf("%w: text %q has a line end or NUL in it", ErrValue, v.String())
		}
		return v.String(), nil
	}
	return "", fmt.Errorf("%w: type %s", ErrValue, v.Type())
}

// duration returns a duration without units of which there are none, 72h.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// checkKey checks that a key can be written.
func checkKey(k string) error {
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	switch {
	case k == "":
		return fmt.Errorf("%w: key is empty", ErrValue)
	case strings.Contains(k, ":") || strings.ContainsFunc(k, control):
		return fmt.Errorf("%w: key %q has a colon or control character in it", ErrValue, k)
	case strings.HasPrefix(k, "#") || strings.TrimSpace(k) != k:
		return fmt.Errorf("%w: key %q begins with a #, or has space around it", ErrValue, k)
	}
	return nil
}
