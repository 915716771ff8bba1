package transport

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"

	"mox/internal/testkit"
	"mox/mtasts"
	"mox/queue"
	"mox/smtp"
)

// failingTLS offers STARTTLS and fails the handshake.
func failingTLS() *tls.Config {
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("no") }}
}

func TestDANE(t *testing.T) {
	t.Parallel()
	const wrong = "3 1 1 0000000000000000000000000000000000000000000000000000000000000000"
	tests := []struct {
		name   string
		tlsa   string // At the host, "right" for that of its certificate.
		noTLS  bool   // The server offers none.
		edit   func(d *queue.Delivery)
		dns    func(o *testkit.DNSOptions)
		want   string
		label  string
		report string
	}{
		{"right", "right", false, nil, nil, "250", "requiredstarttls+dane", "no-policy-found one.example +1\ntlsa mx.one.example +1"},
		{"wrong", wrong, false, nil, nil, "451 4.7.5", "requiredstarttls+dane", "tlsa mx.one.example -1 validation-failure dane-no-match"},
		{"unusable", "1 1 1 0000000000000000000000000000000000000000000000000000000000000000", false, nil, nil, "250", "requiredstarttls+dane",
			"no-policy-found one.example +1\ntlsa mx.one.example -1 tlsa-invalid tlsa-unusable"},
		{"no tls", "right", true, nil, nil, "451 4.7.4", "requiredstarttls+dane", "no-policy-found one.example -1 starttls-not-supported\ntlsa mx.one.example -1 starttls-not-supported"},
		{"unusable and no tls", "9 1 1 0000", true, nil, nil, "451 4.7.4", "requiredstarttls+dane", "no-policy-found one.example -1 starttls-not-supported\ntlsa mx.one.example -1 starttls-not-supported"},
		{"wrong, and not authentic", wrong, false, nil, func(o *testkit.DNSOptions) { o.Authentic = false }, "250", "opportunistic", "no-policy-found one.example +1\nno-policy-found mx.one.example +1"},
		{"wrong, and mx not authentic", wrong, false, nil, func(o *testkit.DNSOptions) {
			o.Insecure = []string{"one.example"}
			o.Zone = strings.ReplaceAll(o.Zone, "mx.one.example", "mx.two.example")
		}, "250", "opportunistic", "no-policy-found one.example +1\nno-policy-found mx.two.example +1"},
		{"wrong, and tlsa not authentic", wrong, false, nil, func(o *testkit.DNSOptions) {
			o.Insecure = []string{fmt.Sprintf("_%d._tcp.mx.one.example", testPort())}
		}, "250", "opportunistic", "no-policy-found one.example +1\nno-policy-found mx.one.example +1"},
		{"lookup of tlsa fails", "right", false, nil, func(o *testkit.DNSOptions) {
			o.Faults = map[string]testkit.DNSFault{fmt.Sprintf("TLSA _%d._tcp.mx.one.example", testPort()): testkit.DNSServFail}
		}, "error", "", "tlsa mx.one.example -1 dnssec-invalid tlsa-lookup-failed"},
		{"lookup of tlsa fails, TLS-Required: No", "right", false, func(d *queue.Delivery) { d.Messages[0].RequireTLS = ptr(false) }, func(o *testkit.DNSOptions) {
			o.Faults = map[string]testkit.DNSFault{fmt.Sprintf("TLSA _%d._tcp.mx.one.example", testPort()): testkit.DNSBogus}
		}, "250", "opportunistic", "no-policy-found one.example +1\ntlsa mx.one.example -1 dnssec-invalid tlsa-bogus"},
		{"wrong, TLS-Required: No", wrong, false, func(d *queue.Delivery) { d.Messages[0].RequireTLS = ptr(false) }, nil, "250", "opportunistic",
			"no-policy-found one.example +1\ntlsa mx.one.example -1 validation-failure dane-no-match"},
		{"no tls, TLS-Required: No", "right", true, func(d *queue.Delivery) { d.Messages[0].RequireTLS = ptr(false) }, nil, "250", "opportunistic",
			"no-policy-found one.example -1 starttls-not-supported\ntlsa mx.one.example -1 starttls-not-supported"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			setup := serverSetup{ip: newIP()}
			zone := testkit.DNSOptions{Authentic: true}
			w := newWorld(t, zone, nil)
			cert := w.cert("mx.one.example")
			if !tc.noTLS {
				setup.tls = cert
			}
			mx := serve(t, setup)
			record := fmt.Sprintf("_%d._tcp.mx.one.example TLSA %s\n", testPort(), tc.tlsa)
			if tc.tlsa == "right" {
				record = tlsa("mx.one.example", cert)
			}
			zone.Zone = fmt.Sprintf("one.example MX 10 mx.one.example\nmx.one.example A %s\n%s", mx.ip, record)
			if tc.dns != nil {
				tc.dns(&zone)
			}
			w.dns.Set(t, zone)
			d := w.delivery("a@one.example")
			if tc.edit != nil {
				tc.edit(&d)
			}
			r := w.want(tc.want, d)
			if r.TLS != tc.label {
				t.Errorf("tls %q, want %q", r.TLS, tc.label)
			}
			if got := w.results.take(); got != tc.report {
				t.Errorf("reported:\n%s\nwant:\n%s", got, tc.report)
			}
			if tc.want == "250" && mx.got()[0].tls == tc.noTLS {
				t.Errorf("delivered with tls: %v", mx.got()[0].tls)
			}
			if tc.label == "requiredstarttls+dane" && tc.want == "250" && mx.got()[0].sni != "mx.one.example" {
				t.Errorf("sni %q", mx.got()[0].sni)
			}
		})
	}
}

func TestMTASTS(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		mode   string
		mx     string // Of the policy.
		cert   string // Name in the certificate, "" for no TLS, "untrusted" for another authority, "expired".
		edit   func(w *world, d *queue.Delivery)
		want   string
		label  string
		report string // About the domain.
	}{
		{"enforce", "enforce", "mx.one.example", "mx.one.example", nil, "250", "requiredstarttls+mtasts", "sts one.example +1"},
		{"enforce, wildcard", "enforce", "*.one.example", "mx.one.example", nil, "250", "requiredstarttls+mtasts", "sts one.example +1"},
		{"enforce, wrong name", "enforce", "mx.one.example", "other.example", nil, "451 4.7.5", "requiredstarttls+mtasts", "sts one.example -1 certificate-host-mismatch"},
		{"enforce, untrusted", "enforce", "mx.one.example", "untrusted", nil, "451 4.7.5", "requiredstarttls+mtasts", "sts one.example -1 certificate-not-trusted unknown-authority"},
		{"enforce, expired", "enforce", "mx.one.example", "expired", nil, "451 4.7.5", "requiredstarttls+mtasts", "sts one.example -1 certificate-expired"},
		{"enforce, no tls", "enforce", "mx.one.example", "", nil, "451 4.7.4", "requiredstarttls+mtasts", "sts one.example -1 starttls-not-supported"},
		{"enforce, host not in policy", "enforce", "mx2.one.example", "mx.one.example", nil, "451 4.7.5", "", "sts one.example -1 validation-failure mtasts-mx-mismatch"},
		{"testing", "testing", "mx.one.example", "mx.one.example", nil, "250", "opportunistic", "sts one.example +1"},
		{"testing, wrong name", "testing", "mx.one.example", "other.example", nil, "250", "opportunistic", "sts one.example -1 certificate-host-mismatch"},
		{"testing, no tls", "testing", "mx.one.example", "", nil, "250", "opportunistic", "sts one.example -1 starttls-not-supported"},
		{"testing, host not in policy", "testing", "mx2.one.example", "mx.one.example", nil, "250", "opportunistic", "sts one.example -1 validation-failure mtasts-mx-mismatch"},
		{"none", "none", "", "other.example", nil, "250", "opportunistic", "no-policy-found one.example +1"},
		{"no policy", "", "", "other.example", nil, "250", "opportunistic", "no-policy-found one.example +1"},
		{"policy cannot be fetched, and one was kept", "enforce", "mx.one.example", "mx.one.example", func(w *world, _ *queue.Delivery) { w.policy.problem = mtasts.ErrCertificate }, "250", "requiredstarttls+mtasts",
			"sts one.example +1 sts-webpki-invalid"},
		{"policy cannot be fetched", "", "", "mx.one.example", func(w *world, _ *queue.Delivery) {
			w.policy.problem = fmt.Errorf("%w: %w", mtasts.ErrFetch, &mtasts.StatusError{Code: 404})
		}, "250", "opportunistic",
			"sts one.example -1 sts-policy-fetch-error http-status-404"},
		{"not known", "", "", "mx.one.example", func(w *world, _ *queue.Delivery) { w.policy.err = errPolicies }, "error", "", ""},
		{"not known, TLS-Required: No", "", "", "mx.one.example", func(w *world, d *queue.Delivery) {
			w.policy.err = errPolicies
			d.Messages[0].RequireTLS = ptr(false)
		}, "250", "opportunistic", "no-policy-found one.example +1"},
		{"enforce, untrusted, TLS-Required: No", "enforce", "mx.one.example", "untrusted", func(_ *world, d *queue.Delivery) { d.Messages[0].RequireTLS = ptr(false) }, "250", "opportunistic",
			"sts one.example -1 certificate-not-trusted unknown-authority"},
		{"enforce, host not in policy, TLS-Required: No", "enforce", "mx2.one.example", "mx.one.example", func(_ *world, d *queue.Delivery) { d.Messages[0].RequireTLS = ptr(false) }, "250", "opportunistic",
			"sts one.example -1 validation-failure mtasts-mx-mismatch"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, testkit.DNSOptions{}, nil)
			var setup serverSetup
			switch tc.cert {
			case "":
			case "untrusted":
				setup.tls = testkit.NewCA(t).ServerConfig(t, "mx.one.example")
			case "expired":
				setup.tls = &tls.Config{Certificates: []tls.Certificate{w.ca.IssueExpired(t, testkit.ECDSA, "mx.one.example")}}
			default:
				setup.tls = w.cert(tc.cert)
			}
			mx := serve(t, setup)
			w.dns.Set(t, testkit.DNSOptions{Zone: fmt.Sprintf("one.example MX 10 mx.one.example\nmx.one.example A %s\n", mx.ip)})
			if tc.mode == "none" {
				w.policy.set("one.example", "none")
			} else if tc.mode != "" {
				w.policy.set("one.example", tc.mode, tc.mx)
			}
			d := w.delivery("a@one.example")
			if tc.edit != nil {
				tc.edit(w, &d)
			}
			r := w.want(tc.want, d)
			if r.TLS != tc.label {
				t.Errorf("tls %q, want %q", r.TLS, tc.label)
			}
			for _, d := range w.results.details() {
				if d.Count != 1 || d.ReceivingMXHostname != "mx.one.example" {
					t.Errorf("detail %+v", d)
				}
			}
			if got, _, _ := strings.Cut(w.results.take(), "\n"); got != tc.report {
				t.Errorf("reported:\n%s\nwant:\n%s", got, tc.report)
			}
			if tc.want == "250" && mx.got()[0].tls != (tc.cert != "") {
				t.Errorf("delivered with tls: %v", mx.got()[0].tls)
			}
			if tc.want != "250" && len(mx.got()) > 0 {
				t.Error("message was delivered")
			}
		})
	}
}

func TestDetailsOfReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DNSOptions{}, nil)
	mx := serve(t, serverSetup{})
	w.dns.Set(t, testkit.DNSOptions{Zone: fmt.Sprintf("one.example MX 10 mx.one.example\nmx.one.example A %s\n", mx.ip)})
	w.want("250", w.delivery("a@one.example"))
	for _, d := range w.results.details() {
		if d.ReceivingIP != mx.ip.String() || !strings.HasPrefix(d.SendingMTAIP, "127.") || d.ReceivingMXHelo != mx.name() {
			t.Errorf("detail %+v", d)
		}
	}
	// A connection that is used again is no new session.
	w.results.take()
	w.want("250", w.delivery("a@one.example"))
	if got := w.results.take(); got != "" {
		t.Errorf("reported %s", got)
	}
}

func TestRequireTLS(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		policy string // "dane", "wrongdane", "dnssec", "enforce", "testing" or none.
		ext    string
		second string // Extension of a second host, "dead" for none that works.
		cert   string // Name in the certificate. Empty is a wildcard that is right.
		hook   func(*session, string) string
		want   string
	}{
		{"with dane", "dane", "REQUIRETLS", "", "", nil, "250"},
		{"with dane, other name in certificate", "dane", "REQUIRETLS", "", "other.example", nil, "250"},
		{"with wrong dane", "wrongdane", "REQUIRETLS", "", "", nil, "554 5.7.10!"},
		{"with mta-sts", "enforce", "REQUIRETLS", "", "", nil, "250"},
		{"with mta-sts, other name in certificate", "enforce", "REQUIRETLS", "", "other.example", nil, "554 5.7.10!"},
		{"with mta-sts in testing", "testing", "REQUIRETLS", "", "", nil, "250"},
		{"with mta-sts in testing, other name in certificate", "testing", "REQUIRETLS", "", "other.example", nil, "554 5.7.10!"},
		{"with dnssec", "dnssec", "REQUIRETLS", "", "", nil, "250"},
		{"with dnssec, other name in certificate", "dnssec", "REQUIRETLS", "", "other.example", nil, "554 5.7.10!"},
		{"without any", "", "REQUIRETLS", "", "", nil, "554 5.7.30!"},
		{"no tls", "dane", "REQUIRETLS", "", "", on("STARTTLS", "502 5.5.1 what?"), "554 5.7.10!"},
		{"no tls now", "dane", "REQUIRETLS", "", "", on("STARTTLS", "454 4.7.0 not now"), "451 4.7.4"},
		{"hangs up", "dane", "REQUIRETLS", "", "", on("STARTTLS", "quit 220 go"), "451 4.7.5"},
		{"server does not know it", "enforce", "HELP", "", "", nil, "554 5.7.30!"},
		{"neither does another", "enforce", "HELP", "HELP", "", nil, "554 5.7.30!"},
		{"another does", "enforce", "HELP", "REQUIRETLS", "", nil, "250"},
		{"another cannot be asked", "enforce", "HELP", "dead", "", nil, "error"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, testkit.DNSOptions{}, nil)
			cert := w.cert(cmp.Or(tc.cert, "*.one.example"))
			mx := serve(t, serverSetup{tls: cert, ext: []string{tc.ext}, hook: tc.hook})
			zone := fmt.Sprintf("one.example MX 10 mx.one.example\nmx.one.example A %s\n", mx.ip)
			var second *server
			if tc.second != "" {
				ip := newIP()
				if tc.second != "dead" {
					second = serve(t, serverSetup{ip: ip, tls: cert, ext: []string{tc.second}})
				}
				zone += fmt.Sprintf("one.example MX 20 mx2.one.example\nmx2.one.example A %s\n", ip)
			}
			authentic := true
			switch tc.policy {
			case "dane":
				zone += tlsa("mx.one.example", cert)
			case "wrongdane":
				zone += fmt.Sprintf("_%d._tcp.mx.one.example TLSA 3 1 1 %064d\n", testPort(), 0)
			case "dnssec":
			case "":
				authentic = false
			default:
				w.policy.set("one.example", tc.policy, "*.one.example")
				authentic = false
			}
			w.dns.Set(t, testkit.DNSOptions{Zone: zone, Authentic: authentic})
			d := w.delivery("a@one.example", "b@one.example")
			d.Messages[0].RequireTLS, d.Messages[1].RequireTLS = ptr(true), ptr(true)
			w.want(tc.want+", "+tc.want, d)
			if tc.want != "250" {
				if len(mx.got()) > 0 {
					t.Error("message was sent")
				}
				return
			}
			if second != nil {
				mx = second
			}
			if got := mx.got()[0]; !strings.HasSuffix(got.mail, " REQUIRETLS") || !got.tls {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestRequireTLSWithoutMX(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DNSOptions{}, nil)
	mx := serve(t, serverSetup{tls: w.cert("one.example"), ext: []string{"REQUIRETLS"}})
	w.dns.Set(t, testkit.DNSOptions{Zone: fmt.Sprintf("one.example A %[1]s\ntwo.example A %[1]s\n", mx.ip)})
	for rcpt, want := range map[string]string{"a@one.example": "250", "a@two.example": "554 5.7.10!", "a@[" + mx.ip.String() + "]": "554 5.7.30!"} {
		d := w.delivery(rcpt)
		d.Messages[0].RequireTLS = ptr(true)
		w.want(want, d)
	}
}

func TestFailureOfBothPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DNSOptions{}, nil)
	mx := serve(t, serverSetup{tls: w.cert("other.example")})
	zone := fmt.Sprintf("one.example MX 10 mx.one.example\nmx.one.example A %s\n", mx.ip)
	w.policy.set("one.example", "enforce", "mx.one.example")
	// DANE is fine and MTA-STS is not.
	w.dns.Set(t, testkit.DNSOptions{Authentic: true, Zone: zone + tlsa("mx.one.example", mx.setup.tls)})
	if r := w.want("451 4.7.5", w.delivery("a@one.example")); r.TLS != "requiredstarttls+mtasts+dane" {
		t.Errorf("tls %q", r.TLS)
	}
	if got := w.results.take(); got != "sts one.example -1 certificate-host-mismatch" {
		t.Errorf("reported:\n%s", got)
	}
	// Neither is.
	w.dns.Set(t, testkit.DNSOptions{Authentic: true, Zone: zone + fmt.Sprintf("_%d._tcp.mx.one.example TLSA 3 1 1 %064d\n", testPort(), 0)})
	w.want("451 4.7.5", w.delivery("a@one.example"))
	if got := w.results.take(); got != "sts one.example -1 certificate-host-mismatch\ntlsa mx.one.example -1 validation-failure dane-no-match" {
		t.Errorf("reported:\n%s", got)
	}
}

func TestWishesThatDiffer(t *testing.T) {
	t.Parallel()
	w := &world{t: t}
	for _, tc := range []struct {
		a, b           *bool
		needs, ignores bool
	}{
		{nil, nil, false, false},
		{ptr(true), nil, true, false},
		{ptr(false), ptr(true), true, false},
		{ptr(false), nil, false, false},
		{ptr(false), ptr(false), false, true},
	} {
		d := w.delivery("a@one.example", "b@one.example")
		d.Messages[0].RequireTLS, d.Messages[1].RequireTLS = tc.a, tc.b
		if a := newAttempt(&Network{}, d); a.needsTLS() != tc.needs || a.ignoresTLS() != tc.ignores {
			t.Errorf("%+v: needs %v, ignores %v", tc, a.needsTLS(), a.ignoresTLS())
		}
	}
}

func TestPlainTextAfterFailedTLS(t *testing.T) {
	t.Parallel()
	fails := failingTLS()
	w := newWorld(t, testkit.DNSOptions{}, func(o *DirectOptions) {
		o.PlaintextFallback = func(d queue.Delivery) bool { return d.Base.Subject != "secret" }
	})
	mx := serve(t, serverSetup{tls: fails})
	w.dns.Set(t, testkit.DNSOptions{Zone: fmt.Sprintf("one.example MX 10 mx.one.example\nmx.one.example A %s\n", mx.ip)})
	d := w.delivery("a@one.example")
	d.Base.Subject = "secret"
	w.want("451 4.7.5", d)
	w.results.take()

	r := w.want("250", w.delivery("a@one.example"))
	if n, _ := mx.connections(); n != 3 || r.TLS != "skip" {
		t.Errorf("%d connections, tls %q", n, r.TLS)
	}
	if got := w.results.take(); !strings.HasPrefix(got, "no-policy-found one.example -1 validation-failure tls-remote-alert-") || strings.Count(got, "\n") != 1 {
		t.Errorf("reported:\n%s", got)
	}
}

func TestHostsThatDidTLSMustDoItAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DNSOptions{}, nil)
	good := serve(t, serverSetup{tls: w.cert("other.example")})
	zone := "one.example MX 10 mx.one.example\nmx.one.example A %s\n"
	w.dns.Set(t, testkit.DNSOptions{Zone: fmt.Sprintf(zone, good.ip)})
	if r := w.want("250", w.delivery("a@one.example")); r.TLS != "opportunistic" || !good.got()[0].tls {
		t.Errorf("tls %q", r.TLS)
	}
	for _, setup := range []serverSetup{
		{},                  // Does not offer it any more.
		{tls: failingTLS()}, // Fails it.
		{tls: w.cert("other.example"), hook: func(_ *session, c string) string { // Refuses it.
			if c == "STARTTLS" {
				return "454 4.7.0 not now"
			}
			return ""
		}},
	} {
		bad := serve(t, setup)
		w.dns.Set(t, testkit.DNSOptions{Zone: fmt.Sprintf(zone, bad.ip)})
		got, l := w.deliver(w.delivery("a@one.example"))
		if setup.tls != nil && setup.hook == nil && smtp.AsError(l[0].Err).Text != "TLS failed, and the server did TLS before" {
			t.Errorf("got %v", l[0].Err)
		}
		if l[0].Err == nil || strings.HasSuffix(got, "!") || l[0].TLS != "requiredstarttls" || len(bad.got()) > 0 {
			t.Errorf("got %s, tls %q, %d messages", got, l[0].TLS, len(bad.got()))
		}
		d := w.delivery("a@one.example")
		d.Messages[0].RequireTLS = ptr(false)
		w.want("250", d)
	}
	// Elsewhere it is still fine.
	w.dns.Set(t, testkit.DNSOptions{Zone: fmt.Sprintf(zone, good.ip)})
	w.want("250", w.delivery("a@one.example"))
}

func TestRefusedSTARTTLSIsNoReasonToWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DNSOptions{}, nil)
	mx := serve(t, serverSetup{tls: w.cert("mx.one.example"), hook: func(_ *session, c string) string {
		if c == "STARTTLS" {
			return "454 4.7.0 not now"
		}
		return ""
	}})
	w.dns.Set(t, testkit.DNSOptions{Zone: fmt.Sprintf("one.example MX 10 mx.one.example\nmx.one.example A %s\n", mx.ip)})
	w.want("250", w.delivery("a@one.example"))
	if got := w.results.take(); got != "no-policy-found one.example -1 starttls-not-supported\nno-policy-found mx.one.example -1 starttls-not-supported" {
		t.Errorf("reported:\n%s", got)
	}
}
