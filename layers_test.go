package main

import (
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// A layer is a part of the table in docs/architecture.md. Packages on one line are
// in the order in which they may import: those to the left, and all that is
// printed above.
type layer struct {
	name  string
	apart string // If not empty: packages do not import one another, and why.
	lines []string
}

// layers is the table of docs/architecture.md, from the bottom of the import graph
// up. A package in a directory below one of these is a part of it: it may import
// what that may, and is printed to the left of it.
var layers = []layer{
	{"L0", "", []string{
		"mlog",
		"internal/metrics",
		"internal/ratelimit",
		"internal/proxyproto",
		"internal/safefile",
		"internal/lex",
		"internal/inflate",
		"internal/parallel",
		"internal/background",
		"internal/script",
		"internal/testkit",
		"internal/testkit/netns",
		"internal/testkit/peers",
	}},
	{"L1a", "", []string{"dns smtp imap message"}},
	{"L1b", "", []string{"imap/wire message/trace sasl publicsuffix iprev dnsbl subjectpass spf dkim mtasts tlsrpt dane dsn srs rdap webhook webapi"}},
	{"L1c", "", []string{"dmarc dmarc/report arc smtpclient imapclient"}},
	{"L2", "", []string{"config", "internal/accountfile", "internal/batch", "internal/boltpages", "internal/dbformat", "internal/reportdb"}},
	{"L3", "storage packages are joined by the engines above them, so that each database can be understood, locked and backed up on its own", []string{
		"store",
		"junk internal/fts",
		"queue/queuedb",
		"dmarc/dmarcdb mtasts/mtastsdb tlsrpt/tlsrptdb",
		"internal/authdb internal/tracedb",
	}},
	{"L4a", "", []string{
		"internal/certs",
		"internal/updates",
		"internal/identity",
		"internal/search",
		"internal/training internal/transfer",
		"internal/retention",
		"internal/inbound",
	}},
	{"L4b", "", []string{"internal/submit", "internal/deliver"}},
	{"L4c", "", []string{"queue queue/transport", "internal/reports"}},
	{"L4d", "", []string{"internal/admin", "internal/backup"}},
	{"L5", "what two protocols need is an engine, not a part of one of the servers", []string{"smtpserver imapserver"}},
	{"L6", "", []string{
		"internal/websession",
		"webmail webadmin webaccount internal/webapisrv",
		"http",
	}},
	{"L7", "", []string{"packaging", "internal/ctl", "internal/privsep", "internal/daemon", "internal/quickstart", "internal/selfcheck", "internal/cli"}},
	{"main", "", []string{"."}},
}

// rules are about packages that a part of the tree must not import, ours and those
// of others.
var rules = []struct {
	paths  []string // Import paths, with all below them.
	within func(l layer, pkg string) bool
	reason string
}{
	{[]string{"github.com/mjl-/bstore", "go.etcd.io/bbolt"},
		func(l layer, pkg string) bool {
			return l.name == "L3" || pkg == "internal/boltpages" || pkg == "internal/dbformat" || pkg == "internal/reportdb"
		},
		"only storage packages (L3) know the database"},
	{[]string{"github.com/prometheus"},
		func(l layer, pkg string) bool { return pkg == "internal/metrics" || !isLibrary(l) && l.name != "L0" },
		"foundation and mail libraries have no metrics, so that others can import them"},
	{[]string{module + "/internal/metrics"},
		func(l layer, pkg string) bool { return pkg == "internal/testkit" || !isLibrary(l) && l.name != "L0" },
		"foundation and mail libraries have no metrics, so that others can import them"},
	{[]string{module + "/internal/safefile", module + "/internal/ratelimit"},
		func(l layer, _ string) bool { return !isLibrary(l) },
		"mail libraries keep nothing on disk and have no policy about peers"},
	{[]string{module + "/internal/script", module + "/internal/testkit"},
		func(_ layer, pkg string) bool {
			return strings.HasPrefix(pkg+"/", "internal/script/") || strings.HasPrefix(pkg+"/", "internal/testkit/")
		},
		"these packages are for tests only"},
	{[]string{module + "/webmail", module + "/webadmin", module + "/webaccount", module + "/internal/webapisrv"},
		func(_ layer, pkg string) bool { return pkg != "http" },
		"http is given their handlers and imports none of them"},
}

// foundation has what packages of L0 import from outside the standard library.
var foundation = map[string][]string{
	"internal/metrics":  {"github.com/prometheus"},
	"internal/safefile": {"golang.org/x/sys"},
	"internal/script":   {"golang.org/x/tools/txtar"},
	"internal/testkit":  {"github.com/miekg/dns", "github.com/hanwen/go-fuse"},

	"internal/testkit/netns": {"golang.org/x/sys"},
}

// isLibrary reports whether a layer is one of the mail libraries.
func isLibrary(l layer) bool {
	return strings.HasPrefix(l.name, "L1")
}

// A place is where a package is in the table.
type place struct {
	layer layer
	line  int // Counted from the bottom, over all layers.
	col   int
	entry string // The path in the table, of the package or a directory above it.
}

// places returns the places by path in the table.
func places() map[string]place {
	m := map[string]place{}
	line := 0
	for _, l := range layers {
		for _, text := range l.lines {
			for col, p := range strings.Fields(text) {
				m[p] = place{l, line, col, p}
			}
			line++
		}
	}
	return m
}

// placeOf returns the place of a package, which for one that is not in the table
// is that of the nearest directory above it.
func placeOf(table map[string]place, pkg string) (place, bool) {
	for p := pkg; ; p = path.Dir(p) {
		if pl, ok := table[p]; ok && (p != "." || pkg == ".") {
			return pl, true
		}
		if p == "." {
			return place{}, false
		}
	}
}

// mayImport returns why a package must not import another one of ours, or nothing.
func mayImport(table map[string]place, from, to string) string {
	f, _ := placeOf(table, from)
	t, ok := placeOf(table, to)
	if !ok {
		return "it is not in the table"
	}
	switch {
	case f.entry == t.entry:
		if to == t.entry {
			return "a part of a package does not import the whole"
		}
		return ""
	case t.line > f.line, t.line == f.line && t.col > f.col:
		return t.layer.name + " is above " + f.layer.name + ", or further to the right on the same line"
	case f.layer.name == t.layer.name && f.layer.apart != "":
		return "packages of " + f.layer.name + " do not import one another: " + f.layer.apart
	}
	return ""
}

func TestPackagesImportOnlyWhatIsBelowThem(t *testing.T) {
	t.Parallel()
	table := places()
	pkgs := packages(t)
	for _, name := range sortedKeys(pkgs) {
		p := pkgs[name]
		if !p.isCode() {
			continue // Only tests, whose imports are free.
		}
		if _, ok := placeOf(table, name); !ok {
			t.Errorf("package %s is not in the table of layers: add it to docs/architecture.md and layers_test.go, where its imports fit", name)
			continue
		}
		for imp, pos := range p.imports() {
			to, ok := strings.CutPrefix(imp, module+"/")
			if !ok {
				continue
			}
			if reason := mayImport(table, name, to); reason != "" {
				t.Errorf("%s: %s imports %s: %s", pos, name, to, reason)
			}
		}
	}
}

func TestPackagesKeepToTheRulesOfTheirLayer(t *testing.T) {
	t.Parallel()
	table := places()
	for name, p := range packages(t) {
		pl, ok := placeOf(table, name)
		if !ok || !p.isCode() {
			continue
		}
		for imp, pos := range p.imports() {
			for _, r := range rules {
				if matchesPath(imp, r.paths) && !r.within(pl.layer, name) {
					t.Errorf("%s: %s imports %s: %s", pos, name, imp, r.reason)
				}
			}
			if imp == "log" {
				t.Errorf("%s: %s imports log: all logging goes through a *slog.Logger that is passed in", pos, name)
			}
			if pl.layer.name == "L0" && isForeign(imp) && !matchesPath(imp, foundation[pl.entry]) {
				t.Errorf("%s: %s imports %s: packages of L0 use the standard library, and what layers_test.go names for them", pos, name, imp)
			}
		}
	}
}

// matchesPath reports whether an import path is one of paths or below one.
func matchesPath(imp string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return imp == p || strings.HasPrefix(imp, p+"/") })
}

// isForeign reports whether an import is neither ours nor of the standard library.
func isForeign(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return first != module && strings.Contains(first, ".")
}

// Errors of package os tell about network connections too, so mail libraries may
// use those, and nothing else.
func TestMailLibrariesTouchNoFilesAndNoGlobalLogger(t *testing.T) {
	t.Parallel()
	table := places()
	for name, p := range packages(t) {
		pl, ok := placeOf(table, name)
		if !ok || !isLibrary(pl.layer) {
			continue
		}
		for _, f := range p.files {
			for sel := range selectors(f) {
				x, s := sel.X.(*ast.Ident).Name, sel.Sel.Name
				switch {
				case x == "os" && !strings.HasPrefix(s, "Err") && s != "IsTimeout" && s != "SyscallError":
					t.Errorf("%s: %s uses os.%s: mail libraries have no files, environment or process", p.fset.Position(sel.Pos()), name, s)
				case x == "slog" && slices.Contains([]string{"Default", "SetDefault", "Debug", "Info", "Warn", "Error", "Log", "LogAttrs"}, s):
					t.Errorf("%s: %s uses slog.%s: libraries log only through a *slog.Logger that is passed in", p.fset.Position(sel.Pos()), name, s)
				}
			}
		}
	}
}

// selectors iterates over the selectors on identifiers in a file, such as those on
// an imported package.
func selectors(f *ast.File) func(yield func(*ast.SelectorExpr) bool) {
	return func(yield func(*ast.SelectorExpr) bool) {
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if _, ok := sel.X.(*ast.Ident); ok {
					return yield(sel)
				}
			}
			return true
		})
	}
}

func TestNoPackageHasAnInitFunction(t *testing.T) {
	t.Parallel()
	for name, p := range packages(t) {
		for _, f := range p.files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: %s has an init function: what a package needs is passed to a constructor, so that the import graph is the architecture", p.fset.Position(fn.Pos()), name)
				}
			}
		}
	}
}

func TestLayerRulesRefuseWhatTheyShould(t *testing.T) {
	t.Parallel()
	table := places()
	tests := []struct {
		from, to string
		allowed  bool
	}{
		{"smtp", "dns", true},
		{"dns", "smtp", false},
		{"message", "imap", true},
		{"smtpclient", "sasl", true},
		{"smtpclient", "imapclient", false}, // To the right.
		{"imapclient", "smtpclient", true},
		{"sasl", "smtpclient", false},
		{"config", "dns", true},
		{"dns", "config", false},
		{"store", "store/blob", true},
		{"store/blob", "store", false},
		{"store/blob", "store/index", true},
		{"store/blob", "queue/queuedb", false},
		{"queue/queuedb", "store", false},
		{"store", "queue/queuedb", false},
		{"queue", "queue/queuedb", true},
		{"queue", "internal/deliver", true},
		{"internal/deliver", "internal/submit", true},
		{"internal/submit", "internal/deliver", false},
		{"internal/inbound", "internal/submit", false},
		{"smtpserver", "store", true},
		{"smtpserver", "imapserver", false},
		{"imapserver", "smtpserver", false},
		{"webmail", "smtpserver", true},
		{"internal/daemon", "internal/ctl", true},
		{"internal/ctl", "internal/daemon", false},
		{".", "internal/cli", true},
		{"internal/cli", "util", false},
	}
	for _, tc := range tests {
		if reason := mayImport(table, tc.from, tc.to); (reason == "") != tc.allowed {
			t.Errorf("%s importing %s: got %q", tc.from, tc.to, reason)
		}
	}
	for imp, want := range map[string]bool{"log/slog": false, "mox/store": false, "github.com/mjl-/bstore": true} {
		if isForeign(imp) != want {
			t.Errorf("foreign %s: got %v", imp, !want)
		}
	}
	if !matchesPath("github.com/prometheus/client_golang/prometheus", []string{"github.com/prometheus"}) || matchesPath("log/slog", []string{"lo"}) {
		t.Errorf("paths do not match as they should")
	}
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
