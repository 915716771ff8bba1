package smtp

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// lookAlike is what some server, somewhere, has taken for the end of message data: a
// dot between two of any line ends, also where NULs are left out.
var lookAlike = regexp.MustCompile(`(?:\r|\n)\x00*\.\x00*(?:\r|\n)`)

// TestWhatIsWrittenHasOneEnd writes messages with everything that could be taken for
// the end of the data. What leaves us can be taken for it at its end only.
func TestWhatIsWrittenHasOneEnd(t *testing.T) {
	t.Parallel()
	ends := []string{"\n", "\r", "\r\n", "\n\r", "\r\r\n", "\r\x00\n", "\r\n\x00", "\x00\r\n", "\n\x00", "\x00\n"}
	for _, before := range append(ends, "") {
		for _, dot := range []string{".", "..", ".\x00", "\x00.", "\x00.\x00", ".\x00.", "...", "\x00.."} {
			for _, after := range append(ends, "") {
				content := before + dot + after
				if before != "" {
					content = "x" + content
				}
				if after != "" {
					content += "evil"
				}
				for size := 1; size <= len(content); size++ {
					var b bytes.Buffer
					if err := writeChunks(NewDataWriter(&b), content, size); err != nil {
						if lookAlike.MatchString("\r\n" + b.String()) {
							t.Errorf("%q was refused, and ended all the same: %q", content, b.String())
						}
						if !strings.ContainsAny(content, "\x00") && !strings.ContainsAny(strings.ReplaceAll(content, "\r\n", ""), "\r\n") {
							t.Errorf("%q was refused: %v", content, err)
						}
						continue
					}
					// The data follows the CRLF of the command.
					if got := lookAlike.FindAllStringIndex("\r\n"+b.String(), -1); len(got) != 1 || got[0][1] < b.Len()+1 {
						t.Errorf("%q was written as %q", content, b.String())
					}
				}
			}
		}
	}
}
