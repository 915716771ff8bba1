package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mox/config"
	"mox/internal/cli"
	"mox/internal/metrics"
	"mox/internal/testkit"
)

// The pages below are made from the code. "make generate" writes them, and the
// tests fail when they are not current.

const generatedNote = "Made by `make generate`: do not edit.\n"

func TestGeneratedCommandReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	b.WriteString("# Commands\n\n" + generatedNote + "\n")
	if err := cli.WriteReference(&b); err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "docs/commands.md", b.Bytes())
}

func TestGeneratedManualIsCurrent(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := cli.WriteManual(&b); err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "packaging/man/mox.1", b.Bytes())
}

func TestGeneratedConfigReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	b.WriteString("# Configuration\n\n" + generatedNote + "\n" +
		"Two files in one directory, mox.conf and domains.conf. Fields that are not marked as optional must be there; defaults of\n" +
		"optional ones stand in brackets. Keys called `x` are names of your choice. `mox config test` checks both files.\n\n" +
		"## mox.conf\n\nRead at start.\n\n```\n")
	if err := config.DescribeStatic(&b); err != nil {
		t.Fatal(err)
	}
	b.WriteString("```\n\n## domains.conf\n\nRead again within two seconds after it was last written to. If the new file has errors they are logged, and the previous one stays in use.\n\n```\n")
	if err := config.DescribeDomains(&b); err != nil {
		t.Fatal(err)
	}
	b.WriteString("```\n")
	testkit.Golden(t, "docs/config.md", b.Bytes())
}

func TestGeneratedMetricsListIsCurrent(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	b.WriteString("# Metrics\n\n" + generatedNote + "\nBesides these there are those of Go and of the process.\n\n| name | type | labels | what |\n|---|---|---|---|\n")
	for _, m := range metrics.List() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", m.Name, m.Type, strings.Join(m.Labels, ", "), m.Help)
	}
	testkit.Golden(t, "docs/metrics.md", b.Bytes())
}

func TestGeneratedRFCCoverageIsCurrent(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	b.WriteString("# RFC coverage\n\n" + generatedNote + "\nWhich packages cite which sections. A package that is under \"whole\" cites the RFC without a section.\n")
	cited := citedSections(packages(t))
	for _, number := range slices.Sorted(maps.Keys(cited)) {
		fmt.Fprintf(&b, "\n## RFC %d\n\n", number)
		for _, section := range slices.SortedFunc(maps.Keys(cited[number]), compareSections) {
			name := "whole"
			if section != "" {
				name = "§" + section
			}
			fmt.Fprintf(&b, "- %s: %s\n", name, strings.Join(sortedKeys(cited[number][section]), ", "))
		}
	}
	testkit.Golden(t, "docs/rfc-coverage.md", b.Bytes())
}

// citedSections returns the packages that cite a section, by number of the RFC and
// section. Those of tests do not count.
func citedSections(pkgs map[string]*pkg) map[int]map[string]map[string]bool {
	cited := map[int]map[string]map[string]bool{}
	for name, p := range pkgs {
		for _, f := range p.files {
			for _, c := range fileCitations(f) {
				number, err := strconv.Atoi(c[0])
				if err != nil {
					continue
				}
				if cited[number] == nil {
					cited[number] = map[string]map[string]bool{}
				}
				if cited[number][c[1]] == nil {
					cited[number][c[1]] = map[string]bool{}
				}
				cited[number][c[1]][name] = true
			}
		}
	}
	return cited
}

// fileCitations returns number and section of the citations in the comments of a
// file.
func fileCitations(f *ast.File) [][2]string {
	var l [][2]string
	for _, group := range f.Comments {
		text := strings.Join(strings.Fields(group.Text()), " ")
		for _, c := range citation.FindAllString(text, -1) {
			c = strings.Trim(strings.TrimLeft(c, notRFC), ". ")
			if m := goodCitation.FindStringSubmatch(c); m != nil {
				l = append(l, [2]string{m[1], m[2]})
			}
		}
	}
	return l
}

// compareSections compares numbers of sections by their parts.
func compareSections(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(a, b string) int {
		an, aerr := strconv.Atoi(a)
		bn, berr := strconv.Atoi(b)
		if aerr == nil && berr == nil {
			return an - bn
		}
		return strings.Compare(a, b)
	})
}
