package tlsrpt

import (
	"math"
	"slices"
	"time"
)

// A PolicyType says which kind of policy was applied, RFC 8460 §4.4.
type PolicyType string

// Types of policies.
const (
	PolicyTLSA PolicyType = "tlsa"            // DANE.
	PolicySTS  PolicyType = "sts"             // MTA-STS.
	PolicyNone PolicyType = "no-policy-found" // Neither.
)

// A ResultType says how a session failed, RFC 8460 §4.3. Reports may have others.
type ResultType string

// Result types.
const (
	ResultStartTLSNotSupported    ResultType = "starttls-not-supported"
	ResultCertificateHostMismatch ResultType = "certificate-host-mismatch"
	ResultCertificateExpired      ResultType = "certificate-expired"
	ResultCertificateNotTrusted   ResultType = "certificate-not-trusted"
	ResultValidationFailure       ResultType = "validation-failure"

	// With DANE.
	ResultTLSAInvalid   ResultType = "tlsa-invalid"   // No record matches, or none is usable.
	ResultDNSSECInvalid ResultType = "dnssec-invalid" // The resolver returned no valid records.
	ResultDANERequired  ResultType = "dane-required"  // Our configuration asks for records and there are none.

	// With MTA-STS.
	ResultSTSPolicyFetchError ResultType = "sts-policy-fetch-error"
	ResultSTSPolicyInvalid    ResultType = "sts-policy-invalid"
	ResultSTSWebPKIInvalid    ResultType = "sts-webpki-invalid"
)

// A Report tells a domain how delivery to it went over some time, RFC 8460 §4.
type Report struct {
	OrganizationName string // Who reports.
	Start, End       time.Time
	ContactInfo      string // An address, as written.
	ReportID         string
	Policies         []PolicyResult
}

// A PolicyResult is what came of a policy.
type PolicyResult struct {
	Policy         Policy
	Successes      int64 // Sessions with TLS as the policy wants it.
	Failures       int64 // Sessions without.
	FailureDetails []FailureDetail
}

// A Policy is one that was applied to a domain.
type Policy struct {
	Type PolicyType

	// Text are the TLSA records in presentation form, or the lines of the MTA-STS
	// policy, as they were found.
	Text []string

	// Domain is for which the policy is: the recipient domain, or the TLSA base domain.
	// It has A-labels if the reporter keeps to RFC 8460 §4.4.
	Domain string

	// MXHost are the patterns of hosts in an MTA-STS policy.
	MXHost []string
}

func (p Policy) equal(o Policy) bool {
	return p.Type == o.Type && p.Domain == o.Domain && slices.Equal(p.Text, o.Text) && slices.Equal(p.MXHost, o.MXHost)
}

// A FailureDetail is a number of sessions that failed in the same way. All but
// ResultType and Count may be empty.
type FailureDetail struct {
	ResultType            ResultType
	SendingMTAIP          string
	ReceivingMXHostname   string
	ReceivingMXHelo       string
	ReceivingIP           string
	Count                 int64  // Sessions, "failed-session-count".
	AdditionalInformation string // A URI.
	FailureReasonCode     string // An error code or message.
}

// Add adds results. Those about a policy that the report has are added to it.
func (r *Report) Add(results ...PolicyResult) {
	for _, n := range results {
		i := slices.IndexFunc(r.Policies, func(p PolicyResult) bool { return p.Policy.equal(n.Policy) })
		if i < 0 {
			i = len(r.Policies)
			r.Policies = append(r.Policies, PolicyResult{Policy: n.Policy})
		}
		r.Policies[i].Add(n.Successes, n.Failures, n.FailureDetails...)
	}
}

// Add adds numbers of sessions and details of failures. Details that differ only in
// their number are joined. Numbers do not overflow.
func (p *PolicyResult) Add(successes, failures int64, details ...FailureDetail) {
	p.Successes = addCount(p.Successes, successes)
	p.Failures = addCount(p.Failures, failures)
	if len(details) == 0 {
		return
	}
	index := make(map[FailureDetail]int, len(p.FailureDetails)) // By details without numbers.
	for i, d := range p.FailureDetails {
		d.Count = 0
		index[d] = i
	}
	for _, d := range details {
		key := d
		key.Count = 0
		if i, ok := index[key]; ok {
			p.FailureDetails[i].Count = addCount(p.FailureDetails[i].Count, d.Count)
			continue
		}
		index[key] = len(p.FailureDetails)
		p.FailureDetails = append(p.FailureDetails, d)
	}
}

func addCount(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
