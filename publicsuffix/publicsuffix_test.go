package publicsuffix_test

import (
	"regexp"
	"strings"
	"testing"

	"mox/dns"
	"mox/internal/testkit"
	"mox/publicsuffix"
)

// vector is a line "checkPublicSuffix('domain', 'expected');", with null for none.
var vector = regexp.MustCompile(`^checkPublicSuffix\((null|'([^']*)'), (null|'([^']*)')\);$`)

// malformed are vectors that are no domains for this package, whose callers parse
// them before: these have nothing to expect either.
var malformed = map[string]bool{"": true, ".com": true, ".example": true, ".example.com": true, ".example.example": true}

// vectors is the number of lines with a vector, all of which apply to the list that is
// built in. Four more are comments, about the domain "local" that is not in any list.
const vectors = 78

func TestVectorsOfTheList(t *testing.T) {
	t.Parallel()
	data := testkit.ReadFile(t, testkit.Shared(t, "testdata/auth/psl/test_psl.txt"))
	n := 0
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "//") {
			continue
		}
		m := vector.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("malformed line %q", line)
			continue
		}
		n++
		in, want := m[2], m[4]
		d, err := dns.ParseDomain(in)
		if malformed[in] != (err != nil) {
			t.Errorf("%q: %v", in, err)
		}
		if err != nil {
			continue
		}
		org, ok := publicsuffix.Organization(d, true)
		if ok != (want != "") || org.Name() != want && org.ASCII != want {
			t.Errorf("%s: got %v, %v", line, org, ok)
		}
	}
	if n != vectors {
		t.Errorf("%d vectors, expected %d", n, vectors)
	}
}

func TestSectionsAreToldApart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		domain       string
		suffix       string // With all rules.
		section      publicsuffix.Section
		org          string
		icannSuffix  string // Without private rules.
		icannSection publicsuffix.Section
		icannOrg     string
	}{
		{"www.example.com", "com", publicsuffix.ICANN, "example.com", "com", publicsuffix.ICANN, "example.com"},
		{"com", "com", publicsuffix.ICANN, "", "com", publicsuffix.ICANN, ""},
		{"a.b.example.co.uk", "co.uk", publicsuffix.ICANN, "example.co.uk", "co.uk", publicsuffix.ICANN, "example.co.uk"},
		{"user.github.io", "github.io", publicsuffix.Private, "user.github.io", "io", publicsuffix.ICANN, "github.io"},
		{"a.user.github.io", "github.io", publicsuffix.Private, "user.github.io", "io", publicsuffix.ICANN, "github.io"},
		{"github.io", "github.io", publicsuffix.Private, "", "io", publicsuffix.ICANN, "github.io"},
		{"x.y.elb.amazonaws.com.cn", "y.elb.amazonaws.com.cn", publicsuffix.Private, "x.y.elb.amazonaws.com.cn", "com.cn", publicsuffix.ICANN, "amazonaws.com.cn"},
		{"www.ck", "ck", publicsuffix.ICANN, "www.ck", "ck", publicsuffix.ICANN, "www.ck"},                      // An exception.
		{"a.b.test.ck", "test.ck", publicsuffix.ICANN, "b.test.ck", "test.ck", publicsuffix.ICANN, "b.test.ck"}, // A wildcard.
		{"a.b.nosuchtld", "nosuchtld", publicsuffix.Unlisted, "b.nosuchtld", "nosuchtld", publicsuffix.Unlisted, "b.nosuchtld"},
		{"localhost", "localhost", publicsuffix.Unlisted, "", "localhost", publicsuffix.Unlisted, ""},
		{"www.食狮.公司.cn", "公司.cn", publicsuffix.ICANN, "食狮.公司.cn", "公司.cn", publicsuffix.ICANN, "食狮.公司.cn"},
		{"bücher.example.com", "com", publicsuffix.ICANN, "example.com", "com", publicsuffix.ICANN, "example.com"},
	} {
		d, err := dns.ParseDomain(tc.domain)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []struct {
			private     bool
			suffix, org string
			section     publicsuffix.Section
		}{{true, tc.suffix, tc.org, tc.section}, {false, tc.icannSuffix, tc.icannOrg, tc.icannSection}} {
			suffix, section := publicsuffix.Suffix(d, v.private)
			org, ok := publicsuffix.Organization(d, v.private)
			if suffix.Name() != v.suffix || section != v.section || org.Name() != v.org || ok != (v.org != "") {
				t.Errorf("%s, private %v: suffix %v %v, organisation %v %v", tc.domain, v.private, suffix, section, org, ok)
			}
			// Both forms are those that parsing gives.
			for _, got := range []dns.Domain{suffix, org} {
				if again, err := dns.ParseDomain(got.Name()); !got.IsZero() && (err != nil || again != got) {
					t.Errorf("%s: %#v, %v", tc.domain, got, err)
				}
			}
		}
	}
	if suffix, section := publicsuffix.Suffix(dns.Domain{}, true); !suffix.IsZero() || section != publicsuffix.Unlisted {
		t.Error("no domain has a suffix")
	}
	if org, ok := publicsuffix.Organization(dns.Domain{}, true); ok || !org.IsZero() {
		t.Error("no domain has an organisation")
	}
	if !strings.Contains(publicsuffix.Version(), "publicsuffix.org") {
		t.Errorf("version %q", publicsuffix.Version())
	}
}

func FuzzOrganization(f *testing.F) {
	for _, s := range []string{"www.example.com", "user.github.io", "食狮.公司.cn", "www.ck", "a.b.c.kobe.jp", "city.kobe.jp", "x.nosuchtld", "_dmarc.example.org"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := dns.ParseDomainLax(s)
		if err != nil {
			return
		}
		for _, private := range []bool{true} {
			suffix, _ := publicsuffix.Suffix(d, private)
			org, ok := publicsuffix.Organization(d, private)
			if suffix.IsZero() || d != suffix && !strings.HasSuffix(d.ASCII, "."+suffix.ASCII) || ok != (d != suffix) {
				t.Fatalf("%v: suffix %v, organisation %v %v", d, suffix, org, ok)
			}
			if !ok {
				continue
			}
			if strings.Count(org.ASCII, ".") != strings.Count(suffix.ASCII, ".")+1 || d != org && !strings.HasSuffix(d.ASCII, "."+org.ASCII) {
				t.Fatalf("%v: suffix %v, organisation %v", d, suffix, org)
			}
			if again, ok := publicsuffix.Organization(org, private); !ok || again != org {
				t.Fatalf("%v: organisation %v, and of that %v %v", d, org, again, ok)
			}
			if again, err := dns.ParseDomainLax(org.Name()); err != nil || again != org {
				t.Fatalf("%v: organisation %#v, parsed %#v %v", d, org, again, err)
			}
		}
	})
}
