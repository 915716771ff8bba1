package dane_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"mox/dane"
)

func parse(t testing.TB, s string) dane.Record {
	t.Helper()
	r, err := dane.ParseRecord(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The examples of RFC 6698 §2.3 and RFC 7671 §9.
const (
	rfc6698SHA256 = "0 0 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971"
	rfc6698SHA512 = "1 1 2 92003ba34942dc74152e2f2c408d29eca5a520e7f2e06bb944f4dca346baf63c1b177615d466f6c4b71c216a50292bd58c9ebdd2f74e38fe51ffd48c43326cbc"
	rfc7671SHA256 = "3 1 1 3FE246A848798236DD2AB78D39F0651D 6B6E7CA8E2984012EB0A2E1AC8A87B72"
	rfc7671SHA512 = "3 1 2 D4F5AF015B46C5057B841C7E7BAB759C BF029526D29520C5BE6A32C67475439E 54AB3A945D80C743347C9BD4DADC9D8D 57FAB78EAA835362F3CA07CCC19A3214"
	rfc7671Full   = "3 1 0 3059301306072A8648CE3D020106082A 8648CE3D0301070342000471CB1F504F 9E4B33971376C005445DACD33CD79A28 81C3DED1981F18E7AAA76609DD0E4EF2 8265C82703030AD60C5DBA6FB8A9397A C0FCF06D424C885D484887"
)

func TestRecordsAreReadFromText(t *testing.T) {
	t.Parallel()
	for _, s := range []string{rfc6698SHA256, rfc6698SHA512, rfc7671SHA256, rfc7671SHA512, rfc7671Full, "255 255 255 00", " 3\t1 1  ab c d "} {
		r, err := dane.ParseRecord(s)
		f := strings.Fields(s)
		if want := strings.ToLower(strings.Join(f[:3], " ") + " " + strings.Join(f[3:], "")); err != nil || r.Record() != want {
			t.Errorf("%q: got %q, %v", s, r.Record(), err)
		}
	}
	for _, tc := range []struct{ s, want string }{
		{"", "tlsa record: expected a number at column 1, in usage"},
		{"3 1 1", "expected white space at column 6, in matching type"},
		{"3 1 1 ", "expected hexadecimal digits"},
		{"3 1 1 abc", "odd number"},
		{"3 1 1 xx", "expected hexadecimal digits"},
		{"3 1 1 ab-cd", "unexpected data"},
		{"256 1 1 ab", "number larger than 255"},
		{"-1 1 1 ab", "expected a number"},
		{"3 1 1 " + strings.Repeat("a", 300_000), "input longer than"},
	} {
		if _, err := dane.ParseRecord(tc.s); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.30q: got %v, expected %q", tc.s, err, tc.want)
		}
	}
}

func TestUnusableRecordsAreNamed(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("ab", 32)
	cert := hex.EncodeToString(issue(t, nil, false, nil).Raw)
	for _, tc := range []struct{ record, want string }{
		{"0 0 1 " + sum, "usage pkix-ta(0) is not for this protocol"},
		{"1 0 1 " + sum, "usage pkix-ee(1) is not for this protocol"},
		{"4 0 1 " + sum, "unknown usage 4"},
		{"255 0 1 " + sum, "unknown usage 255"}, // PrivCert, RFC 7218.
		{"3 2 1 " + sum, "unknown selector 2"},
		{"3 1 3 " + sum, "unknown matching type 3"},
		{"3 1 1 " + sum[2:], "31 bytes of data instead of 32"},
		{"3 1 1 " + sum + "00", "33 bytes of data instead of 32"},
		{"3 1 2 " + sum, "32 bytes of data instead of 64"},
		{"3 0 0 " + sum, "data is not a certificate or key"},
		{"3 0 0 " + cert + "00", "data is not a certificate or key"},
		{"3 0 0 " + cert[:len(cert)-2], "data is not a certificate or key"},
		{"2 1 1 " + sum, ""},
		{"3 0 0 " + cert, ""},
		{rfc7671Full, ""},
		{rfc7671SHA512, ""},
	} {
		r := parse(t, tc.record)
		err := dane.CheckRecord(r, dane.SMTPUsages()...)
		if tc.want == "" {
			if err != nil {
				t.Errorf("%s: got %v", tc.record, err)
			}
			continue
		}
		var rerr *dane.RecordError
		if !errors.As(err, &rerr) || !errors.Is(err, dane.ErrUnusable) || !reflect.DeepEqual(rerr.Record, r) ||
			!strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), `tlsa record "`+tc.record[:20]) || len(err.Error()) > 300 {
			t.Errorf("%.100s: got %v, expected %s", tc.record, err, tc.want)
		}
	}
	// No data at all can come in from DNS.
	if err := dane.CheckRecord(dane.Record{Usage: 3, Selector: 1, MatchType: 0}, dane.DANEEE); err == nil {
		t.Error("record without data is usable")
	}
}

func TestWeakerDigestsAreLeftOut(t *testing.T) {
	t.Parallel()
	// RFC 7671 §9: the key must match either "3 1 0" or "3 1 2".
	all := []dane.Record{parse(t, rfc7671SHA256), parse(t, rfc7671SHA512), parse(t, rfc7671Full)}
	got, problems := dane.Usable(all, dane.SMTPUsages()...)
	if !reflect.DeepEqual(got, all[1:]) || problems != nil {
		t.Errorf("got %v, %v", got, problems)
	}
	// Each usage and selector by itself, and after leaving out what is malformed.
	a, b := strings.Repeat("ab", 32), strings.Repeat("ab", 64)
	all = []dane.Record{
		parse(t, "3 1 2 "+a), parse(t, "3 1 1 "+a), parse(t, "3 0 2 "+b), parse(t, "2 1 2 "+b), parse(t, "2 1 1 "+a), parse(t, "2 1 1 "+a),
	}
	got, problems = dane.Usable(all, dane.SMTPUsages()...)
	if want := all[1:4]; !reflect.DeepEqual(got, want) || len(problems) != 1 {
		t.Errorf("got %v, %v, expected %v", got, problems, want)
	}
	got, _ = dane.Usable(bytesToRecords(10_000), dane.DANEEE)
	if len(got) != dane.MaxRecords {
		t.Errorf("got %d records", len(got))
	}
}

func bytesToRecords(n int) []dane.Record {
	l := make([]dane.Record, n)
	for i := range l {
		l[i] = dane.Record{Usage: dane.DANEEE, Selector: dane.SPKI, MatchType: dane.SHA256, CertAssoc: bytes.Repeat([]byte{byte(i)}, 32)}
	}
	return l
}

func FuzzParseRecord(f *testing.F) {
	for _, s := range []string{rfc6698SHA256, rfc6698SHA512, rfc7671SHA256, rfc7671Full} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := dane.ParseRecord(s)
		if err != nil {
			return
		}
		if again, err := dane.ParseRecord(r.Record()); err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("%q: got %v, %v, expected %v", s, again, err, r)
		}
	})
}
