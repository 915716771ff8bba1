package mtasts_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"mox/dns"
	"mox/mtasts"
)

func domain(t testing.TB, s string) dns.Domain {
	t.Helper()
	d, err := dns.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func host(t testing.TB, s string) mtasts.MX { return mtasts.MX{Domain: domain(t, s)} }
func wildcard(t testing.TB, s string) mtasts.MX {
	return mtasts.MX{Wildcard: true, Domain: domain(t, s)}
}

// The examples of RFC 8461 §3.2 and A.
const (
	examplePolicy  = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n"
	appendixPolicy = "version: STSv1\nmode: testing\nmx: mx1.example.com\nmx: mx2.example.com\nmx: mx.backup-example.com\nmax_age: 1296000\n"
)

func TestParsePolicyKeepsToTheGrammar(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text string
		want mtasts.Policy
	}{
		{examplePolicy, mtasts.Policy{
			Mode:   mtasts.ModeEnforce,
			MX:     []mtasts.MX{host(t, "mail.example.com"), wildcard(t, "example.net"), host(t, "backupmx.example.com")},
			MaxAge: 604800 * time.Second,
		}},
		{appendixPolicy, mtasts.Policy{
			Mode:   mtasts.ModeTesting,
			MX:     []mtasts.MX{host(t, "mx1.example.com"), host(t, "mx2.example.com"), host(t, "mx.backup-example.com")},
			MaxAge: 1296000 * time.Second,
		}},
		{"max_age:0\nmode:none\nversion:STSv1", mtasts.Policy{Mode: mtasts.ModeNone}},
		{"version: STSv1 \t\nmode: \tnone \nmax_age: 1\n", mtasts.Policy{Mode: mtasts.ModeNone, MaxAge: time.Second}},
		{"version: STSv1\nmode: none\nmax_age: 1\n\r\n\n", mtasts.Policy{Mode: mtasts.ModeNone, MaxAge: time.Second}},
		{"version: STSv1\nmode: none\nmax_age: 9999999999", mtasts.Policy{Mode: mtasts.ModeNone, MaxAge: mtasts.MaxAge}},
		{"version: STSv1\nmode: none\nmx: MX.Example.COM\nmax_age: 1", mtasts.Policy{
			Mode: mtasts.ModeNone, MX: []mtasts.MX{host(t, "mx.example.com")}, MaxAge: time.Second}},
		{"version: STSv1\nmode: enforce\nmx: *.xn--bcher-kva.example\nmax_age: 1", mtasts.Policy{
			Mode: mtasts.ModeEnforce, MX: []mtasts.MX{wildcard(t, "bücher.example")}, MaxAge: time.Second}},
		// Unknown fields are ignored here, and kept.
		{"x-y.z: grüße an  alle\nversion: STSv1\nmode: none\nmax_age: 1\nMode: x", mtasts.Policy{
			Mode: mtasts.ModeNone, MaxAge: time.Second,
			Extensions: []mtasts.Pair{{"x-y.z", "grüße an  alle"}, {"Mode", "x"}}}},
		// Only the first counts.
		{"version: STSv1\nversion: STSv2\nmode: none\nmode: enforce\nmode: x\nmax_age: 1\nmax_age: x", mtasts.Policy{
			Mode: mtasts.ModeNone, MaxAge: time.Second}},
	} {
		got, err := mtasts.ParsePolicy(tc.text)
		if err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q: got %+v, %v, expected %+v", tc.text, got, err, tc.want)
		}
	}
}

func TestParsePolicyRefusesWhatIsMalformed(t *testing.T) {
	t.Parallel()
	const good = "version: STSv1\nmode: none\nmax_age: 1\n"
	for _, text := range []string{
		"",
		"\n" + good,
		"\ufeff" + good,
		"version: STSv1\n\nmode: none\nmax_age: 1\n",
		"mode: none\nmax_age: 1\n",
		"version: STSv1\nmax_age: 1\n",
		"version: STSv1\nmode: none\n",
		"version: STSv1\nmode: enforce\nmax_age: 1\n",
		"version: STSv1\nmode: testing\nmax_age: 1\n",
		"version: stsv1\nmode: none\nmax_age: 1\n",
		"version: STSv1\nmode: None\nmax_age: 1\n",
		"version: STSv1\nmode: none\nmax_age: -1\n",
		"version: STSv1\nmode: none\nmax_age: 1d\n",
		"version: STSv1\nmode: none\nmax_age: 12345678901\n",
		"version: STSv1\nmode: none\nmax_age: 00000000001\n",
		"version : STSv1\nmode: none\nmax_age: 1\n",
		" version: STSv1\nmode: none\nmax_age: 1\n",
		good + "mx:\n",
		good + "mx: a.example b.example\n",
		good + "mx: a.example, b.example\n",
		good + "mx: *\n",
		good + "mx: *.\n",
		good + "mx: *.*.example\n",
		good + "mx: m*.example\n",
		good + "mx: a.*.example\n",
		good + "mx: .example\n",
		good + "mx: mail.example.\n",
		good + "mx: bücher.example\n",
		good + "mx: 10.0.0.1\n",
		good + "mx: xn--a.example\n", // Not an A-label.
		good + "x: \xff\n",
		good + "x: a\rb\n",
		good + "x: a\x00b\n",
		good + "<html>\n",
		good + strings.Repeat("x", 33) + ": a\n",
		good + "x: " + strings.Repeat("y", mtasts.MaxPolicySize) + "\n",
	} {
		if got, err := mtasts.ParsePolicy(text); !errors.Is(err, mtasts.ErrPolicySyntax) {
			t.Errorf("%.80q: got %+v, %v", text, got, err)
		}
	}
	_, err := mtasts.ParsePolicy(good + "mx: 10.0.0.1\n")
	if err == nil || !strings.Contains(err.Error(), "line 4: mx is neither a host name") {
		t.Errorf("got %v, expected the line", err)
	}
}

func TestHostsMatchPatterns(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern mtasts.MX
		host    string
		want    bool
	}{
		{host(t, "mail.example.com"), "mail.example.com", true},
		{host(t, "mail.example.com"), "MAIL.example.com", true},
		{host(t, "mail.example.com"), "a.mail.example.com", false},
		{host(t, "mail.example.com"), "example.com", false},
		// RFC 8461 §4.1: "mx.example.net" and not "mx.a.example.net" or "example.net".
		{wildcard(t, "example.net"), "mx.example.net", true},
		{wildcard(t, "example.net"), "mx.a.example.net", false},
		{wildcard(t, "example.net"), "example.net", false},
		{wildcard(t, "example.net"), "xexample.net", false},
		{wildcard(t, "net"), "net", false},
		{wildcard(t, "bücher.example"), "mx.bücher.example", true},
		{wildcard(t, "bücher.example"), "mx.xn--bcher-kva.example", true},
		{host(t, "xn--bcher-kva.example"), "BÜCHER.example", true},
	} {
		p := mtasts.Policy{Mode: mtasts.ModeEnforce, MX: []mtasts.MX{host(t, "other.example"), tc.pattern}}
		if got := p.Matches(domain(t, tc.host)); got != tc.want {
			t.Errorf("%s matches %s: %v", tc.pattern, tc.host, got)
		}
	}
	if (mtasts.Policy{Mode: mtasts.ModeTesting}).Matches(domain(t, "a.example")) {
		t.Error("policy without hosts matches")
	}
	if !(mtasts.Policy{Mode: mtasts.ModeNone}).Matches(domain(t, "a.example")) {
		t.Error("no policy does not match")
	}
	if (mtasts.MX{Wildcard: true}).Matches(dns.Domain{ASCII: "localhost"}) {
		t.Error("empty pattern matches")
	}
}

func TestPolicyIsWrittenAsServed(t *testing.T) {
	t.Parallel()
	p, err := mtasts.ParsePolicy(examplePolicy)
	if err != nil || p.String() != examplePolicy {
		t.Errorf("got %q, %v", p.String(), err)
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add(examplePolicy)
	f.Add(appendixPolicy)
	f.Add("version:STSv1\nmode:none\nmax_age:9999999999\nx:  ü \n")
	h := domain(f, "mx.example.net")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := mtasts.ParsePolicy(text)
		if err != nil {
			return
		}
		p.Matches(h)
		again, err := mtasts.ParsePolicy(p.String())
		// What is written may be larger than what was read: there is a space after each
		// colon, and CRLF.
		if len(p.String()) <= mtasts.MaxPolicySize && (err != nil || !reflect.DeepEqual(p, again)) {
			t.Errorf("%q: %+v became %q, parsed as %+v, %v", text, p, p.String(), again, err)
		}
	})
}

func BenchmarkParsePolicy(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := mtasts.ParsePolicy(examplePolicy); err != nil {
			b.Fatal(err)
		}
	}
}
