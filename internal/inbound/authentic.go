package inbound

import (
	"context"
	"fmt"

	"mox/dmarc"
	"mox/smtp"
	"mox/spf"
)

// The checks of who a message is from.

// refuseUnclearFrom refuses a message that can show an author whom nobody can check.
func refuseUnclearFrom(_ context.Context, v *verdict) bool {
	if v.Auth == nil || v.Auth.FromErr == nil {
		return false
	}
	return v.rejectCopied(ReasonFrom, "From is not clear: "+v.Auth.FromErr.Error(),
		smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se60MediaOther, "message needs a From header field with one valid address").WithCause(v.Auth.FromErr))
}

// followDMARC does what the domain in From asks for messages that are not from it,
// RFC 9989 §7.4. A failed lookup decides nothing: the message is neither from the
// domain nor not.
func followDMARC(_ context.Context, v *verdict) bool {
	if v.Auth == nil {
		return false
	}
	res := v.Auth.DMARC
	switch res.Requested() {
	case dmarc.PolicyReject:
		return v.rejectCopied(ReasonDMARC, fmt.Sprintf("not authenticated as from %s, which asks for a reject", res.From),
			smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se726MultipleAuthenticationsFailed, "message does not authenticate as from %s, and the dmarc policy of that domain is to reject it", res.From.ASCII))
	case dmarc.PolicyQuarantine:
		v.Junk = true
		v.Reasons = append(v.Reasons, fmt.Sprintf("not authenticated as from %s, which asks for quarantine", res.From))
	}
	return false
}

// followSPF refuses mail from hosts that the domain in the reverse-path has not
// named, RFC 7208 §8.4, unless From is authenticated all the same, as mail that
// was forwarded can be. The error is temporary: a mistake in a record can be repaired.
func followSPF(_ context.Context, v *verdict) bool {
	if v.Auth == nil || v.Auth.dmarcPass() || v.Auth.SPF.Identity != spf.IdentityMailFrom {
		return false
	}
	switch res := v.Auth.SPF; res.Status {
	case spf.StatusFail, spf.StatusSoftfail:
		return v.rejectCopied(ReasonSPF, fmt.Sprintf("spf %s for %s", res.Status, res.Domain),
			smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "message not accepted now, try again later"))
	}
	return false
}
