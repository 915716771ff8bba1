package inbound

import (
	"encoding/base64"
	"fmt"

	"mox/dkim"
	"mox/dmarc"
	"mox/dns"
	"mox/iprev"
	"mox/message/trace"
	"mox/spf"
)

// Header returns the header fields for what was found, RFC 8601 and RFC 7208 §9.1:
// Authentication-Results, then Received-SPF.
func (a *Auth) Header() string {
	results := trace.AuthResults{AuthservID: a.Hostname.ASCII}
	results.Results = append(results.Results, a.iprevResult())
	results.Results = append(results.Results, a.dkimResults()...)
	results.Results = append(results.Results, a.spfResult(), a.dmarcResult())
	if len(a.ARC.Sets) > 0 || a.ARC.Err != nil {
		results.Results = append(results.Results, a.arcResult())
	}
	return results.Header() + a.SPF.ReceivedSPF(a.spfArgs())
}

// dnssec returns the comment that says whether answers were verified.
func dnssec(authentic bool) string {
	if authentic {
		return "with dnssec"
	}
	return "without dnssec"
}

// why returns the text of an error, for reason.
func why(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (a *Auth) iprevResult() trace.Result {
	r := trace.Result{Method: "iprev", Result: string(a.IPRev.Status), Comment: dnssec(a.IPRev.Authentic)}
	if a.IPRev.Status != iprev.StatusPass {
		r.Reason = why(a.IPRev.Err)
	}
	r.Props = append(r.Props, trace.Prop{Type: "policy", Property: "iprev", Value: a.RemoteIP.Unmap().String()})
	return r
}

func (a *Auth) dkimResults() []trace.Result {
	if len(a.DKIM) == 0 {
		return []trace.Result{{Method: "dkim", Result: string(dkim.StatusNone), Reason: "no signatures"}}
	}
	var l []trace.Result
	for _, res := range a.DKIM {
		r := trace.Result{Method: "dkim", Result: string(res.Status), Comment: dnssec(res.RecordAuthentic), Reason: why(res.Err)}
		if res.Record != nil && res.Record.Bits() > 0 && res.Record.KeyType == "rsa" {
			r.Comment = fmt.Sprintf("%d bit rsa, %s", res.Record.Bits(), r.Comment)
		}
		if sig := res.Signature; sig != nil {
			b := base64.StdEncoding.EncodeToString(sig.Signature)
			r.Props = []trace.Prop{
				{Type: "header", Property: "d", Value: sig.Domain.ASCII},
				{Type: "header", Property: "s", Value: sig.Selector.ASCII},
				{Type: "header", Property: "a", Value: sig.Algorithm.String()},
				{Type: "header", Property: "b", Value: b[:min(len(b), 12)]},
			}
			if sig.Identity != nil {
				r.Props = append(r.Props, trace.Prop{Type: "header", Property: "i", Value: sig.Identity.String()})
			}
		}
		l = append(l, r)
	}
	return l
}

func (a *Auth) spfResult() trace.Result {
	r := trace.Result{Method: "spf", Result: string(a.SPF.Status), Comment: dnssec(a.SPF.Authentic), Reason: why(a.SPF.Err)}
	name, value := "mailfrom", a.MailFrom.XString(true)
	if a.SPF.Identity == spf.IdentityHELO {
		name, value = "helo", a.EHLO.String()
	}
	r.Props = append(r.Props, trace.Prop{Type: "smtp", Property: name, Value: value})
	return r
}

func (a *Auth) dmarcResult() trace.Result {
	r := trace.Result{Method: "dmarc", Result: string(a.DMARC.Status), Comment: dnssec(a.DMARC.Authentic), Reason: why(a.DMARC.Err)}
	for _, o := range a.DMARC.Overrides {
		r.Comment += ", override " + string(o.Type)
	}
	if a.DMARC.From != (dns.Domain{}) {
		r.Props = append(r.Props, trace.Prop{Type: "header", Property: "from", Value: a.DMARC.From.ASCII})
	}
	if a.DMARC.Applied != "" {
		r.Props = append(r.Props, trace.Prop{Type: "policy", Property: "dmarc", Value: string(a.DMARC.Applied)})
	}
	return r
}

func (a *Auth) arcResult() trace.Result {
	return trace.Result{
		Method: "arc", Result: string(a.ARC.Status), Reason: why(a.ARC.Err), Props: []trace.Prop{
			{Type: "header", Property: "oldest-pass", Value: fmt.Sprint(a.ARC.OldestPass)},
			{Type: "smtp", Property: "remote-ip", Value: a.RemoteIP.Unmap().String()},
		},
	}
}

// Passed returns the domains that are answerable for the message: those of valid
// signatures, and of SPF for the reverse-path.
func (a *Auth) Passed() []dns.Domain {
	var l []dns.Domain
	for _, res := range a.DKIM {
		if res.Status == dkim.StatusPass {
			l = append(l, res.Signature.Domain)
		}
	}
	if a.SPF.Status == spf.StatusPass && a.SPF.Identity == spf.IdentityMailFrom {
		l = append(l, a.SPF.Domain)
	}
	return l
}

// dmarcPass says whether From is authenticated.
func (a *Auth) dmarcPass() bool { return a.DMARC.Status == dmarc.StatusPass }
