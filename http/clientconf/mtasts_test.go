package clientconf

import (
	"net/http"
	"testing"

	"mox/mtasts"
)

// mtastsListener serves policies besides mail.
const mtastsListener = bothListener + `		MTASTSHTTPS:
			Enabled: true
`

// A policy is text with a field on each line, and says how long it holds (RFC 8461 §3.2).
func TestMTASTSPolicyIsThatOfTheDomainOfTheHost(t *testing.T) {
	t.Parallel()
	h := testHandlersDomains(t, mtastsListener, changed(t, testDomains, "\tmox.example:\n", "\tmox.example:\n\t\tMTASTS:\n\t\t\tPolicyID: 1\n\t\t\tMode: enforce\n\t\t\tMaxAge: 24h\n\t\t\tMX:\n\t\t\t\t- mx.example.org\n\t\t\t\t- *.mox.example\n"))
	for _, host := range []string{"mta-sts.mox.example", "MTA-STS.mox.example:443", "mta-sts.mox.example."} {
		w := do(h.MTASTSPolicy(), "GET", "https://"+host+MTASTSPath, "")
		wantStatus(t, w, http.StatusOK)
		wantHeaders(t, w, "text/plain; charset=utf-8")
		want := "version: STSv1\r\nmode: enforce\r\nmx: mx.example.org\r\nmx: *.mox.example\r\nmax_age: 86400\r\n"
		if got := w.Body.String(); got != want {
			t.Errorf("%s: got %q, want %q", host, got, want)
		}
		p, err := mtasts.ParsePolicy(w.Body.String())
		if err != nil || p.Mode != mtasts.ModeEnforce || len(p.MX) != 2 {
			t.Errorf("%s: got %+v, %v", host, p, err)
		}
	}
	for _, host := range []string{"mta-sts.example.org", "mta-sts.other.example", "mta-sts.off.example", "mta-sts.", "192.0.2.10", "[2001:db8::1]:443"} {
		wantStatus(t, do(h.MTASTSPolicy(), "GET", "https://"+host+MTASTSPath, ""), http.StatusNotFound)
	}
}
