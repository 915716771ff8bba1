package dns

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
)

func TestParseDomainTakesNamesInBothForms(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in, ascii, unicode string
	}{
		{"example.org", "example.org", ""},
		{"Example.ORG", "example.org", ""},
		{"localhost", "localhost", ""},
		{"1.example", "1.example", ""},
		{"4.3.2.1.in-addr.arpa", "4.3.2.1.in-addr.arpa", ""},
		{"a-b.example", "a-b.example", ""},
		{"r4---sn.example", "r4---sn.example", ""}, // Not an A-label, nothing for IDNA.
		{"3com.com", "3com.com", ""},

		{"bücher.example", "xn--bcher-kva.example", "bücher.example"},
		{"BÜCHER.example", "xn--bcher-kva.example", "bücher.example"},
		{"bu\u0308cher.example", "xn--bcher-kva.example", "bücher.example"}, // Normalised to form C.
		{"xn--bcher-kva.example", "xn--bcher-kva.example", "bücher.example"},
		{"XN--BCHER-KVA.example", "xn--bcher-kva.example", "bücher.example"},
		{"bücher.xn--fiqs8s", "xn--bcher-kva.xn--fiqs8s", "bücher.中国"},
		{"straße.example", "xn--strae-oqa.example", "straße.example"}, // Not "strasse": RFC 5891 has no such mapping.
		{"例え。テスト", "xn--r8jz45g.xn--zckzah", "例え.テスト"},                // Ideographic full stop.
		{"ｅｘａｍｐｌｅ.org", "example.org", ""},                            // Full width.
	} {
		for name, parse := range map[string]func(string) (Domain, error){"strict": ParseDomain, "lax": ParseDomainLax} {
			d, err := parse(tc.in)
			if err != nil {
				t.Errorf("%s %q: %v", name, tc.in, err)
				continue
			}
			if want := (Domain{tc.ascii, tc.unicode}); d != want {
				t.Errorf("%s %q: got %q, %q, want %q, %q", name, tc.in, d.ASCII, d.Unicode, want.ASCII, want.Unicode)
			}
		}
	}
}

func TestParseDomainRefusesWhatIsNotAName(t *testing.T) {
	t.Parallel()
	label63 := strings.Repeat("a", 63)
	name253 := strings.Join([]string{label63, label63, label63, strings.Repeat("b", 61)}, ".")
	if len(name253) != 253 {
		t.Fatal("test is wrong")
	}
	for _, in := range []string{name253, label63 + ".example"} {
		if _, err := ParseDomain(in); err != nil {
			t.Errorf("longest name: %v", err)
		}
	}
	for _, tc := range []struct {
		in   string
		want error
	}{
		{"", ErrEmptyLabel},
		{".", ErrTrailingDot},
		{"example.org.", ErrTrailingDot},
		{".example.org", ErrEmptyLabel},
		{"example..org", ErrEmptyLabel},
		{"b..ücher.example", ErrEmptyLabel},
		{label63 + "a.example", ErrTooLong},
		{name253 + "b", ErrTooLong},
		{strings.Repeat("a.", 5000) + "a", ErrTooLong},
		{strings.Repeat("ü", 300) + ".example", ErrTooLong},
		{strings.Repeat("ü", 64) + ".example", ErrTooLong},
		{"10.0.0.1", ErrIPAddress},
		{"::1", ErrIPAddress},
		{"2001:db8::1", ErrIPAddress},
		{"127.1", ErrIPAddress},
		{"1.2.3.4.5", ErrIPAddress},
		{"１０.0.0.1", ErrIPAddress}, // Full width.
		{"[10.0.0.1]", ErrBadName},
		{"-a.example", ErrBadName},
		{"a-.example", ErrBadName},
		{"a b.example", ErrBadName},
		{"a\x00b.example", ErrBadName},
		{"a\n.example", ErrBadName},
		{"user@example.org", ErrBadName},
		{"a/b", ErrBadName},
		{"*.example.org", ErrBadName},
		{"_dmarc.example.org", ErrBadName},
		{"\xff.example", ErrBadName},
		{"xn--a.example", ErrBadName},    // Not Punycode of anything.
		{"xn--.example", ErrEmptyLabel},  // Nothing encoded.
		{"xn--abc-.example", ErrBadName}, // All ASCII: not what encoding gives.
		{"xn--bcher-KVA\u0080.example", ErrBadName},
		{"\u200d.example", ErrBadName},  // Joiner without context, RFC 5892 §A.2.
		{"\u0301a.example", ErrBadName}, // Starts with a combining mark, RFC 5891 §4.2.3.2.
		{"אa1.example", ErrBadName},     // Mixed direction, RFC 5893 §2.
		{"ab--ü.example", ErrBadName},   // RFC 5891 §4.2.3.1.
	} {
		d, err := ParseDomain(tc.in)
		if !errors.Is(err, tc.want) {
			t.Errorf("%.40q: got %v, %v, want %v", tc.in, d, err, tc.want)
		}
		if len(err.Error()) > 1500 {
			t.Errorf("error of %d bytes", len(err.Error()))
		}
	}
}

func TestParseDomainLaxTakesUnderscores(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, ascii, unicode string }{
		{"_dmarc.example.org", "_dmarc.example.org", ""},
		{"Sel_1._domainkey.example.org", "sel_1._domainkey.example.org", ""},
		{"_dmarc.bücher.example", "_dmarc.xn--bcher-kva.example", "_dmarc.bücher.example"},
		{"-a-.example", "-a-.example", ""},
	} {
		d, err := ParseDomainLax(tc.in)
		if want := (Domain{tc.ascii, tc.unicode}); err != nil || d != want {
			t.Errorf("%q: got %v, %v, want %v", tc.in, d, err, want)
		}
	}
	for _, in := range []string{"a b.example", "a+b.example", "_a..example", "_a.", "10.0.0.1", "a*ü.example", "ü b.example"} {
		if d, err := ParseDomainLax(in); err == nil {
			t.Errorf("%q: got %v", in, d)
		}
	}
}

func TestDomainShowsTheFormThatIsAskedFor(t *testing.T) {
	t.Parallel()
	idn := Domain{ASCII: "xn--bcher-kva.example", Unicode: "bücher.example"}
	plain := Domain{ASCII: "example.org"}
	for _, tc := range []struct{ got, want string }{
		{idn.Name(), "bücher.example"},
		{idn.XName(true), "bücher.example"},
		{idn.XName(false), "xn--bcher-kva.example"},
		{idn.String(), "bücher.example/xn--bcher-kva.example"},
		{slog.AnyValue(idn).Resolve().String(), "bücher.example/xn--bcher-kva.example"},
		{plain.Name(), "example.org"},
		{plain.XName(true), "example.org"},
		{plain.XName(false), "example.org"},
		{plain.String(), "example.org"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
	if plain.IsZero() || !(Domain{}).IsZero() {
		t.Error("IsZero")
	}
}

func TestIPDomainIsOneOrTheOther(t *testing.T) {
	t.Parallel()
	ip := IPDomain{IP: net.ParseIP("2001:db8::1")}
	dom := IPDomain{Domain: Domain{"xn--bcher-kva.example", "bücher.example"}}
	var none IPDomain
	if !ip.IsIP() || ip.IsDomain() || ip.IsZero() || ip.String() != "2001:db8::1" || ip.XString(false) != "2001:db8::1" {
		t.Errorf("address: %v", ip)
	}
	if dom.IsIP() || !dom.IsDomain() || dom.IsZero() || dom.XString(true) != "bücher.example" || dom.XString(false) != "xn--bcher-kva.example" {
		t.Errorf("domain: %v", dom)
	}
	if dom.LogValue().String() != "bücher.example/xn--bcher-kva.example" {
		t.Errorf("domain in a log: %v", dom.LogValue())
	}
	if none.IsIP() || none.IsDomain() || !none.IsZero() || none.String() != "" {
		t.Errorf("zero value: %v", none)
	}
}

// All that is parsed is stable: parsing either form again gives the same domain.
func FuzzParseDomain(f *testing.F) {
	for _, s := range []string{
		"example.org", "bücher.example", "xn--bcher-kva.example", "_dmarc.example", "10.0.0.1", "例え。テスト",
		"a..b", "xn--", "xn--a-.b", "ｅ.org", "\u200d.example", "ẞ.de", "faß.de", "İ.com", "a\u00adb.example", "٠.example",
		"xn--0.example", "xn--\x80", "ab--cd.example", "1.2", "ǅ.example", "\u2488.example",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		strict, err := ParseDomain(s)
		lax, laxErr := ParseDomainLax(s)
		if err == nil && (laxErr != nil || lax != strict) {
			t.Fatalf("%q: strict %v, lax %v, %v", s, strict, lax, laxErr)
		}
		if laxErr != nil {
			return
		}
		if len(lax.ASCII) > MaxNameLen || lax.Unicode == lax.ASCII || lax.ASCII != strings.ToLower(lax.ASCII) {
			t.Fatalf("%q: %#v", s, lax)
		}
		for i := 0; i < len(lax.ASCII); i++ {
			if c := lax.ASCII[i]; c <= ' ' || c >= 0x7f {
				t.Fatalf("%q: byte %#x in %q", s, c, lax.ASCII)
			}
		}
		for _, form := range []string{lax.ASCII, lax.Name()} {
			if again, err := ParseDomainLax(form); err != nil || again != lax {
				t.Fatalf("%q: %#v, and its form %q: %#v, %v", s, lax, form, again, err)
			}
		}
		if err == nil {
			if again, err := ParseDomain(strict.Name()); err != nil || again != strict {
				t.Fatalf("%q: strict %#v, and its name: %#v, %v", s, strict, again, err)
			}
		}
	})
}

func BenchmarkParseDomain(b *testing.B) {
	for _, s := range []string{"mail.example.org", "bücher.example"} {
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseDomain(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
