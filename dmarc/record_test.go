package dmarc_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"mox/dmarc"
)

// rec returns the default record with changes.
func rec(edit func(r *dmarc.Record)) dmarc.Record {
	r := dmarc.DefaultRecord()
	edit(&r)
	return r
}

func TestRecordsAreParsed(t *testing.T) {
	t.Parallel()
	reject := func(edit func(r *dmarc.Record)) dmarc.Record {
		return rec(func(r *dmarc.Record) {
			r.Policy = dmarc.PolicyReject
			if edit != nil {
				edit(r)
			}
		})
	}
	assumed := func(uris ...dmarc.URI) dmarc.Record {
		return rec(func(r *dmarc.Record) { r.Policy, r.Assumed, r.RUA = dmarc.PolicyNone, true, uris })
	}
	const rua = "mailto:a@example.com"
	for _, tc := range []struct {
		text  string
		want  dmarc.Record
		notes string // Tags of the notes.
	}{
		// RFC 9989 §B.
		{"v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com", rec(func(r *dmarc.Record) {
			r.Policy, r.RUA = dmarc.PolicyNone, []dmarc.URI{"mailto:dmarc-feedback@example.com"}
		}), ""},
		{"v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; ruf=mailto:auth-reports@example.com", rec(func(r *dmarc.Record) {
			r.Policy, r.RUA, r.RUF = dmarc.PolicyNone, []dmarc.URI{"mailto:dmarc-feedback@example.com"}, []dmarc.URI{"mailto:auth-reports@example.com"}
		}), ""},
		{"v=DMARC1; p=quarantine; rua=mailto:dmarc-feedback@example.com,mailto:tld-test@thirdparty.example.net; t=y", rec(func(r *dmarc.Record) {
			r.Policy, r.Testing = dmarc.PolicyQuarantine, true
			r.RUA = []dmarc.URI{"mailto:dmarc-feedback@example.com", "mailto:tld-test@thirdparty.example.net"}
		}), ""},

		// RFC 9989 §4.8.
		{"v=DMARC1;p=reject", reject(nil), ""},
		{"v = DMARC1 ; p = reject ;", reject(nil), ""},
		{"V\t=\tDMARC1\t;\tP\t=\tReject\t", reject(nil), ""},
		{"v=DMARC1; p=REJECT; SP=Quarantine; nP=nOne; PSD=Y; T=Y; adkim=S; ASPF=s", reject(func(r *dmarc.Record) {
			r.SubdomainPolicy, r.NonexistentPolicy, r.PSD, r.Testing = dmarc.PolicyQuarantine, dmarc.PolicyNone, dmarc.PSDYes, true
			r.ADKIM, r.ASPF = dmarc.ModeStrict, dmarc.ModeStrict
		}), ""},
		{"v=DMARC1; adkim=s; sp=none; p=reject", reject(func(r *dmarc.Record) {
			r.ADKIM, r.SubdomainPolicy = dmarc.ModeStrict, dmarc.PolicyNone
		}), ""},
		{"v=DMARC1; p=reject; psd=n", reject(func(r *dmarc.Record) { r.PSD = dmarc.PSDNo }), ""},
		{"v=DMARC1; p=reject; psd=u; t=n; adkim=r; aspf=r; fo=0", reject(nil), ""},

		// Failure options.
		{"v=DMARC1; p=reject; fo=1", reject(func(r *dmarc.Record) { r.Failure = dmarc.FailureOptions{Any: true} }), ""},
		{"v=DMARC1; p=reject; fo=D:0:s", reject(func(r *dmarc.Record) { r.Failure = dmarc.FailureOptions{All: true, DKIM: true, SPF: true} }), ""},
		{"v=DMARC1; p=reject; fo=s:d", reject(func(r *dmarc.Record) { r.Failure = dmarc.FailureOptions{DKIM: true, SPF: true} }), ""},
		{"v=DMARC1; p=reject; fo=0:1:d:s", reject(nil), "fo"},
		{"v=DMARC1; p=reject; fo=d:d", reject(nil), "fo"},
		{"v=DMARC1; p=reject; fo=d,s", reject(nil), "fo"},
		{"v=DMARC1; p=reject; fo=1:", reject(nil), "fo"},

		// Tags of RFC 7489 that are no more, and unknown ones.
		{"v=DMARC1; p=reject; pct=0; ri=3600; rf=afrf", reject(nil), "pct ri rf"},
		{"v=DMARC1; p=reject; foo=bar; foo=bar", reject(nil), "foo foo"},

		// Errors in a tag cost that tag.
		{"v=DMARC1; p=reject; adkim=x; aspf=; t=1; psd=maybe", reject(nil), "aspf psd adkim t"},
		{"v=DMARC1; p=reject; adkim", reject(nil), "-"},
		{"v=DMARC1; p=reject; ; adkim=s", reject(func(r *dmarc.Record) { r.ADKIM = dmarc.ModeStrict }), "-"},
		{"v=DMARC1; p=reject; a_b=c", reject(nil), "-"},
		{"v=DMARC1; p=reject; adkim=s\x00", reject(nil), "adkim"},
		{"v=DMARC1; p=reject; aspf=s; aspf=s", reject(nil), "aspf"},
		{"v=DMARC1; p=reject; v=DMARC2", reject(nil), "v"},
		{"v=DMARC1; p=reject; \xff\xfe", reject(nil), "-"},

		// Policies, RFC 9989 §4.10.1.
		{"v=DMARC1", rec(func(*dmarc.Record) {}), "p"},
		{"v=DMARC1;", rec(func(*dmarc.Record) {}), "p"},
		{"v=DMARC1; p=bogus", rec(func(*dmarc.Record) {}), "p"},
		{"v=DMARC1; p=reject; p=none", rec(func(*dmarc.Record) {}), "p"},
		{"v=DMARC1; p=reject; sp=bogus", rec(func(*dmarc.Record) {}), "sp"},
		{"v=DMARC1; p=reject; np=", rec(func(*dmarc.Record) {}), "np"},
		{"v=DMARC1; rua=" + rua, assumed(rua), "p"},
		{"v=DMARC1; p=reject; sp=bogus; np=reject; rua=" + rua, assumed(rua), "sp"},
		{"v=DMARC1; rua=bogus", rec(func(*dmarc.Record) {}), "rua p"},
		{"v=DMARC1; rua=mailto:", rec(func(*dmarc.Record) {}), "rua p"},
		{"v=DMARC1; p=bogus; rua=https://example.com/x", assumed("https://example.com/x"), "p"},

		// URIs.
		{"v=DMARC1; p=reject; rua=mailto:a@example.com!10m", reject(func(r *dmarc.Record) { r.RUA = []dmarc.URI{rua} }), "rua"},
		{"v=DMARC1; p=reject; rua=mailto:a@example.com!10 , mailto:a@example.com!1T", reject(func(r *dmarc.Record) { r.RUA = []dmarc.URI{rua, rua} }), "rua rua"},
		{"v=DMARC1; p=reject; rua=mailto:a@example.com!10q,mailto:a@example.com!,mailto:a%zz@example.com,a@example.com,,mailto:a@b@c,mailto:a@example.com", reject(func(r *dmarc.Record) { r.RUA = []dmarc.URI{rua} }), "rua rua rua rua rua rua"},
		{"v=DMARC1; p=reject; ruf=MAILTO:a%2Bb%21@example.com?subject=x", reject(func(r *dmarc.Record) { r.RUF = []dmarc.URI{"MAILTO:a%2Bb%21@example.com?subject=x"} }), ""},
	} {
		got, err := dmarc.ParseRecord(tc.text)
		if err != nil {
			t.Errorf("%q: %v", tc.text, err)
			continue
		}
		var tags []string
		for _, n := range got.Notes {
			tag, _, _ := strings.Cut(n.String(), ":")
			if n.Tag == "" {
				tag = "-"
			}
			tags = append(tags, tag)
		}
		if s := strings.Join(tags, " "); s != tc.notes {
			t.Errorf("%q: notes are about %q, expected %q: %v", tc.text, s, tc.notes, got.Notes)
		}
		got.Notes = nil
		if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q:\ngot  %+v\nwant %+v", tc.text, got, tc.want)
		}
		again, err := dmarc.ParseRecord(got.String())
		got.Assumed, again.Notes = false, nil
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%q: written as %q: %v", tc.text, got.String(), err)
		}
	}
}

func TestRecordsWithoutVersionAreNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "v", "v=", "v=DMARC", "v=dmarc1; p=reject", "v=DMARC10; p=reject", "v=DMARC1 p=reject", "p=reject; v=DMARC1",
		" v=DMARC1; p=reject", "v=DMARC2; p=reject", "v=spf1 -all", "\x00\xff", "v=DMARC1, p=none",
		"v=DMARC1; p=reject; x=" + strings.Repeat("x", dmarc.MaxRecordLen),
	} {
		if r, err := dmarc.ParseRecord(text); !errors.Is(err, dmarc.ErrNoVersion) {
			t.Errorf("%.40q: got %+v, %v", text, r, err)
		}
	}
}

func TestLongRecordsAreCut(t *testing.T) {
	t.Parallel()
	var uris []string
	for i := range 2 * dmarc.MaxURIs {
		uris = append(uris, fmt.Sprintf("mailto:a%d@example.com", i))
	}
	r, err := dmarc.ParseRecord("v=DMARC1; p=reject; rua=" + strings.Join(uris, ","))
	if err != nil || len(r.RUA) != dmarc.MaxURIs || len(r.Notes) != 1 {
		t.Errorf("got %d uris, notes %v, %v", len(r.RUA), r.Notes, err)
	}
	r, err = dmarc.ParseRecord("v=DMARC1" + strings.Repeat("; x=y", dmarc.MaxTags) + "; p=reject")
	if err != nil || r.Policy != "" || len(r.Notes) != dmarc.MaxNotes {
		t.Errorf("got policy %q after many tags, %d notes, %v", r.Policy, len(r.Notes), err)
	}
	// A tag that is at the limit still counts.
	r, err = dmarc.ParseRecord("v=DMARC1" + strings.Repeat("; x=y", dmarc.MaxTags-1) + "; p=reject")
	if err != nil || r.Policy != dmarc.PolicyReject {
		t.Errorf("got policy %q, %v", r.Policy, err)
	}
}

func TestURIsHaveAddressAndHost(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		uri           dmarc.URI
		address, host string // Empty for an error.
	}{
		{"mailto:a@example.com", "a@example.com", "example.com"},
		{"Mailto:a%40b%2Cc@Example.com?x=y", "", ""}, // An at sign needs quotes.
		{"mailto:%22a%40b%22@Example.com", `"a@b"@example.com`, "example.com"},
		{"mailto:a@xn--74h.example", "a@xn--74h.example", "xn--74h.example"},
		{"mailto:a@example.com%2Cb@example.com", "", ""},
		{"mailto:a@[10.0.0.1]", "", ""},
		{"https://Example.com:8443/x", "", "example.com"},
		{"https://10.0.0.1/x", "", ""},
		{"urn:x", "", ""},
	} {
		a, err := tc.uri.Address()
		if tc.address == "" && err == nil || tc.address != "" && (err != nil || a.XString(false) != tc.address) {
			t.Errorf("%s: address %v, %v, expected %q", tc.uri, a, err, tc.address)
		}
		h, err := tc.uri.Host()
		if tc.host == "" && err == nil || tc.host != "" && (err != nil || h.ASCII != tc.host) {
			t.Errorf("%s: host %v, %v, expected %q", tc.uri, h, err, tc.host)
		}
	}
}

func TestFailureReportsAreNotForPublicSuffixes(t *testing.T) {
	t.Parallel()
	r, err := dmarc.ParseRecord("v=DMARC1; p=reject; psd=y; rua=mailto:a@example.com; ruf=mailto:f@example.com")
	if err != nil || len(r.RUF) != 1 || r.FailureURIs() != nil {
		t.Errorf("got %v, %v", r.FailureURIs(), err)
	}
	r.PSD = dmarc.PSDUnknown
	if l := r.FailureURIs(); len(l) != 1 {
		t.Errorf("got %v", l)
	}
}

func TestPolicyOfSubdomainsFallsBack(t *testing.T) {
	t.Parallel()
	const n, q, r = dmarc.PolicyNone, dmarc.PolicyQuarantine, dmarc.PolicyReject
	for _, tc := range []struct {
		p, sp, np dmarc.Policy
		exists    dmarc.Policy
		existsTag string
		absent    dmarc.Policy
		absentTag string
	}{
		{r, "", "", r, "p", r, "p"},
		{r, q, "", q, "sp", q, "sp"},
		{r, q, n, q, "sp", n, "np"},
		{n, "", r, n, "p", r, "np"},
	} {
		rec := dmarc.Record{Policy: tc.p, SubdomainPolicy: tc.sp, NonexistentPolicy: tc.np}
		if p, tag := rec.ForSubdomain(true); p != tc.exists || tag != tc.existsTag {
			t.Errorf("%+v: existing subdomain has %s from %s", tc, p, tag)
		}
		if p, tag := rec.ForSubdomain(false); p != tc.absent || tag != tc.absentTag {
			t.Errorf("%+v: absent subdomain has %s from %s", tc, p, tag)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, s := range []string{
		"v=DMARC1; p=reject; sp=none; np=quarantine; psd=y; t=y; adkim=s; aspf=s; fo=1:d:s; rua=mailto:a@example.com!10m,https://x.example/; ruf=mailto:b@example.com",
		"v = DMARC1 ; p = none ;", "v=DMARC1;;p=;=x;\xff", "v=DMARC1; pct=0; p=reject; p=none",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := dmarc.ParseRecord(s)
		if err != nil {
			return
		}
		if len(r.Notes) > dmarc.MaxNotes || len(r.RUA) > dmarc.MaxURIs || len(r.RUF) > dmarc.MaxURIs {
			t.Fatalf("limits: %d notes, %d rua, %d ruf", len(r.Notes), len(r.RUA), len(r.RUF))
		}
		again, err := dmarc.ParseRecord(r.String())
		if err != nil {
			t.Fatalf("%q: %v", r.String(), err)
		}
		if again.Assumed || len(again.Notes) > 0 && r.Usable() {
			t.Fatalf("%q: %+v", r.String(), again)
		}
		r.Notes, again.Notes, r.Assumed = nil, nil, false
		if !reflect.DeepEqual(r, again) {
			t.Fatalf("%q:\ngot  %+v\nwant %+v", r.String(), again, r)
		}
	})
}
