package report

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"mox/dkim"
	"mox/dmarc"
	"mox/spf"
)

// ErrInvalid says that a report cannot be written in the schema of RFC 9990.
var ErrInvalid = errors.New("invalid aggregate report")

// Check checks that a report can be written: that it has at least one record, and
// all words are those of RFC 9990 §A. The error matches [ErrInvalid].
func (f *Feedback) Check() error {
	m, p := f.Metadata, f.Policy
	switch {
	case !ValidReportID(m.ReportID):
		return fmt.Errorf("%w: malformed report id %q", ErrInvalid, clip(m.ReportID))
	case m.End.Before(m.Begin):
		return fmt.Errorf("%w: end is before begin", ErrInvalid)
	case p.Domain == "" || !validPolicy(p.Policy):
		return fmt.Errorf("%w: published policy without domain or policy", ErrInvalid)
	case p.SubdomainPolicy != "" && !validPolicy(p.SubdomainPolicy), p.NonexistentPolicy != "" && !validPolicy(p.NonexistentPolicy),
		!oneOf(p.ADKIM, "", dmarc.ModeRelaxed, dmarc.ModeStrict), !oneOf(p.ASPF, "", dmarc.ModeRelaxed, dmarc.ModeStrict),
		!oneOf(p.Discovery, "", DiscoveryPSL, DiscoveryTreewalk):
		return fmt.Errorf("%w: unknown word in published policy", ErrInvalid)
	case len(f.Records) == 0:
		return fmt.Errorf("%w: no records", ErrInvalid)
	case len(f.Records) > MaxRecords:
		return fmt.Errorf("%w: more than %d records", ErrInvalid, MaxRecords)
	}
	for i := range f.Records {
		if err := f.Records[i].check(); err != nil {
			return fmt.Errorf("%w: record %d: %w", ErrInvalid, i+1, err)
		}
	}
	return nil
}

func oneOf[T comparable](v T, l ...T) bool { return slices.Contains(l, v) }

func validPolicy(p dmarc.Policy) bool {
	return oneOf(p, dmarc.PolicyNone, dmarc.PolicyQuarantine, dmarc.PolicyReject)
}

func (r *Record) check() error {
	switch {
	case !r.SourceIP.IsValid() || r.SourceIP.Zone() != "":
		return errors.New("no source ip address")
	case r.Count < 1 || r.Count > maxCount:
		return fmt.Errorf("count of %d", r.Count)
	case !oneOf(r.Disposition, DispositionNone, DispositionPass, DispositionQuarantine, DispositionReject):
		return fmt.Errorf("unknown disposition %q", r.Disposition)
	case r.HeaderFrom == "":
		return errors.New("no header from")
	case len(r.SPF) > 1:
		return errors.New("more than one result of spf")
	case len(r.DKIM) > MaxSignatures:
		return fmt.Errorf("more than %d signatures", MaxSignatures)
	}
	for _, o := range r.Reasons {
		if !oneOf(o.Type, dmarc.OverrideLocalPolicy, dmarc.OverrideMailingList, dmarc.OverrideOther, dmarc.OverrideTestMode, dmarc.OverrideTrustedForwarder) {
			return fmt.Errorf("unknown reason %q", o.Type)
		}
	}
	for _, d := range r.DKIM {
		if !oneOf(d.Result, dkim.StatusNone, dkim.StatusPass, dkim.StatusFail, dkim.StatusPolicy, dkim.StatusNeutral, dkim.StatusTemperror, dkim.StatusPermerror) {
			return fmt.Errorf("unknown result %q of dkim", d.Result)
		}
	}
	for _, s := range r.SPF {
		if !oneOf(s.Scope, "", ScopeMailFrom) || !oneOf(s.Result, spf.StatusNone, spf.StatusPass, spf.StatusFail, spf.StatusSoftfail, spfPolicy,
			spf.StatusNeutral, spf.StatusTemperror, spf.StatusPermerror) {
			return fmt.Errorf("unknown scope %q or result %q of spf", s.Scope, s.Result)
		}
	}
	return nil
}

// Write writes a report in the schema of RFC 9990, whatever it was read from.
// Nothing is written if [Feedback.Check] has an error.
func Write(w io.Writer, f *Feedback) error {
	if err := f.Check(); err != nil {
		return err
	}
	x := &xmlWriter{w: bufio.NewWriter(w)}
	x.line(xml.Header[:len(xml.Header)-1])
	x.line(`<feedback xmlns="` + Namespace9990 + `">`)
	x.open = append(x.open, "feedback")
	x.leaf("version", "1.0")
	x.metadata(f.Metadata)
	x.policy(f.Policy)
	for i := range f.Records {
		x.record(&f.Records[i])
	}
	x.end()
	if x.err == nil {
		x.err = x.w.Flush()
	}
	if x.err != nil {
		return fmt.Errorf("writing report: %w", x.err)
	}
	return nil
}

// WriteGzip writes a report compressed with gzip. The same report and name, that
// of the file, give the same bytes: a report that is sent again must be the same.
func WriteGzip(w io.Writer, f *Feedback, name Filename) error {
	z := gzip.NewWriter(w)
	z.Name = strings.TrimSuffix(name.String(), ".gz")
	if err := Write(z, f); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("writing report: %w", err)
	}
	return nil
}

// xmlWriter writes indented elements, with a sticky error.
type xmlWriter struct {
	w    *bufio.Writer
	open []string
	buf  bytes.Buffer
	err  error
}

func (x *xmlWriter) line(s string) {
	if x.err == nil {
		_, x.err = x.w.WriteString(strings.Repeat("  ", len(x.open)) + s + "\n")
	}
}

func (x *xmlWriter) start(name string) {
	x.line("<" + name + ">")
	x.open = append(x.open, name)
}

func (x *xmlWriter) end() {
	name := x.open[len(x.open)-1]
	x.open = x.open[:len(x.open)-1]
	x.line("</" + name + ">")
}

// leaf writes an element with text, in which what XML cannot have is replaced.
func (x *xmlWriter) leaf(name, text string) {
	x.buf.Reset()
	if err := xml.EscapeText(&x.buf, []byte(text)); err != nil && x.err == nil {
		x.err = err
	}
	x.line("<" + name + ">" + x.buf.String() + "</" + name + ">")
}

// option writes an element that is left out if it is empty.
func (x *xmlWriter) option(name, text string) {
	if text != "" {
		x.leaf(name, text)
	}
}

func passFail(pass bool) string {
	if pass {
		return "pass"
	}
	return "fail"
}

func (x *xmlWriter) metadata(m Metadata) {
	x.start("report_metadata")
	x.leaf("org_name", m.OrgName)
	x.leaf("email", m.Email)
	x.option("extra_contact_info", m.ExtraContactInfo)
	x.leaf("report_id", m.ReportID)
	x.start("date_range")
	x.leaf("begin", formatInt(m.Begin.Unix()))
	x.leaf("end", formatInt(m.End.Unix()))
	x.end()
	if len(m.Errors) > 0 {
		x.leaf("error", m.Errors[0])
	}
	x.option("generator", m.Generator)
	x.end()
}

func (x *xmlWriter) policy(p Policy) {
	x.start("policy_published")
	x.leaf("domain", p.Domain)
	x.leaf("p", string(p.Policy))
	x.option("sp", string(p.SubdomainPolicy))
	x.option("np", string(p.NonexistentPolicy))
	x.option("adkim", string(p.ADKIM))
	x.option("aspf", string(p.ASPF))
	x.option("discovery_method", string(p.Discovery))
	x.option("fo", p.FailureOptions)
	testing := "n"
	if p.Testing {
		testing = "y"
	}
	x.leaf("testing", testing)
	x.end()
}

func (x *xmlWriter) record(r *Record) {
	x.start("record")
	x.start("row")
	x.leaf("source_ip", r.SourceIP.String())
	x.leaf("count", formatInt(r.Count))
	x.start("policy_evaluated")
	x.leaf("disposition", string(r.Disposition))
	x.leaf("dkim", passFail(r.AlignedDKIM))
	x.leaf("spf", passFail(r.AlignedSPF))
	for _, o := range r.Reasons {
		x.start("reason")
		x.leaf("type", string(o.Type))
		x.option("comment", o.Comment)
		x.end()
	}
	x.end()
	x.end()
	x.start("identifiers")
	x.leaf("header_from", r.HeaderFrom)
	x.leaf("envelope_from", r.EnvelopeFrom)
	x.option("envelope_to", r.EnvelopeTo)
	x.end()
	x.start("auth_results")
	for _, d := range r.DKIM {
		x.start("dkim")
		x.leaf("domain", d.Domain)
		x.leaf("selector", d.Selector)
		x.leaf("result", string(d.Result))
		x.option("human_result", d.HumanResult)
		x.end()
	}
	for _, s := range r.SPF {
		x.start("spf")
		x.leaf("domain", s.Domain)
		x.option("scope", string(s.Scope))
		x.leaf("result", string(s.Result))
		x.option("human_result", s.HumanResult)
		x.end()
	}
	x.end()
	x.end()
}
