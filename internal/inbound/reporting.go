package inbound

import (
	"context"

	"mox/config"
	"mox/dns"
)

// Messages to addresses for reports. Package deliver stores what they report.

// readReport reads a report. A message that is none is mail as any other, with a field
// that says why.
func readReport(ctx context.Context, v *verdict) bool {
	kind := v.Recipient.Report
	if kind == config.ReportNone || v.d.opts.Reports == nil || v.Message == nil {
		return false
	}
	m := ReportMessage{Auth: v.Auth, Content: v.Message, Size: v.Size, About: v.d.ours(kind), Host: kind == config.ReportTLSHost, Now: v.now}
	read, field := v.d.opts.Reports.TLS, TLSReportErrorField
	if kind == config.ReportDMARC {
		read, field = v.d.opts.Reports.DMARC, DMARCReportErrorField
	}
	report, err := read(ctx, m)
	if err != nil {
		v.Fields = append(v.Fields, HeaderField{field, ReportError(err)})
		v.explain("not one of " + kind.String() + ": " + ReportError(err))
		return false
	}
	v.Report = report
	return false
}

// ours returns which domains there can be reports about.
func (d *Decider) ours(kind config.ReportKind) func(dns.Domain) bool {
	return func(about dns.Domain) bool {
		if d.opts.Config == nil {
			return false
		}
		s := d.opts.Config.Snapshot()
		if kind != config.ReportDMARC && about == s.Hostname {
			return true
		}
		_, ok := s.Domain(about)
		return ok
	}
}

// acceptReport accepts reports of which nothing speaks for junk for sure.
func acceptReport(_ context.Context, v *verdict) bool {
	if v.Report == nil {
		return false
	}
	return v.accept(ReasonReporting, "a report about our domains")
}
