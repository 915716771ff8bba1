package subjectpass

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"mox/dns"
	"mox/smtp"
)

var (
	from = smtp.Address{Localpart: "ann", Domain: dns.Domain{ASCII: "xn--bcher-kva.example", Unicode: "bücher.example"}}
	key  = []byte("0123456789abcdef")
	now  = time.Unix(1_800_000_000, 0)
)

const period = 12 * time.Hour

func TestTokenHasTheFormInThePackageComment(t *testing.T) {
	t.Parallel()
	// 1800000000 is 0x6b49d200.
	stamp := []byte{0x00, 0x6b, 0x49, 0xd2}
	h := hmac.New(sha256.New, key)
	h.Write(stamp)
	h.Write([]byte("ann@xn--bcher-kva.example"))
	want := "(pass:" + base64.RawURLEncoding.EncodeToString(append(stamp, h.Sum(nil)[:12]...)) + ")"
	if got := Generate(from, key, now); got != want {
		t.Errorf("got %q, expected %q", got, want)
	}
}

func TestTokensAreForOneSenderOneKeyAndATime(t *testing.T) {
	t.Parallel()
	token := Generate(from, key, now)
	other := smtp.Address{Localpart: "bob", Domain: from.Domain}
	changed := []byte(token)
	changed[len(changed)-4] ^= 1
	again := Generate(from, key, now.Add(-13*time.Hour))
	for _, tc := range []struct {
		name, subject string
		from          smtp.Address
		key           string
		now           time.Time
		want          error
	}{
		{"right away", token, from, string(key), now, nil},
		{"in text", "Re: hello " + token + " [was: hi]", from, string(key), now, nil},
		{"domain in ascii only", token, smtp.Address{Localpart: "ann", Domain: dns.Domain{ASCII: from.Domain.ASCII}}, string(key), now, nil},
		{"at the end", token, from, string(key), now.Add(period), nil},
		{"after the end", token, from, string(key), now.Add(period + granularity), ErrExpired},
		{"from the future", token, from, string(key), now.Add(-granularity), ErrExpired},
		{"before 1970", token, from, string(key), time.Unix(-1000, 0), ErrExpired},
		{"other sender", token, other, string(key), now, ErrInvalid},
		{"other key", token, from, "0123456789abcdeg", now, ErrInvalid},
		{"changed", string(changed), from, string(key), now, ErrInvalid},
		{"a good one after others", "(pass:x) " + again + " " + token, from, string(key), now, nil},
		{"a good one before others", token + " (pass:x)", from, string(key), now, nil},
		{"two bad ones", Generate(other, key, now) + again, from, string(key), now, ErrExpired},
		{"none", "hello", from, string(key), now, ErrMissing},
		{"empty", "", from, string(key), now, ErrMissing},
		{"not closed", strings.TrimSuffix(token, ")"), from, string(key), now, ErrMalformed},
		{"too short", token[:10] + ")", from, string(key), now, ErrMalformed},
		{"too long", strings.TrimSuffix(token, ")") + "AAAA)", from, string(key), now, ErrMalformed},
		{"not base64", "(pass:!!!!)", from, string(key), now, ErrMalformed},
		{"line break inside", token[:12] + "\r\n" + token[12:], from, string(key), now, nil}, // Ignored by the decoding, and harmless.
		{"more than are looked at", strings.Repeat("(pass:x)", MaxTokens) + token, from, string(key), now, ErrMalformed},
		{"further on than is looked at", strings.Repeat(" ", MaxSubject) + token, from, string(key), now, ErrMissing},
	} {
		if err := Verify(tc.subject, tc.from, []byte(tc.key), period, tc.now); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, expected %v", tc.name, err, tc.want)
		}
	}
}

func TestOtherVersionsAreRefused(t *testing.T) {
	t.Parallel()
	stamp := []byte{0x10, 0x6b, 0x49, 0xd2}
	token := "(pass:" + base64.RawURLEncoding.EncodeToString(append(stamp, mac(stamp, from, key)...)) + ")"
	if err := Verify(token, from, key, period, now); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	token := Generate(from, key, now)
	f.Add(token)
	f.Add("Re: " + token)
	f.Add("(pass:(pass:))")
	f.Fuzz(func(t *testing.T, s string) {
		if err := Verify(s, from, key, period, now); err == nil && !strings.Contains(strings.NewReplacer("\r", "", "\n", "").Replace(s), token[:10]) {
			t.Fatalf("%q is good", s)
		}
		if !strings.Contains(s, "(") && Verify(s+token, from, key, period, now) != nil && len(s)+len(token) <= MaxSubject {
			t.Fatalf("token after %q is not found", s)
		}
	})
}
