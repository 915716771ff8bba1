package inbound

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mox/config"
	"mox/dkim"
	"mox/dmarc"
	"mox/dns"
	"mox/message"
	"mox/store"
)

// Limits of what it takes to match rulesets. Expressions take time that grows with their
// size and that of the text: neither their authors nor senders can make it explode.
const (
	// maxMatched is how much of a header field is matched, in bytes.
	maxMatched = 4 << 10
	// maxMatching is how long header fields are matched for one recipient. Rulesets about
	// the header do not match after that.
	maxMatching = 2 * time.Second
)

// chooseMailbox finds the mailbox that the address is configured with, or that a
// ruleset chooses: the first one that matches.
func chooseMailbox(_ context.Context, v *verdict) bool {
	dest := v.Recipient.Destination
	v.Mailbox = dest.Mailbox
	if v.Mailbox == "" {
		v.Mailbox = DefaultMailbox
	}
	for i := range dest.Rulesets {
		if r := &dest.Rulesets[i]; v.matches(r) {
			v.ruleset = r
			if r.Mailbox != "" {
				v.Mailbox = r.Mailbox
			}
			v.explain(fmt.Sprintf("ruleset %d matches, for mailbox %s", i+1, v.Mailbox))
			break
		}
	}
	v.Destined = v.Mailbox
	return false
}

// matches reports whether all conditions of a ruleset hold, of which there is at least
// one. One about the header does not hold if that cannot be read.
func (v *verdict) matches(r *config.Ruleset) bool {
	any := false
	if r.MailFrom != nil {
		if any = true; !r.MailFrom.MatchString(v.MailFrom.XString(true)) {
			return false
		}
	}
	if r.MsgFrom != nil {
		if any = true; v.author.IsZero() || !r.MsgFrom.MatchString(v.author.XString(true)) {
			return false
		}
	}
	if !r.VerifiedDomain.IsZero() {
		if any = true; !slices.ContainsFunc(v.proven(), func(d dns.Domain) bool { return isBelow(d, r.VerifiedDomain) }) {
			return false
		}
	}
	if len(r.Headers) == 0 {
		return any
	}
	h, err := v.shared.header()
	if err != nil {
		return false
	}
	start := time.Now()
	ok := matchHeaders(h, r.Headers, start.Add(maxMatching-v.matching))
	v.matching += time.Since(start)
	if v.matching > maxMatching {
		v.d.opts.Log.Warn("rulesets about the header take too long, and do not match any more", slog.String("account", v.Recipient.Account), slog.Duration("time", v.matching))
	}
	return ok
}

// matchHeaders reports whether there is a header field for each match, as far as that is
// found out before a time.
func matchHeaders(h *message.Header, matches []config.HeaderMatch, until time.Time) bool {
	for _, m := range matches {
		found := slices.ContainsFunc(h.Fields, func(f message.Field) bool { return matchField(f, m, until) })
		if !found {
			return false
		}
	}
	return true
}

// matchField matches a field as it is, and as it is shown.
func matchField(f message.Field, m config.HeaderMatch, until time.Time) bool {
	name := f.Name[:min(len(f.Name), maxMatched)]
	if time.Now().After(until) || !m.Name.Match(bytes.ToLower(bytes.TrimSpace(name))) {
		return false
	}
	f.Value = f.Value[:min(len(f.Value), maxMatched)]
	raw := f.Unfolded()
	if m.Value.MatchString(matchable(raw)) {
		return true
	}
	decoded := message.DecodeText(raw)
	return decoded != raw && m.Value.MatchString(matchable(decoded))
}

// matchable returns a value in lower case, and with single spaces, for where a field is
// folded is up to the servers on the way.
func matchable(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }

func lowerTrimmed(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// isBelow reports whether a domain is another one or below it.
func isBelow(d, parent dns.Domain) bool {
	return d == parent || strings.HasSuffix(d.ASCII, "."+parent.ASCII)
}

// proven returns the domains that are proven to have to do with the message.
func (v *verdict) proven() []dns.Domain {
	if v.Auth == nil {
		return nil
	}
	l := v.Auth.Passed()
	if v.Origin.EHLOValidated {
		l = append(l, v.EHLO.Domain)
	}
	return l
}

// acceptList accepts what a mailing list sends that the user has subscribed to, also
// from people whom the user has blocked: a list removes who refuses its messages.
func acceptList(_ context.Context, v *verdict) bool {
	if v.ruleset == nil || v.ruleset.ListAllowDomain.IsZero() {
		return false
	}
	for _, d := range v.Auth.Passed() {
		if isBelow(d, v.ruleset.ListAllowDomain) {
			v.IsMailingList = true
			v.override(dmarc.OverrideMailingList, "list of "+d.ASCII)
			return v.accept(ReasonListAllow, "ruleset allows mailing list of "+v.ruleset.ListAllowDomain.ASCII)
		}
	}
	return false
}

// override notes why the policy of the domain in From is not followed, if there is
// something to follow.
func (v *verdict) override(t dmarc.OverrideType, comment string) {
	if v.Auth.DMARC.Requested() != dmarc.PolicyNone {
		v.Overrides = append(v.Overrides, dmarc.Override{Type: t, Comment: comment})
	}
}

// forgetForwarder sets apart what is of the server that has forwarded the message, so
// that it neither speaks for the message nor against it, now and when the next one is
// decided about.
func forgetForwarder(_ context.Context, v *verdict) bool {
	if v.ruleset == nil || !v.ruleset.IsForward {
		return false
	}
	v.IsForward = true
	o := v.Origin
	fw := &store.Forwarder{EHLODomain: o.EHLODomain, MailFromDomain: o.MailFromDomain}
	var others []string
	for _, d := range o.DKIMDomains {
		if isBelow(dns.Domain{ASCII: d}, v.ruleset.VerifiedDomain) {
			fw.DKIMDomains = append(fw.DKIMDomains, d)
		} else {
			others = append(others, d)
		}
	}
	o.IsForward, o.Forwarder, o.DKIMDomains = true, fw, others
	o.EHLODomain, o.EHLOValidated, o.EHLO = "", false, store.ValidationUnknown
	o.MailFrom, o.MailFromDomain, o.MailFromValidated, o.MailFromResult = "", "", false, store.ValidationUnknown
	v.override(dmarc.OverrideTrustedForwarder, "a ruleset says that the message was forwarded")
	v.explain("ruleset says that the message was forwarded by " + v.ruleset.VerifiedDomain.ASCII)
	return false
}

// validated reports whether it is proven that the message is from who is in From.
func (v *verdict) validated() bool { return v.Origin.MsgFromValidated }

// signers returns the domains of valid signatures, each once.
func (a *Auth) signers() []string {
	var l []string
	for _, res := range a.DKIM {
		if res.Status == dkim.StatusPass && !slices.Contains(l, res.Signature.Domain.ASCII) {
			l = append(l, res.Signature.Domain.ASCII)
		}
	}
	return l
}
