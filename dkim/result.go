package dkim

import (
	"log/slog"
)

// A Result is what came of verifying one signature.
type Result struct {
	Status    Status
	Signature *Sig    // What was parsed; nil if it is malformed.
	Record    *Record // What the signature was, or would have been, verified with; nil if there is none.

	// RecordAuthentic says that the answer with the key record, or that there is
	// none, was verified with DNSSEC.
	RecordAuthentic bool

	// Err says why the status is not pass.
	Err error
}

// LogValue returns what is worth a log line.
func (r Result) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("status", string(r.Status))}
	if s := r.Signature; s != nil {
		attrs = append(attrs, slog.Any("domain", s.Domain), slog.Any("selector", s.Selector), slog.String("algorithm", s.Algorithm.String()))
	}
	if r.Record != nil || r.RecordAuthentic {
		attrs = append(attrs, slog.Bool("authentic", r.RecordAuthentic))
	}
	if r.Err != nil {
		attrs = append(attrs, slog.Any("err", r.Err))
	}
	return slog.GroupValue(attrs...)
}
