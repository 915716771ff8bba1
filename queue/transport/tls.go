package transport

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"mox/dane"
	"mox/dns"
	"mox/mtasts"
	"mox/smtpclient"
	"mox/tlsrpt"
)

// errNotInPolicy means that a host in MX records is not one of the MTA-STS policy.
var errNotInPolicy = errors.New("transport: host is not in the mta-sts policy of the domain")

// requirement returns how TLS is to be used with a host.
func (a *directAttempt) requirement(tgt target) requirement {
	r := requirement{name: tgt.host.Domain, ignore: a.ignoresTLS()}
	suffix := ""
	if a.sts != nil && a.sts.Mode == mtasts.ModeEnforce && tgt.stsErr == nil {
		r.mode, r.pkix, suffix = smtpclient.TLSRequired, true, "+mtasts"
	}
	if h := tgt.dane; h != nil && tgt.tlsa == nil && h.Status != dane.StatusNone {
		r.mode, suffix = smtpclient.TLSRequired, suffix+"+dane"
		if !r.pkix {
			// MTA-STS wants the name of the MX host verified, RFC 8461 §4.2. They differ only
			// for hosts that are aliases.
			r.name = h.Base
		}
		if h.Status == dane.StatusUsable {
			r.verify = func(cs tls.ConnectionState) error { return verifyDANE(h, cs) }
			r.daneID = recordsID(h.Records, h.Names)
		}
	}
	switch {
	case a.needsTLS() && r.verify == nil:
		r.mode, r.pkix, r.name = smtpclient.TLSRequired, true, tgt.host.Domain
	case r.ignore:
		// "TLS-Required: No": as good as it gets, RFC 8689 §3.
		r.mode, suffix = smtpclient.TLSOpportunistic, ""
	case tgt.did && r.mode == smtpclient.TLSOpportunistic:
		r.mode = smtpclient.TLSRequired
	}
	r.label = modeLabel(r.mode) + suffix
	return r
}

// verifyDANE verifies a host with its records.
func verifyDANE(h *dane.Host, cs tls.ConnectionState) error {
	metricDANEVerify.Inc()
	_, err := h.Verify(cs)
	if err != nil {
		metricDANEVerifyErrors.Inc()
	}
	return err
}

// recordsID tells sets of records and names apart.
func recordsID(records []dane.Record, names []dns.Domain) string {
	h := sha256.New()
	for _, r := range records {
		fmt.Fprintf(h, "%s\n", r.Record())
	}
	for _, n := range names {
		fmt.Fprintf(h, "%s\n", n.ASCII)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// A sessionTLS is how TLS went on a connection.
type sessionTLS struct {
	local  string // Our address.
	remote string
	helo   string
	none   error // There was no TLS, and why. Nil if there was a handshake.
	failed error // Of the handshake or after, not about the certificate.
	info   smtpclient.TLSInfo
	seen   bool // A connection was made far enough to tell.
	ended  bool // It was of no use then, though TLS may have been fine for one of the policies.
}

var errNotOffered = errors.New("transport: starttls not offered")

// opened notes how TLS went on a new connection.
func (a *directAttempt) opened(ctx context.Context, tgt target, l link, c *conn, info smtpclient.TLSInfo, err error) {
	s := sessionTLS{local: c.local, remote: l.addr.Addr().String(), info: info, seen: true, ended: err != nil}
	var e *smtpclient.Error
	errors.As(err, &e)
	switch {
	case e != nil && e.Command == "starttls" && e.Code != 0:
		s.none = errNotOffered
	case e != nil && errors.Is(e, smtpclient.ErrTLS):
		if s.failed = e; info.VerifyErr != nil || l.req.pkix && info.PKIXErr != nil {
			s.failed = nil // It is in info.
		}
	case e != nil:
		return // It did not come to TLS, or has failed after that.
	case info.State == nil:
		s.none = errNotOffered
	}
	if c.client != nil {
		if lines := c.client.Greeting().Lines; len(lines) > 0 {
			s.helo = firstWord(replyText(lines[:1]))
		}
	}
	if a.ignoresTLS() && info.State != nil && (info.VerifyErr != nil || a.sts != nil && info.PKIXErr != nil) {
		metricTLSRequiredNo.WithLabelValues("badtls").Inc()
		ignored := "daneverification"
		if info.VerifyErr == nil {
			ignored = "badcertificate"
		}
		metricClientTLSRequiredNo.WithLabelValues(ignored).Inc()
	}
	if err == nil && info.State != nil && tgt.host.IsDomain() {
		a.t.opts.TLSMemory.SetTLS(ctx, tgt.host.Domain)
	}
	a.report(ctx, tgt, s)
}

func firstWord(s string) string {
	for i, r := range s {
		if r == ' ' || r == '\n' {
			return s[:i]
		}
	}
	return s
}

// report tells how TLS went, for the domain and for the host.
func (a *directAttempt) report(ctx context.Context, tgt target, s sessionTLS) {
	if a.t.opts.TLSResults == nil || !tgt.host.IsDomain() {
		return
	}
	results := []TLSResult{{RecipientDomain: a.domain, PolicyDomain: a.domain, Result: a.domainResult(tgt, s)}}
	if tgt.dane != nil {
		host := tgt.host.Domain
		if !tgt.dane.Base.IsZero() {
			host = tgt.dane.Base
		}
		results = append(results, TLSResult{RecipientDomain: a.domain, PolicyDomain: host, IsHost: true, Result: a.hostResult(tgt, s)})
	}
	results = slices.DeleteFunc(results, func(r TLSResult) bool { return r.Result.Successes == 0 && r.Result.Failures == 0 })
	if len(results) > 0 {
		a.t.opts.TLSResults.AddTLSResults(ctx, a.d, results)
	}
}

// detail returns the failure for an error.
func (s sessionTLS) detail(tgt target, typ tlsrpt.ResultType, reason string) tlsrpt.FailureDetail {
	return tlsrpt.FailureDetail{
		ResultType:          typ,
		SendingMTAIP:        s.local,
		ReceivingMXHostname: tgt.host.Domain.ASCII,
		ReceivingMXHelo:     s.helo,
		ReceivingIP:         s.remote,
		Count:               1,
		FailureReasonCode:   reason,
	}
}

// general returns the failure of a session that has nothing to do with a policy, if
// there is one.
func (s sessionTLS) general() (typ tlsrpt.ResultType, reason string, failed bool) {
	switch {
	case s.none != nil:
		return tlsrpt.ResultStartTLSNotSupported, "", true
	case s.failed != nil:
		typ, reason = tlsrpt.Classify(s.failed)
		return typ, reason, true
	}
	return "", "", false
}

// domainResult returns the result for the recipient domain.
func (a *directAttempt) domainResult(tgt target, s sessionTLS) tlsrpt.PolicyResult {
	r := tlsrpt.PolicyResult{Policy: tlsrpt.Policy{Type: tlsrpt.PolicyNone, Domain: a.domain.ASCII}}
	fail := func(typ tlsrpt.ResultType, reason string) { r.Add(0, 1, s.detail(tgt, typ, reason)) }
	if a.sts != nil {
		r.Policy.Type, r.Policy.Text = tlsrpt.PolicySTS, a.sts.Lines()
		for _, mx := range a.sts.MX {
			r.Policy.MXHost = append(r.Policy.MXHost, mx.String())
		}
	}
	typ, reason, failed := s.general()
	switch {
	case a.stsErr != nil && a.sts == nil:
		// There is a record, and no policy that could be found.
		r.Policy.Type = tlsrpt.PolicySTS
		typ, reason = tlsrpt.Classify(a.stsErr)
		fail(typ, reason)
		return r
	case tgt.stsErr != nil:
		fail(tlsrpt.ResultValidationFailure, "mtasts-mx-mismatch")
	case failed:
		fail(typ, reason)
	case !s.seen, s.ended && s.info.PKIXErr == nil, s.ended && a.sts == nil:
		// There was no session, or it is not for this policy that it ended.
	case a.sts != nil && s.info.PKIXErr != nil:
		typ, reason = tlsrpt.Classify(s.info.PKIXErr)
		fail(typ, reason)
	default:
		r.Add(1, 0)
	}
	if a.stsErr != nil {
		// The policy that was kept is in force, and the current one is not to be had.
		typ, reason = tlsrpt.Classify(a.stsErr)
		r.Add(0, 0, s.detail(tgt, typ, reason))
	}
	return r
}

// hostResult returns the result for the host.
func (a *directAttempt) hostResult(tgt target, s sessionTLS) tlsrpt.PolicyResult {
	h := tgt.dane
	r := tlsrpt.PolicyResult{Policy: tlsrpt.Policy{Type: tlsrpt.PolicyNone, Domain: tgt.host.Domain.ASCII}}
	fail := func(typ tlsrpt.ResultType, reason string) { r.Add(0, 1, s.detail(tgt, typ, reason)) }
	if len(h.Records) > 0 || tgt.tlsa != nil {
		r.Policy.Type = tlsrpt.PolicyTLSA
		if !h.Base.IsZero() {
			r.Policy.Domain = h.Base.ASCII
		}
		for _, rec := range h.Records {
			r.Policy.Text = append(r.Policy.Text, rec.Record())
		}
	}
	typ, reason, failed := s.general()
	switch {
	case tgt.tlsa != nil:
		typ, reason = dane.Classify(tgt.tlsa)
		fail(typ, reason)
	case failed:
		fail(typ, reason)
	case !s.seen, s.ended && s.info.VerifyErr == nil:
	case h.Status == dane.StatusUnusable:
		fail(tlsrpt.ResultTLSAInvalid, "tlsa-unusable")
	case s.info.VerifyErr != nil:
		typ, reason = dane.Classify(s.info.VerifyErr)
		fail(typ, reason)
	default:
		r.Add(1, 0)
	}
	return r
}
