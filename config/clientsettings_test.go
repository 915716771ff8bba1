package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// clientListeners returns sections of listeners, each a name, an IP address and lines for its
// services.
func clientListeners(l ...[3]string) string {
	var b strings.Builder
	for _, x := range l {
		fmt.Fprintf(&b, "\t%s:\n\t\tIPs:\n\t\t\t- %s\n%s", x[0], x[1], x[2])
	}
	return b.String()
}

func TestClientServicesAreThoseOthersCanReach(t *testing.T) {
	t.Parallel()
	const tls = "\t\tTLS:\n\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: a\n\t\t\t\t\tKeyFile: b\n"
	const (
		imaps       = "\t\tIMAPS:\n\t\t\tEnabled: true\n"
		imap        = "\t\tIMAP:\n\t\t\tEnabled: true\n"
		plain       = "\t\tIMAP:\n\t\t\tEnabled: true\n\t\t\tNoRequireSTARTTLS: true\n"
		submissions = "\t\tSubmissions:\n\t\t\tEnabled: true\n"
		submission  = "\t\tSubmission:\n\t\t\tEnabled: true\n"
		onHTTPS     = "\t\t\tEnabledOnHTTPS: true\n"
	)
	tests := []struct {
		name      string
		listeners string
		want      []string
	}{
		{"TLS from the start comes first", clientListeners([3]string{"public", "192.0.2.1", tls + imap + imaps + submission + submissions}),
			[]string{"imap mx.example.org:993", "imap mx.example.org:143 starttls", "submission mx.example.org:465", "submission mx.example.org:587 starttls"}},
		{"the port for HTTPS comes last", clientListeners([3]string{"public", "192.0.2.1", tls + imaps + onHTTPS + imap}),
			[]string{"imap mx.example.org:993", "imap mx.example.org:143 starttls", "imap mx.example.org:443 https"}},
		{"only with TLS", clientListeners([3]string{"public", "192.0.2.1", plain}), nil},
		{"the public listener comes first", clientListeners([3]string{"a", "192.0.2.2", tls + "\t\tHostname: a.example.org\n" + imaps + submissions}, [3]string{"public", "192.0.2.1", tls + imaps}),
			[]string{"imap mx.example.org:993", "submission a.example.org:465"}},
		{"loopback does not count", clientListeners([3]string{"a", "127.0.0.1", tls + imaps}, [3]string{"b", "192.0.2.1", tls + imap}),
			[]string{"imap mx.example.org:143 starttls"}},
		{"unless there is nothing else", clientListeners([3]string{"local", "127.0.0.1", tls + imaps}), []string{"imap mx.example.org:993"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			head, rest, _ := strings.Cut(testStatic, "Listeners:\n")
			_, tail, _ := strings.Cut(rest, "Postmaster:\n")
			s, err := testLoad(head+"Listeners:\n"+tt.listeners+"Postmaster:\n"+tail, testDynamic)
			if err != nil {
				t.Fatal(err)
			}
			d, _ := s.Domain(parseDomain(t, "example.org"))
			if got := clientServices(s, d); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func clientServices(s *Snapshot, d Domain) []string {
	var l []string
	for _, c := range s.ClientServices(d) {
		text := fmt.Sprintf("%s %s:%d", c.Protocol, c.Host.ASCII, c.Port)
		if c.STARTTLS {
			text += " starttls"
		}
		if c.HTTPS {
			text += " https"
		}
		l = append(l, text)
	}
	return l
}

func TestClientServicesHaveTheNameOfTheDomain(t *testing.T) {
	t.Parallel()
	s, err := testLoad(testStatic, change(t, testDynamic, "\texample.org:\n", "\texample.org:\n\t\tClientSettingsDomain: mail.example.org\n"))
	if err != nil {
		t.Fatal(err)
	}
	d, _ := s.Domain(parseDomain(t, "example.org"))
	if got, want := clientServices(s, d), []string{"imap mail.example.org:993", "submission mail.example.org:465"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
