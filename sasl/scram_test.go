package sasl

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func unb64(t *testing.T, s string) []byte {
	t.Helper()
	buf, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatalf("decoding %q: %v", s, err)
	}
	return buf
}

// The examples of RFC 5802 §5 and RFC 7677 §3. In the former, the server's part
// of the nonce is what follows the client's.
var scramVectors = []struct {
	hash                                    Hash
	clientNonce, serverNonce, salt          string
	clientFirst, serverFirst, final, verify string
}{
	{
		SHA1, "fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j", "QSXCR+Q6sek8bf92",
		"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
		"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
		"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
		"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
	},
	{
		SHA256, "rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "W22ZaJ0SNY7soEsUEjb6gQ==",
		"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
		"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
		"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
	},
}

func TestSCRAMClientSendsTheMessagesOfTheRFCs(t *testing.T) {
	t.Parallel()
	for _, v := range scramVectors {
		t.Run(v.hash.Mechanism(false), func(t *testing.T) {
			t.Parallel()
			cred := Credentials{Identity: Identity{Authentication: "user"}, Password: "pencil"}
			c := NewSCRAMClient(v.hash, cred, SCRAMClientOptions{ClientNonce: v.clientNonce})
			steps := []struct {
				challenge, response string
				last                bool
			}{
				{"", v.clientFirst, false},
				{v.serverFirst, v.final, false},
				{v.verify, "", true},
			}
			for _, s := range steps {
				response, last, err := c.Next([]byte(s.challenge))
				if err != nil || string(response) != s.response || last != s.last {
					t.Fatalf("got %q, %v, %v, want %q, %v", response, last, err, s.response, s.last)
				}
			}
			if _, _, err := c.Next(nil); !errors.Is(err, ErrProtocol) {
				t.Fatalf("challenge after the end: got %v, want ErrProtocol", err)
			}
		})
	}
}

func TestSCRAMServerSendsTheMessagesOfTheRFCs(t *testing.T) {
	t.Parallel()
	for _, v := range scramVectors {
		t.Run(v.hash.Mechanism(false), func(t *testing.T) {
			t.Parallel()
			keys, err := DeriveSCRAM(v.hash, "pencil", unb64(t, v.salt), 4096)
			if err != nil {
				t.Fatal(err)
			}
			s := NewSCRAMServer(v.hash, SCRAMServerOptions{ServerNonce: v.serverNonce})
			id, err := s.ClientFirst([]byte(v.clientFirst))
			if err != nil || id.Authentication != "user" || id.Authorization != "" {
				t.Fatalf("client first: got %v, %v", id, err)
			}
			first, err := s.ServerFirst(keys)
			if err != nil || string(first) != v.serverFirst {
				t.Fatalf("server first: got %q, %v, want %q", first, err, v.serverFirst)
			}
			final, err := s.ClientFinal([]byte(v.final))
			if err != nil || string(final) != v.verify {
				t.Fatalf("server final: got %q, %v, want %q", final, err, v.verify)
			}
		})
	}
}

// testKeys are cheap keys for the password "pencil".
func testKeys(t *testing.T, h Hash) SCRAMKeys {
	t.Helper()
	keys, err := NewSCRAMKeys(h, "pencil", SCRAMMinIterations)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// exchange runs a client against a server and returns the first error of each.
func exchange(c Client, s *SCRAMServer, keys ...SCRAMKeys) (id Identity, clientErr, serverErr error) {
	msg, _, err := c.Next(nil)
	if err != nil {
		return id, err, nil
	}
	if id, err = s.ClientFirst(msg); err != nil {
		return id, nil, err
	}
	if msg, err = s.ServerFirst(keys...); err != nil {
		return id, nil, err
	}
	if msg, _, err = c.Next(msg); err != nil {
		return id, err, nil
	}
	final, serverErr := s.ClientFinal(msg)
	_, last, clientErr := c.Next(final)
	if clientErr == nil && !last {
		clientErr = errors.New("client not at its end")
	}
	return id, clientErr, serverErr
}

func TestSCRAMExchange(t *testing.T) {
	t.Parallel()
	exporter := ChannelBinding{TLSExporter, []byte("exported")}
	other := ChannelBinding{TLSExporter, []byte("of another connection")}
	unique := ChannelBinding{TLSUnique, []byte("finished")}
	user := Credentials{Identity: Identity{Authentication: "user@example.org"}, Password: "pencil"}
	wrong := Credentials{Identity: user.Identity, Password: "crayon"}
	odd := Credentials{Identity: Identity{Authentication: "a=b,c☺@example.org", Authorization: "=,="}, Password: "pencil"}

	tests := []struct {
		name                 string
		cred                 Credentials
		client               SCRAMClientOptions
		server               SCRAMServerOptions
		clientErr, serverErr error
	}{
		{"good password", user, SCRAMClientOptions{}, SCRAMServerOptions{}, nil, nil},
		{"name with comma and equals sign", odd, SCRAMClientOptions{}, SCRAMServerOptions{}, nil, nil},
		{"bad password", wrong, SCRAMClientOptions{}, SCRAMServerOptions{}, ErrServerRejected, ErrInvalidProof},
		{"bound with exporter", user, SCRAMClientOptions{Binding: &exporter}, SCRAMServerOptions{Plus: true, Bindings: []ChannelBinding{exporter}}, nil, nil},
		{"bound with the second type", user, SCRAMClientOptions{Binding: &exporter}, SCRAMServerOptions{Plus: true, Bindings: []ChannelBinding{unique, exporter}}, nil, nil},
		{"bound with the plain mechanism name", user, SCRAMClientOptions{Binding: &exporter}, SCRAMServerOptions{PlusOffered: true, Bindings: []ChannelBinding{exporter}}, nil, nil},
		{"bound to another connection", user, SCRAMClientOptions{Binding: &other}, SCRAMServerOptions{Plus: true, Bindings: []ChannelBinding{exporter}}, ErrServerRejected, ErrChannelBinding},
		{"bound with a type the server lacks", user, SCRAMClientOptions{Binding: &unique}, SCRAMServerOptions{Plus: true, Bindings: []ChannelBinding{exporter}}, nil, ErrChannelBindingType},
		{"bound without TLS", user, SCRAMClientOptions{Binding: &exporter}, SCRAMServerOptions{Plus: true}, nil, ErrChannelBindingMissing},
		{"PLUS mechanism without binding", user, SCRAMClientOptions{}, SCRAMServerOptions{Plus: true, Bindings: []ChannelBinding{exporter}}, nil, ErrChannelBindingMissing},
		{"offer of PLUS removed on the way", user, SCRAMClientOptions{NoServerPlus: true}, SCRAMServerOptions{PlusOffered: true, Bindings: []ChannelBinding{exporter}}, nil, ErrDowngrade},
		{"PLUS not offered", user, SCRAMClientOptions{NoServerPlus: true}, SCRAMServerOptions{}, nil, nil},
		{"client that cannot bind", user, SCRAMClientOptions{}, SCRAMServerOptions{PlusOffered: true, Bindings: []ChannelBinding{exporter}}, nil, nil},
		{"short client nonce", user, SCRAMClientOptions{ClientNonce: "1234567"}, SCRAMServerOptions{}, nil, ErrProtocol},
		{"long client nonce", user, SCRAMClientOptions{ClientNonce: strings.Repeat("n", SCRAMMaxNonce+1)}, SCRAMServerOptions{}, nil, ErrProtocol},
		{"short server nonce", user, SCRAMClientOptions{}, SCRAMServerOptions{ServerNonce: "1234567"}, ErrWeak, nil},
	}
	for _, h := range []Hash{SHA1, SHA256} {
		keys := testKeys(t, h)
		for _, tc := range tests {
			t.Run(h.Mechanism(false)+" "+tc.name, func(t *testing.T) {
				t.Parallel()
				c := NewSCRAMClient(h, tc.cred, tc.client)
				id, clientErr, serverErr := exchange(c, NewSCRAMServer(h, tc.server), keys)
				if !errors.Is(clientErr, tc.clientErr) || !errors.Is(serverErr, tc.serverErr) {
					t.Fatalf("client %v, server %v, want %v, %v", clientErr, serverErr, tc.clientErr, tc.serverErr)
				}
				if serverErr == nil && clientErr == nil && id != tc.cred.Identity {
					t.Fatalf("identity %v, want %v", id, tc.cred.Identity)
				}
			})
		}
	}
}

func TestSCRAMNeverSucceedsForFakeKeys(t *testing.T) {
	t.Parallel()
	secret := []byte("0123456789abcdef")
	for _, h := range []Hash{SHA1, SHA256} {
		keys := FakeSCRAMKeys(h, secret, "nobody@example.org", SCRAMMinIterations)
		again := FakeSCRAMKeys(h, secret, "nobody@example.org", SCRAMMinIterations)
		if !bytes.Equal(keys.Salt, again.Salt) || !bytes.Equal(keys.Salt, FakeSalt(h, secret, "nobody@example.org")) {
			t.Fatalf("salt is not steady")
		}
		if bytes.Equal(keys.Salt, FakeSalt(h, secret, "other@example.org")) || bytes.Equal(keys.Salt, FakeSalt(h, []byte("fedcba9876543210"), "nobody@example.org")) {
			t.Fatalf("salt does not depend on name and secret")
		}
		if len(keys.Salt) != len(testKeys(t, h).Salt) {
			t.Fatalf("salt has another length than real ones")
		}
		cred := Credentials{Identity: Identity{Authentication: "nobody@example.org"}, Password: "pencil"}
		_, clientErr, serverErr := exchange(NewSCRAMClient(h, cred, SCRAMClientOptions{}), NewSCRAMServer(h, SCRAMServerOptions{}), keys)
		if !errors.Is(serverErr, ErrInvalidProof) || !errors.Is(clientErr, ErrServerRejected) {
			t.Fatalf("got client %v, server %v", clientErr, serverErr)
		}
	}
	if bytes.Equal(FakeSalt(SHA1, secret, "x"), FakeSalt(SHA256, secret, "x")) {
		t.Fatalf("salts of two hashes are equal, for real users they differ")
	}
}

func TestSCRAMServerTakesAnyOfSeveralPasswords(t *testing.T) {
	t.Parallel()
	for _, h := range []Hash{SHA1, SHA256} {
		first := testKeys(t, h)
		var all []SCRAMKeys
		for _, password := range []string{"pencil", "crayon", "quill"} {
			k, err := DeriveSCRAM(h, password, first.Salt, first.Iterations)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, k)
		}
		for password, want := range map[string]int{"pencil": 0, "crayon": 1, "quill": 2, "chalk": -1} {
			cred := Credentials{Identity: Identity{Authentication: "user"}, Password: password}
			s := NewSCRAMServer(h, SCRAMServerOptions{})
			// The client checks the proof of the server, which is one of the same password.
			_, clientErr, serverErr := exchange(NewSCRAMClient(h, cred, SCRAMClientOptions{}), s, all...)
			switch {
			case want < 0 && (!errors.Is(serverErr, ErrInvalidProof) || !errors.Is(clientErr, ErrServerRejected)):
				t.Errorf("%s: client %v, server %v, expected refusal", password, clientErr, serverErr)
			case want >= 0 && (clientErr != nil || serverErr != nil || s.Matched() != want):
				t.Errorf("%s: client %v, server %v, matched %d, expected %d", password, clientErr, serverErr, s.Matched(), want)
			}
		}
		others := map[string][]SCRAMKeys{"none": nil, "another salt": {all[0], testKeys(t, h)}}
		more := all[1]
		more.Iterations++
		others["another iteration count"] = []SCRAMKeys{all[0], more}
		for name, keys := range others {
			s := NewSCRAMServer(h, SCRAMServerOptions{})
			if _, err := s.ClientFirst([]byte("n,,n=user,r=clientnonce")); err != nil {
				t.Fatal(err)
			}
			if _, err := s.ServerFirst(keys...); err == nil {
				t.Errorf("%s: keys were taken", name)
			}
		}
	}
}
