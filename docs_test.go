package main

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryPackageHasADocGo(t *testing.T) {
	t.Parallel()
	for name, p := range packages(t) {
		if len(p.files) == 0 {
			continue // The tests of a package in the same directory.
		}
		file, want := "doc.go", "Package "+lastElem(name)+" "
		if p.files["main.go"] != nil && p.files["main.go"].Name.Name == "main" {
			file, want = "main.go", "Command "
		}
		f := p.files[file]
		switch {
		case f == nil:
			t.Errorf("%s has no %s: say there what the package is for, what not, and how it may be used concurrently", name, file)
		case f.Doc == nil || !strings.HasPrefix(f.Doc.Text(), want):
			t.Errorf("%s/%s: the package comment does not start with %q", name, file, want)
		}
	}
}

func lastElem(path string) string {
	return path[strings.LastIndexByte(path, '/')+1:]
}

// maxFileLines is far above what most files have; one that comes near is two
// nouns in one file.
const maxFileLines = 600

func TestFilesAreOfAReadableSize(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for name, f := range p.files {
			if n := p.fset.File(f.Pos()).LineCount(); n > maxFileLines {
				t.Errorf("%s/%s has %d lines: split it by noun", p.path, name, n)
			}
		}
	}
}

// A parser that strangers feed is fuzzed: in the package of each exported function
// Parse... or Decode... of the mail libraries there is a fuzz target that calls it,
// itself or through a function of the tests. Both servers have one as a whole.
func TestEveryParserHasAFuzzTarget(t *testing.T) {
	t.Parallel()
	table := places()
	for name, p := range packages(t) {
		pl, ok := placeOf(table, name)
		if !ok || !p.isCode() {
			continue
		}
		fuzzed, targets := p.fuzzed()
		if pl.layer.name == "L5" && pl.entry == name && targets == 0 {
			t.Errorf("%s has no fuzz target", name)
		}
		if !isLibrary(pl.layer) {
			continue
		}
		for _, f := range p.files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && isParser(fn) && !fuzzed[fn.Name.Name] {
					t.Errorf("%s: no fuzz target calls %s.%s", p.fset.Position(fn.Pos()), lastElem(name), fn.Name.Name)
				}
			}
		}
	}
}

// isParser reports whether a declaration is an exported function that parses text.
func isParser(fn *ast.FuncDecl) bool {
	name := fn.Name.Name
	if fn.Recv != nil || !strings.HasPrefix(name, "Parse") && !strings.HasPrefix(name, "Decode") {
		return false
	}
	for _, param := range fn.Type.Params.List {
		switch typ := param.Type.(type) {
		case *ast.Ident:
			if typ.Name == "string" {
				return true
			}
		case *ast.ArrayType:
			if id, ok := typ.Elt.(*ast.Ident); ok && id.Name == "byte" {
				return true
			}
		case *ast.SelectorExpr:
			if typ.Sel.Name == "Reader" || typ.Sel.Name == "ReaderAt" {
				return true
			}
		}
	}
	return false
}

// fuzzed returns the names that the fuzz targets of a package mention, directly or
// through functions of the tests, and the number of targets.
func (p *pkg) fuzzed() (map[string]bool, int) {
	mentions := map[string][]string{} // By function of the tests.
	var todo []string
	for _, f := range p.tests {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || fn.Body == nil {
				continue
			}
			name := fn.Name.Name
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					mentions[name] = append(mentions[name], id.Name)
				}
				return true
			})
			if strings.HasPrefix(name, "Fuzz") {
				todo = append(todo, name)
			}
		}
	}
	targets := len(todo)
	seen := map[string]bool{}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if !seen[name] {
			seen[name] = true
			todo = append(todo, mentions[name]...)
		}
	}
	return seen, targets
}

// RFCs are cited in one form, so that all places about a section can be found.
var (
	citation      = regexp.MustCompile(`(?i)(?:^|[^/\w])rfc[-\s]*[0-9]+(?:\s*,?\s*(?:sections?|sec\.|par\.|§+)\s*[A-Z]?[0-9.]*)?`)
	goodCitation  = regexp.MustCompile(`^RFC ([1-9][0-9]*)(?: §([A-Z0-9]+(?:\.[0-9]+)*)\.?)?$`)
	wrongCitation = regexp.MustCompile(`(?i)\b(?:section|sec\.)\s+[0-9]+(?:\.[0-9]+)*\s+of\s+rfc`)
)

func TestRFCsAreCitedInOneForm(t *testing.T) {
	t.Parallel()
	texts := rfcTexts()
	for _, p := range packages(t) {
		for _, files := range []map[string]*ast.File{p.files, p.tests} {
			for _, f := range files {
				for _, group := range f.Comments {
					for _, problem := range citationProblems(group.Text(), texts) {
						t.Errorf("%s: %s", p.fset.Position(group.Pos()), problem)
					}
				}
			}
		}
	}
}

// notRFC is what can be in a match of citation before the citation.
const notRFC = "\"'`([{<,;:.!?-*=+|&%$#@ \t"

// citationProblems returns what is wrong with the citations in a comment.
func citationProblems(comment string, texts *rfcs) []string {
	comment = strings.Join(strings.Fields(comment), " ")
	var l []string
	for _, c := range wrongCitation.FindAllString(comment, -1) {
		l = append(l, fmt.Sprintf("%q is not in the form RFC 9051 §6.4.4", c))
	}
	for _, c := range citation.FindAllString(comment, -1) {
		c = strings.Trim(strings.TrimLeft(c, notRFC), ". ")
		if strings.EqualFold(c, "RFC822") {
			continue // The name of a FETCH item, and a type of address in reports.
		}
		m := goodCitation.FindStringSubmatch(c)
		if m == nil {
			l = append(l, fmt.Sprintf("%q is not in the form RFC 9051 §6.4.4", c))
			continue
		}
		if problem := texts.check(m[1], m[2]); problem != "" {
			l = append(l, problem)
		}
	}
	return l
}

// rfcs are the texts of RFCs, read when needed. A nil *rfcs knows none.
type rfcs struct {
	dir      string
	sections map[string]map[string]bool // By number. Nil: no such text.
}

// rfcTexts returns the texts that are shared by developers of the project, if they
// are there.
func rfcTexts() *rfcs {
	dir := os.Getenv("MOX_SHARED")
	if dir == "" {
		dir = "../shared"
	}
	dir = filepath.Join(dir, "rfc")
	if !exists(dir) {
		return nil
	}
	return &rfcs{dir, map[string]map[string]bool{}}
}

// heading matches the number of a section at the start of a line: "6.4.4.  SEARCH",
// "Appendix A.  Example", "A.1.  Changes".
var heading = regexp.MustCompile(`(?m)^ {0,6}(?:(?:Appendix|APPENDIX) )?([A-Z]|[A-Z]?\.?[0-9]+(?:\.[0-9]+)*)[.:]?(?:\s|$)`)

// check returns what is wrong with the citation of a section, or nothing if that
// is right or cannot be known.
func (r *rfcs) check(number, section string) string {
	if r == nil {
		return ""
	}
	sections, ok := r.sections[number]
	if !ok {
		data, err := os.ReadFile(filepath.Join(r.dir, "rfc"+number+".txt"))
		if err == nil {
			sections = map[string]bool{}
			for _, m := range heading.FindAllStringSubmatch(string(data), -1) {
				sections[m[1]] = true
			}
		}
		r.sections[number] = sections
	}
	if sections != nil && section != "" && !sections[section] {
		return fmt.Sprintf("RFC %s has no section %s", number, section)
	}
	return ""
}

func TestCitationProblemsAreFound(t *testing.T) {
	t.Parallel()
	good := []string{
		"see RFC 9051 §6.4.4.",
		"(RFC 5321 §4.5.1, RFC 5322)",
		"RFC 5322 §A.5 has an example",
		"RFCs: 5321, 5322",
		"RFC 9051 §7.1 (erratum 1234)",
		"by RFC\n9051 §6.4.4: x",
		"rfcTexts",
	}
	for _, s := range good {
		if l := citationProblems(s, nil); len(l) > 0 {
			t.Errorf("%q: got %q", s, l)
		}
	}
	for _, s := range []string{"RFC9051", "rfc 9051", "RFC-9051", "RFC 9051 section 6.4.4", "RFC 9051, section 6", "RFC 9051, §6.4", "RFC 9051 § 6.4", "section 6.4.4 of RFC 9051", "RFC 9051 §§6.4"} {
		if l := citationProblems(s, nil); len(l) != 1 && !strings.HasPrefix(s, "section") {
			t.Errorf("%q: got %q", s, l)
		}
	}
}

// docs are the pages that a newcomer is sent to.
func TestDocumentationNamesFilesThatExist(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	for _, page := range append(pages, "README.md") {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(data), -1) {
			if target := filepath.Join(filepath.Dir(page), m[1]); !exists(target) {
				t.Errorf("%s: link to %s, which does not exist", page, m[1])
			}
		}
	}
	want := []string{"architecture.md", "dependencies.md", "mail-flow.md", "operations.md", "quirks.md", "storage.md", "testing.md"}
	for _, name := range want {
		if !slices.Contains(pages, "docs/"+name) {
			t.Errorf("docs/%s does not exist", name)
		}
	}
}
