package testkit

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// RecordFormat checks that the types of the records of a database are those of its
// format: testdata/formats.txt has a line with its name, the number of the format, and a
// hash of the types. Types that have changed need another number, so that databases are
// copied before they are changed, and older versions of the program keep away from them.
func RecordFormat(t testing.TB, name string, format int, types ...any) {
	t.Helper()
	var b strings.Builder
	for _, v := range types {
		typ := reflect.TypeOf(v)
		fmt.Fprintf(&b, "type %s\n", typ.Name())
		describeType(&b, typ, nil)
	}
	line := fmt.Sprintf("%s %d %x", name, format, sha256.Sum256([]byte(b.String())))
	file := filepath.Join("testdata", "formats.txt")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Errorf("%v: it must have the line %s", err, line)
		return
	}
	lines := strings.Split(string(data), "\n")
	if slices.Contains(lines, line) {
		return
	}
	prefix := line[:strings.LastIndexByte(line, ' ')+1]
	if slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, prefix) }) {
		t.Errorf("the types of records have changed, which format %d does not: raise the number in format.go to one that was not released, and add the line that this test then wants to %s. A format that was never released can have its line replaced by %s", format, file, line)
		return
	}
	t.Errorf("add the line %s to %s", line, file)
}

// describeType writes the fields of a type as far as they are stored.
func describeType(b *strings.Builder, typ reflect.Type, within []reflect.Type) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Array || typ.Kind() == reflect.Map {
		fmt.Fprintf(b, "%s of ", typ.Kind())
		if typ.Kind() == reflect.Map {
			describeType(b, typ.Key(), within)
		}
		typ = typ.Elem()
	}
	// Other packages may add fields of no interest to theirs, such as those of times.
	if typ.Kind() != reflect.Struct || slices.Contains(within, typ) || !strings.HasPrefix(typ.PkgPath(), "mox") {
		fmt.Fprintf(b, "%s\n", typ.Kind())
		return
	}
	b.WriteString("struct\n")
	for i := range typ.NumField() {
		f := typ.Field(i)
		tag := f.Tag.Get("bstore")
		if !f.IsExported() || tag == "-" {
			continue
		}
		fmt.Fprintf(b, "%s%s %q ", strings.Repeat("\t", len(within)+1), f.Name, tag)
		describeType(b, f.Type, append(within, typ))
	}
}
