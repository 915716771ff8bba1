package dmarc_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mox/dmarc"
	"mox/dns"
	"mox/internal/testkit"
)

func TestDestinationsOfReportsAreChecked(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range 2 * dmarc.MaxAuthorizations {
		fmt.Fprintf(&many, "blue.example.com._report._dmarc.many.example TXT \"v=DMARC1; rua=mailto:a%d@many.example\"\n", i)
	}
	srv, r := resolver(t, testkit.DNSOptions{
		Zone: `
_dmarc.example.com TXT "v=DMARC1; p=none"
_dmarc.apart.example.com TXT "v=DMARC1; p=none; psd=n"
blue.example.com._report._dmarc.red.example.net TXT "v=DMARC1"
*._report._dmarc.any.example TXT "v=DMARC1;"
blue.example.com._report._dmarc.other.example TXT "v=DMARC1; rua=mailto:x@other.example,mailto:y@other.example; ruf=mailto:f@other.example"
blue.example.com._report._dmarc.away.example TXT "v=DMARC1; rua=mailto:x@away.example,mailto:x@victim.example"
blue.example.com._report._dmarc.two.example TXT "v=DMARC1; rua=mailto:x@two.example"
blue.example.com._report._dmarc.two.example TXT "v=DMARC1"
blue.example.com._report._dmarc.two.example TXT "something else"
blue.example.com._report._dmarc.bad.example TXT "v=dmarc1"
example.com._report._dmarc.apart.example.com TXT "v=DMARC1"
` + many.String(),
		Faults: map[string]testkit.DNSFault{
			"blue.example.com._report._dmarc.broken.example": testkit.DNSServFail,
			"_dmarc.down.example.com":                        testkit.DNSServFail,
		},
	})
	const aggregate, failure = dmarc.Aggregate, dmarc.Failure
	long := strings.Repeat(strings.Repeat("a", 60)+".", 3) + "example"
	for _, tc := range []struct {
		domain   string
		uri      dmarc.URI
		kind     dmarc.ReportKind
		external bool
		send     string
		err      error // With an empty send.
	}{
		{"blue.example.com", "mailto:a@blue.example.com", aggregate, false, "mailto:a@blue.example.com", nil},
		{"blue.example.com", "mailto:a@example.com", aggregate, false, "mailto:a@example.com", nil},
		{"example.com", "mailto:a@apart.example.com", aggregate, true, "mailto:a@apart.example.com", nil},
		{"apart.example.com", "mailto:a@example.com", aggregate, true, "", dmarc.ErrUnauthorized},
		// RFC 9990 §4.
		{"blue.example.com", "mailto:reports@red.example.net", aggregate, true, "mailto:reports@red.example.net", nil},
		{"green.example.com", "mailto:reports@red.example.net", aggregate, true, "", dmarc.ErrUnauthorized},
		{"example.com", "mailto:a@any.example", failure, true, "mailto:a@any.example", nil},
		{"blue.example.com", "mailto:a@other.example", aggregate, true, "mailto:x@other.example mailto:y@other.example", nil},
		{"blue.example.com", "mailto:a@other.example", failure, true, "mailto:f@other.example", nil},
		{"blue.example.com", "mailto:a@away.example", aggregate, true, "", dmarc.ErrUnauthorized},
		{"blue.example.com", "mailto:a@away.example", failure, true, "mailto:a@away.example", nil},
		{"blue.example.com", "mailto:a@two.example", aggregate, true, "mailto:x@two.example", nil},
		{"blue.example.com", "mailto:a@bad.example", aggregate, true, "", dmarc.ErrUnauthorized},
		{"blue.example.com", "mailto:a@broken.example", aggregate, true, "", dns.ErrTemporary},
		{"example.com", "mailto:a@down.example.com", aggregate, false, "", dns.ErrTemporary},
		{long, dmarc.URI("mailto:a@" + strings.Repeat("b", 60) + ".test"), aggregate, true, "", dmarc.ErrUnauthorized},
		{"example.com", "https://red.example.net/x", aggregate, true, "", dmarc.ErrUnauthorized},
	} {
		name := fmt.Sprintf("%s to %s, kind %d", tc.domain, tc.uri, tc.kind)
		d := dmarc.NewWalker(nil, r).CheckDestination(t.Context(), domain(t, tc.domain), tc.uri, tc.kind)
		var send []string
		for _, u := range d.Send {
			send = append(send, string(u))
		}
		if d.External != tc.external || strings.Join(send, " ") != tc.send || !errors.Is(d.Err, tc.err) || (d.Err != nil) != (tc.err != nil) {
			t.Errorf("%s: external %v, send to %v, %v", name, d.External, send, d.Err)
		}
	}
	for _, uri := range []dmarc.URI{"mailto:a@[10.0.0.1]", "urn:x"} {
		if d := dmarc.NewWalker(nil, r).CheckDestination(t.Context(), domain(t, "example.com"), uri, aggregate); d.Err == nil || d.Send != nil {
			t.Errorf("%s: %+v", uri, d)
		}
	}
	d := dmarc.NewWalker(nil, r).CheckDestination(t.Context(), domain(t, "blue.example.com"), "mailto:a@many.example", aggregate)
	if d.Err != nil || len(d.Send) != dmarc.MaxAuthorizations {
		t.Errorf("many records: %d addresses, %v", len(d.Send), d.Err)
	}

	srv.Queries()
	d = dmarc.NewWalker(nil, r).CheckDestination(t.Context(), domain(t, "☺.example.com"), "mailto:a@red.example.net", aggregate)
	if d.Name != "xn--74h.example.com._report._dmarc.red.example.net" || d.Record != "v=DMARC1" {
		t.Errorf("record to publish: %s %s", d.Name, d.Record)
	}
	// Domains with nothing in common need no walk.
	if q := srv.Queries(); len(q) != 1 {
		t.Errorf("asked for %v", q)
	}
}
