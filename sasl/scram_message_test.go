package sasl

import (
	"errors"
	"strings"
	"testing"
)

func TestClientFirstMessages(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     clientFirst
		err      error
	}{
		{"no binding", "n,,n=user,r=abcdefgh", clientFirst{gs2Header: "n,,", bare: "n=user,r=abcdefgh", flag: 'n', username: "user", nonce: "abcdefgh"}, nil},
		{"binding and authzid", "p=tls-unique,a=adm,n=user,r=abcdefgh",
			clientFirst{gs2Header: "p=tls-unique,a=adm,", bare: "n=user,r=abcdefgh", flag: 'p', cbName: "tls-unique", authzid: "adm", username: "user", nonce: "abcdefgh"}, nil},
		{"escapes", "y,a==2C,n=a=3Db=2Cc,r=abcdefgh", clientFirst{gs2Header: "y,a==2C,", bare: "n=a=3Db=2Cc,r=abcdefgh", flag: 'y', authzid: ",", username: "a=b,c", nonce: "abcdefgh"}, nil},
		{"extensions", "n,,n=user,r=abcdefgh,x=1,y==", clientFirst{gs2Header: "n,,", bare: "n=user,r=abcdefgh,x=1,y==", flag: 'n', username: "user", nonce: "abcdefgh"}, nil},
		{"nonce with all kinds of characters", "n,,n=u,r=!+-=~^", clientFirst{gs2Header: "n,,", bare: "n=u,r=!+-=~^", flag: 'n', username: "u", nonce: "!+-=~^"}, nil},
		{"mandatory extension", "n,,m=x,n=user,r=abcdefgh", clientFirst{}, ErrExtension},
		{"unknown flag", "x,,n=user,r=abcdefgh", clientFirst{}, ErrProtocol},
		{"flag with value", "y=1,,n=user,r=abcdefgh", clientFirst{}, ErrProtocol},
		{"binding without name", "p=,,n=user,r=abcdefgh", clientFirst{}, ErrProtocol},
		{"binding with bad name", "p=tls unique,,n=user,r=abcdefgh", clientFirst{}, ErrProtocol},
		{"non-standard GS2 flag", "F,n,,n=user,r=abcdefgh", clientFirst{}, ErrProtocol},
		{"empty authzid", "n,a=,n=user,r=abcdefgh", clientFirst{}, ErrProtocol},
		{"other attribute for authzid", "n,b=x,n=user,r=abcdefgh", clientFirst{}, ErrProtocol},
		{"empty user name", "n,,n=,r=abcdefgh", clientFirst{}, ErrProtocol},
		{"bad escape", "n,,n=a=2c,r=abcdefgh", clientFirst{}, ErrUsername},
		{"escape at the end", "n,,n=a=,r=abcdefgh", clientFirst{}, ErrUsername},
		{"no nonce", "n,,n=user", clientFirst{}, ErrProtocol},
		{"empty nonce", "n,,n=user,r=", clientFirst{}, ErrProtocol},
		{"nonce with space", "n,,n=user,r=abcd efgh", clientFirst{}, ErrProtocol},
		{"nonce beyond ASCII", "n,,n=user,r=abcdéfgh", clientFirst{}, ErrProtocol},
		{"wrong order", "n,,r=abcdefgh,n=user", clientFirst{}, ErrProtocol},
		{"malformed extension", "n,,n=user,r=abcdefgh,x", clientFirst{}, ErrProtocol},
		{"empty extension", "n,,n=user,r=abcdefgh,", clientFirst{}, ErrProtocol},
		{"only a flag", "n", clientFirst{}, ErrProtocol},
		{"only a header", "n,,", clientFirst{}, ErrProtocol},
		{"half a header", "n,", clientFirst{}, ErrProtocol},
		{"nothing", "", clientFirst{}, ErrProtocol},
		{"NUL", "n,,n=us\x00er,r=abcdefgh", clientFirst{}, ErrProtocol},
		{"not UTF-8", "n,,n=us\xffer,r=abcdefgh", clientFirst{}, ErrProtocol},
		{"too long", "n,,n=" + strings.Repeat("u", MaxMessage) + ",r=abcdefgh", clientFirst{}, ErrProtocol},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseClientFirst([]byte(tc.in))
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Fatalf("got %+v, %v, want %+v, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

func TestServerFirstMessages(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		err      error
	}{
		{"plain", "r=abcdefgh,s=QSXCR+Q6sek8bf92,i=4096", nil},
		{"extension", "r=abcdefgh,s=QSXCR+Q6sek8bf92,i=4096,x=y", nil},
		{"mandatory extension", "m=x,r=abcdefgh,s=QSXCR+Q6sek8bf92,i=4096", ErrExtension},
		{"salt not base64", "r=abcdefgh,s=QSXCR+Q6sek8bf9,i=4096", ErrEncoding},
		{"salt with trailing bits", "r=abcdefgh,s=QR==,i=4096", ErrEncoding},
		{"salt with line end", "r=abcdefgh,s=QSXC\nR+Q6,i=4096", ErrEncoding},
		{"no salt", "r=abcdefgh,i=4096", ErrProtocol},
		{"iterations zero", "r=abcdefgh,s=QSXCR+Q6sek8bf92,i=0", ErrProtocol},
		{"iterations with leading zero", "r=abcdefgh,s=QSXCR+Q6sek8bf92,i=04096", ErrProtocol},
		{"iterations negative", "r=abcdefgh,s=QSXCR+Q6sek8bf92,i=-4096", ErrProtocol},
		{"iterations too many digits", "r=abcdefgh,s=QSXCR+Q6sek8bf92,i=4096409640", ErrProtocol},
		{"server error", "e=no-resources", ErrProtocol},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got, err := parseServerFirst([]byte(tc.in)); !errors.Is(err, tc.err) || err == nil && got.iterations != 4096 {
				t.Fatalf("got %+v, %v, want %v", got, err, tc.err)
			}
		})
	}
}

func TestClientFinalMessages(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in, withoutProof string
		err                    error
	}{
		{"plain", "c=biws,r=abcdefgh,p=AAAA", "c=biws,r=abcdefgh", nil},
		{"extensions", "c=biws,r=abcdefgh,x=1,y=2,p=AAAA", "c=biws,r=abcdefgh,x=1,y=2", nil},
		{"mandatory extension", "m=1,c=biws,r=abcdefgh,p=AAAA", "", ErrExtension},
		{"no proof", "c=biws,r=abcdefgh", "", ErrProtocol},
		{"proof not base64", "c=biws,r=abcdefgh,p=A", "", ErrEncoding},
		{"attribute after the proof", "c=biws,r=abcdefgh,p=AAAA,x=1", "", ErrProtocol},
		{"two proofs", "c=biws,r=abcdefgh,p=AAAA,p=AAAA", "", ErrProtocol},
		{"binding not base64", "c=b,r=abcdefgh,p=AAAA", "", ErrEncoding},
		{"no binding", "r=abcdefgh,p=AAAA", "", ErrProtocol},
		{"cancelled", "*", "", ErrProtocol},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseClientFinal([]byte(tc.in))
			if got.withoutProof != tc.withoutProof || !errors.Is(err, tc.err) {
				t.Fatalf("got %+v, %v, want %q, %v", got, err, tc.withoutProof, tc.err)
			}
		})
	}
}

func TestServerFinalMessages(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in, verifier, serverError string
		err                       error
	}{
		{"v=QUJD", "ABC", "", nil},
		{"v=QUJD,x=1", "ABC", "", nil},
		{"e=invalid-proof", "", "invalid-proof", nil},
		{"e=other-error,x=1", "", "other-error", nil},
		{"v=A", "", "", ErrEncoding},
		{"v=", "", "", ErrProtocol},
		{"", "", "", ErrProtocol},
		{"x=1", "", "", ErrProtocol},
	}
	for _, tc := range tests {
		verifier, serverError, err := parseServerFinal([]byte(tc.in))
		if string(verifier) != tc.verifier || serverError != tc.serverError || !errors.Is(err, tc.err) {
			t.Errorf("%q: got %q, %q, %v", tc.in, verifier, serverError, err)
		}
	}
}

func FuzzSCRAMServer(f *testing.F) {
	for _, v := range scramVectors {
		f.Add(v.clientFirst, v.final)
	}
	f.Add("p=tls-exporter,a=b,n=u=2C,r=12345678,x=1", "c=cD10bHMtZXhwb3J0ZXIsYT1iLHg=,r=12345678server-nonce,p=AAAA")
	keys := FakeSCRAMKeys(SHA256, []byte("secret"), "user", SCRAMMinIterations)
	f.Fuzz(func(t *testing.T, first, final string) {
		s := NewSCRAMServer(SHA256, SCRAMServerOptions{ServerNonce: "server-nonce", Bindings: []ChannelBinding{{TLSExporter, []byte("x")}}})
		id, err := s.ClientFirst([]byte(first))
		if err != nil {
			return
		}
		if id.Authentication == "" {
			t.Fatal("no user name")
		}
		if m, err := parseClientFirst([]byte(first)); err != nil || m.gs2Header+m.bare != first {
			t.Fatalf("parts %q and %q are not the message, %v", m.gs2Header, m.bare, err)
		}
		if _, err := s.ServerFirst(keys); err != nil {
			t.Fatal(err)
		}
		if msg, err := s.ClientFinal([]byte(final)); err == nil || !strings.HasPrefix(string(msg), "e=") {
			t.Fatalf("fake keys were proven with %q, answer %q", final, msg)
		}
	})
}

func FuzzSCRAMClient(f *testing.F) {
	for _, v := range scramVectors {
		f.Add(strings.TrimPrefix(v.serverFirst, "r="+v.clientNonce), v.verify)
	}
	f.Add("serverno,s=QSXCR+Q6sek8bf92,i=2048,m=1", "e=invalid-proof,x=1")
	f.Fuzz(func(t *testing.T, first, final string) {
		// Rounds are what costs time, and are not what is tested here.
		if m, err := parseServerFirst([]byte("r=clientnonce" + first)); err == nil && m.iterations > 5000 {
			return
		}
		c := NewSCRAMClient(SHA256, Credentials{Identity: Identity{Authentication: "user"}, Password: "pencil"}, SCRAMClientOptions{ClientNonce: "clientnonce"})
		if _, _, err := c.Next(nil); err != nil {
			t.Fatal(err)
		}
		response, last, err := c.Next([]byte("r=clientnonce" + first))
		if err != nil {
			return
		}
		if last {
			t.Fatal("client done before the server's proof")
		}
		if _, err := parseClientFinal(response); err != nil {
			t.Fatalf("response %q: %v", response, err)
		}
		if _, _, err := c.Next([]byte(final)); err == nil {
			t.Fatalf("server proved a password it does not know with %q", final)
		}
	})
}

func FuzzSASLName(f *testing.F) {
	f.Add("a=b,c=2C")
	f.Fuzz(func(t *testing.T, name string) {
		if _, err := PrepareUsername(name); err != nil {
			return
		}
		m, err := parseClientFirst([]byte("n,,n=" + escapeSASLName(name) + ",r=12345678"))
		if err != nil || m.username != name {
			t.Fatalf("%q became %q, %v", name, m.username, err)
		}
	})
}
