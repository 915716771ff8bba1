package dmarcdb

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"mox/dmarc/report"
)

// Content of a report is compressed JSON: the report without its records, and then
// each record. It is written and read one record at a time, so that no more memory
// is taken than what is kept.

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

// encode returns the content of a report and how many of its records are in it.
func encode(f *report.Feedback) (data []byte, kept int, err error) {
	var buf bytes.Buffer
	z, err := flate.NewWriter(&buf, flate.DefaultCompression)
	if err != nil {
		return nil, 0, err
	}
	text := &meter{w: z}
	enc := json.NewEncoder(text)
	enc.SetEscapeHTML(false)
	head := *f
	head.Records = nil
	if err := enc.Encode(head); err != nil {
		return nil, 0, fmt.Errorf("encode report: %w", err)
	}
	for _, r := range f.Records {
		if text.n >= MaxContentText || buf.Len() >= MaxContent {
			break
		}
		if err := enc.Encode(r); err != nil {
			return nil, 0, fmt.Errorf("encode report: %w", err)
		}
		kept++
	}
	if err := z.Close(); err != nil {
		return nil, 0, fmt.Errorf("encode report: %w", err)
	}
	return buf.Bytes(), kept, nil
}

// maxDecode is the size of content that is read: one record goes beyond the limit
// when it is written.
const maxDecode = MaxContentText + 4<<20

// decode reads content.
func decode(data []byte) (*report.Feedback, error) {
	dec := json.NewDecoder(io.LimitReader(flate.NewReader(bytes.NewReader(data)), maxDecode))
	f := &report.Feedback{}
	if err := dec.Decode(f); err != nil {
		return nil, fmt.Errorf("decode report: %w", err)
	}
	for {
		var r report.Record
		err := dec.Decode(&r)
		if errors.Is(err, io.EOF) {
			return f, nil
		} else if err != nil {
			return nil, fmt.Errorf("decode report: %w", err)
		}
		f.Records = append(f.Records, r)
	}
}
