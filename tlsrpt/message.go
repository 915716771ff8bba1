package tlsrpt

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"mox/message"
)

// ErrNoReport means that a message has no report in it.
var ErrNoReport = errors.New("tlsrpt: no report in message")

// ParseMessage reads the report in a message of size bytes, RFC 8460 §5.3. It is in
// the first part with a media type for reports, wherever that is. In a message that
// says that it is a report, a part with another type is taken if its file name is
// that of one. Errors match ErrNoReport, ErrReport or ErrTooLarge, or are those of r.
//
// Whether the message has the DKIM signature that RFC 8460 §3 requires is for the
// caller to check.
func ParseMessage(r io.ReaderAt, size int64) (Report, error) {
	if size > MaxMessageSize {
		return Report{}, fmt.Errorf("%w: message larger than %d bytes", ErrTooLarge, MaxMessageSize)
	}
	root, err := message.Parse(r, size, message.Limits{})
	if err != nil {
		return Report{}, fmt.Errorf("read message: %w", err)
	}
	part := reportPart(root)
	if part == nil {
		return Report{}, ErrNoReport
	}
	body, err := part.Decoder(r)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrReport, err)
	}
	return ParseReport(body)
}

// reportPart returns the part with the report, or nil. Messages inside the message
// are not looked at: someone else has sent those.
func reportPart(root *message.Part) *message.Part {
	if isReport(root) {
		return root
	}
	says := root.Is("multipart/report") && strings.EqualFold(root.Param("report-type"), "tlsrpt")
	if p := findPart(root, isReport); p != nil || !says {
		return p
	}
	return findPart(root, func(p *message.Part) bool { return !p.IsMultipart() && hasReportName(p.Filename()) })
}

func isReport(p *message.Part) bool {
	return p.Is("application/tlsrpt+gzip") || p.Is("application/tlsrpt+json")
}

// findPart returns the first part below p that is wanted. Package message bounds how
// deep parts are nested.
func findPart(p *message.Part, wanted func(*message.Part) bool) *message.Part {
	for _, child := range p.Parts {
		if wanted(child) {
			return child
		}
		if found := findPart(child, wanted); found != nil {
			return found
		}
	}
	return nil
}

func hasReportName(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".json.gz")
}
