package tlsrpt

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"mox/dns"
)

// report reads the whole report.
func (p *parser) report() Report {
	var r Report
	var dates, policies bool
	if t := p.token(); p.err == nil && t != json.Delim('{') {
		p.fail("expected an object")
	}
	p.fields(func(name string) {
		switch name {
		case "organization-name":
			r.OrganizationName = p.text()
		case "date-range":
			dates = true
			p.object(func(name string) {
				switch name {
				case "start-datetime":
					r.Start = p.datetime()
				case "end-datetime":
					r.End = p.datetime()
				default:
					p.skip()
				}
			})
		case "contact-info":
			r.ContactInfo = p.text()
		case "report-id":
			r.ReportID = p.text()
		case "policies":
			policies = true
			left := MaxPolicies - len(r.Policies) // A field may come again.
			p.elements(left, func() { r.Policies = append(r.Policies, p.policyResult()) })
		default:
			p.skip()
		}
	})
	switch {
	case p.err != nil:
	case !dates:
		p.fail("no date-range")
	case !policies:
		p.fail("no policies")
	}
	if p.err == nil {
		// Reading to the end also makes gzip compare checksums.
		if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
			p.fail("data after the end: %w", orNone(err))
		}
	}
	return r
}

var errExtra = errors.New("another value")

func orNone(err error) error {
	if err == nil {
		return errExtra
	}
	return err
}

// policyResult reads an element of "policies", after its start.
func (p *parser) policyResult() PolicyResult {
	var r PolicyResult
	p.fields(func(name string) {
		switch name {
		case "policy":
			p.object(func(name string) { p.policyField(&r.Policy, name) })
		case "summary":
			p.object(func(name string) {
				switch name {
				case "total-successful-session-count":
					r.Successes = p.count()
				case "total-failure-session-count":
					r.Failures = p.count()
				default:
					p.skip()
				}
			})
		case "failure-details":
			p.elements(MaxFailureDetails-p.details, func() {
				p.details++
				r.FailureDetails = append(r.FailureDetails, p.failureDetail())
			})
		default:
			p.skip()
		}
	})
	return r
}

func (p *parser) policyField(policy *Policy, name string) {
	switch name {
	case "policy-type":
		policy.Type = PolicyType(p.text())
	case "policy-string":
		policy.Text = p.texts()
	case "policy-domain":
		policy.Domain = p.text()
	case "mx-host", "mx-host-pattern":
		// RFC 8460 §4.4 says array, and has a string in its examples.
		policy.MXHost = p.texts()
	default:
		p.skip()
	}
}

// failureDetail reads an element of "failure-details", after its start.
func (p *parser) failureDetail() FailureDetail {
	var d FailureDetail
	p.fields(func(name string) {
		switch name {
		case "result-type":
			d.ResultType = ResultType(p.text())
		case "sending-mta-ip":
			d.SendingMTAIP = p.text()
		case "receiving-mx-hostname":
			d.ReceivingMXHostname = p.text()
		case "receiving-mx-helo":
			d.ReceivingMXHelo = p.text()
		case "receiving-ip":
			d.ReceivingIP = p.text()
		case "failed-session-count":
			d.Count = p.count()
		case "additional-information", "additional-info-uri":
			// The second is in the text of RFC 8460 §4.4 only.
			d.AdditionalInformation = p.text()
		case "failure-reason-code":
			d.FailureReasonCode = p.text()
		default:
			p.skip()
		}
	})
	return d
}

// The form of a report in JSON, RFC 8460 §4.4.
type (
	jsonReport struct {
		OrganizationName string             `json:"organization-name"`
		DateRange        jsonDateRange      `json:"date-range"`
		ContactInfo      string             `json:"contact-info"`
		ReportID         string             `json:"report-id"`
		Policies         []jsonPolicyResult `json:"policies"`
	}
	jsonDateRange struct {
		Start string `json:"start-datetime"`
		End   string `json:"end-datetime"`
	}
	jsonPolicyResult struct {
		Policy         jsonPolicy          `json:"policy"`
		Summary        jsonSummary         `json:"summary"`
		FailureDetails []jsonFailureDetail `json:"failure-details,omitempty"`
	}
	jsonPolicy struct {
		Type   string   `json:"policy-type"`
		Text   []string `json:"policy-string,omitempty"`
		Domain string   `json:"policy-domain"`
		MXHost []string `json:"mx-host,omitempty"`
	}
	jsonSummary struct {
		Successes int64 `json:"total-successful-session-count"`
		Failures  int64 `json:"total-failure-session-count"`
	}
	jsonFailureDetail struct {
		ResultType            string `json:"result-type"`
		SendingMTAIP          string `json:"sending-mta-ip,omitempty"`
		ReceivingMXHostname   string `json:"receiving-mx-hostname,omitempty"`
		ReceivingMXHelo       string `json:"receiving-mx-helo,omitempty"`
		ReceivingIP           string `json:"receiving-ip,omitempty"`
		Count                 int64  `json:"failed-session-count"`
		AdditionalInformation string `json:"additional-information,omitempty"`
		FailureReasonCode     string `json:"failure-reason-code,omitempty"`
	}
)

func (r Report) json() jsonReport {
	j := jsonReport{
		OrganizationName: r.OrganizationName,
		DateRange:        jsonDateRange{formatTime(r.Start), formatTime(r.End)},
		ContactInfo:      r.ContactInfo,
		ReportID:         r.ReportID,
		Policies:         []jsonPolicyResult{}, // An array, also without elements.
	}
	for _, p := range r.Policies {
		jp := jsonPolicyResult{
			Policy:  jsonPolicy{string(p.Policy.Type), p.Policy.Text, p.Policy.Domain, p.Policy.MXHost},
			Summary: jsonSummary{p.Successes, p.Failures},
		}
		for _, d := range p.FailureDetails {
			jp.FailureDetails = append(jp.FailureDetails, jsonFailureDetail{
				string(d.ResultType), d.SendingMTAIP, d.ReceivingMXHostname, d.ReceivingMXHelo,
				d.ReceivingIP, d.Count, d.AdditionalInformation, d.FailureReasonCode,
			})
		}
		j.Policies = append(j.Policies, jp)
	}
	return j
}

func formatTime(t time.Time) string {
	return t.UTC().Format(time.RFC3339)
}

// WriteJSON writes the report as JSON, RFC 8460 §4.4, in lines that people can read.
func (r Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "\t")
	enc.SetEscapeHTML(false)
	return enc.Encode(r.json())
}

// WriteGzip writes the report as JSON compressed with gzip, RFC 8460 §5.2, for the
// media type application/tlsrpt+gzip.
func (r Report) WriteGzip(w io.Writer) error {
	zw := gzip.NewWriter(w)
	if err := json.NewEncoder(zw).Encode(r.json()); err != nil {
		return err
	}
	return zw.Close()
}

// FileName returns the name of the file for a report that is compressed with gzip,
// RFC 8460 §5.1. Sender is the domain of ContactInfo. UniqueID tells several reports
// for the same domain and time apart, and has letters and digits only; it may be
// empty.
func (r Report) FileName(sender, policyDomain dns.Domain, uniqueID string) string {
	name := fmt.Sprintf("%s!%s!%d!%d", sender.ASCII, policyDomain.ASCII, r.Start.Unix(), r.End.Unix())
	if uniqueID != "" {
		name += "!" + uniqueID
	}
	return name + ".json.gz"
}
