package config

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Files returns the files that the configuration at path names, such as keys and
// certificates, without mox.conf and domains.conf: those in fields whose name ends with
// File or Files. The rest of the configuration is not checked, and neither is whether the
// files exist.
func Files(path string) ([]string, error) {
	var l []string
	for _, f := range []struct {
		path string
		v    any
	}{{path, &Static{}}, {dynamicPath(path), &Dynamic{}}} {
		data, err := readFile(f.path)
		if err != nil {
			return nil, err
		}
		if _, errs := parse(f.path, data.data, f.v); len(errs) > 0 {
			return nil, errs
		}
		for _, name := range filesIn(reflect.ValueOf(f.v), "") {
			l = append(l, relative(filepath.Dir(f.path), name))
		}
	}
	slices.Sort(l)
	return slices.Compact(l), nil
}

// filesIn returns the values below v of fields that are names of files.
func filesIn(v reflect.Value, field string) (l []string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			l = filesIn(v.Elem(), field)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				l = append(l, filesIn(v.Field(i), f.Name)...)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			l = append(l, filesIn(v.Index(i), field)...)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			l = append(l, filesIn(it.Value(), field)...)
		}
	case reflect.String:
		if s := v.String(); s != "" && (strings.HasSuffix(field, "File") || strings.HasSuffix(field, "Files")) {
			l = append(l, s)
		}
	}
	return l
}
