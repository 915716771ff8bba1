package spf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// pyspf reads cases as JSON from its standard input, gives each to Debian's
// python3-spf with the DNS data in the case, and writes the results.
const pyspf = `
import json, sys, spf
case = None
voids = []
failed = []
def lookup(name, qtype, *args, **kwargs):
    asked = name
    name = name.rstrip(".")
    for _ in range(10):
        key = qtype + " " + name.lower()
        values = case["Records"].get(key, [])
        if "TIMEOUT" in values or not values and "TIMEOUT " + name.lower() in case["Records"]:
            failed.append(qtype + " " + asked)
            raise spf.TempError("DNS timeout")
        if values:
            break
        alias = case["Records"].get("CNAME " + name.lower())
        if not alias:
            if qtype != "TXT":
                voids.append(qtype + " " + asked)
            return []
        name = alias[0]
    answer = []
    for v in values:
        if qtype == "TXT":
            v = [v.encode()]
        elif qtype == "MX":
            pref, host = v.split(" ", 1)
            v = (int(pref), host.rstrip("."))
        answer.append(((asked, qtype), v))
    return answer
spf.DNSLookup = lookup
results = []
for case in json.load(sys.stdin):
    voids, failed = [], []
    try:
        result, explanation = spf.check2(i=case["IP"], s=case["Sender"], h=case["HELO"], receiver="mx.receiver.example")
    except Exception as e:
        result, explanation = "exception", repr(e)
    results.append({"Result": result, "Text": explanation, "Voids": voids, "Failed": failed})
json.dump(results, sys.stdout)
`

// A peerCase is a check with all there is in DNS.
type peerCase struct {
	IP, Sender, HELO string
	Records          map[string][]string // As in zone.
}

// A peerResult is what pyspf made of a case.
type peerResult struct {
	Result, Text  string
	Voids, Failed []string // Lookups other than TXT that found nothing, and any that failed, "MX example.org".
}

// interopCases is how many records are compared, generated from interopSeed.
const (
	interopCases = 500
	interopSeed  = 1
)

// TestVerdictsEqualThoseOfPyspf is about records without what pyspf and the RFC
// disagree about, see [generator.agreed].
func TestVerdictsEqualThoseOfPyspf(t *testing.T) {
	t.Parallel()
	classes := comparePyspf(t, true)
	if len(classes) != 0 {
		t.Errorf("differences: %v", classes)
	}
}

// TestVerdictsDifferFromThoseOfPyspfForKnownReasonsOnly is about records with all
// that there is.
func TestVerdictsDifferFromThoseOfPyspfForKnownReasonsOnly(t *testing.T) {
	t.Parallel()
	n := 0
	for _, m := range comparePyspf(t, false) {
		n += m
	}
	if n > interopCases/20 {
		t.Errorf("%d differences that have a reason, which is too many", n)
	}
}

// comparePyspf returns how many verdicts differ, for each reason that is known.
func comparePyspf(t *testing.T, agreed bool) map[string]int {
	t.Helper()
	python := testkit.Python(t, "spf")
	t.Logf("seed %d", interopSeed)
	gen := &generator{Rand: rand.New(rand.NewPCG(interopSeed, 0)), agreed: agreed}
	cases := make([]peerCase, interopCases)
	for i := range cases {
		cases[i] = gen.peerCase()
	}
	theirs := runPyspf(t, python, cases)
	seen := map[Status]int{}
	classes := map[string]int{}
	lookups := 0
	for i, c := range cases {
		z := &zone{records: c.Records}
		local, domain, _ := strings.Cut(c.Sender, "@")
		if c.Sender == "" {
			domain = c.HELO
		}
		r := checkHost(t.Context(), nil, z, netip.MustParseAddr(c.IP), identity{local, domain}, c.HELO, "mx.receiver.example")
		seen[r.Status]++
		lookups += len(z.queries)
		if string(r.Status) == theirs[i].Result {
			continue
		}
		if class := difference(c, z, r, theirs[i]); class != "" {
			classes[class]++
			continue
		}
		js, err := json.MarshalIndent(c, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("case %d: got %q, %v; pyspf has %+v\n%s", i, r.Status, r.Err, theirs[i], js)
	}
	t.Logf("results of %d records with %d lookups: %v, differences: %v", len(cases), lookups, seen, classes)
	for _, s := range []Status{StatusNone, StatusNeutral, StatusPass, StatusFail, StatusSoftfail, StatusTemperror, StatusPermerror} {
		if seen[s] < interopCases/100 {
			t.Errorf("%d cases with result %q, which is too few", seen[s], s)
		}
	}
	return classes
}

// difference returns the class of a case for which pyspf has another result than the
// RFC asks for, or nothing. The zone is the one of our check.
func difference(c peerCase, z *zone, r Result, theirs peerResult) string {
	records := ""
	for _, q := range z.queries {
		if name, ok := strings.CutPrefix(q, "TXT "); ok {
			records += " " + strings.ToLower(strings.Join(c.Records[zoneKey("TXT", name)], " "))
		}
	}
	hasP := strings.Contains(records, "%{p")
	switch {
	case theirs.Result == "permerror" && strings.Contains(theirs.Text, "Void lookup limit") && r.Status != StatusPermerror && slices.ContainsFunc(theirs.Voids, c.isIndirect):
		return "void lookups count one by one for the hosts of an mx and the names of the client, the latter also for macros in terms that are not reached, where RFC 7208 §4.6.4 counts terms"

	case theirs.Result == "temperror" && r.Status != StatusTemperror && slices.ContainsFunc(theirs.Failed, c.isClientName):
		return "a failing lookup for the names of the client is a temperror, where by RFC 7208 §5.5 and §7.3 there is no name then"

	case theirs.Result == "temperror" && r.Status != StatusTemperror && slices.ContainsFunc(theirs.Failed, func(q string) bool { return c.isMXHost(q) && !slices.Contains(z.queries, q) }):
		return "all hosts of an mx are looked up before any is compared, also those behind one that matches, about which RFC 7208 §5.4 says nothing"

	case errors.Is(r.Err, ErrSyntax) && strings.Contains(r.Problem, "number of parts is zero"):
		return "%{d0} is taken, where RFC 7208 §7.3 has that the number must not be zero"

	case r.Status != StatusPermerror && strings.Contains(theirs.Text, "= MUST appear at most once") && !strings.Contains(theirs.Text, "redirect=") && !strings.Contains(theirs.Text, "exp="):
		return "an unknown modifier may be in a record once, where RFC 7208 §6 has that they are ignored however often"

	case errors.Is(r.Err, ErrTooManyTerms) && hasP && !strings.Contains(theirs.Text, "Too many DNS lookups"):
		return "%{p} does not count as a term, as RFC 7208 §4.6.4 has it"
	}
	return ""
}

// isMXHost reports whether a lookup can be that of the address of a host of an mx.
func (c peerCase) isMXHost(query string) bool {
	typ, name, _ := strings.Cut(query, " ")
	if typ != "A" && typ != "AAAA" {
		return false
	}
	for key, values := range c.Records {
		if strings.HasPrefix(key, "MX ") && slices.ContainsFunc(values, func(v string) bool { return strings.HasSuffix(v, " "+name) }) {
			return true
		}
	}
	return false
}

// isClientName reports whether a lookup can be one for the names of the client.
func (c peerCase) isClientName(query string) bool {
	typ, name, _ := strings.Cut(query, " ")
	if typ == "PTR" {
		return true
	}
	reverse := reverseName(netip.MustParseAddr(c.IP).Unmap())
	return (typ == "A" || typ == "AAAA") && slices.Contains(c.Records["PTR "+reverse], name)
}

// isIndirect reports whether a lookup can be one for what is not named in a record.
func (c peerCase) isIndirect(query string) bool {
	return c.isMXHost(query) || c.isClientName(query)
}

func runPyspf(t *testing.T, python string, cases []peerCase) []peerResult {
	t.Helper()
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	var out, errw bytes.Buffer
	cmd := exec.CommandContext(t.Context(), python, "-c", pyspf)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errw
	if err := cmd.Run(); err != nil {
		t.Fatalf("running pyspf: %v\n%s", err, errw.Bytes())
	}
	var results []peerResult
	if err := json.Unmarshal(out.Bytes(), &results); err != nil || len(results) != len(cases) {
		t.Fatalf("results of pyspf: %d, %v", len(results), err)
	}
	return results
}

// A generator makes up cases.
type generator struct {
	*rand.Rand
	c peerCase

	// agreed leaves out what pyspf and the RFC disagree about, all of which difference
	// names: hosts of an mx and names of the client without addresses, or with a lookup
	// that fails; %{p} in a record with about as many terms as may be; unknown modifiers
	// that are repeated; %{d0}.
	agreed bool
}

// pick returns one of its arguments.
func (g *generator) pick(l ...string) string {
	return l[g.IntN(len(l))]
}

// chance is true in one of n calls.
func (g *generator) chance(n int) bool {
	return g.IntN(n) == 0
}

func (g *generator) add(name, typ, value string) {
	key := zoneKey(typ, name)
	g.c.Records[key] = append(g.c.Records[key], value)
}

// peerCase makes up a case: hosts, then records that refer to them and to each
// other.
func (g *generator) peerCase() peerCase {
	g.c = peerCase{
		IP:      g.pick("192.0.2.1", "192.0.2.77", "198.51.100.200", "::ffff:192.0.2.1", "2001:db8::1", "2001:db8:ffff::9"),
		Sender:  g.pick("user", "strong-bad", "a.b+c-d=e", "mary") + "@d0.example.com",
		HELO:    g.pick("mail.example.net", "d0.example.com", "h1.example.net"),
		Records: map[string][]string{},
	}
	if g.chance(12) {
		g.c.Sender, g.c.HELO = "", g.pick("d0.example.com", "localhost", "[192.0.2.1]")
	}
	g.hosts()
	switch g.IntN(8) {
	case 0:
		g.chain()
	case 1:
		g.manyTerms()
	default:
		for i := range 5 {
			g.add(fmt.Sprintf("d%d.example.com", i), "TXT", g.record(i))
		}
	}
	g.oddities()
	return g.c
}

// hosts adds names with addresses of all kinds, mail exchangers, names for the
// client, and names that only have what macros need.
func (g *generator) hosts() {
	for i := range 6 {
		name := fmt.Sprintf("h%d.example.net", i)
		if g.chance(8) {
			g.add(name, "CNAME", "h9.example.net")
			continue
		}
		for range g.addresses() {
			g.add(name, "A", g.pick("192.0.2.1", "192.0.2.77", "192.0.2.130", "198.51.100.7", "203.0.113.5"))
		}
		for range g.addresses() {
			g.add(name, "AAAA", g.pick("2001:db8::1", "2001:db8::2", "2001:db8:ffff::9", "2001:db8:1::5"))
		}
	}
	g.add("h9.example.net", "A", "192.0.2.77")
	g.add("h9.example.net", "AAAA", "2001:db8::1")
	for i := range 3 {
		for j, host := range g.Perm(12)[:g.pickInt(0, 1, 2, 2, 3, 10, 11)] {
			if host > 5 {
				host = 9
			}
			g.add(fmt.Sprintf("m%d.example.net", i), "MX", fmt.Sprintf("%d h%d.example.net", j, host))
		}
	}
	g.add("null.example.net", "MX", "0 .")
	ptr := reverseName(netip.MustParseAddr(g.c.IP).Unmap())
	names := g.pickInt(0, 1, 1, 2, 3)
	if g.agreed {
		names = max(names, 1)
		for _, name := range []string{"d0.example.com", "forged.example.org"} {
			g.add(name, "A", "203.0.113.5")
			g.add(name, "AAAA", "2001:db8:1::5")
		}
	}
	for range names {
		g.add(ptr, "PTR", g.pick("h0.example.net", "h1.example.net", "h9.example.net", "d0.example.com", "forged.example.org"))
	}
	for _, name := range []string{"user.l.example.net", "bad.strong.l.example.net", "1.2.0.192.i.example.net", "d0.example.com.o.example.net", "a.b+c-d=e.l.example.net"} {
		if g.chance(2) {
			g.add(name, "A", "127.0.0.2")
		}
	}
}

// addresses returns how many addresses of a family a host has.
func (g *generator) addresses() int {
	if g.agreed {
		return g.pickInt(1, 1, 1, 2, 2)
	}
	return g.pickInt(0, 1, 1, 1, 2, 2)
}

func (g *generator) pickInt(l ...int) int {
	return l[g.IntN(len(l))]
}

// domain returns a domain-spec.
func (g *generator) domain() string {
	switch g.IntN(6) {
	case 0:
		return g.pick("%{l}.l.example.net", "%{lr-}.l.example.net", "%{L}.l.example.net", "%{ir}.i.example.net", "%{o}.o.example.net", "%{h}", "%{s}.example.net", "%{l1r+-}.l.example.net",
			"h1.%{d2}.example.net", "%{d}", "%{h3}", "%{d1r}.%{v}.example.net", "h%-%_%%.example.net", "%{i}.%{o2}")
	case 1:
		return g.pick("%{p}", "%{p2}.example.net", "%{p}.o.example.net")
	}
	return g.pick("h0.example.net", "h1.example.net", "h2.example.net", "h3.example.net", "h4.example.net", "H5.Example.NET.", "null.example.net", "m0.example.net")
}

func (g *generator) cidr() string {
	return g.pick("", "", "", "/24", "/25", "/32", "/0", "//64", "//32", "/24//48", "//128", "//0")
}

// term returns a directive of the record of domain number n, which includes those
// with a higher number.
func (g *generator) term(n int) string {
	q := g.pick("", "", "", "+", "-", "~", "?")
	switch g.IntN(16) {
	case 0, 1:
		return q + "ip4:" + g.pick("192.0.2.1", "192.0.2.0/25", "198.51.100.0/24", "203.0.113.5/31", "0.0.0.0/0")
	case 2, 3:
		return q + "ip6:" + g.pick("2001:db8::1", "2001:db8::/32", "2001:DB8:FFFF::/48", "::192.0.2.1", "::/0", "2001:db8:0:0:0:0:0:2/127")
	case 4, 5:
		return q + "a" + g.pick("", ":"+g.domain()) + g.cidr()
	case 6, 7:
		return q + "mx" + g.pick("", ":m0.example.net", ":m1.example.net", ":m2.example.net", ":"+g.domain()) + g.cidr()
	case 8:
		return q + "ptr" + g.pick("", ":example.net", ":d0.example.com", ":"+g.domain())
	case 9, 10:
		return q + "exists:" + g.domain()
	case 11, 12, 13:
		return q + fmt.Sprintf("include:d%d.example.com", n+1+g.IntN(3))
	case 14:
		if g.agreed {
			return fmt.Sprintf("x%d=y", g.IntN(1<<30))
		}
		return g.pick("x=y", "match_subdomains=yes", "moo.cow-1=%{d}/:")
	}
	return q + g.pick("all", "ALL", "A:h1.example.net", "Ip4:192.0.2.77")
}

// record returns the record of domain number n.
func (g *generator) record(n int) string {
	terms := []string{g.pick("v=spf1", "V=Spf1")}
	for range g.IntN(5) {
		terms = append(terms, g.term(n))
	}
	switch g.IntN(5) {
	case 0:
		terms = append(terms, fmt.Sprintf("redirect=d%d.example.com", n+1+g.IntN(2)))
	case 1:
	default:
		terms = append(terms, g.pick("-all", "~all", "?all", "+all"))
	}
	if g.chance(6) {
		terms = append(terms, "exp=exp.example.com")
		g.add("exp.example.com", "TXT", "%{i} may not send for %{d}")
	}
	if g.chance(40) {
		terms = append(terms, g.pick("a:b.1", "ip4:1.2.3", "include", "foo", "all:x", "ip6:::1/129", "redirect=", "exists:%{x}.example.net", "a:%(d)", "mx/33", "exp=a", "x=%", "ptr/24", "a//129"))
		if !g.agreed && g.chance(4) {
			terms = append(terms, "exists:%{d0}")
		}
	}
	return strings.Join(terms, g.pick(" ", " ", "  ")) + g.pick("", "", " ")
}

// chain adds domains that include or redirect to the next, about as many as may be,
// or in a circle.
func (g *generator) chain() {
	n := 8 + g.IntN(4)
	for i := range n {
		next := fmt.Sprintf("d%d.example.com", i+1)
		if i == n-1 && g.chance(3) {
			next = "d0.example.com"
		}
		g.add(fmt.Sprintf("d%d.example.com", i), "TXT", "v=spf1 "+g.pick("include:", "redirect=")+next+g.pick("", " ip4:10.0.0.0/8"))
	}
	g.add(fmt.Sprintf("d%d.example.com", n), "TXT", "v=spf1 "+g.pick("ip4:192.0.2.0/24", "ip6:::/0", "?all")+g.pick("", " -all"))
}

// manyTerms adds a record with about as many terms that need lookups, or whose
// lookups are void, as may be.
func (g *generator) manyTerms() {
	terms := []string{"v=spf1"}
	if g.chance(2) {
		for range 8 + g.IntN(5) {
			term := g.pick("a:h9.example.net/32//128", "exists:h9.example.org", "mx:null.example.net", "a:h8.example.net/32", "ip4:10.0.0.1", "a:%{p2}.h8.example.net")
			if g.agreed {
				term = strings.Replace(term, "%{p2}", "example.org", 1)
			}
			terms = append(terms, term)
		}
		for _, name := range []string{"example.net", "example.com", "example.org", "unknown"} {
			g.add(name+".h8.example.net", "A", "203.0.113.99")
			g.add(name+".h8.example.net", "AAAA", "2001:db8:99::99")
		}
		g.add("h8.example.net", "A", "203.0.113.99")
		g.add("h8.example.net", "AAAA", "2001:db8:99::99")
		g.add("h9.example.org", "AAAA", "2001:db8:99::99")
	} else {
		for i := range 1 + g.IntN(3) {
			terms = append(terms, fmt.Sprintf(g.pick("a:void%d.example.net", "mx:void%d.example.net", "exists:void%d.example.net", "-a:void%d.example.net"), i))
			terms = append(terms, g.pick("a:h8.example.net", "ip4:10.0.0.1", "mx:null.example.net"))
		}
		g.add("h8.example.net", "A", "203.0.113.99")
		g.add("h8.example.net", "AAAA", "2001:db8:99::99")
	}
	terms = append(terms, g.pick("ip4:192.0.2.0/24 -all", "~all", "redirect=d1.example.com"))
	g.add("d0.example.com", "TXT", strings.Join(terms, " "))
	g.add("d1.example.com", "TXT", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::/64 -all")
}

// oddities adds what is not about terms: time-outs, several records, none, other
// records.
func (g *generator) oddities() {
	name := fmt.Sprintf("d%d.example.com", g.pickInt(0, 0, 1, 2))
	switch g.IntN(14) {
	case 0, 1:
		if g.agreed {
			g.add(g.pick(name, "m0.example.net"), "TIMEOUT", "")
		} else {
			g.add(g.pick(name, "h0.example.net", "h1.example.net", "m0.example.net"), "TIMEOUT", "")
		}
		delete(g.c.Records, "TXT "+name)
	case 2:
		g.add(name, "TXT", "v=spf1 -all")
	case 3:
		delete(g.c.Records, "TXT "+name)
	case 4:
		g.c.Records["TXT "+name] = []string{"v=spf10 +all", "v=spf2.0/pra -all"}
	case 5, 6:
		g.add(name, "TXT", "some-verification=123")
		g.add(name, "A", "192.0.2.1")
		g.add(name, "MX", "10 h9.example.net")
	}
}
