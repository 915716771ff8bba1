package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// listedModule is a module in the output of go list.
type listedModule struct {
	Path, Dir string
	Main      bool
}

// modulesOfProgram returns the modules whose packages are in the program, with their
// directories.
func modulesOfProgram(t *testing.T) map[string]string {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.Command("go", "list", "-deps", "-json=Module", ".")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	dirs := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ Module *listedModule }
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return dirs
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Module != nil && !p.Module.Main {
			dirs[p.Module.Path] = p.Module.Dir
		}
	}
}

// licenseOf returns the texts of a module about its license.
func licenseOf(t *testing.T, module, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		about := slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS"}, func(s string) bool { return strings.HasPrefix(name, s) })
		if about && e.Type().IsRegular() && !strings.HasSuffix(name, ".GO") {
			texts = append(texts, strings.TrimSpace(string(testkit.ReadFile(t, filepath.Join(dir, e.Name())))))
		}
	}
	if len(texts) == 0 {
		t.Errorf("module %s has no license", module)
	}
	return strings.ReplaceAll(strings.Join(texts, "\n\n"), "\r\n", "\n")
}

func TestGeneratedLicensesAreCurrent(t *testing.T) {
	t.Parallel()
	modules := modulesOfProgram(t)
	by := map[string][]string{} // Modules with the same text.
	var order []string
	add := func(name, text string) {
		if by[text] == nil {
			order = append(order, text)
		}
		by[text] = append(by[text], name)
	}
	add("mox", licenseOf(t, "mox", "."))
	var crypto string
	for _, m := range sortedKeys(modules) {
		text := licenseOf(t, m, modules[m])
		add(m, text)
		if m == "golang.org/x/crypto" {
			crypto = modules[m]
		}
	}
	// Its text is the same, and not all systems have it next to the library.
	add("Go, its standard library and runtime", strings.TrimSpace(string(testkit.ReadFile(t, filepath.Join(crypto, "LICENSE")))))
	var b bytes.Buffer
	b.WriteString("Licenses of what is in this program.\n")
	for _, text := range order {
		slices.Sort(by[text])
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(by[text], "\n"), text)
	}
	testkit.Golden(t, "internal/cli/licenses.txt", b.Bytes())
}
