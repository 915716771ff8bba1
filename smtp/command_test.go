package smtp

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"mox/dns"
)

const allExtensions = Extensions(math.MaxUint32)

// wantReply checks that err is an *Error with this reply code and enhanced code, or
// nil for "".
func wantReply(t *testing.T, err error, want string) bool {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Fatalf("got %v, want no error", err)
		}
		return true
	}
	var e *Error
	if !errors.As(err, &e) || !strings.HasPrefix(e.Error(), want+" ") {
		t.Fatalf("got %v, want %s", err, want)
	}
	return false
}

func TestMailCommand(t *testing.T) {
	t.Parallel()
	a := Path{"a", dns.IPDomain{Domain: dns.Domain{ASCII: "example.org"}}}
	intl := Path{"é", dns.IPDomain{Domain: mustDomain(t, "ëxample.org")}}
	until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	const from = "FROM:<a@example.org>"
	tests := []struct {
		name, in string
		mode     Mode
		want     MailCommand
		reply    string
	}{
		{"no parameters", from, Strict, MailCommand{ReversePath: a}, ""},
		{"lower case keyword", "from:<>", Strict, MailCommand{}, ""},
		{"space after the colon", "FROM: <a@example.org>", Lenient, MailCommand{ReversePath: a}, ""},
		{"space after the colon, strict", "FROM: <a@example.org>", Strict, MailCommand{}, "501 5.5.2"},
		{"spaces at the end", from + "  ", Lenient, MailCommand{ReversePath: a}, ""},
		{"space at the end, strict", from + " ", Strict, MailCommand{}, "501 5.5.2"},
		{"two spaces between parameters", from + " SMTPUTF8  SIZE=1", Lenient, MailCommand{ReversePath: a, SMTPUTF8: true, Size: 1}, ""},
		{"two spaces between parameters, strict", from + " SMTPUTF8  SIZE=1", Strict, MailCommand{}, "501 5.5.2"},
		{"no space before parameters", from + "SIZE=1", Lenient, MailCommand{}, "501 5.5.2"},
		{"wrong keyword", "TO:<a@example.org>", Lenient, MailCommand{}, "501 5.5.2"},
		{"nothing", "", Lenient, MailCommand{}, "501 5.5.2"},
		{"bad path", "FROM:<a@>", Lenient, MailCommand{}, "501 5.5.2"},
		{"all at once", from + " size=10 body=8bitmime smtputf8 requiretls auth=<> holdfor=60 ret=hdrs envid=QQ314159", Strict,
			MailCommand{ReversePath: a, Size: 10, Body: Body8BitMIME, SMTPUTF8: true, RequireTLS: true, Auth: &Path{}, HoldFor: time.Minute, Ret: RetHeaders, EnvID: "QQ314159"}, ""},
		{"international address", "FROM:<é@ëxample.org> SMTPUTF8", Strict, MailCommand{ReversePath: intl, SMTPUTF8: true}, ""},
		{"international address without SMTPUTF8", "FROM:<é@ëxample.org>", Lenient, MailCommand{}, "550 5.6.7"},
		{"U-label without SMTPUTF8", "FROM:<a@ëxample.org> SIZE=1", Lenient, MailCommand{}, "550 5.6.7"},
		{"A-label without SMTPUTF8", "FROM:<a@xn--xample-ova.org>", Strict, MailCommand{ReversePath: Path{"a", intl.IPDomain}}, ""},
		{"unknown parameter", from + " FOO=BAR", Lenient, MailCommand{}, "555 5.3.3"},
		{"parameter of RCPT", from + " NOTIFY=NEVER", Lenient, MailCommand{}, "555 5.3.3"},
		{"duplicate parameter", from + " SIZE=1 size=2", Lenient, MailCommand{}, "501 5.5.4"},
		{"malformed keyword", from + " -X=1", Lenient, MailCommand{}, "501 5.5.2"},
		{"empty value", from + " SIZE=", Lenient, MailCommand{}, "501 5.5.2"},
		{"two equals signs", from + " ENVID=a=b", Lenient, MailCommand{}, "501 5.5.2"},
		{"value missing", from + " SIZE", Lenient, MailCommand{}, "501 5.5.4"},
		{"value not wanted", from + " SMTPUTF8=1", Lenient, MailCommand{}, "501 5.5.4"},
		{"SIZE of 20 digits", from + " SIZE=99999999999999999999", Strict, MailCommand{ReversePath: a, Size: math.MaxInt64}, ""},
		{"SIZE of 21 digits", from + " SIZE=000000000000000000001", Lenient, MailCommand{}, "501 5.5.4"},
		{"SIZE not a number", from + " SIZE=-1", Lenient, MailCommand{}, "501 5.5.4"},
		{"BODY=7BIT", from + " BODY=7BIT", Strict, MailCommand{ReversePath: a, Body: Body7Bit}, ""},
		{"BODY=BINARYMIME", from + " BODY=BINARYMIME", Strict, MailCommand{ReversePath: a, Body: BodyBinaryMIME}, ""},
		{"BODY unknown", from + " BODY=9BIT", Lenient, MailCommand{}, "555 5.5.4"},
		{"AUTH with xtext", from + " AUTH=e+3Dmc2@example.com", Strict, MailCommand{ReversePath: a, Auth: &Path{"e=mc2", dns.IPDomain{Domain: mustDomain(t, "example.com")}}}, ""},
		{"AUTH not xtext", from + " AUTH=e+3", Lenient, MailCommand{}, "501 5.5.4"},
		{"AUTH not a mailbox", from + " AUTH=me", Lenient, MailCommand{}, "501 5.5.4"},
		{"HOLDFOR of 9 digits", from + " HOLDFOR=999999999", Strict, MailCommand{ReversePath: a, HoldFor: 999999999 * time.Second}, ""},
		{"HOLDFOR of 10 digits", from + " HOLDFOR=1000000000", Lenient, MailCommand{}, "501 5.5.4"},
		{"HOLDFOR=0", from + " HOLDFOR=0", Lenient, MailCommand{}, "501 5.5.4"},
		{"HOLDUNTIL", from + " HOLDUNTIL=2030-01-02T03:04:05Z", Strict, MailCommand{ReversePath: a, HoldUntil: until}, ""},
		{"HOLDUNTIL not in UTC", from + " HOLDUNTIL=2030-01-02T03:04:05+00:00", Lenient, MailCommand{}, "501 5.5.4"},
		{"HOLDUNTIL not a date", from + " HOLDUNTIL=tomorrow", Lenient, MailCommand{}, "501 5.5.4"},
		{"two holds", from + " HOLDFOR=1 HOLDUNTIL=2030-01-02T03:04:05Z", Lenient, MailCommand{}, "501 5.5.4"},
		{"RET unknown", from + " RET=ALL", Lenient, MailCommand{}, "501 5.5.4"},
		{"ENVID with xtext", from + " ENVID=a+20b+2B", Strict, MailCommand{ReversePath: a, EnvID: "a b+"}, ""},
		{"ENVID with control character", from + " ENVID=a+0Ab", Lenient, MailCommand{}, "501 5.5.4"},
		{"ENVID of 100 characters", from + " ENVID=" + strings.Repeat("x", 100), Strict, MailCommand{ReversePath: a, EnvID: strings.Repeat("x", 100)}, ""},
		{"ENVID of 101 characters", from + " ENVID=" + strings.Repeat("x", 101), Lenient, MailCommand{}, "501 5.5.4"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, err := ParseMail(tc.in, MailOptions{Mode: tc.mode, Extensions: allExtensions})
			if !wantReply(t, err, tc.reply) {
				return
			}
			if !reflect.DeepEqual(c, tc.want) {
				t.Fatalf("got %+v, want %+v", c, tc.want)
			}
			line := c.String()
			again, err := ParseMail(strings.TrimPrefix(line, "MAIL "), MailOptions{Mode: Strict, Extensions: allExtensions})
			if err != nil || !reflect.DeepEqual(again, c) {
				t.Fatalf("%q is parsed as %+v, %v", line, again, err)
			}
		})
	}
}

func TestMailCommandTakesParametersOfOfferedExtensionsOnly(t *testing.T) {
	t.Parallel()
	tests := map[string]Extensions{
		"SIZE=1":                         ExtSize,
		"BODY=8BITMIME":                  Ext8BITMIME,
		"BODY=BINARYMIME":                Ext8BITMIME | ExtBinaryMIME,
		"SMTPUTF8":                       ExtSMTPUTF8,
		"REQUIRETLS":                     ExtRequireTLS,
		"AUTH=<>":                        ExtAuth,
		"HOLDFOR=1":                      ExtFutureRelease,
		"HOLDUNTIL=2030-01-02T03:04:05Z": ExtFutureRelease,
		"RET=FULL":                       ExtDSN,
		"ENVID=x":                        ExtDSN,
	}
	for param, ext := range tests {
		if _, err := ParseMail("FROM:<> "+param, MailOptions{Extensions: ext}); err != nil {
			t.Errorf("%s: %v", param, err)
		}
		for bit := Extensions(1); bit <= ExtStartTLS; bit <<= 1 {
			if ext.Has(bit) {
				_, err := ParseMail("FROM:<> "+param, MailOptions{Extensions: allExtensions &^ bit})
				if e := AsError(err); e == nil || e.Code != 555 {
					t.Errorf("%s without %s: %v", param, bit, err)
				}
			}
		}
	}
}

func TestRcptCommand(t *testing.T) {
	t.Parallel()
	a := Path{"a", dns.IPDomain{Domain: dns.Domain{ASCII: "example.org"}}}
	const to = "TO:<a@example.org>"
	tests := []struct {
		name, in string
		opts     RcptOptions
		want     RcptCommand
		reply    string
	}{
		{"no parameters", to, RcptOptions{Mode: Strict}, RcptCommand{ForwardPath: a}, ""},
		{"space after the colon", "TO: <a@example.org>", RcptOptions{}, RcptCommand{ForwardPath: a}, ""},
		{"space after the colon, strict", "TO: <a@example.org>", RcptOptions{Mode: Strict}, RcptCommand{}, "501 5.5.2"},
		{"postmaster", "TO:<Postmaster>", RcptOptions{Mode: Strict}, RcptCommand{ForwardPath: Path{Localpart: "Postmaster"}}, ""},
		{"null path", "TO:<>", RcptOptions{}, RcptCommand{}, "501 5.5.2"},
		{"unknown parameter", to + " FOO", RcptOptions{}, RcptCommand{}, "555 5.3.3"},
		{"international address", "TO:<é@example.org>", RcptOptions{SMTPUTF8: true}, RcptCommand{ForwardPath: Path{"é", a.IPDomain}}, ""},
		{"international address without SMTPUTF8", "TO:<é@example.org>", RcptOptions{}, RcptCommand{}, "553 5.6.7"},
		{"NOTIFY", to + " NOTIFY=success,DELAY", RcptOptions{}, RcptCommand{ForwardPath: a, Notify: NotifySuccess | NotifyDelay}, ""},
		{"NOTIFY=NEVER", to + " NOTIFY=never", RcptOptions{}, RcptCommand{ForwardPath: a, Notify: NotifyNever}, ""},
		{"NEVER and more", to + " NOTIFY=NEVER,DELAY", RcptOptions{}, RcptCommand{}, "501 5.5.4"},
		{"NOTIFY unknown", to + " NOTIFY=SOMETIMES", RcptOptions{}, RcptCommand{}, "501 5.5.4"},
		{"NOTIFY with empty element", to + " NOTIFY=DELAY,", RcptOptions{}, RcptCommand{}, "501 5.5.4"},
		{"ORCPT", to + " ORCPT=rfc822;Bob+2Bx@Example.COM", RcptOptions{}, RcptCommand{ForwardPath: a, OriginalRecipient: OriginalRecipient{"rfc822", "Bob+x@Example.COM"}}, ""},
		{"ORCPT in UTF-8, encoded", to + ` ORCPT=utf-8;\x{e9}\x{2b}@example.org`, RcptOptions{}, RcptCommand{ForwardPath: a, OriginalRecipient: OriginalRecipient{"utf-8", "é+@example.org"}}, ""},
		{"ORCPT in UTF-8", to + " ORCPT=UTF-8;é@example.org", RcptOptions{SMTPUTF8: true}, RcptCommand{ForwardPath: a, OriginalRecipient: OriginalRecipient{"utf-8", "é@example.org"}}, ""},
		{"ORCPT without type", to + " ORCPT=Bob@example.com", RcptOptions{}, RcptCommand{}, "501 5.5.4"},
		{"ORCPT not xtext", to + " ORCPT=rfc822;a+b", RcptOptions{}, RcptCommand{}, "501 5.5.4"},
		{"ORCPT with line end", to + " ORCPT=rfc822;a+0D+0A", RcptOptions{}, RcptCommand{}, "501 5.5.4"},
		{"ORCPT of 500 characters", to + " ORCPT=rfc822;" + strings.Repeat("x", 493), RcptOptions{}, RcptCommand{ForwardPath: a, OriginalRecipient: OriginalRecipient{"rfc822", strings.Repeat("x", 493)}}, ""},
		{"ORCPT of 501 characters", to + " ORCPT=rfc822;" + strings.Repeat("x", 494), RcptOptions{}, RcptCommand{}, "501 5.5.4"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.opts.Extensions = allExtensions
			c, err := ParseRcpt(tc.in, tc.opts)
			if !wantReply(t, err, tc.reply) {
				return
			}
			if !reflect.DeepEqual(c, tc.want) {
				t.Fatalf("got %+v, want %+v", c, tc.want)
			}
			line := c.Format(tc.opts.SMTPUTF8)
			again, err := ParseRcpt(strings.TrimPrefix(line, "RCPT "), RcptOptions{Mode: Strict, Extensions: allExtensions, SMTPUTF8: tc.opts.SMTPUTF8})
			if err != nil || !reflect.DeepEqual(again, c) {
				t.Fatalf("%q is parsed as %+v, %v", line, again, err)
			}
		})
	}
	if _, err := ParseRcpt(to+" NOTIFY=NEVER", RcptOptions{}); AsError(err) == nil || AsError(err).Code != 555 {
		t.Errorf("NOTIFY without the extension: %v", err)
	}
}

func TestFutureReleaseRequest(t *testing.T) {
	t.Parallel()
	tests := map[string]MailCommand{
		"":                           {},
		"for;3600":                   {HoldFor: time.Hour},
		"until;2030-01-02T02:04:05Z": {HoldUntil: time.Date(2030, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))},
	}
	for want, c := range tests {
		if got := c.FutureReleaseRequest(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestParamsAreLimitedInNumber(t *testing.T) {
	t.Parallel()
	var l []string
	for i := range MaxParams + 1 {
		l = append(l, "K"+strings.Repeat("X", i))
	}
	params, err := ParseParams(strings.Join(l[:MaxParams], " "), Strict)
	if err != nil || len(params) != MaxParams {
		t.Fatalf("got %d, %v", len(params), err)
	}
	if _, err = ParseParams(strings.Join(l, " "), Strict); AsError(err) == nil {
		t.Fatalf("got %v", err)
	}
}

func TestXtext(t *testing.T) {
	t.Parallel()
	tests := []struct{ decoded, encoded string }{
		{"", ""},
		{"plain@example.org", "plain@example.org"},
		{"a+b=c", "a+2Bb+3Dc"},
		{"\x00 \x7f\xff", "+00+20+7F+FF"},
	}
	for _, tc := range tests {
		if got := EncodeXtext(tc.decoded); got != tc.encoded {
			t.Errorf("%q encoded as %q, want %q", tc.decoded, got, tc.encoded)
		}
		if got, err := DecodeXtext(tc.encoded, Strict); err != nil || got != tc.decoded {
			t.Errorf("%q decoded as %q, %v, want %q", tc.encoded, got, err, tc.decoded)
		}
	}
	for _, s := range []string{"+", "+2", "+2G", "+-1", "a b", "a=b", "é", "++2B"} {
		if got, err := DecodeXtext(s, Lenient); err == nil {
			t.Errorf("%q decoded as %q", s, got)
		}
	}
	if _, err := DecodeXtext("+2b", Strict); err == nil {
		t.Error("lower case digits in strict mode")
	}
	if got, err := DecodeXtext("+2b", Lenient); err != nil || got != "+" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestUTF8Addr(t *testing.T) {
	t.Parallel()
	tests := []struct{ decoded, xtext, unitext string }{
		{"a@example.org", "a@example.org", "a@example.org"},
		{"é☺😀@example.org", `\x{E9}\x{263A}\x{1F600}@example.org`, "é☺😀@example.org"},
		{`a+b=c\d "`, `a\x{2B}b\x{3D}c\x{5C}d\x{20}"`, `a\x{2B}b\x{3D}c\x{5C}d\x{20}"`},
	}
	for _, tc := range tests {
		if got := EncodeUTF8Addr(tc.decoded, false); got != tc.xtext {
			t.Errorf("%q encoded as %q, want %q", tc.decoded, got, tc.xtext)
		}
		if got := EncodeUTF8Addr(tc.decoded, true); got != tc.unitext {
			t.Errorf("%q encoded as %q, want %q", tc.decoded, got, tc.unitext)
		}
		for _, s := range []string{tc.xtext, tc.unitext} {
			if got, err := DecodeUTF8Addr(s); err != nil || got != tc.decoded {
				t.Errorf("%q decoded as %q, %v", s, got, err)
			}
		}
	}
	for _, s := range []string{`\`, `\x{}`, `\x{2`, `\x{1234567}`, `\x{D800}`, `\x{110000}`, `\y{20}`, "\xff"} {
		if got, err := DecodeUTF8Addr(s); err == nil {
			t.Errorf("%q decoded as %q", s, got)
		}
	}
}

func FuzzParseMail(f *testing.F) {
	for _, s := range []string{
		"FROM:<>", "FROM:<a@b> SIZE=1 BODY=8BITMIME", "FROM:<é@b> SMTPUTF8 AUTH=+C3+A9@b", "FROM:<a@b> HOLDUNTIL=2030-01-02T03:04:05Z RET=FULL ENVID=+20",
		"FROM: <a@b>  REQUIRETLS ", "FROM:<a@b> HOLDFOR=5 AUTH=<>", "FROM:<a@b> HOLDUNTIL=2030-01-02T03:04:05.5Z",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseMail(s, MailOptions{Extensions: allExtensions})
		if err != nil {
			if AsError(err) == nil {
				t.Fatalf("not an *Error: %v", err)
			}
			return
		}
		if c.HoldUntil.Nanosecond() != 0 || len(c.ReversePath.XString(c.SMTPUTF8)) > MaxPath-2 || c.Auth != nil && len(c.Auth.XString(c.SMTPUTF8)) > MaxPath {
			return // Not written in full, or longer when quoted.
		}
		line := c.String()
		again, err := ParseMail(strings.TrimPrefix(line, "MAIL "), MailOptions{Extensions: allExtensions})
		if err != nil {
			t.Fatalf("%q became %q, which is refused: %v", s, line, err)
		}
		if got := again.String(); got != line {
			t.Fatalf("%q became %q, then %q", s, line, got)
		}
	})
}

func FuzzParseRcpt(f *testing.F) {
	for _, s := range []string{"TO:<a@b>", "TO:<Postmaster> NOTIFY=NEVER", `TO:<a@b> ORCPT=utf-8;\x{E9}@b`, "TO:<é@b> ORCPT=rfc822;a+2Bb NOTIFY=SUCCESS,FAILURE"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, utf8 bool) {
		opts := RcptOptions{Extensions: allExtensions, SMTPUTF8: utf8}
		c, err := ParseRcpt(s, opts)
		if err != nil {
			if AsError(err) == nil {
				t.Fatalf("not an *Error: %v", err)
			}
			return
		}
		if len(c.ForwardPath.XString(utf8)) > MaxPath-2 || len(c.OriginalRecipient.encode(utf8)) > MaxORCPT {
			return
		}
		line := c.Format(utf8)
		again, err := ParseRcpt(strings.TrimPrefix(line, "RCPT "), opts)
		if err != nil || again.Format(utf8) != line {
			t.Fatalf("%q became %q, then %q, %v", s, line, again.Format(utf8), err)
		}
	})
}

func FuzzXtext(f *testing.F) {
	f.Add("a+2Bb")
	f.Add(`\x{E9}`)
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := DecodeXtext(EncodeXtext(s), Strict); err != nil || got != s {
			t.Fatalf("%q became %q, %v", s, got, err)
		}
		if d, err := DecodeXtext(s, Strict); err == nil {
			if again, err := DecodeXtext(EncodeXtext(d), Strict); err != nil || again != d {
				t.Fatalf("%q became %q, %v", d, again, err)
			}
		}
		if d, err := DecodeUTF8Addr(s); err == nil {
			for _, utf8 := range []bool{false, true} {
				if again, err := DecodeUTF8Addr(EncodeUTF8Addr(d, utf8)); err != nil || again != d {
					t.Fatalf("%q became %q, %v", d, again, err)
				}
			}
		}
	})
}

func FuzzParseParams(f *testing.F) {
	for _, s := range []string{"SIZE=1", "A B=c", "a=b  c", "X= Y", "é=é", "K=é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, mode := range []Mode{Strict, Lenient} {
			params, err := ParseParams(s, mode)
			if err != nil {
				if AsError(err) == nil {
					t.Fatalf("not an *Error: %v", err)
				}
				continue
			}
			var l []string
			for _, p := range params {
				word := p.Keyword
				if p.HasValue {
					word += "=" + p.Value
				}
				l = append(l, word)
			}
			if len(l) == 0 {
				continue // Spaces only.
			}
			again, err := ParseParams(strings.Join(l, " "), Strict)
			if err != nil || !reflect.DeepEqual(again, params) {
				t.Fatalf("%q is %+v, then %+v, %v", s, params, again, err)
			}
		}
	})
}
