package tlsrptdb

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"mox/tlsrpt"
)

// Content of a report is compressed JSON: lines with a policy, each followed by
// lines with its details. It is written and read one line at a time, so that no more
// memory is taken than what is kept.

// A line is one of these.
type line struct {
	Policy *tlsrpt.PolicyResult  `json:",omitempty"` // Without details.
	Detail *tlsrpt.FailureDetail `json:",omitempty"`
}

const (
	maxLines  = 100  // Lines of a policy, and patterns of hosts, that are kept.
	maxString = 1024 // Bytes that are kept of a text.
)

// cut returns what is kept of a text, on its own memory.
func cut(s string, max int) string {
	if len(s) > max {
		s = s[:max]
	}
	return strings.Clone(strings.ToValidUTF8(s, ""))
}

func cutAll(l []string) []string {
	l = slices.Clone(l[:min(len(l), maxLines)])
	for i := range l {
		l[i] = cut(l[i], maxString)
	}
	return l
}

// A budget is how much may be kept of a report, over all domains in it.
type budget struct {
	text, data int
}

// A meter counts what is written.
type meter struct {
	w io.Writer
	n int
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.n += n
	return n, err
}

// encode returns the content of policies, and how many of the details are in it.
func (b *budget) encode(policies []tlsrpt.PolicyResult) (data []byte, kept int, err error) {
	var buf bytes.Buffer
	z, err := flate.NewWriter(&buf, flate.DefaultCompression)
	if err != nil {
		return nil, 0, err
	}
	text := &meter{w: z}
	enc := json.NewEncoder(text)
	enc.SetEscapeHTML(false)
	full := func() bool { return text.n >= b.text || buf.Len() >= b.data }
	for _, p := range policies {
		if full() {
			break
		}
		head := p
		head.FailureDetails = nil
		head.Successes, head.Failures = bound(p.Successes), bound(p.Failures)
		head.Policy.Type = tlsrpt.PolicyType(cut(string(p.Policy.Type), maxString))
		head.Policy.Domain = cut(p.Policy.Domain, maxString)
		head.Policy.Text, head.Policy.MXHost = cutAll(p.Policy.Text), cutAll(p.Policy.MXHost)
		if err := enc.Encode(line{Policy: &head}); err != nil {
			return nil, 0, fmt.Errorf("encode report: %w", err)
		}
		for _, f := range p.FailureDetails {
			if full() {
				break
			}
			f.Count = bound(f.Count)
			f.ResultType = tlsrpt.ResultType(cut(string(f.ResultType), maxString))
			for _, s := range []*string{&f.SendingMTAIP, &f.ReceivingMXHostname, &f.ReceivingMXHelo, &f.ReceivingIP, &f.AdditionalInformation, &f.FailureReasonCode} {
				*s = cut(*s, maxString)
			}
			if err := enc.Encode(line{Detail: &f}); err != nil {
				return nil, 0, fmt.Errorf("encode report: %w", err)
			}
			kept++
		}
	}
	if err := z.Close(); err != nil {
		return nil, 0, fmt.Errorf("encode report: %w", err)
	}
	b.text -= text.n
	b.data -= buf.Len()
	return buf.Bytes(), kept, nil
}

// maxDecode is the size of content that is read: one line goes beyond the limit when
// it is written.
const maxDecode = MaxContentText + 2<<20

var errContent = errors.New("detail without a policy")

// decode reads content.
func decode(data []byte) (policies []tlsrpt.PolicyResult, details int, err error) {
	dec := json.NewDecoder(io.LimitReader(flate.NewReader(bytes.NewReader(data)), maxDecode))
	for {
		var l line
		err := dec.Decode(&l)
		if errors.Is(err, io.EOF) {
			return policies, details, nil
		}
		switch {
		case err != nil:
		case l.Policy != nil:
			policies = append(policies, *l.Policy)
		case l.Detail != nil && len(policies) > 0:
			p := &policies[len(policies)-1]
			p.FailureDetails = append(p.FailureDetails, *l.Detail)
			details++
		default:
			err = errContent
		}
		if err != nil {
			return nil, 0, fmt.Errorf("decode report: %w", err)
		}
	}
}
