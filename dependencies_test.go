package main

import (
	"go/ast"
	"maps"
	"regexp"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// requirements returns the modules that a go.mod requires, and whether the module itself
// imports them.
func requirements(t *testing.T, file string) map[string]bool {
	t.Helper()
	m := map[string]bool{}
	for line := range strings.Lines(string(testkit.ReadFile(t, file))) {
		if path, rest, ok := strings.Cut(strings.TrimPrefix(line, "\t"), " v"); ok {
			m[path] = !strings.HasSuffix(rest, "// indirect\n")
		}
	}
	return m
}

var (
	modulePath  = regexp.MustCompile(`[a-z.]+\.[a-z]+/[^\s,()]+`)
	packagePath = regexp.MustCompile("`([^`]+)`")
)

// Each module that is imported has a line in docs/dependencies.md, which names the
// packages that do so. Other modules have none.
func TestDependenciesHaveTheirLines(t *testing.T) {
	t.Parallel()
	modules := requirements(t, "tools/s3/go.mod")
	maps.Copy(modules, requirements(t, "go.mod"))
	described := map[string]bool{}
	for line := range strings.Lines(string(testkit.ReadFile(t, "docs/dependencies.md"))) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		paths, users := modulePath.FindAllString(cells[1], -1), map[string]bool{}
		for _, m := range packagePath.FindAllStringSubmatch(cells[2], -1) {
			users[m[1]] = true
			if p := packages(t)[m[1]]; p == nil || !imports(p.files, paths) && !imports(p.tests, paths) {
				t.Errorf("docs/dependencies.md: %s does not import %s", m[1], paths)
			}
		}
		for name, p := range packages(t) {
			if imports(p.files, paths) && !users[name] {
				t.Errorf("docs/dependencies.md does not say that %s imports %s", name, paths)
			}
		}
		for _, path := range paths {
			described[path] = true
			if _, ok := modules[path]; !ok {
				t.Errorf("docs/dependencies.md: nothing requires %s", path)
			}
		}
	}
	for _, path := range sortedKeys(modules) {
		if modules[path] && !described[path] {
			t.Errorf("docs/dependencies.md has no line about %s", path)
		}
	}
}

// imports reports whether one of files imports a package of one of some modules.
func imports(files map[string]*ast.File, modules []string) bool {
	for _, f := range files {
		for _, spec := range f.Imports {
			if matchesPath(strings.Trim(spec.Path.Value, `"`), modules) {
				return true
			}
		}
	}
	return false
}
