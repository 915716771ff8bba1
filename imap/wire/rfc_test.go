package wire

import (
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// imapRFCs have examples of commands.
const imapRFCs = "3501 3516 4315 4731 5032 5182 5256 5465 5957 6851 7162 7377 7888 8474 8514 8970 9051 9394 9586"

// brokenExamples are examples that are not of the syntax, or not supported, by what they
// contain.
var brokenExamples = []string{
	"//",                // Remarks.
	"CHARSET UTF-8 (OR", // A literal with indented content, here and below.
	"(UID FLAGS )",      // A line break of the RFC.
}

// The commands of common syntax in the examples of the RFCs, with wrapped lines joined.
func TestExamplesOfRFCs(t *testing.T) {
	t.Parallel()
	start := regexp.MustCompile(`^ +([SC]:) *(.*)$`)
	command := regexp.MustCompile(`^C:[A-Za-z0-9.]+ (UID )?(FETCH|STORE|SEARCH|SORT|COPY|MOVE|STATUS) `)
	total := 0
	used := map[string]bool{}
	for number := range strings.FieldsSeq(imapRFCs) {
		text := testkit.ReadFile(t, testkit.Shared(t, filepath.Join("rfc", "rfc"+number+".txt")))
		var examples []string
		in := false
		for line := range strings.Lines(string(text)) {
			if m := start.FindStringSubmatch(strings.TrimRight(line, " \r\n")); m != nil {
				examples = append(examples, m[1]+m[2])
				in = true
			} else if trimmed := strings.TrimSpace(line); in && trimmed != "" && strings.HasPrefix(line, "      ") && !strings.Contains(line, "RFC") {
				examples[len(examples)-1] += " " + trimmed
			} else {
				in = false
			}
		}
		for _, example := range examples {
			if !command.MatchString(example) || strings.Contains(example, "...") {
				continue
			}
			total++
			example = example[2:]
			noLiteral := errors.New("literal")
			d, _ := newTestDecoder(t, example+"\r\n", Options{Continue: func() error { return noLiteral }})
			d.SetUTF8(true)
			err := readCommand(d)
			if err == nil || err == noLiteral {
				continue
			}
			i := slices.IndexFunc(brokenExamples, func(s string) bool { return strings.Contains(example, s) })
			if i >= 0 {
				used[brokenExamples[i]] = true
			} else {
				t.Errorf("RFC %s: %s: %v", number, example, err)
			}
		}
	}
	if total < 100 {
		t.Errorf("only %d examples", total)
	}
	for _, s := range brokenExamples {
		if !used[s] {
			t.Errorf("no example has %q", s)
		}
	}
}
