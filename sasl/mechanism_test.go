package sasl

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestPlainMessages(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     Credentials
		err      error
	}{
		{"example of RFC 4616 §4", "\x00tim\x00tanstaaftanstaaf", Credentials{Identity{"tim", ""}, "tanstaaftanstaaf"}, nil},
		{"example with authzid", "Ursel\x00Kurt\x00xipj3plmq", Credentials{Identity{"Kurt", "Ursel"}, "xipj3plmq"}, nil},
		{"name is normalised, password is not", "\x00re\u0301\x00re\u0301", Credentials{Identity{"ré", ""}, "re\u0301"}, nil},
		{"two fields", "user\x00password", Credentials{}, ErrProtocol},
		{"four fields", "\x00user\x00password\x00", Credentials{}, ErrProtocol},
		{"no user name", "\x00\x00password", Credentials{}, ErrUsername},
		{"no password", "\x00user\x00", Credentials{}, ErrProtocol},
		{"password not UTF-8", "\x00user\x00\xff", Credentials{}, ErrProtocol},
		{"name not UTF-8", "\x00us\xffer\x00password", Credentials{}, ErrUsername},
		{"nothing", "", Credentials{}, ErrProtocol},
		{"too long", "\x00user\x00" + strings.Repeat("p", MaxMessage), Credentials{}, ErrProtocol},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParsePlain([]byte(tc.in))
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Fatalf("got %+v, %v, want %+v, %v", got, err, tc.want, tc.err)
			}
			if err != nil || tc.want.Password != "xipj3plmq" {
				return
			}
			c := NewPlainClient(tc.want)
			msg, last, err := c.Next(nil)
			if string(msg) != tc.in || !last || err != nil || !c.ClientFirst() || c.Name() != Plain {
				t.Fatalf("client: got %q, %v, %v", msg, last, err)
			}
			if _, _, err := c.Next(nil); !errors.Is(err, ErrProtocol) {
				t.Fatalf("second challenge: %v", err)
			}
		})
	}
	for _, cred := range []Credentials{{Identity{"a\x00b", ""}, "p"}, {Identity{"a", ""}, "p\x00"}, {Identity{"a", "\x00"}, "p"}, {Identity{"a", ""}, strings.Repeat("p", MaxMessage)}} {
		if msg, _, err := NewPlainClient(cred).Next(nil); err == nil {
			t.Errorf("sent %q", msg)
		}
	}
}

func TestLoginExchange(t *testing.T) {
	t.Parallel()
	cred := Credentials{Identity: Identity{Authentication: "user"}, Password: "pencil"}
	for _, initial := range []bool{false, true} {
		c, s := NewLoginClient(cred), NewLoginServer()
		var response []byte
		if initial {
			response = []byte("user")
			if _, _, err := c.Next(nil); err != nil {
				t.Fatal(err)
			}
		}
		var prompts []string
		for {
			challenge, done, err := s.Next(response)
			if err != nil {
				t.Fatal(err)
			}
			if done {
				break
			}
			prompts = append(prompts, string(challenge))
			if response, _, err = c.Next(challenge); err != nil {
				t.Fatal(err)
			}
		}
		want := "Username: Password:"
		if initial {
			want = "Password:"
		}
		if s.Credentials() != cred || strings.Join(prompts, " ") != want {
			t.Fatalf("got %+v, prompts %q", s.Credentials(), prompts)
		}
		if _, _, err := s.Next([]byte("more")); !errors.Is(err, ErrProtocol) {
			t.Fatalf("response after the end: %v", err)
		}
		if _, _, err := c.Next([]byte("more")); !errors.Is(err, ErrProtocol) {
			t.Fatalf("challenge after the end: %v", err)
		}
	}
}

func TestLoginServerRefusesEmptyResponses(t *testing.T) {
	t.Parallel()
	s := NewLoginServer()
	if _, _, err := s.Next([]byte{}); !errors.Is(err, ErrUsername) {
		t.Fatalf("empty initial response: %v", err)
	}
	s = NewLoginServer()
	if _, _, err := s.Next([]byte("user")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Next(nil); !errors.Is(err, ErrProtocol) {
		t.Fatalf("empty password: %v", err)
	}
	if _, _, err := NewLoginServer().Next(bytes.Repeat([]byte("u"), MaxMessage+1)); !errors.Is(err, ErrProtocol) {
		t.Fatalf("long response: %v", err)
	}
}

// The example of RFC 2195 §2.
const (
	cramChallenge = "<1896.697170952@postoffice.reston.mci.net>"
	cramResponse  = "tim b913a602c7eda7a495b4e6e7334d3890"
	cramPassword  = "tanstaaftanstaaf"
)

func TestCRAMMD5ExampleOfTheRFC(t *testing.T) {
	t.Parallel()
	c := NewCRAMMD5Client(Credentials{Identity: Identity{Authentication: "tim"}, Password: cramPassword})
	response, last, err := c.Next([]byte(cramChallenge))
	if err != nil || !last || string(response) != cramResponse || c.ClientFirst() {
		t.Fatalf("client: got %q, %v, %v", response, last, err)
	}
	if _, _, err := c.Next([]byte(cramChallenge)); !errors.Is(err, ErrProtocol) {
		t.Fatalf("second challenge: %v", err)
	}
	username, digest, err := ParseCRAMMD5(response)
	if err != nil || username != "tim" {
		t.Fatalf("server: got %q, %v", username, err)
	}
	keys, err := DeriveCRAMMD5(cramPassword)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Verify([]byte(cramChallenge), digest); err != nil {
		t.Fatal(err)
	}
	if err := keys.Verify([]byte(cramChallenge+"x"), digest); !errors.Is(err, ErrInvalidProof) {
		t.Fatalf("other challenge: %v", err)
	}
	if err := (CRAMMD5Keys{}).Verify([]byte(cramChallenge), digest); err == nil || errors.Is(err, ErrInvalidProof) {
		t.Fatalf("no keys: %v", err)
	}
}

func TestCRAMMD5WithPasswordsAroundTheBlockSize(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 63, 64, 65, 200} {
		password := strings.Repeat("p", n)
		c := NewCRAMMD5Client(Credentials{Identity: Identity{Authentication: "user name"}, Password: password})
		challenge := NewCRAMMD5Challenge("mail.example.org")
		response, _, err := c.Next(challenge)
		if err != nil {
			t.Fatal(err)
		}
		username, digest, err := ParseCRAMMD5(response)
		if err != nil || username != "user name" {
			t.Fatalf("got %q, %v", username, err)
		}
		keys, err := DeriveCRAMMD5(password)
		if err != nil {
			t.Fatal(err)
		}
		if err := keys.Verify(challenge, digest); err != nil {
			t.Fatalf("%d octets: %v", n, err)
		}
	}
}

func TestCRAMMD5Messages(t *testing.T) {
	t.Parallel()
	a, b := NewCRAMMD5Challenge("mail.example.org"), NewCRAMMD5Challenge("mail.example.org")
	if bytes.Equal(a, b) || !bytes.HasPrefix(a, []byte("<")) || !bytes.HasSuffix(a, []byte("@mail.example.org>")) {
		t.Fatalf("challenges %q and %q", a, b)
	}
	digest := strings.Repeat("a", 32)
	for in, want := range map[string]error{
		"user " + digest:                         nil,
		"a user " + digest:                       nil,
		"user " + strings.Repeat("A", 32):        nil,
		digest:                                   ErrProtocol,
		"user " + digest[:31]:                    ErrProtocol,
		"user " + digest + "a":                   ErrProtocol,
		"user " + strings.Repeat("g", 32):        ErrProtocol,
		" " + digest:                             ErrUsername,
		"":                                       ErrProtocol,
		strings.Repeat("u", 2000) + " " + digest: ErrUsername,
	} {
		if _, _, err := ParseCRAMMD5([]byte(in)); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", in, err, want)
		}
	}
	if _, _, err := NewCRAMMD5Client(Credentials{}).Next(nil); !errors.Is(err, ErrProtocol) {
		t.Errorf("empty challenge: %v", err)
	}
}

func TestExternalMessages(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "", "user@example.org": "user@example.org", "re\u0301": "ré"} {
		if got, err := ParseExternal([]byte(in)); err != nil || got != want {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
		c := NewExternalClient(in)
		if msg, last, err := c.Next(nil); err != nil || !last || string(msg) != want || msg == nil {
			t.Errorf("client: got %q, %v, %v", msg, last, err)
		}
		if _, _, err := c.Next(nil); !errors.Is(err, ErrProtocol) {
			t.Errorf("second challenge: %v", err)
		}
	}
	for _, s := range []string{"a\x00b", "\xff", strings.Repeat("a", MaxUsername+1), strings.Repeat("a", MaxMessage+1)} {
		if got, err := ParseExternal([]byte(s)); err == nil {
			t.Errorf("%q: got %q", s, got)
		}
	}
	if _, _, err := NewExternalClient("a\x00").Next(nil); !errors.Is(err, ErrUsername) {
		t.Errorf("got %v", err)
	}
}

func TestPreparePassword(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"example 12 of RFC 8265", "correct horse battery staple", "correct horse battery staple"},
		{"example 13", "Correct Horse Battery Staple", "Correct Horse Battery Staple"},
		{"example 14", "πßå", "πßå"},
		{"example 15", "Jack of ♦s", "Jack of ♦s"},
		{"example 16", "foo\u1680bar", "foo bar"},
		{"example 18 is not allowed and stays", "my cat is a \x09by", "my cat is a \x09by"},
		{"normalised", "re\u0301", "ré"},
		{"not UTF-8 stays", "\xff", "\xff"},
	}
	for _, tc := range tests {
		if got := PreparePassword(tc.in); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestPrepareUsername(t *testing.T) {
	t.Parallel()
	if got, err := PrepareUsername("Re\u0301@Example.org"); err != nil || got != "Ré@Example.org" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, s := range []string{"", "a\x00", "a\nb", "a\u0085", "\xff", strings.Repeat("a", MaxUsername+1)} {
		if got, err := PrepareUsername(s); !errors.Is(err, ErrUsername) {
			t.Errorf("%q: got %q, %v", s, got, err)
		}
	}
}

func TestIdentityProxies(t *testing.T) {
	t.Parallel()
	for id, want := range map[Identity]bool{{"a", ""}: false, {"a", "a"}: false, {"a", "b"}: true} {
		if id.Proxies() != want {
			t.Errorf("%+v: got %v", id, id.Proxies())
		}
	}
}

func TestSCRAMErrorValues(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		ErrInvalidProof:                  "invalid-proof",
		ErrChannelBinding:                "channel-bindings-dont-match",
		ErrChannelBindingType:            "unsupported-channel-binding-type",
		ErrChannelBindingMissing:         "channel-binding-not-supported",
		ErrDowngrade:                     "server-does-support-channel-binding",
		ErrExtension:                     "extensions-not-supported",
		ErrUsername:                      "invalid-username-encoding",
		failf(ErrEncoding, "in %s", "x"): "invalid-encoding",
		ErrProtocol:                      "other-error",
		errors.New("database broken"):    "other-error",
	} {
		if got := SCRAMErrorValue(err); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
}

func FuzzParsePlain(f *testing.F) {
	f.Add([]byte("\x00tim\x00tanstaaftanstaaf"))
	f.Add([]byte("Ursel\x00Kurt\x00xipj3plmq"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		cred, err := ParsePlain(msg)
		if err != nil {
			return
		}
		again, _, err := NewPlainClient(cred).Next(nil)
		if err != nil {
			return // Normalisation can make a name longer.
		}
		if back, err := ParsePlain(again); err == nil && back != cred {
			t.Fatalf("%q: %+v became %+v", msg, cred, back)
		}
	})
}

func FuzzParseCRAMMD5(f *testing.F) {
	f.Add([]byte(cramResponse))
	f.Fuzz(func(t *testing.T, msg []byte) {
		username, digest, err := ParseCRAMMD5(msg)
		if err == nil && (username == "" || len(digest) != 16) {
			t.Fatalf("%q: got %q, %x", msg, username, digest)
		}
	})
}

func FuzzParseExternal(f *testing.F) {
	f.Add([]byte("user@example.org"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, msg []byte) {
		id, err := ParseExternal(msg)
		if err != nil {
			return
		}
		again, _, err := NewExternalClient(id).Next(nil)
		if err != nil || string(again) != id {
			t.Fatalf("%q: %q became %q, %v", msg, id, again, err)
		}
	})
}
