package main

import (
	"go/ast"
	"go/types"
	"regexp"
	"strings"
	"testing"
)

// goodSkip is in the conditions for which a test may be skipped without failing in CI: the
// short form is wanted, a long form is not, or the system is another one. What a machine
// may lack is for testkit.Missing.
var goodSkip = regexp.MustCompile(`testing\.Short\(\)|runtime\.GOOS|os\.Getenv\("MOX_|soak\(\)|errors\.ErrUnsupported`)

// otherSkips have the reasons of their own why tests are skipped in a file.
var otherSkips = map[string]string{
	"internal/testkit/find.go":               "here is testkit.Missing, and shared test data may be absent",
	"internal/testkit/powercut/record.go":    "cannot import testkit.Missing, and does the same",
	"internal/privsep/privsep_linux_test.go": "asks the kernel whether it has Landlock: nobody can install that",
	"mlog/handler_test.go":                   "the standard library's test of handlers, whose lines have the time",
}

// A test that is skipped in CI without anybody's notice tests nothing.
func TestTestsAreSkippedForGoodReasons(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for _, files := range []map[string]*ast.File{p.files, p.tests} {
			for name, f := range files {
				if otherSkips[p.path+"/"+name] != "" {
					continue
				}
				for _, call := range bareSkips(f) {
					t.Errorf("%s: a skip that CI does not notice: use testkit.Missing, or a condition that skips_test.go knows", p.fset.Position(call.Pos()))
				}
			}
		}
	}
}

// bareSkips returns the calls that skip a test without a condition that is a [goodSkip].
func bareSkips(f *ast.File) (calls []*ast.CallExpr) {
	var above []ast.Node
	ast.Inspect(f, func(n ast.Node) bool {
		if n == nil {
			above = above[:len(above)-1]
			return true
		}
		if call, ok := n.(*ast.CallExpr); ok && isSkip(call, above) && !hasGoodReason(above) {
			calls = append(calls, call)
		}
		above = append(above, n)
		return true
	})
	return calls
}

func hasGoodReason(above []ast.Node) bool {
	for _, n := range above {
		if s, ok := n.(*ast.IfStmt); ok && goodSkip.MatchString(types.ExprString(s.Cond)) {
			return true
		}
	}
	return false
}

// isSkip reports whether a call skips the test that is a parameter of a function above it.
func isSkip(call *ast.CallExpr, above []ast.Node) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Skip" && sel.Sel.Name != "Skipf" && sel.Sel.Name != "SkipNow" {
		return false
	}
	for _, n := range above {
		var typ *ast.FuncType
		switch fn := n.(type) {
		case *ast.FuncDecl:
			typ = fn.Type
		case *ast.FuncLit:
			typ = fn.Type
		default:
			continue
		}
		for _, param := range typ.Params.List {
			for _, name := range param.Names {
				if name.Name == types.ExprString(sel.X) && strings.Contains(types.ExprString(param.Type), "testing.") {
					return true
				}
			}
		}
	}
	return false
}
