package sasl

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// tlsPair returns the states of both ends of a TLS connection.
func tlsPair(t *testing.T, version uint16) (client, server tls.ConnectionState) {
	t.Helper()
	ca := testkit.NewCA(t)
	serverConfig, clientConfig := ca.ServerConfig(t, "mail.example.org"), ca.ClientConfig("mail.example.org")
	clientConfig.MaxVersion = version
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	s := tls.Server(b, serverConfig)
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	c := tls.Client(a, clientConfig)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if version == tls.VersionTLS13 {
		// The server may still be writing its session ticket.
		go func() { _, _ = c.Read(make([]byte, 1)) }()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState(), s.ConnectionState()
}

func TestTLSChannelBindings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		version uint16
		types   string
	}{
		{tls.VersionTLS12, "tls-unique tls-exporter"},
		{tls.VersionTLS13, "tls-exporter"},
	}
	for _, tc := range tests {
		t.Run(tls.VersionName(tc.version), func(t *testing.T) {
			t.Parallel()
			client, server := tlsPair(t, tc.version)
			cb, sb := TLSChannelBindings(&client), TLSChannelBindings(&server)
			var types []string
			for i := range cb {
				types = append(types, cb[i].Type)
				if i >= len(sb) || cb[i].Type != sb[i].Type || !bytes.Equal(cb[i].Data, sb[i].Data) || len(cb[i].Data) < 12 {
					t.Fatalf("client has %v, server %v", cb, sb)
				}
			}
			if got := strings.Join(types, " "); got != tc.types {
				t.Fatalf("got %s, want %s", got, tc.types)
			}

			other, _ := tlsPair(t, tc.version)
			if ob := TLSChannelBindings(&other); bytes.Equal(ob[0].Data, cb[0].Data) {
				t.Fatal("another connection has the same binding")
			}

			c, err := Choose(ChooseOptions{
				Offered:     []string{SCRAMSHA256, SCRAMSHA256Plus, SCRAMSHA1},
				Credentials: Credentials{Identity: Identity{Authentication: "user"}, Password: "pencil"},
				TLS:         &client,
			})
			if err != nil || c.Name() != SCRAMSHA256Plus {
				t.Fatalf("got %v, %v", c, err)
			}
			s := NewSCRAMServer(SHA256, SCRAMServerOptions{Plus: true, PlusOffered: true, Bindings: sb})
			if _, clientErr, serverErr := exchange(c, s, testKeys(t, SHA256)); clientErr != nil || serverErr != nil {
				t.Fatalf("client %v, server %v", clientErr, serverErr)
			}
		})
	}
	if b := TLSChannelBindings(nil); len(b) != 0 {
		t.Errorf("without TLS: %v", b)
	}
	if b := TLSChannelBindings(&tls.ConnectionState{}); len(b) != 0 {
		t.Errorf("before the handshake: %v", b)
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	state, _ := tlsPair(t, tls.VersionTLS13)
	all := []string{"plain", "LOGIN", CRAMMD5, SCRAMSHA1, "scram-sha-1-plus", SCRAMSHA256, SCRAMSHA256Plus, External, "GSSAPI"}
	tests := []struct {
		name    string
		opts    ChooseOptions
		want    string
		gs2Flag string
	}{
		{"strongest with TLS", ChooseOptions{Offered: all, TLS: &state}, SCRAMSHA256Plus, "p"},
		{"strongest without TLS", ChooseOptions{Offered: all}, SCRAMSHA256, "n"},
		{"binding is worth more than the hash", ChooseOptions{Offered: []string{SCRAMSHA256, SCRAMSHA1Plus}, TLS: &state}, SCRAMSHA1Plus, "p"},
		{"PLUS not offered", ChooseOptions{Offered: []string{SCRAMSHA1, SCRAMSHA256}, TLS: &state}, SCRAMSHA256, "y"},
		{"PLUS not offered and not possible", ChooseOptions{Offered: []string{SCRAMSHA1, SCRAMSHA256}}, SCRAMSHA256, "n"},
		{"PLUS not allowed", ChooseOptions{Offered: all, Mechanisms: []string{SCRAMSHA1}, TLS: &state}, SCRAMSHA1, "n"},
		{"order of what is allowed", ChooseOptions{Offered: all, Mechanisms: []string{CRAMMD5, SCRAMSHA256}, TLS: &state}, CRAMMD5, ""},
		{"PLAIN only if asked for", ChooseOptions{Offered: []string{Plain, Login}, TLS: &state}, "", ""},
		{"PLAIN with TLS", ChooseOptions{Offered: all, Mechanisms: []string{Plain}, TLS: &state}, Plain, ""},
		{"PLAIN without TLS", ChooseOptions{Offered: all, Mechanisms: []string{Plain, Login}}, "", ""},
		{"LOGIN in clear text if asked for", ChooseOptions{Offered: []string{Login}, Mechanisms: []string{Plain, Login}, AllowCleartext: true}, Login, ""},
		{"EXTERNAL", ChooseOptions{Offered: all, Mechanisms: []string{External}, TLS: &state}, External, ""},
		{"none offered", ChooseOptions{}, "", ""},
		{"none known", ChooseOptions{Offered: []string{"GSSAPI"}, Mechanisms: []string{"GSSAPI"}}, "", ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.opts.Credentials = Credentials{Identity: Identity{Authentication: "user"}, Password: "pencil"}
			c, err := Choose(tc.opts)
			if tc.want == "" {
				if !errors.Is(err, ErrMechanism) {
					t.Fatalf("got %v, %v", c, err)
				}
				return
			}
			if err != nil || c.Name() != tc.want {
				t.Fatalf("got %v, %v, want %s", c, err, tc.want)
			}
			if tc.gs2Flag == "" {
				return
			}
			if msg, _, err := c.Next(nil); err != nil || !strings.HasPrefix(string(msg), tc.gs2Flag) {
				t.Fatalf("client first message %q, %v, want flag %s", msg, err, tc.gs2Flag)
			}
		})
	}
}

func TestSCRAMClientRefusesWeakParameters(t *testing.T) {
	t.Parallel()
	const nonce = "clientnonce"
	tests := []struct {
		name, challenge string
		err             error
	}{
		{"few iterations", "r=clientnonceservernonce,s=QSXCR+Q6sek8bf92,i=2047", ErrWeak},
		{"many iterations", "r=clientnonceservernonce,s=QSXCR+Q6sek8bf92,i=1000001", ErrWeak},
		{"short salt", "r=clientnonceservernonce,s=QSXCR+Q6sQ==,i=4096", ErrWeak},
		{"nonce just long enough", "r=clientnonceserver01,s=QSXCR+Q6sek8bf92,i=4096", nil},
		{"short nonce", "r=clientnonceserver0,s=QSXCR+Q6sek8bf92,i=4096", ErrWeak},
		{"only our nonce", "r=clientnonce,s=QSXCR+Q6sek8bf92,i=4096", ErrWeak},
		{"not our nonce", "r=Clientnonceservernonce,s=QSXCR+Q6sek8bf92,i=4096", ErrProtocol},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := NewSCRAMClient(SHA256, Credentials{Identity: Identity{Authentication: "user"}, Password: "pencil"}, SCRAMClientOptions{ClientNonce: nonce})
			if _, _, err := c.Next(nil); err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.Next([]byte(tc.challenge)); !errors.Is(err, tc.err) {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
		})
	}
}

func TestSCRAMClientRefusesAnImpostor(t *testing.T) {
	t.Parallel()
	v := scramVectors[1]
	for _, verify := range []string{"v=" + strings.Repeat("A", 43) + "=", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl9", "e=", "e=other-error", ""} {
		c := NewSCRAMClient(v.hash, Credentials{Identity: Identity{Authentication: "user"}, Password: "pencil"}, SCRAMClientOptions{ClientNonce: v.clientNonce})
		for _, challenge := range []string{"", v.serverFirst} {
			if _, last, err := c.Next([]byte(challenge)); err != nil || last {
				t.Fatalf("got %v, %v", last, err)
			}
		}
		if _, _, err := c.Next([]byte(verify)); err == nil {
			t.Errorf("%q was accepted", verify)
		}
	}
}

func TestSCRAMServerTakesStepsInOrderOnly(t *testing.T) {
	t.Parallel()
	keys := testKeys(t, SHA256)
	s := NewSCRAMServer(SHA256, SCRAMServerOptions{})
	if _, err := s.ServerFirst(keys); !errors.Is(err, ErrProtocol) {
		t.Fatalf("got %v", err)
	}
	if _, err := s.ClientFirst([]byte(scramVectors[1].clientFirst)); !errors.Is(err, ErrProtocol) {
		t.Fatalf("after an error: %v", err)
	}
	s = NewSCRAMServer(SHA256, SCRAMServerOptions{})
	if _, err := s.ClientFirst([]byte(scramVectors[1].clientFirst)); err != nil {
		t.Fatal(err)
	}
	if msg, err := s.ClientFinal([]byte(scramVectors[1].final)); !errors.Is(err, ErrProtocol) || msg != nil {
		t.Fatalf("got %q, %v", msg, err)
	}
	s = NewSCRAMServer(SHA1, SCRAMServerOptions{})
	if _, err := s.ClientFirst([]byte(scramVectors[1].clientFirst)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServerFirst(keys); err == nil {
		t.Fatal("keys of another hash were taken")
	}
}

func TestNewSCRAMKeys(t *testing.T) {
	t.Parallel()
	a, err := NewSCRAMKeys(SHA256, "pencil", 0)
	if err != nil || a.Iterations != SCRAMDefaultIterations || len(a.Salt) != SCRAMSaltLength || len(a.StoredKey) != 32 {
		t.Fatalf("got %+v, %v", a, err)
	}
	b, err := NewSCRAMKeys(SHA256, "pencil", SCRAMMinIterations)
	if err != nil || bytes.Equal(a.Salt, b.Salt) {
		t.Fatalf("got %+v, %v", b, err)
	}
	if _, err := NewSCRAMKeys(SHA256, "pencil", SCRAMMinIterations-1); !errors.Is(err, ErrWeak) {
		t.Fatalf("got %v", err)
	}
	if _, err := DeriveSCRAM(SHA1, "pencil", []byte("saltsalt"), 0); !errors.Is(err, ErrWeak) {
		t.Fatalf("got %v", err)
	}
}

func BenchmarkDeriveSCRAM(b *testing.B) {
	for b.Loop() {
		if _, err := DeriveSCRAM(SHA256, "pencil", []byte("saltsaltsaltsalt"), SCRAMDefaultIterations); err != nil {
			b.Fatal(err)
		}
	}
}
