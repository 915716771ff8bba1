package admin

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// recordTTL is for how long records are kept by resolvers, in seconds: short, so that a
// mistake does not last.
const recordTTL = 300

// WriteZone writes records as lines for a zone file.
func WriteZone(w io.Writer, l []Records) error {
	var b strings.Builder
	fmt.Fprintf(&b, "; Resolvers keep the records for %d seconds. Raise that when all works.\n$TTL %d\n", recordTTL, recordTTL)
	for _, rs := range l {
		b.WriteString("\n")
		for line := range strings.SplitSeq(rs.Comment, "\n") {
			b.WriteString("; " + line + "\n")
		}
		for _, r := range rs.Records {
			data := r.Data
			if r.Type == "TXT" {
				data = zoneText(data)
			}
			line := fmt.Sprintf("%-40s %s %s\n", r.Name+".", r.Type, data)
			if rs.Off {
				line = "; " + line
			}
			b.WriteString(line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// zoneText returns a text as the strings of a TXT record, each of at most 255 octets (RFC
// 1035 §3.3.14). It is in ASCII.
func zoneText(s string) string {
	const size = 255
	quote := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
	if len(s) <= size {
		return quote(s)
	}
	var b strings.Builder
	b.WriteString("(")
	for part := range slices.Chunk([]byte(s), size) {
		b.WriteString("\n\t" + quote(string(part)))
	}
	return b.String() + " )"
}
