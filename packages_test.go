package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// module is the path of the module in go.mod.
const module = "mox"

// A pkg is a directory with Go files, for the tests in this directory that are
// about the source code.
type pkg struct {
	path  string // Relative to the root, with slashes; "." for the root itself.
	fset  *token.FileSet
	files map[string]*ast.File // By name of the file. All build constraints.
	tests map[string]*ast.File // Those of _test.go files.
}

// isCode reports whether the package has more than a doc.go and tests.
func (p *pkg) isCode() bool {
	return slices.ContainsFunc(sortedKeys(p.files), func(name string) bool { return name != "doc.go" })
}

var allPackages = sync.OnceValues(parsePackages)

// packages returns all packages of the module, by path.
func packages(t *testing.T) map[string]*pkg {
	t.Helper()
	pkgs, err := allPackages()
	if err != nil {
		t.Fatalf("parse source files: %v", err)
	}
	return pkgs
}

// parsePackages parses all Go files of the module. Directories that the go command
// ignores, and other modules in it, are left out.
func parsePackages() (map[string]*pkg, error) {
	pkgs := map[string]*pkg{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != "." && (name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || exists(filepath.Join(path, "go.mod"))) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		p := pkgs[dir]
		if p == nil {
			p = &pkg{dir, token.NewFileSet(), map[string]*ast.File{}, map[string]*ast.File{}}
			pkgs[dir] = p
		}
		f, err := parser.ParseFile(p.fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, "_test.go") {
			p.tests[name] = f
		} else {
			p.files[name] = f
		}
		return nil
	})
	return pkgs, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// imports returns the import paths of the files of a package that are not tests,
// with the position of one import of each.
func (p *pkg) imports() map[string]token.Position {
	m := map[string]token.Position{}
	for _, f := range p.files {
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err == nil {
				m[path] = p.fset.Position(spec.Pos())
			}
		}
	}
	return m
}
