package imapclient

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// imapRFCs have examples of responses.
const imapRFCs = "2177 2342 2971 3501 3502 3516 4315 4731 5032 5161 5182 5256 5258 5464 5465 5819 6154 6851 7162 7377 7888 8474 8508 8514 8970 9051 9208 9394 9585 9586 9590"

// brokenExamples are examples that are not of the syntax, by what they contain.
var brokenExamples = []string{
	"[UIDVALIDITY 9877410381]",        // More than 32 bits.
	`"."  "INBOX"`,                    // Two spaces.
	"NIL  NIL",                        // Two spaces.
	`(("#shared/" "/") ("#public/"`,   // A line break of the RFC.
	"XPIG-LATIN",                      // An invented response.
	`(FLAGS (\Flagged \Answered ) MO`, // A line break of the RFC.
	`(TAG "a00") (COUNT 17)`,          // Data in parentheses.
	"* EXISTS 93",                     // In the wrong order.
	`IMAP4rev2 \ LIST-EXTENDED`,       // A line break of the RFC.
	"* THREAD (166)",                  // Line breaks of the RFC.
	"(Time passes.",                   // Remarks.
	"//$ value",                       // Remarks.
	"BODY[HEADER] {342}",              // Literals with indented content, here and below.
	"PREVIEW {200}", "PREVIEW {30}", "BODY[HEADER.FIELDS (From To Subject)] {75}", "BODY[HEADER.FIELDS (FROM TO SUBJECT)] {76}",
}

// The untagged responses in the examples of the RFCs, with wrapped lines joined.
func TestExamplesOfRFCs(t *testing.T) {
	t.Parallel()
	start := regexp.MustCompile(`^ +([SC]:) *(.*)$`)
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
			response, ok := strings.CutPrefix(example, "S:* ")
			if !ok || strings.Contains(response, "...") {
				continue
			}
			total++
			rep, err := parse(t, "* "+response+"\r\n", true)
			if err == nil && rep.untagged != nil {
				continue
			}
			i := slices.IndexFunc(brokenExamples, func(s string) bool { return strings.Contains("* "+response, s) })
			if i >= 0 {
				used[brokenExamples[i]] = true
			} else if !isCut(response) {
				t.Errorf("RFC %s: %s: %v", number, response, err)
			}
		}
	}
	if total < 500 {
		t.Errorf("only %d examples", total)
	}
	for _, s := range brokenExamples {
		if !used[s] {
			t.Errorf("no example has %q", s)
		}
	}
}

// isCut reports whether an example goes on behind a page break.
func isCut(response string) bool {
	return slices.ContainsFunc([]string{"UID ALL", "UIDVALIDITY", "INTERNALDATE"}, func(s string) bool { return strings.HasSuffix(response, s) })
}
