package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"

	"mox/dkim"
	"mox/dmarc"
	"mox/spf"
)

// ParseXML reads a report in XML of at most MaxXML bytes. Text that is not UTF-8 is
// read in the charset that it declares, and what is invalid in it becomes U+FFFD.
// Errors are an [*Error], or of r.
func ParseXML(r io.Reader) (*Feedback, error) {
	x := newXMLReader(textReader(&limitReader{r: r, left: MaxXML}))
	f := &Feedback{}
	if err := x.root(f); err != nil {
		return nil, err
	}
	x.path = []string{"feedback"}
	if err := x.feedback(f); err != nil {
		return nil, err
	}
	// What follows has no meaning.
	f.Notes = x.notes
	return f, nil
}

// A limitReader is an io.LimitedReader with an error at the limit.
type limitReader struct {
	r    io.Reader
	left int64
}

func (l *limitReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.left -= int64(n)
	if l.left < 0 {
		return 0, fmt.Errorf("%w: xml of more than %d bytes", ErrTooLarge, MaxXML)
	}
	return n, err
}

const schemaNamespace = "http://www.w3.org/2001/XMLSchema"

// root reads up to the start of the feedback element.
func (x *xmlReader) root(f *Feedback) error {
	for {
		t, err := x.token()
		if err != nil {
			return err
		}
		start, ok := t.(xml.StartElement)
		switch {
		case !ok:
			continue
		case start.Name.Local == "schema" && start.Name.Space == schemaNamespace && x.depth == 1:
			// Some reporter took the example of RFC 7489 for a frame.
			x.note("is in an element of an xml schema")
			continue
		case start.Name.Local != "feedback":
			return x.fail("the root element is %q instead of feedback", clip(start.Name.Local))
		}
		x.ns = start.Name.Space
		if x.ns != "" && x.ns != Namespace9990 && x.ns != Namespace7489 {
			return x.fail("feedback is in the unknown namespace %q", clip(x.ns))
		}
		f.Namespace = x.ns
		return nil
	}
}

func (x *xmlReader) feedback(f *Feedback) error {
	return x.fields([]field{
		{"version", false, false, x.str(&f.Version)},
		{"report_metadata", true, false, func() error { return x.metadata(&f.Metadata) }},
		{"policy_published", true, false, func() error { return x.policy(&f.Policy) }},
		{"extension", false, true, x.skip},
		{"record", true, true, func() error {
			if len(f.Records) == MaxRecords {
				return x.wrap(fmt.Errorf("%w: more than %d records", ErrTooLarge, MaxRecords))
			}
			x.path[len(x.path)-1] = "record[" + strconv.Itoa(len(f.Records)+1) + "]"
			f.Records = append(f.Records, Record{})
			return x.record(&f.Records[len(f.Records)-1])
		}},
	})
}

func (x *xmlReader) metadata(m *Metadata) error {
	return x.fields([]field{
		{"org_name", true, false, x.str(&m.OrgName)},
		{"email", true, false, x.str(&m.Email)},
		{"extra_contact_info", false, false, x.human(&m.ExtraContactInfo)},
		{"report_id", true, false, x.str(&m.ReportID)},
		{"date_range", true, false, func() error {
			err := x.fields([]field{
				{"begin", true, false, x.seconds(&m.Begin)},
				{"end", true, false, x.seconds(&m.End)},
			})
			if err == nil && m.End.Before(m.Begin) {
				err = x.fail("end is before begin")
			}
			return err
		}},
		{"error", false, true, func() error {
			var s string
			err := x.human(&s)()
			if len(m.Errors) < MaxReasons && s != "" {
				m.Errors = append(m.Errors, s)
			}
			return err
		}},
		{"generator", false, false, x.human(&m.Generator)},
	})
}

func (x *xmlReader) policy(p *Policy) error {
	policies := []dmarc.Policy{dmarc.PolicyNone, dmarc.PolicyQuarantine, dmarc.PolicyReject}
	return x.fields([]field{
		{"domain", true, false, x.str(&p.Domain)},
		{"p", true, false, enum(x, &p.Policy, false, policies...)},
		{"sp", false, false, enum(x, &p.SubdomainPolicy, true, policies...)},
		{"np", false, false, enum(x, &p.NonexistentPolicy, true, policies...)},
		{"adkim", false, false, enum(x, &p.ADKIM, true, dmarc.ModeRelaxed, dmarc.ModeStrict)},
		{"aspf", false, false, enum(x, &p.ASPF, true, dmarc.ModeRelaxed, dmarc.ModeStrict)},
		{"discovery_method", false, false, enum(x, &p.Discovery, true, DiscoveryPSL, DiscoveryTreewalk)},
		{"fo", false, false, x.str(&p.FailureOptions)},
		{"testing", false, false, x.flag(&p.Testing, true, "y", "n")},
		{"pct", false, false, func() error {
			s, err := x.value()
			if err != nil {
				return err
			}
			if n, err := strconv.Atoi(s); err == nil && n >= 0 && n <= 100 {
				p.Percentage = &n
			} else if s != "" {
				x.note("%q is not a number from 0 to 100", clip(s))
			}
			return nil
		}},
	})
}

func (x *xmlReader) record(r *Record) error {
	return x.fields([]field{
		{"row", true, false, func() error {
			return x.fields([]field{
				{"source_ip", true, false, x.address(&r.SourceIP)},
				{"count", true, false, x.number(&r.Count, maxCount)},
				{"policy_evaluated", true, false, func() error { return x.evaluated(r) }},
			})
		}},
		{"identifiers", true, false, func() error {
			return x.fields([]field{
				{"header_from", true, false, x.str(&r.HeaderFrom)},
				{"envelope_from", false, false, x.str(&r.EnvelopeFrom)},
				{"envelope_to", false, false, x.str(&r.EnvelopeTo)},
			})
		}},
		{"auth_results", true, false, func() error {
			return x.fields([]field{
				{"dkim", false, true, func() error { return x.dkim(r) }},
				{"spf", false, true, func() error { return x.spf(r) }},
			})
		}},
	})
}

func (x *xmlReader) evaluated(r *Record) error {
	return x.fields([]field{
		{"disposition", true, false, enum(x, &r.Disposition, false, DispositionNone, DispositionPass, DispositionQuarantine, DispositionReject)},
		{"dkim", true, false, x.flag(&r.AlignedDKIM, false, "pass", "fail")},
		{"spf", true, false, x.flag(&r.AlignedSPF, false, "pass", "fail")},
		{"reason", false, true, func() error {
			var o dmarc.Override
			err := x.fields([]field{
				{"type", true, false, enum(x, &o.Type, true, dmarc.OverrideLocalPolicy, dmarc.OverrideMailingList, dmarc.OverrideOther,
					dmarc.OverrideTestMode, dmarc.OverrideTrustedForwarder, overrideForwarded, overrideSampledOut)},
				{"comment", false, false, x.human(&o.Comment)},
			})
			switch {
			case err != nil:
				return err
			case o.Type == "":
				x.note("reason without a type dropped")
			case len(r.Reasons) == MaxReasons:
				x.note("more than %d reasons, the others are dropped", MaxReasons)
			default:
				r.Reasons = append(r.Reasons, o)
			}
			return nil
		}},
	})
}

func (x *xmlReader) dkim(r *Record) error {
	var d DKIMResult
	err := x.fields([]field{
		{"domain", true, false, x.str(&d.Domain)},
		{"selector", false, false, x.str(&d.Selector)},
		{"result", true, false, enum(x, &d.Result, false, dkim.StatusNone, dkim.StatusPass, dkim.StatusFail, dkim.StatusPolicy,
			dkim.StatusNeutral, dkim.StatusTemperror, dkim.StatusPermerror)},
		{"human_result", false, false, x.human(&d.HumanResult)},
	})
	if err == nil && len(r.DKIM) == MaxSignatures {
		x.note("more than %d signatures, the others are dropped", MaxSignatures)
	} else if err == nil {
		r.DKIM = append(r.DKIM, d)
	}
	return err
}

// Words for results of SPF in reports before RFC 7489, of which its schema says
// that they are in use.
const (
	spfUnknown spf.Status = "unknown" // For permerror.
	spfError   spf.Status = "error"   // For temperror.
	spfPolicy  spf.Status = "policy"  // RFC 9990 §3.1.1.13.
)

func (x *xmlReader) spf(r *Record) error {
	var s SPFResult
	err := x.fields([]field{
		{"domain", true, false, x.str(&s.Domain)},
		{"scope", false, false, enum(x, &s.Scope, true, ScopeMailFrom, ScopeHELO)},
		{"result", true, false, enum(x, &s.Result, false, spf.StatusNone, spf.StatusPass, spf.StatusFail, spf.StatusSoftfail, spfPolicy,
			spf.StatusNeutral, spf.StatusTemperror, spf.StatusPermerror, spfUnknown, spfError)},
		{"human_result", false, false, x.human(&s.HumanResult)},
	})
	switch s.Result {
	case spfUnknown:
		s.Result = spf.StatusPermerror
	case spfError:
		s.Result = spf.StatusTemperror
	}
	if err == nil && len(r.SPF) == MaxReasons {
		x.note("more than %d results of spf, the others are dropped", MaxReasons)
	} else if err == nil {
		r.SPF = append(r.SPF, s)
	}
	return err
}
