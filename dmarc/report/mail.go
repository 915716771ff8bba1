package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"mox/message"
)

// ErrNoReport says that a message has no part that could be a report.
var ErrNoReport = errors.New("message has no aggregate report in it")

// mediaTypes are those of parts that claim to be reports, RFC 9990 §3.5.2, and what
// reporters write instead.
var mediaTypes = []string{
	"application/gzip", "application/x-gzip", "application/gzip-compressed", "application/gzipped", "application/x-gunzip", "gzip/document",
	"application/zip", "application/x-zip", "application/x-zip-compressed", "application/zip-compressed", "text/xml", "application/xml",
}

// ParseMessage finds the report in a message of at most MaxMessage bytes, which may
// be the message itself or a part of it, and reads it. Parts are looked at because
// of their media type; of those with another type, a name or nothing that says
// what they are, because of their content. The first that can be read counts. If
// there is none the error is about the first, or [ErrNoReport].
func ParseMessage(r io.ReaderAt, size int64) (*Feedback, error) {
	if size > MaxMessage {
		return nil, fmt.Errorf("%w: message of %d bytes", ErrTooLarge, size)
	}
	root, err := message.Parse(r, size, message.Limits{})
	if err != nil {
		return nil, fmt.Errorf("reading message: %w", err)
	}
	var first error
	tried := 0
	for p := range root.Walk() {
		if p.IsMultipart() || p.Message != nil || p.Is("text/html") {
			continue
		}
		data, ok, err := candidate(r, p)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		f, err := Parse(data)
		if err == nil {
			return f, nil
		}
		if first == nil {
			first = err
		}
		if tried++; tried == MaxParts {
			break
		}
	}
	if first == nil {
		first = ErrNoReport
	}
	return nil, first
}

// sniffLen is how much of a part tells what it is.
const sniffLen = 64

// candidate returns the content of a part if it could be a report.
func candidate(r io.ReaderAt, p *message.Part) (data []byte, ok bool, err error) {
	// Without a media type, a part is text, and line ends would be changed in it.
	binary := *p
	binary.Type, binary.Subtype = "APPLICATION", "OCTET-STREAM"
	d, err := binary.Decoder(r)
	if errors.Is(err, message.ErrUnknownEncoding) {
		return nil, false, nil
	} else if err != nil {
		return nil, false, fmt.Errorf("reading part of message: %w", err)
	}
	start := make([]byte, sniffLen)
	n, err := io.ReadFull(d, start)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, false, fmt.Errorf("reading part of message: %w", err)
	}
	start = start[:n]
	if !claims(p) && sniff(start) == formatUnknown {
		return nil, false, nil
	}
	// A part is never larger when decoded than the message, other than by line ends.
	data, err = io.ReadAll(io.LimitReader(io.MultiReader(bytes.NewReader(start), d), MaxMessage+1))
	if err != nil {
		return nil, false, fmt.Errorf("reading part of message: %w", err)
	}
	return data, true, nil
}

// claims reports whether a part says that it is a report.
func claims(p *message.Part) bool {
	for _, t := range mediaTypes {
		if p.Is(t) {
			return true
		}
	}
	name := strings.ToLower(p.Filename())
	for _, ext := range []string{".xml", ".xml.gz", ".xml.zip"} {
		if strings.HasSuffix(name, ext) {
			return true
		}
	}
	_, err := ParseFilename(p.Filename())
	return err == nil
}
