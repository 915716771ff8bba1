package main

import (
	"go/ast"
	"strings"
	"testing"
)

// Rates do not see the first increment of a series that starts with it: who counts panics
// makes the counter exist before.
func TestWhoCountsPanicsMakesTheCounterExist(t *testing.T) {
	t.Parallel()
	for name, p := range packages(t) {
		if name == "internal/metrics" {
			continue
		}
		calls := map[string]bool{}
		for _, f := range p.files {
			ast.Inspect(f, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok {
					if id, ok := sel.X.(*ast.Ident); ok && id.Name == "metrics" && strings.HasPrefix(sel.Sel.Name, "Panic") {
						calls[sel.Sel.Name] = true
					}
				}
				return true
			})
		}
		if calls["Panic"] && !calls["PanicPackages"] {
			t.Errorf("package %s counts panics, and does not call metrics.PanicPackages when it starts", name)
		}
	}
}
