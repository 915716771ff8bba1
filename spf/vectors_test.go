package spf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"mox/internal/testkit"
	"mox/smtp"
)

// suite is a document of the test suite of openspf.org.
type suite struct {
	Description string
	Tests       map[string]struct {
		Helo        string
		Host        string
		Mailfrom    string
		Result      yaml.Node // One or several.
		Explanation string
	}
	Zonedata map[string][]yaml.Node
}

// vectors is the number of cases in the suite.
const vectors = 203

// wrong are the expectations in the suite that do not hold.
var wrong = map[string]string{
	"v-macro-ip6": "expects upper-case nibbles for %{i}, of which the example in RFC 7208 §7.4 has lower-case ones; compared without case",
}

func TestSuiteOfOpenspf(t *testing.T) {
	t.Parallel()
	data := testkit.ReadFile(t, testkit.Shared(t, "testdata/auth/spf/rfc7208-tests.yml"))
	dec := yaml.NewDecoder(bytes.NewReader(data))
	n := 0
	for {
		var s suite
		if err := dec.Decode(&s); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		z := s.zone(t)
		for name, tc := range s.Tests {
			n++
			var want []string
			if err := tc.Result.Decode(&want); err != nil {
				want = []string{tc.Result.Value}
			}
			local, domain := "", tc.Helo
			if i := strings.LastIndexByte(tc.Mailfrom, '@'); i >= 0 {
				local, domain = tc.Mailfrom[:i], tc.Mailfrom[i+1:]
			}
			ip := netip.MustParseAddr(tc.Host)
			r := checkHost(t.Context(), nil, z, ip, identity{local, domain}, tc.Helo, "")
			if !slices.Contains(want, string(r.Status)) {
				t.Errorf("%s, %s: got %q (%v), expected %q", s.Description, name, r.Status, r.Err, want)
			}
			explanation := strings.ReplaceAll(tc.Explanation, "DEFAULT", "")
			if tc.Explanation != "" && r.Explanation != explanation && (wrong[name] == "" || !strings.EqualFold(r.Explanation, explanation)) {
				t.Errorf("%s, %s: got explanation %q, expected %q", s.Description, name, r.Explanation, explanation)
			}
			checkResult(t, r)

			// What can be given to the exported function has the same result.
			args, ok := vectorArgs(ip, tc.Mailfrom, tc.Helo)
			if !ok {
				continue
			}
			if got := Check(t.Context(), nil, z, args); got.Status != r.Status || got.Explanation != r.Explanation {
				t.Errorf("%s, %s: with Check got %q, %q, otherwise %q, %q", s.Description, name, got.Status, got.Explanation, r.Status, r.Explanation)
			}
		}
	}
	if n != vectors {
		t.Errorf("suite has %d cases, expected %d", n, vectors)
	}
}

// vectorArgs returns the arguments for Check if they are well-formed.
func vectorArgs(ip netip.Addr, mailFrom, helo string) (Args, bool) {
	args := Args{RemoteIP: net.IP(ip.AsSlice())}
	var err error
	if mailFrom != "" {
		if args.MailFrom, err = smtp.ParseMailbox(mailFrom, smtp.Lenient); err != nil {
			return Args{}, false
		}
	}
	if args.HELO, err = smtp.ParseEHLO(helo, smtp.Lenient); err != nil {
		return Args{}, false
	}
	return args, true
}

// checkResult checks what holds for all results.
func checkResult(t *testing.T, r Result) {
	t.Helper()
	verdict := slices.Contains([]Status{StatusPass, StatusFail, StatusSoftfail, StatusNeutral}, r.Status)
	var e *Error
	if verdict != (r.Err == nil) || !verdict && (!errors.As(r.Err, &e) || e.Status != r.Status) {
		t.Errorf("status %q with error %v", r.Status, r.Err)
	}
	if verdict != (r.Mechanism != "") || verdict != (r.Problem == "") {
		t.Errorf("status %q with mechanism %q and problem %q", r.Status, r.Mechanism, r.Problem)
	}
	if r.Explanation != "" && r.Status != StatusFail {
		t.Errorf("status %q with explanation %q", r.Status, r.Explanation)
	}
	if len(r.Explanation) > MaxExplanation || len(r.Problem) > MaxProblem || toASCII(r.Explanation+r.Problem) != r.Explanation+r.Problem {
		t.Errorf("explanation %q, problem %q", r.Explanation, r.Problem)
	}
}

// zone returns the records of a document. A record of type SPF stands for one of
// type TXT too, unless the name has records of that type.
func (s suite) zone(t *testing.T) *zone {
	t.Helper()
	z := newZone("")
	for name, records := range s.Zonedata {
		var txt, spf []string
		hasTXT := false
		for _, rec := range records {
			if rec.Kind == yaml.ScalarNode {
				z.add(name, "TIMEOUT", "")
				continue
			}
			typ, value := rec.Content[0].Value, rec.Content[1]
			switch typ {
			case "TXT":
				hasTXT = true
				if value.Value != "NONE" {
					txt = append(txt, joined(t, value))
				}
			case "SPF":
				spf = append(spf, joined(t, value))
			case "MX":
				z.add(name, typ, fmt.Sprintf("%s %s", value.Content[0].Value, value.Content[1].Value))
			default:
				z.add(name, typ, value.Value)
			}
		}
		if !hasTXT {
			txt = spf
		}
		for _, s := range txt {
			z.add(name, "TXT", s)
		}
	}
	return z
}

// joined returns the strings of a record as one. In the suite a character is a byte.
func joined(t *testing.T, n *yaml.Node) string {
	t.Helper()
	var l []string
	if n.Kind == yaml.SequenceNode {
		for _, c := range n.Content {
			l = append(l, c.Value)
		}
	} else {
		l = []string{n.Value}
	}
	var b []byte
	for _, c := range strings.Join(l, "") {
		if c > 0xff {
			t.Fatalf("character %q in suite", c)
		}
		b = append(b, byte(c))
	}
	return string(b)
}
