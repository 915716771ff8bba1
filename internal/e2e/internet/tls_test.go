//go:build linux

package internet

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// A tlsCase is about a message from mox alpha to a site.
type tlsCase struct {
	name       string
	site       string
	set        func(t testing.TB, site string) // Makes records and policies of the site.
	header     string
	requireTLS bool

	retry  []string                        // In the trace, if the first attempt fails for now.
	fix    func(t testing.TB, site string) // What lets the next one succeed. If nil, delivery is given up by hand.
	failed []string                        // In the trace, if an attempt fails for good.
	ok     []string                        // In the trace, if the message is delivered.
	with   string                          // How it was received, in the message.
	status string                          // In the notification, if it is not delivered.

	results []string
}

// run sends the message and follows it.
func (tc tlsCase) run(t *testing.T, w *world) {
	t.Parallel()
	to := "user@" + tc.site
	tc.set(t, tc.site)
	w.wantResults(t, w.alpha, tc.site, tc.results...)
	id := w.alpha.send(t, mail{to: to, header: tc.header, requireTLS: tc.requireTLS})
	trace := []string{id, "received   by submission", "queued     <" + to + ">"}
	if tc.retry != nil {
		trace = append(append(trace, "attempt    <"+to+">, retry, "), tc.retry...)
		w.alpha.trace(t, id, trace...)
		if tc.fix != nil {
			tc.fix(t, tc.site)
			w.alpha.retry(t, to)
		} else {
			w.alpha.run(t, "", "queue", "fail", "-to", to)
		}
	}
	if tc.ok != nil {
		w.alpha.trace(t, id, append(append(trace, "attempt    <"+to+">, ok, "), tc.ok...)...)
		msg := w.beta.arrived(t, id)
		wantBody(t, msg, id)
		wantIn(t, msg, "Received: ", " with "+tc.with+" ")
		w.beta.trace(t, id, id, "received   by smtp", "delivered  <"+to+">, ok")
		// RFC 8689 §4.2.1: what the sender asks for is asked of the next server too.
		// No other test does that.
		if asked := regexp.MustCompile(`RC: MAIL FROM:<user@alpha\.example>[^\n]* REQUIRETLS`); tc.requireTLS && !asked.MatchString(w.beta.proc.Output()) {
			t.Errorf("the server was not asked for REQUIRETLS")
		}
		return
	}
	if tc.failed != nil {
		trace = append(append(trace, "attempt    <"+to+">, failed, "), tc.failed...)
	}
	w.alpha.trace(t, id, append(trace, "notified   <"+to+">", "reason failed")...)
	wantIn(t, w.alpha.arrived(t, id), "Return-Path: <>", "report-type=delivery-status", "Final-Recipient: rfc822; "+to, "Action: failed", "Status: "+tc.status, "Message-ID: "+id)
}

// testTLS is about policies for TLS, of domains, hosts and senders.
func (w *world) testTLS(t *testing.T) {
	t.Parallel()
	good := w.certificate(t, append([]string{"mx.beta.example"}, certificateNames()...)...)
	other := w.ca.Issue(t, testkit.ECDSA, "other.example")
	plain := func(number int) func(t testing.TB, site string) {
		return func(t testing.TB, site string) {
			w.publishSite(t, site, fmt.Sprintf("mx.%s A %s%d", site, network4, number))
		}
	}
	sts := func(mode, mx string) func(t testing.TB, site string) {
		return func(t testing.TB, site string) {
			w.publishSite(t, site)
			w.publishPolicy(t, site, fmt.Sprintf("mode: %s\r\nmx: %s\r\n", mode, strings.ReplaceAll(mx, "SITE", site)))
		}
	}
	dane := func(t testing.TB, site string) {
		w.publishSite(t, site)
		w.publish(t, tlsa("mx."+site, good))
	}
	// The record is not to be kept by resolvers, and a host with one address fails once.
	unkept := func(record string) string { return strings.Replace(record, " TLSA ", " 0 IN TLSA ", 1) }
	daneWrong := func(t testing.TB, site string) {
		plain(numberBeta)(t, site)
		w.publish(t, unkept(tlsa("mx."+site, &other)))
	}
	usual := func(t testing.TB, site string) { w.publishSite(t, site) }
	none := func(site, result string) []string {
		return []string{"no-policy-found " + site + " " + result, "no-policy-found mx." + site + " " + result}
	}
	for _, tc := range []tlsCase{
		{name: "no TLS", site: "no-tls.unsigned", set: plain(numberBetaPlain),
			ok: []string{"to mx.no-tls.unsigned (10.77.0.21)", "tls opportunistic (none)", "250 2."}, with: "ESMTP",
			results: none("no-tls.unsigned", "0/1 starttls-not-supported=1")},
		{name: "TLS with a certificate for another name and no policy", site: "wrong-certificate.unsigned", set: usual,
			ok: []string{"tls opportunistic (TLS 1.3 "}, with: "ESMTPS", results: none("wrong-certificate.unsigned", "1/0")},

		{name: "TLS before, and then none", site: "tls-before.unsigned",
			set: func(t testing.TB, site string) {
				w.publish(t, fmt.Sprintf("%s MX 10 mx.%s", site, site), fmt.Sprintf("mx.%s 0 IN A %s", site, w.beta.IP4()))
				id := w.alpha.send(t, mail{to: "user@" + site})
				w.beta.arrived(t, id)
				w.replace(t, zoneUnsigned, "mx."+site+" 0 IN A "+w.beta.IP4(), fmt.Sprintf("mx.%s 0 IN A %s%d", site, network4, numberBetaPlain))
			},
			retry: []string{"the server did TLS before"},
			fix: func(t testing.TB, site string) {
				w.replace(t, zoneUnsigned, fmt.Sprintf("mx.%s 0 IN A %s%d", site, network4, numberBetaPlain), "mx."+site+" 0 IN A "+w.beta.IP4())
			},
			ok: []string{"tls requiredstarttls (TLS 1.3 "}, with: "ESMTPS",
			results: none("tls-before.unsigned", "*/1 starttls-not-supported=1")},

		{name: "DANE right", site: "dane.example", set: dane,
			ok: []string{"to mx.dane.example (", "tls requiredstarttls+dane (TLS 1.3 "}, with: "ESMTPS",
			results: []string{"no-policy-found dane.example 1/0", "tlsa mx.dane.example 1/0"}},
		{name: "DANE wrong, then right", site: "dane-wrong.example", set: daneWrong,
			retry: []string{"tls requiredstarttls+dane", "451 4.7.5 TLS failed", "dane"},
			fix: func(t testing.TB, site string) {
				w.replace(t, zoneSigned, unkept(tlsa("mx."+site, &other)), unkept(tlsa("mx."+site, good)))
			},
			ok: []string{"tls requiredstarttls+dane (TLS 1.3 "}, with: "ESMTPS",
			results: []string{"no-policy-found dane-wrong.example 1/0", "tlsa mx.dane-wrong.example 0/1 validation-failure=1 (dane-no-match)", "tlsa mx.dane-wrong.example 1/0"}},
		{name: "DANE with a bogus signature", site: "dane-bogus.example", set: dane,
			retry: []string{"tlsa"}, status: "5.0.0",
			results: []string{"tlsa mx.dane-bogus.example 0/1 dnssec-invalid=1 (tlsa-bogus)"}},
		{name: "DANE wrong, with TLS-Required No", site: "dane-ignored.example", set: daneWrong, header: "TLS-Required: No\r\n",
			ok: []string{"tls opportunistic (TLS 1.3 "}, with: "ESMTPS",
			results: []string{"no-policy-found dane-ignored.example 1/0", "tlsa mx.dane-ignored.example 0/1 validation-failure=1 (dane-no-match)"}},

		{name: "MTA-STS enforce", site: "sts-enforce.unsigned", set: sts("enforce", "mx.SITE"),
			ok: []string{"tls requiredstarttls+mtasts (TLS 1.3 "}, with: "ESMTPS",
			results: []string{"sts sts-enforce.unsigned 1/0", "no-policy-found mx.sts-enforce.unsigned 1/0"}},
		{name: "MTA-STS enforce with a host that is not in the policy", site: "sts-host.unsigned", set: sts("enforce", "mx2.SITE"),
			retry: []string{"does not allow the host"}, status: "5.0.0",
			results: []string{"sts sts-host.unsigned 0/1 validation-failure=1 (mtasts-mx-mismatch)"}},
		{name: "MTA-STS enforce with a certificate for another name", site: "sts-name.unsigned",
			set: func(t testing.TB, site string) {
				plain(numberBeta)(t, site)
				w.publishPolicy(t, site, "mode: enforce\r\nmx: *."+site+"\r\n")
			},
			retry: []string{"tls requiredstarttls+mtasts", "451 4.7.5 TLS failed", "certificate is valid for"}, status: "5.0.0",
			results: []string{"sts sts-name.unsigned 0/1 certificate-host-mismatch=1"}},
		{name: "MTA-STS testing with a certificate for another name", site: "sts-testing.unsigned", set: sts("testing", "mx.SITE"),
			ok: []string{"tls opportunistic (TLS 1.3 "}, with: "ESMTPS",
			results: []string{"sts sts-testing.unsigned 0/1 certificate-host-mismatch=1", "no-policy-found mx.sts-testing.unsigned 1/0"}},
		{name: "MTA-STS with a policy that is gone", site: "sts-gone.unsigned",
			set: func(t testing.TB, site string) {
				w.publishSite(t, site)
				w.publishPolicy(t, site, "")
			},
			ok: []string{"tls opportunistic (TLS 1.3 "}, with: "ESMTPS",
			results: []string{"sts sts-gone.unsigned 0/1 sts-policy-fetch-error=1 (http-status-404)", "no-policy-found mx.sts-gone.unsigned 1/0"}},
		{name: "MTA-STS with a policy that is no policy", site: "sts-syntax.unsigned", set: sts("strict", "mx.SITE"),
			ok: []string{"tls opportunistic (TLS 1.3 "}, with: "ESMTPS",
			results: []string{"sts sts-syntax.unsigned 0/1 sts-policy-invalid=1", "no-policy-found mx.sts-syntax.unsigned 1/0"}},
		{name: "MTA-STS with a policy host of an unknown authority", site: "sts-certificate.unsigned",
			set: func(t testing.TB, site string) {
				stranger := testkit.NewCA(t).Issue(t, testkit.ECDSA, "mta-sts."+site)
				w.mu.Lock()
				w.certs["mta-sts."+site] = &stranger
				w.mu.Unlock()
				sts("enforce", "mx.SITE")(t, site)
			},
			ok: []string{"tls opportunistic (TLS 1.3 "}, with: "ESMTPS",
			results: []string{"sts sts-certificate.unsigned 0/1 sts-webpki-invalid=1 (unknown-authority)", "no-policy-found mx.sts-certificate.unsigned 1/0"}},

		{name: "REQUIRETLS", site: "requiretls.example", set: dane, requireTLS: true,
			ok: []string{"tls requiredstarttls+dane (TLS 1.3 "}, with: "ESMTPS",
			results: []string{"no-policy-found requiretls.example 1/0", "tlsa mx.requiretls.example 1/0"}},
		{name: "REQUIRETLS with a host that does not have it", site: "requiretls-old.example", set: plain(numberBetaOld), requireTLS: true,
			failed: []string{"5.7.30"}, status: "5.7.30", results: none("requiretls-old.example", "1/0")},
		{name: "REQUIRETLS with a host without TLS", site: "requiretls-plain.example", set: plain(numberBetaPlain), requireTLS: true,
			failed: []string{"5.7.10"}, status: "5.7.10", results: none("requiretls-plain.example", "0/1 starttls-not-supported=1")},
		{name: "REQUIRETLS with a host that nothing vouches for", site: "requiretls-unknown.unsigned", set: usual, requireTLS: true,
			failed: []string{"5.7.30"}, status: "5.7.30"},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, w) })
	}
}
