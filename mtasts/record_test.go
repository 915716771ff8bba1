package mtasts_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"mox/mtasts"
)

func TestParseRecordKeepsToTheGrammar(t *testing.T) {
	t.Parallel()
	id32 := strings.Repeat("a1", 16)
	for _, tc := range []struct {
		txt  string
		want mtasts.Record
	}{
		{"v=STSv1; id=20160831085700Z;", mtasts.Record{ID: "20160831085700Z"}}, // RFC 8461 §3.1 and A.
		{"v=STSv1;id=1", mtasts.Record{ID: "1"}},
		{"v=STSv1 ;\tid=1 ; ", mtasts.Record{ID: "1"}},
		{"v=STSv1; id=" + id32, mtasts.Record{ID: id32}},
		{"v=STSv1; a.b_c-d=x:y/<>!; id=1", mtasts.Record{ID: "1", Extensions: []mtasts.Pair{{"a.b_c-d", "x:y/<>!"}}}},
		{"v=STSv1; ID=2; id=1;", mtasts.Record{ID: "1", Extensions: []mtasts.Pair{{"ID", "2"}}}},
		// Only the first counts, RFC 8461 §3.2.
		{"v=STSv1; id=1; id=2; id=not-an-id; x=1; x=2", mtasts.Record{ID: "1", Extensions: []mtasts.Pair{{"x", "1"}}}},
	} {
		got, err := mtasts.ParseRecord(tc.txt)
		if err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q: got %+v, %v, expected %+v", tc.txt, got, err, tc.want)
		}
	}
	for _, txt := range []string{
		"",
		"v=STSv1",
		"v=STSv1;",
		"v=stsv1; id=1",
		"V=STSv1; id=1",
		"v=STSv2; id=1",
		" v=STSv1; id=1",
		"v=STSv1, id=1",
		"v=STSv1; id=",
		"v=STSv1; id = 1",
		"v=STSv1; id=a-b",
		"v=STSv1; id=" + id32 + "x",
		"v=STSv1; id=1 ",
		"v=STSv1; id=1;;",
		"v=STSv1; id=1; x",
		"v=STSv1; id=1; x=",
		"v=STSv1; id=1; x=a=b",
		"v=STSv1; id=1; x=a b",
		"v=STSv1; id=1; _x=a",
		"v=STSv1; id=1; " + strings.Repeat("x", 33) + "=a",
		"v=STSv1; x=1",
		"v=STSv1; id=1; x=\xe2\x98\xba",
		"v=STSv1; id=1; x=\x00",
		"v=STSv1; id=1; x=" + strings.Repeat("y", 10_000),
	} {
		if got, err := mtasts.ParseRecord(txt); !errors.Is(err, mtasts.ErrRecordSyntax) {
			t.Errorf("%.60q: got %+v, %v", txt, got, err)
		}
	}
}

func TestRecordErrorsNameProductionAndColumn(t *testing.T) {
	t.Parallel()
	_, err := mtasts.ParseRecord("v=STSv1; id=a-b")
	if want := `mtasts: malformed record: expected ";" at column 14, in sts-text-record`; err == nil || err.Error() != want {
		t.Errorf("got %v, expected %s", err, want)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=STSv1; id=20160831085700Z;")
	f.Add("v=STSv1;id=1;a.b=c;a.b=d")
	f.Fuzz(func(t *testing.T, txt string) {
		r, err := mtasts.ParseRecord(txt)
		if err != nil {
			return
		}
		again, err := mtasts.ParseRecord(r.String())
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("%q: %+v became %q, parsed as %+v, %v", txt, r, r.String(), again, err)
		}
	})
}
