package tlsrpt_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"mox/dns"
	"mox/internal/testkit"
	"mox/tlsrpt"
)

func TestParseRecordKeepsToTheGrammar(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		txt  string
		want tlsrpt.Record
	}{
		// RFC 8460 §3.1.1, §3.1.2 and A.
		{"v=TLSRPTv1;rua=mailto:reports@example.com", tlsrpt.Record{RUA: []tlsrpt.RUA{"mailto:reports@example.com"}}},
		{"v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt", tlsrpt.Record{RUA: []tlsrpt.RUA{"https://reporting.example.com/v1/tlsrpt"}}},
		{"v=TLSRPTv1 ;\trua=mailto:a@b.example \t, https://c.example/?x=%21 ; ", tlsrpt.Record{RUA: []tlsrpt.RUA{"mailto:a@b.example", "https://c.example/?x=%21"}}},
		{"v=TLSRPTv1; a.b_c-d=x:y/<>!; rua=ftp:x; rua=mailto:y", tlsrpt.Record{
			RUA: []tlsrpt.RUA{"ftp:x", "mailto:y"}, Extensions: []tlsrpt.Pair{{"a.b_c-d", "x:y/<>!"}}}},
	} {
		got, err := tlsrpt.ParseRecord(tc.txt)
		if err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q: got %+v, %v, expected %+v", tc.txt, got, err, tc.want)
		}
	}
	for _, txt := range []string{
		"",
		"v=TLSRPTv1",
		"v=TLSRPTv1;",
		"v=tlsrptv1; rua=mailto:a@b.example",
		"V=TLSRPTv1; rua=mailto:a@b.example",
		" v=TLSRPTv1; rua=mailto:a@b.example",
		"v=TLSRPTv1; RUA=mailto:a@b.example",
		"v=TLSRPTv1; rua=",
		"v=TLSRPTv1; rua=a@b.example",
		"v=TLSRPTv1; rua=:x",
		"v=TLSRPTv1; rua=1:x",
		"v=TLSRPTv1; rua=mailto:",
		"v=TLSRPTv1; rua=mailto:a@b.example,",
		"v=TLSRPTv1; rua=mailto:a@b.example ",
		"v=TLSRPTv1; rua=mailto:a@b.example;;",
		"v=TLSRPTv1; rua=mailto:a@b.example!10m",
		"v=TLSRPTv1; rua=mailto:a%2@b.example",
		"v=TLSRPTv1; rua=mailto:a%@b.example",
		"v=TLSRPTv1; rua=mailto:a\xffb@example",
		"v=TLSRPTv1; rua=mailto:a\x00@b.example",
		"v=TLSRPTv1; rua=mailto:a@b.example; x",
		"v=TLSRPTv1; rua=mailto:a@b.example; x=a=b",
		"v=TLSRPTv1; rua=mailto:a@b.example; " + strings.Repeat("x", 33) + "=a",
		"v=TLSRPTv1; rua=mailto:" + strings.Repeat("x", 20_000),
	} {
		if got, err := tlsrpt.ParseRecord(txt); !errors.Is(err, tlsrpt.ErrRecordSyntax) {
			t.Errorf("%.60q: got %+v, %v", txt, got, err)
		}
	}
}

func TestRecordsWithManyAddressesAreCut(t *testing.T) {
	t.Parallel()
	r, err := tlsrpt.ParseRecord("v=TLSRPTv1; rua=mailto:a@b.example" + strings.Repeat(",mailto:a@b.example", 200))
	if err != nil || len(r.RUA) != tlsrpt.MaxRUA {
		t.Errorf("got %d, %v", len(r.RUA), err)
	}
}

func TestURIsGiveAddressesAndURLs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		uri  tlsrpt.RUA
		want string // Empty for an error.
	}{
		{"mailto:reports@example.com", "reports@example.com"},
		{"MAILTO:%22a%2Cb%22@example.com?subject=x", `"a,b"@example.com`},
		{"mailto:a%2Cb@example.com", ""}, // Two addresses are two URIs.
		{"mailto:a@b%C3%BCcher.example", "a@bücher.example"},
		{"mailto:%zz@example.com", ""},
		{"mailto:example.com", ""},
		{"mailto:a@xn--a.example", ""},
		{"mailto:a@b.example%0d%0aBcc:x@y.example", ""},
		{"https://example.com/", ""},
	} {
		a, err := tc.uri.Address()
		if (err == nil) != (tc.want != "") || err == nil && a.String() != tc.want && a.String() != strings.ReplaceAll(tc.want, "bücher", "xn--bcher-kva") {
			t.Errorf("%s: got %s, %v", tc.uri, a, err)
		}
	}
	if u, err := tlsrpt.RUA("HTTPS://example.com/v1").URL(); err != nil || u.String() != "https://example.com/v1" {
		t.Errorf("got %v, %v", u, err)
	}
	for _, uri := range []tlsrpt.RUA{"http://example.com/", "https:", "https:///x", "https://[/", "mailto:a@b.example"} {
		if u, err := uri.URL(); err == nil {
			t.Errorf("%s: got %v", uri, u)
		}
	}
}

const zone = `
_smtp._tls.example.com       TXT "v=TLSRPTv1;rua=" "mailto:reports@example.com"
_smtp._tls.alias.example     CNAME _smtp._tls.example.com
_smtp._tls.other.example     TXT "hello"
_smtp._tls.other.example     TXT "v=TLSRPTv1; rua=https://other.example/"
_smtp._tls.other.example     TXT "v=TLSRPTv10; rua=https://other.example/"
_smtp._tls.none.example      TXT "v=TLSRPTv2; rua=https://other.example/"
_smtp._tls.several.example   TXT "v=TLSRPTv1; rua=https://other.example/1"
_smtp._tls.several.example   TXT "v=TLSRPTv1 ; rua=https://other.example/2"
_smtp._tls.malformed.example TXT "v=TLSRPTv1; rua=mailto:a@b.example!"
_smtp._tls.binary.example    TXT "v=TLSRPTv1; rua=mailto:\000\255"
`

func TestLookupTellsWhyThereIsNoRecord(t *testing.T) {
	t.Parallel()
	srv := testkit.NewDNS(t, testkit.DNSOptions{
		Zone:      zone,
		Authentic: true,
		Insecure:  []string{"other.example"},
		Faults: map[string]testkit.DNSFault{
			"_smtp._tls.servfail.example": testkit.DNSServFail,
			"_smtp._tls.bogus.example":    testkit.DNSBogus,
		},
	})
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{srv.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		domain    string
		rua       tlsrpt.RUA
		txt       string
		authentic bool
		errs      []error
	}{
		{"example.com", "mailto:reports@example.com", "v=TLSRPTv1;rua=mailto:reports@example.com", true, nil},
		{"alias.example", "mailto:reports@example.com", "v=TLSRPTv1;rua=mailto:reports@example.com", true, nil},
		{"other.example", "https://other.example/", "v=TLSRPTv1; rua=https://other.example/", false, nil},
		{"absent.example", "", "", true, []error{tlsrpt.ErrNoRecord}},
		{"none.example", "", "", true, []error{tlsrpt.ErrNoRecord}},
		{"several.example", "", "", true, []error{tlsrpt.ErrMultipleRecords}},
		{"malformed.example", "", "v=TLSRPTv1; rua=mailto:a@b.example!", true, []error{tlsrpt.ErrRecordSyntax}},
		{"binary.example", "", "v=TLSRPTv1; rua=mailto:\x00\xff", true, []error{tlsrpt.ErrRecordSyntax}},
		{"servfail.example", "", "", false, []error{tlsrpt.ErrDNS, dns.ErrTemporary}},
		{"bogus.example", "", "", false, []error{tlsrpt.ErrDNS, dns.ErrBogus}},
	} {
		d, err := dns.ParseDomain(tc.domain)
		if err != nil {
			t.Fatal(err)
		}
		rec, txt, res, err := tlsrpt.Lookup(t.Context(), nil, r, d)
		rua := tlsrpt.RUA("")
		if len(rec.RUA) > 0 {
			rua = rec.RUA[0]
		}
		if rua != tc.rua || txt != tc.txt || res.Authentic != tc.authentic || (err == nil) != (tc.errs == nil) {
			t.Errorf("%s: got %+v, %q, %+v, %v", tc.domain, rec, txt, res, err)
		}
		for _, want := range tc.errs {
			if !errors.Is(err, want) {
				t.Errorf("%s: got error %v, expected %v", tc.domain, err, want)
			}
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=TLSRPTv1;rua=mailto:reports@example.com")
	f.Add("v=TLSRPTv1 ; rua=mailto:a%2Cb@b.example , https://c.example/ ; x=y;")
	f.Fuzz(func(t *testing.T, txt string) {
		r, err := tlsrpt.ParseRecord(txt)
		if err != nil {
			return
		}
		for _, u := range r.RUA {
			_, _ = u.Address()
			_, _ = u.URL()
		}
		again, err := tlsrpt.ParseRecord(r.String())
		if len(r.String()) <= 16*1024 && (err != nil || !reflect.DeepEqual(r, again)) {
			t.Errorf("%q: %+v became %q, parsed as %+v, %v", txt, r, r.String(), again, err)
		}
	})
}
