package message

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// Conversations of another server pin what BODY[section] gives of messages with many
// parts: independent expectations for sections.
func TestSharedConversations(t *testing.T) {
	t.Parallel()
	dir := testkit.Shared(t, "testdata/scripts/imap")
	fetch := regexp.MustCompile(`^S: \\\* (\d+) FETCH .*BODY\\\[([0-9.]*(?:HEADER|TEXT|MIME)?)\\\](?:<(\d+)>)? \\\{(\d+)\\\}`)
	checked := 0
	for _, name := range []string{"FetchStructureEmbedded", "FetchStructureComplex", "FetchMultipartMixed", "FetchMultipartMixedComplex", "FetchMultipartAlternative",
		"FetchText", "FetchRFC822", "ComplexMail", "FetchSingleMessage", "MimePartialFetch", "TextPartialFetch", "HeaderPartialFetch", "BodyPartialFetch"} {
		lines := strings.Split(string(testkit.ReadFile(t, filepath.Join(dir, name+".test"))), "\n")
		var msgs []string
		for i := 0; i < len(lines); i++ {
			line := strings.TrimSuffix(lines[i], "\r")
			if strings.HasPrefix(line, "C: ") && strings.Contains(line, " APPEND ") && strings.Contains(line, "{") {
				size, _ := strconv.Atoi(strings.Trim(line[strings.LastIndex(line, "{")+1:], "+}"))
				msg := ""
				for i++; i < len(lines) && len(msg) < size; i++ {
					if s, ok := strings.CutPrefix(strings.TrimSuffix(lines[i], "\r"), "C:"); ok {
						msg += strings.TrimPrefix(s, " ") + "\r\n"
					}
				}
				i--
				msgs = append(msgs, msg[:min(size, len(msg))])
				continue
			}
			m := fetch.FindStringSubmatch(line)
			if m == nil || strings.Count(line, "BODY") > 1 {
				continue
			}
			seq, _ := strconv.Atoi(m[1])
			if m = m[1:]; seq > len(msgs) {
				continue
			}
			msg := msgs[seq-1]
			path, spec := parseSection(t, m[1])
			r, err := mustParse(t, msg, Limits{}).Section(path, spec)
			if err != nil {
				// That server gives nothing for a part that is not there.
				if m[3] != "0" {
					t.Errorf("%s: %s: %v", name, m[1], err)
				}
				continue
			}
			got := msg[r.Start:r.End]
			if r.MIMEOnly {
				got = string(FilterMIME(nil, []byte(got)))
			}
			origin, _ := strconv.Atoi(m[2])
			size, _ := strconv.Atoi(m[3])
			got = got[min(origin, len(got)):]
			if m[2] != "" {
				got = got[:min(size, len(got))]
			}
			checked++
			if len(got) != size {
				t.Errorf("%s: BODY[%s]<%s> has %d bytes, want %d: %q", name, m[1], m[2], len(got), size, got)
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d sections", checked)
	}
}
