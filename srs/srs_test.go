package srs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mox/dns"
	"mox/smtp"
)

var (
	here  = domain("here.example")
	key1  = []byte("0123456789abcdef")
	key2  = []byte("fedcba9876543210")
	start = time.Unix(1_800_000_000, 0) // Day 20833, which is 353 modulo 1024, "LB".
)

func domain(s string) dns.Domain {
	d, err := dns.ParseDomain(s)
	if err != nil {
		panic(err)
	}
	return d
}

func address(t testing.TB, s string) smtp.Address {
	t.Helper()
	a, err := smtp.ParseAddress(s, smtp.Lenient)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newRewriter(t testing.TB, d dns.Domain, at time.Time, keys ...[]byte) *Rewriter {
	t.Helper()
	r, err := New(Options{Domain: d, Keys: keys, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAddressesGoForwardAndBack(t *testing.T) {
	t.Parallel()
	r := newRewriter(t, here, start, key1)
	for _, tc := range []struct{ in, prefix, suffix string }{
		{"ann@a.example", "SRS0=", "=LB=a.example=ann@here.example"},
		{"Ann.Other+tag@A.example", "SRS0=", "=LB=a.example=Ann.Other+tag@here.example"},
		{"a=b==c@a.example", "SRS0=", "=LB=a.example=a=b==c@here.example"},
		{`"a b"@a.example`, `"SRS0=`, `=LB=a.example=a b"@here.example`},
		{`""@a.example`, "SRS0=", "=LB=a.example=@here.example"},
		{"ann@bücher.example", "SRS0=", "=LB=xn--bcher-kva.example=ann@here.example"},
		{"ünn@a.example", "SRS0=", "=LB=a.example=ünn@here.example"},
		{"srs0@a.example", "SRS0=", "=LB=a.example=srs0@here.example"},
		{"srs0=x@a.example", "SRS0=", "=LB=a.example=srs0=x@here.example"}, // Begins as one, and is none.
		{"srs1=x=y@a.example", "SRS0=", "=LB=a.example=srs1=x=y@here.example"},
		{"SRS0=x=y=z=ann@b.example", "SRS1=", "=b.example==x=y=z=ann@here.example"},
		{"SRS0+x=y=z=ann@b.example", "SRS1=", "=b.example=+x=y=z=ann@here.example"},
		{"srs0-x=y=z=ann@b.example", "SRS1=", "=b.example=-x=y=z=ann@here.example"},
		{"SRS1=h=b.example==x=y=z=ann@c.example", "SRS1=", "=b.example==x=y=z=ann@here.example"},
		{"SRS1=h=b.example=+x=y=z=ann@c.example", "SRS1=", "=b.example=+x=y=z=ann@here.example"},
	} {
		in := address(t, tc.in)
		out, err := r.Forward(in)
		if err != nil {
			t.Errorf("%s: %v", tc.in, err)
			continue
		}
		s := out.String()
		if !strings.HasPrefix(s, tc.prefix) || !strings.HasSuffix(s, tc.suffix) || len(s) != len(tc.prefix)+hashLen+len(tc.suffix) {
			t.Errorf("%s: got %s", tc.in, s)
		}
		if !IsRewritten(out.Localpart) {
			t.Errorf("%s is no rewritten address", s)
		}
		want := in
		if strings.HasPrefix(tc.prefix, "SRS1") {
			// Back to the first host.
			rest := strings.SplitN(string(out.Localpart), "=", 4)[3]
			want = smtp.Address{Localpart: smtp.Localpart("SRS0" + rest), Domain: domain("b.example")}
		}
		if back, err := r.Reverse(out); err != nil || back != want {
			t.Errorf("%s: got %s, and back %s, %v", tc.in, s, back, err)
		}
	}
	// Nothing to do.
	own := address(t, "ann@here.example")
	if out, err := r.Forward(own); err != nil || out != own {
		t.Errorf("own address: got %s, %v", out, err)
	}
}

func TestBouncesFindTheWayOverSeveralHosts(t *testing.T) {
	t.Parallel()
	first := newRewriter(t, domain("b.example"), start, key1)
	second := newRewriter(t, domain("c.example"), start, key2)
	third := newRewriter(t, here, start, []byte("another key that is long"))
	sender := address(t, "Ann@a.example")
	addr := sender
	for _, r := range []*Rewriter{first, second, third} {
		var err error
		if addr, err = r.Forward(addr); err != nil {
			t.Fatal(err)
		}
	}
	// A host on the way changes case.
	addr.Localpart = smtp.Localpart(strings.ToLower(string(addr.Localpart)))
	addr, err := third.Reverse(addr)
	if err != nil || addr.Domain != domain("b.example") {
		t.Fatalf("third: %s, %v", addr, err)
	}
	addr, err = first.Reverse(addr)
	if err != nil || addr.String() != "ann@a.example" {
		t.Errorf("first: %s, %v", addr, err)
	}
}

func TestFirstHostThatSeesAMessageAgainUsesItsOwnAddress(t *testing.T) {
	t.Parallel()
	first := newRewriter(t, here, start, key1)
	second := newRewriter(t, domain("c.example"), start, key2)
	once, err := first.Forward(address(t, "ann@a.example"))
	if err != nil {
		t.Fatal(err)
	}
	twice, err := second.Forward(once)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := first.Forward(twice); err != nil || again != once {
		t.Errorf("got %s, %v, expected %s", again, err, once)
	}
}

func TestReverseChecksHashAndAge(t *testing.T) {
	t.Parallel()
	r := newRewriter(t, here, start, key1)
	made, err := r.Forward(address(t, "ann@a.example"))
	if err != nil {
		t.Fatal(err)
	}
	chained, err := r.Forward(address(t, "SRS0=x=y=z=ann@b.example"))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(a smtp.Address, old, with string) smtp.Address {
		a.Localpart = smtp.Localpart(strings.Replace(string(a.Localpart), old, with, 1))
		return a
	}
	local := func(s string) smtp.Address { return smtp.Address{Localpart: smtp.Localpart(s), Domain: here} }
	const oneDay = 24 * time.Hour
	for _, tc := range []struct {
		name string
		addr smtp.Address
		at   time.Time
		keys [][]byte
		want error
	}{
		{"as made", made, start, [][]byte{key1}, nil},
		{"new key, old one kept", made, start, [][]byte{key2, key1}, nil},
		{"new key", made, start, [][]byte{key2}, ErrHash},
		{"last day", made, start.Add(DefaultMaxAge), [][]byte{key1}, nil},
		{"expired", made, start.Add(DefaultMaxAge + oneDay), [][]byte{key1}, ErrExpired},
		{"clock is a day behind", made, start.Add(-oneDay), [][]byte{key1}, nil},
		{"from the future", made, start.Add(-2 * oneDay), [][]byte{key1}, ErrExpired},
		{"chained ones do not expire", chained, start.Add(300 * oneDay), [][]byte{key1}, nil},
		{"lower case", edit(made, "SRS0", "srs0"), start, [][]byte{key1}, nil},
		{"other separator", edit(made, "SRS0=", "SRS0+"), start, [][]byte{key1}, nil},
		{"other day", edit(made, "=LB=", "=LC="), start, [][]byte{key1}, ErrHash},
		{"other domain in it", edit(made, "a.example", "b.example"), start, [][]byte{key1}, ErrHash},
		{"other local-part in it", edit(made, "=ann", "=bob"), start, [][]byte{key1}, ErrHash},
		{"other first host", edit(chained, "b.example", "c.example"), start, [][]byte{key1}, ErrHash},
		{"other opaque part", edit(chained, "=ann", "=bob"), start, [][]byte{key1}, ErrHash},
		{"of the other kind", edit(made, "SRS0", "SRS1"), start, [][]byte{key1}, ErrMalformed},
		{"chained as the other kind", edit(chained, "SRS1", "SRS0"), start, [][]byte{key1}, ErrHash},
		{"other host", smtp.Address{Localpart: made.Localpart, Domain: domain("b.example")}, start, [][]byte{key1}, ErrNotRewritten},
		{"ordinary", local("ann"), start, [][]byte{key1}, ErrNotRewritten},
		{"begins like one", local("SRS0"), start, [][]byte{key1}, ErrNotRewritten},
		{"begins like one", local("SRS0x=y=z=a"), start, [][]byte{key1}, ErrNotRewritten},
		{"nothing in it", local("SRS0="), start, [][]byte{key1}, ErrMalformed},
		{"nothing in it", local("SRS1="), start, [][]byte{key1}, ErrMalformed},
		{"part missing", local("SRS0=AAAAAA=LB=a.example"), start, [][]byte{key1}, ErrMalformed},
		{"part missing", local("SRS1=AAAAAA=b.example="), start, [][]byte{key1}, ErrMalformed},
		{"short hash", local("SRS0=A=LB=a.example=ann"), start, [][]byte{key1}, ErrHash},
		{"no hash", local("SRS0==LB=a.example=ann"), start, [][]byte{key1}, ErrHash},
		{"long", local("SRS0=AAAAAA=LB=a.example=" + strings.Repeat("a", MaxAddress)), start, [][]byte{key1}, ErrMalformed},
		{"signed, bad day", local(r.sign(srs0, "L1=a.example=ann")), start, [][]byte{key1}, ErrMalformed},
		{"signed, bad domain", local(r.sign(srs0, "LB=a..example=ann")), start, [][]byte{key1}, ErrMalformed},
		{"signed, bad local-part", local(r.sign(srs0, "LB=a.example=a\x00")), start, [][]byte{key1}, ErrMalformed},
	} {
		got, err := newRewriter(t, here, tc.at, tc.keys...).Reverse(tc.addr)
		if !errors.Is(err, tc.want) || (err != nil) != got.IsZero() {
			t.Errorf("%s: got %s, %v, expected %v", tc.name, got, err, tc.want)
		}
	}
}

func TestDaysBeginAnew(t *testing.T) {
	t.Parallel()
	last := time.Unix((1024*20+1023)*day, 0)
	r := newRewriter(t, here, last, key1)
	addr, err := r.Forward(address(t, "ann@a.example"))
	if err != nil || !strings.Contains(addr.String(), "=77=") {
		t.Fatalf("got %s, %v", addr, err)
	}
	if _, err := newRewriter(t, here, last.Add(5*24*time.Hour), key1).Reverse(addr); err != nil {
		t.Errorf("five days later: %v", err)
	}
}

func TestLocalPartsHaveAtMost64Octets(t *testing.T) {
	t.Parallel()
	r := newRewriter(t, here, start, key1)
	room := smtp.MaxLocalpartStrict - len("SRS0=HHHHHH=TT=a.example=")
	for _, tc := range []struct {
		local string
		want  error
	}{
		{strings.Repeat("x", room), nil},
		{strings.Repeat("x", room+1), ErrTooLong},
		{" " + strings.Repeat("x", room-3), nil}, // With quotes.
		{" " + strings.Repeat("x", room-2), ErrTooLong},
	} {
		out, err := r.Forward(smtp.Address{Localpart: smtp.Localpart(tc.local), Domain: domain("a.example")})
		if !errors.Is(err, tc.want) || err == nil && len(out.Localpart.String()) != smtp.MaxLocalpartStrict {
			t.Errorf("%q: got %s, %v", tc.local, out, err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, opts := range []Options{
		{},
		{Domain: here},
		{Keys: [][]byte{key1}},
		{Domain: here, Keys: [][]byte{key1, []byte("short")}},
		{Domain: here, Keys: [][]byte{key1}, MaxAge: -1},
		{Domain: here, Keys: [][]byte{key1}, MaxAge: MaxMaxAge + 1},
	} {
		if _, err := New(opts); err == nil {
			t.Errorf("%+v: no error", opts)
		}
	}
	r, err := New(Options{Domain: here, Keys: [][]byte{key1}, MaxAge: 48 * time.Hour})
	if err != nil || r.maxDays != 2 || r.opts.Now == nil {
		t.Errorf("got %+v, %v", r, err)
	}
}

func FuzzReverse(f *testing.F) {
	r := newRewriter(f, here, start, key1)
	for _, s := range []string{"ann@a.example", "SRS0=x=y=z=ann@b.example"} {
		a, err := r.Forward(address(f, s))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(a.Localpart))
	}
	f.Add("SRS1=AAAAAA=b.example==")
	f.Add("srs0-====")
	f.Fuzz(func(t *testing.T, local string) {
		back, err := r.Reverse(smtp.Address{Localpart: smtp.Localpart(local), Domain: here})
		if err == nil && (back.IsZero() || !IsRewritten(smtp.Localpart(local))) {
			t.Fatalf("%q: %v", local, back)
		}
		// What is a local-part can go forward and back.
		l, err := smtp.NewLocalpart(local, smtp.Strict)
		if err != nil {
			return
		}
		in := smtp.Address{Localpart: l, Domain: domain("b.example")}
		out, err := r.Forward(in)
		if errors.Is(err, ErrTooLong) {
			return
		} else if err != nil {
			t.Fatalf("%q: %v", local, err)
		}
		back, err = r.Reverse(out)
		if err != nil {
			t.Fatalf("%q: %v, and back: %v", local, out, err)
		}
		if hasKind(string(out.Localpart), srs0) && back != in {
			t.Fatalf("%q: %v, and back %v", local, out, back)
		}
	})
}
