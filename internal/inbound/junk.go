package inbound

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mox/dns"
	"mox/junk"
	"mox/message"
)

// What the content says, by the junk filter of the account.
//
// The probability of a message is one on a scale of odds on which the default threshold
// is met where the filter itself draws the line, see package junk. So thresholds are
// compared on that scale: strictThreshold, 0.25, is a score of about 4 below the line,
// where with a filter that has learned something, or has its prior, a message still has
// to look more like junk than not. With a fixed line, a sender could try until a message
// is just below it: so it moves a bit for each message, by up to thresholdJitter, but
// not further than half of the way to 0 and 1. The default threshold moves between 0.9
// and 0.975, which is 0.7 in scores to both sides.
const (
	thresholdJitter = 0.05
	strictThreshold = 0.25
)

// jittered returns a threshold, moved as a random number from 0 to 1 says.
func jittered(threshold, random float64) float64 {
	if x := 2*random - 1; x < 0 {
		return threshold + x*min(thresholdJitter, threshold/2)
	} else {
		return threshold + x*min(thresholdJitter, (1-threshold)/2)
	}
}

// judgeContent refuses what looks like junk.
func judgeContent(ctx context.Context, v *verdict) bool {
	f := v.account.JunkFilter
	if f == nil || v.d.opts.Junk == nil || v.Tokens == nil {
		return false
	}
	tokens, err := v.Tokens()
	if err != nil {
		return v.fail(ctx, ReasonJunkFilterError, err)
	}
	res, ok, err := v.d.opts.Junk.Classify(ctx, v.Recipient.Account, tokens)
	if err != nil {
		return v.fail(ctx, ReasonJunkClassifyError, err)
	} else if !ok {
		return false
	}
	random := v.d.opts.Random()
	v.threshold = jittered(f.Threshold, random)
	threshold, reason, strict := v.threshold, ReasonJunkContent, v.strict()
	if strict != "" {
		threshold, reason = min(threshold, jittered(strictThreshold, random)), ReasonJunkContentStrict
	}
	v.content = &res.Probability
	v.explainContent(res, threshold, strict)
	if res.Probability <= threshold || !res.Significant && !v.suspicious {
		return false
	}
	return v.junk(reason, "content looks like junk")
}

// strict returns why less is enough for the message to be junk, or nothing.
func (v *verdict) strict() string {
	switch {
	case v.suspicious:
		return "suspicious network"
	case v.TLS == nil:
		return "no TLS"
	case !v.IsForward && !v.addressed():
		return "not addressed to the recipient"
	}
	return ""
}

// addressed reports whether the recipient is in To or Cc.
func (v *verdict) addressed() bool {
	h := v.shared.usual()
	return slices.ContainsFunc([]string{"To", "Cc"}, func(name string) bool {
		return slices.ContainsFunc(h.Addresses(name), v.isRecipient)
	})
}

// isRecipient reports whether an address is that of the recipient, as the client has
// given it or without what comes after a separator.
func (v *verdict) isRecipient(a message.Address) bool {
	if a.Kind != message.KindMailbox {
		return false
	}
	d, err := dns.ParseDomainLax(a.Host)
	if err != nil {
		return false
	}
	return d == v.Rcpt.IPDomain.Domain && strings.EqualFold(a.Mailbox, string(v.Rcpt.Localpart)) ||
		d == v.Recipient.Canonical.Domain && strings.EqualFold(a.Mailbox, string(v.Recipient.Canonical.Localpart))
}

// explainContent says what the filter thinks.
func (v *verdict) explainContent(res junk.Verdict, threshold float64, strict string) {
	why := fmt.Sprintf("content: probability of junk %.3f, threshold %.3f", res.Probability, threshold)
	if strict != "" {
		why += ", lower because of: " + strict
	}
	if !res.Significant {
		why += ", not significant"
	}
	v.explain(why)
	if len(res.Ham) > 0 {
		v.explain("words for ham: " + words(res.Ham))
	}
	if len(res.Spam) > 0 {
		v.explain("words for junk: " + words(res.Spam))
	}
}

const (
	maxWords      = 10
	maxWordLength = 40
)

// words returns words with their scores, in ASCII.
func words(l []junk.Word) string {
	var b strings.Builder
	for i, w := range l[:min(len(l), maxWords)] {
		if i > 0 {
			b.WriteString(", ")
		}
		text := strconv.QuoteToASCII(w.Text)
		text = text[1 : len(text)-1]
		fmt.Fprintf(&b, "%s %.2f", text[:min(len(text), maxWordLength)], w.Score)
	}
	return b.String()
}
