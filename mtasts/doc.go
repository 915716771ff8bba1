// Package mtasts finds the MTA-STS policy of a domain: which hosts may receive its
// mail, and that they must do so over TLS with a valid certificate, RFC 8461.
//
// [Get] does both steps: [LookupRecord] reads the TXT record that says whether
// there is a policy and which version, [Fetch] gets the policy over HTTPS.
// [Policy.Matches] tells whether a host may receive mail.
//
//	record, policy, text, err := mtasts.Get(ctx, log, resolver, domain, mtasts.FetchOptions{})
//	switch {
//	case errors.Is(err, mtasts.ErrNoRecord):
//		// The domain has no policy.
//	}
//
// Errors match one of the errors of this package with errors.Is, from which
// follows what to write in a TLS report (RFC 8460 §4.3.2.2).
//
// The package does not cache policies, does not decide about delivery, and has no
// metrics. Its functions are safe for concurrent use, and do nothing after their
// context is done.
//
// RFCs: 8461.
package mtasts
