package report

import (
	"net/netip"
	"time"

	"mox/dkim"
	"mox/dmarc"
	"mox/spf"
)

// Namespaces of XML of reports. Reports without any are of RFC 7489, too.
const (
	Namespace9990 = "urn:ietf:params:xml:ns:dmarc-2.0" // RFC 9990 §3.1.1.1.
	Namespace7489 = "http://dmarc.org/dmarc-xml/0.1"   // RFC 7489 §C.
)

// A Feedback is an aggregate report, RFC 9990 §3.1.1.
type Feedback struct {
	Namespace string // As read. Reports are written with Namespace9990.
	Version   string
	Metadata  Metadata
	Policy    Policy
	Records   []Record

	// Notes say what was tolerated in a report that was read, at most MaxNotes.
	Notes []string `json:",omitempty"`
}

// Messages returns the number of messages that the report is about.
func (f *Feedback) Messages() int64 {
	var n int64
	for _, r := range f.Records {
		n += r.Count
	}
	return n
}

// Metadata says who reports, RFC 9990 §3.1.1.3.
type Metadata struct {
	OrgName          string
	Email            string
	ExtraContactInfo string `json:",omitempty"`
	ReportID         string
	Begin, End       time.Time // In UTC and whole seconds, both included.
	Errors           []string  `json:",omitempty"` // At most one is written.
	Generator        string    `json:",omitempty"`
}

// A DiscoveryMethod says how a record was found.
type DiscoveryMethod string

// Methods, RFC 9990 §3.1.1.5.
const (
	DiscoveryPSL      DiscoveryMethod = "psl"      // With the Public Suffix List.
	DiscoveryTreewalk DiscoveryMethod = "treewalk" // RFC 9989 §4.10.
)

// A Policy is what the record said that was used, RFC 9990 §3.1.1.5.
type Policy struct {
	Domain            string // Where the record was found.
	Policy            dmarc.Policy
	SubdomainPolicy   dmarc.Policy    `json:",omitempty"`
	NonexistentPolicy dmarc.Policy    `json:",omitempty"`
	ADKIM             dmarc.AlignMode `json:",omitempty"`
	ASPF              dmarc.AlignMode `json:",omitempty"`
	Discovery         DiscoveryMethod `json:",omitempty"`
	FailureOptions    string          `json:",omitempty"`
	Testing           bool
	Percentage        *int `json:",omitempty"` // Tag pct, in reports of RFC 7489. Not written.
}

// A Disposition is what was done with messages, RFC 9990 §3.1.1.9.
type Disposition string

// Dispositions.
const (
	DispositionNone       Disposition = "none"
	DispositionPass       Disposition = "pass" // Passed, for a policy other than none.
	DispositionQuarantine Disposition = "quarantine"
	DispositionReject     Disposition = "reject"
)

// Reasons of RFC 7489 that are no more.
const (
	overrideForwarded  dmarc.OverrideType = "forwarded"
	overrideSampledOut dmarc.OverrideType = "sampled_out"
)

// A Record is about messages that had the same in common, RFC 9990 §3.1.1.7.
type Record struct {
	SourceIP netip.Addr
	Count    int64

	Disposition Disposition
	AlignedDKIM bool
	AlignedSPF  bool
	Reasons     []dmarc.Override `json:",omitempty"`

	// Domains, as they were written. EnvelopeFrom is empty for a null reverse-path, and
	// if it was not reported; EnvelopeTo if it was not reported.
	HeaderFrom   string
	EnvelopeFrom string
	EnvelopeTo   string `json:",omitempty"`

	DKIM []DKIMResult `json:",omitempty"`
	SPF  []SPFResult  `json:",omitempty"` // At most one is written.
}

// A DKIMResult is about one signature, RFC 9990 §3.1.1.12.
type DKIMResult struct {
	Domain      string
	Selector    string `json:",omitempty"` // Reports of RFC 7489 may have none.
	Result      dkim.Status
	HumanResult string `json:",omitempty"`
}

// An SPFScope says which identity was checked. Scope "helo" is of RFC 7489.
type SPFScope string

// Scopes.
const (
	ScopeMailFrom SPFScope = "mfrom"
	ScopeHELO     SPFScope = "helo"
)

// An SPFResult is the result of SPF, RFC 9990 §3.1.1.13. Result may be "policy",
// which RFC 7208 does not have.
type SPFResult struct {
	Domain      string
	Scope       SPFScope `json:",omitempty"`
	Result      spf.Status
	HumanResult string `json:",omitempty"`
}
