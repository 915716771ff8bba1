package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Exit codes of swaks.
const (
	swaksRefusedMail = 23
	swaksRefusedRcpt = 24
	swaksRefusedData = 26
	swaksNoAuth      = 28 // No mechanism in common, or all have failed.
)

// TestSwaks sends mail with swaks: to the port for other servers, and to the ports for
// submission with logins, with and without TLS.
func TestSwaks(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{})
	from := []string{"--from", "sender@remote.example"}
	own := []string{"--from", user}
	auth := func(mechanism string) []string {
		return append([]string{"--auth", mechanism, "--auth-user", user, "--auth-password", password}, own...)
	}
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, []byte(strings.Repeat("0123456789abcdef", 5<<20/16)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("sends", func(t *testing.T) {
		for _, tc := range []struct {
			name    string
			service string
			to      string
			args    [][]string
			code    int
			out     string // In the output.
		}{
			{"delivery", "smtp", "test@localhost", [][]string{from}, 0, "250 2.2.0"},
			{"null sender", "smtp", "test@localhost", [][]string{{"--from", "<>"}}, 0, "MAIL FROM:<>"},
			{"another domain", "smtp", "someone@elsewhere.example", [][]string{from}, 0, ""},
			{"STARTTLS", "smtp", "test@localhost", [][]string{from, {"--tls"}}, 0, "TLS started"},
			{"8bit", "smtp", "test@localhost", [][]string{from, {"--body", "grüße, 世界", "--add-header", "Content-Type: text/plain; charset=utf-8"}}, 0, ""},
			{"big", "smtp", "test@localhost", [][]string{from, {"--attach", "@" + big, "--suppress-data"}}, 0, ""},
			{"two recipients", "smtp", "one@localhost,two@localhost", [][]string{from}, 0, ""},
			{"HELO", "smtp", "test@localhost", [][]string{from, {"--protocol", "SMTP"}}, 0, ""},
			{"pipelining", "smtp", "test@localhost", [][]string{from, {"--pipeline"}}, 0, ""},
			{"refused sender", "smtp", "test@localhost", [][]string{{"--from", "mailfrompermerror@remote.example"}}, swaksRefusedMail, "550 5"},
			{"refused recipient", "smtp", "rcpttotemperror@localhost", [][]string{from}, swaksRefusedRcpt, "451 4"},
			{"refused message", "smtp", "permerror@localhost", [][]string{from}, swaksRefusedData, "550 5"},
			{"refused with a code", "smtp", "test-452@localhost", [][]string{from}, swaksRefusedData, "452 4"},
			{"no login for delivery", "smtp", "test@localhost", [][]string{auth("PLAIN")}, swaksNoAuth, "did not advertise authentication"},

			{"PLAIN", "submission", "test@localhost", [][]string{auth("PLAIN")}, 0, "235 2.7.0"},
			{"LOGIN", "submission", "test@localhost", [][]string{auth("LOGIN")}, 0, "235 2.7.0"},
			{"submission STARTTLS PLAIN", "submission", "test@localhost", [][]string{auth("PLAIN"), {"--tls"}}, 0, "235 2.7.0"},
			{"submission STARTTLS LOGIN", "submission", "test@localhost", [][]string{auth("LOGIN"), {"--tls", "--tls-verify", "--tls-ca-path", s.cert()}}, 0, "235 2.7.0"},
			{"submissions PLAIN", "submissions", "test@localhost", [][]string{auth("PLAIN"), {"--tlsc"}}, 0, "235 2.7.0"},
			{"submissions LOGIN", "submissions", "test@localhost", [][]string{auth("LOGIN"), {"--tlsc"}}, 0, "235 2.7.0"},
			{"submission to elsewhere", "submissions", "someone@elsewhere.example", [][]string{auth("PLAIN"), {"--tlsc"}}, 0, ""},
			{"CRAM-MD5 is off", "submission", "test@localhost", [][]string{auth("CRAM-MD5")}, swaksNoAuth, "requested type not available"},
			{"wrong password", "submission", "test@localhost", [][]string{{"--auth", "PLAIN", "--auth-user", user, "--auth-password", "wrongwrong"}, own}, swaksNoAuth, "535 5.7.8"},
			{"unknown user", "submission", "test@localhost", [][]string{{"--auth", "LOGIN", "--auth-user", "nobody@localhost", "--auth-password", password}, own}, swaksNoAuth, "535 5.7.8"},
			{"login needed", "submission", "test@localhost", [][]string{own}, swaksRefusedMail, "530 5.7.0"},
			{"sender of another", "submission", "test@localhost", [][]string{{"--auth", "PLAIN", "--auth-user", user, "--auth-password", password}, from}, swaksRefusedMail, "550 5.7.1"},
			{"unknown local recipient", "submission", "nobody@localhost", [][]string{auth("PLAIN")}, 0, ""},
		} {
			t.Run(tc.name, func(t *testing.T) {
				t.Parallel()
				word := strings.ReplaceAll(t.Name(), "/", "-")
				host, port, err := net.SplitHostPort(s.addr[tc.service])
				if err != nil {
					t.Fatal(err)
				}
				args := []string{"--server", host, "--port", port, "--to", tc.to, "--header", "Subject: " + word, "--helo", "client.example", "--timeout", "60"}
				for _, l := range tc.args {
					args = append(args, l...)
				}
				out, code := run(t, "", "swaks", args...)
				if code != tc.code || !strings.Contains(out, tc.out) {
					t.Fatalf("exit code %d, want %d with %q\n%s", code, tc.code, tc.out, out)
				}
				n := 0
				if tc.code == 0 {
					n = 1 + strings.Count(tc.to, ",")
				}
				ts := s.with(t)
				for _, uid := range ts.waitSubject(word, n) {
					checkSwaks(t, tc.name, ts.fetch(uid), tc.service != "smtp")
				}
			})
		}
	})
}

// checkSwaks checks a message that has arrived.
func checkSwaks(t *testing.T, name, msg string, submitted bool) {
	header, body, _ := strings.Cut(msg, "\r\n\r\n")
	for _, field := range []string{"Return-Path: ", "Delivered-To: ", "Received: from "} {
		if !strings.HasPrefix(header, field) && !strings.Contains(header, "\r\n"+field) {
			t.Errorf("no field %q in header:\n%s", field, header)
		}
	}
	if submitted && strings.Contains(header, "client.example") {
		t.Errorf("the client of a submission is told:\n%s", header)
	}
	switch name {
	case "8bit":
		if !strings.Contains(body, "grüße, 世界") {
			t.Errorf("body %q", body)
		}
	case "big":
		if len(body) < 5<<20/3*4 {
			t.Errorf("body has %d octets", len(body))
		}
	}
}
