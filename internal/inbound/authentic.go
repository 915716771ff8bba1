package inbound

import (
	"context"
	"fmt"
	"slices"

	"mox/dmarc"
	"mox/iprev"
	"mox/smtp"
	"mox/spf"
)

// The checks of who a message is from.

// refuseUnclearFrom refuses a message that can show an author whom nobody can check.
func refuseUnclearFrom(_ context.Context, v *verdict) bool {
	if v.Auth.FromErr == nil {
		return false
	}
	return v.reject(ReasonFrom, "From is not clear: "+v.Auth.FromErr.Error(),
		smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se60MediaOther, "message needs a From header field with one valid address").WithCause(v.Auth.FromErr))
}

// followDMARC does what the domain in From asks for messages that are not from it,
// RFC 9989 §7.4, unless it was forwarded by who can be believed. A failed lookup decides
// nothing: the message is neither from the domain nor not.
func followDMARC(ctx context.Context, v *verdict) bool {
	if v.IsForward || v.believed {
		return false
	}
	res := v.Auth.DMARC
	switch res.Requested() {
	case dmarc.PolicyReject:
		v.Applied, v.Known = dmarc.PolicyReject, v.knowsOrganization(ctx)
		return v.reject(ReasonDMARC, fmt.Sprintf("not authenticated as from %s, which asks for a reject", res.From),
			smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se726MultipleAuthenticationsFailed, "message does not authenticate as from %s, and the dmarc policy of that domain is to reject it", res.From.ASCII))
	case dmarc.PolicyQuarantine:
		v.quarantine = true
		v.explain(fmt.Sprintf("not authenticated as from %s, which asks for quarantine", res.From))
	}
	return false
}

// requireAuthentication refuses messages whose author is not proven, where the user
// wants that.
func requireAuthentication(_ context.Context, v *verdict) bool {
	e := v.Recipient.Destination.MessageAuthRequired
	if e == nil || v.validated() {
		return false
	}
	if v.Auth.DMARC.Status == dmarc.StatusTemperror {
		e = smtp.Errorf(smtp.C451LocalError, smtp.Se726MultipleAuthenticationsFailed, "%s", e.Text)
	}
	return v.reject(ReasonAuthRequired, "address is only for messages whose From is authenticated", e)
}

// vague reports whether what is known of the sender is not of the author: it is nothing,
// or of a server or network.
func (v *verdict) vague() bool {
	return slices.Contains([]string{methodDKIMSPF, methodIP1, methodIP2, methodIP3, methodNone}, v.past.method)
}

// followSPF refuses mail from hosts that the domain in the reverse-path has not
// named, RFC 7208 §8.4, unless From is authenticated all the same, as mail that
// was forwarded can be. The error is temporary: a mistake in a record can be repaired.
func followSPF(_ context.Context, v *verdict) bool {
	if !v.vague() || v.IsForward || v.validated() || v.Auth.dmarcPass() || v.Auth.SPF.Identity != spf.IdentityMailFrom {
		return false
	}
	switch res := v.Auth.SPF; res.Status {
	case spf.StatusFail, spf.StatusSoftfail:
		return v.junk(ReasonSPF, fmt.Sprintf("spf %s for %s", res.Status, res.Domain))
	}
	return false
}

// suspectNetwork is suspicious of hosts whose name does not lead back to them, as is so
// in networks of households. If the little that is known is bad, that is enough.
func suspectNetwork(_ context.Context, v *verdict) bool {
	if !v.vague() || v.IsForward || v.Auth.IPRev.Status == iprev.StatusPass {
		return false
	}
	v.suspicious = true
	why := fmt.Sprintf("iprev %s for %s", v.Auth.IPRev.Status, v.RemoteIP.Unmap())
	if v.past.lean == leanJunk {
		return v.junk(ReasonIPRev, why)
	}
	v.explain(why)
	return false
}
