package tlsrpt_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"mox/internal/testkit"
	"mox/mtasts"
	"mox/tlsrpt"
)

// handshake returns the error of a client.
func handshake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	c, s := net.Pipe()
	defer func() {
		_ = c.Close() // The other side may have.
		_ = s.Close()
	}()
	deadline := time.Now().Add(10 * time.Second)
	if err := errors.Join(c.SetDeadline(deadline), s.SetDeadline(deadline)); err != nil {
		t.Fatal(err)
	}
	go func() {
		// The client's error is what is looked at.
		_ = tls.Server(s, server).Handshake()
	}()
	return tls.Client(c, client).Handshake()
}

func TestErrorsHaveAResultType(t *testing.T) {
	t.Parallel()
	ca, other := testkit.NewCA(t), testkit.NewCA(t)
	good := ca.ServerConfig(t, "mx.example")
	expired := &tls.Config{Certificates: []tls.Certificate{ca.IssueExpired(t, testkit.ECDSA, "mx.example")}}
	old := ca.ServerConfig(t, "mx.example")
	old.MinVersion = tls.VersionTLS13
	max12 := ca.ClientConfig("mx.example")
	max12.MaxVersion = tls.VersionTLS12
	for _, tc := range []struct {
		name   string
		err    error
		want   tlsrpt.ResultType
		reason string
	}{
		{"another name", handshake(t, good, ca.ClientConfig("other.example")), tlsrpt.ResultCertificateHostMismatch, ""},
		{"expired", handshake(t, expired, ca.ClientConfig("mx.example")), tlsrpt.ResultCertificateExpired, ""},
		{"unknown authority", handshake(t, good, other.ClientConfig("mx.example")), tlsrpt.ResultCertificateNotTrusted, "unknown-authority"},
		{"alert: protocol version", handshake(t, old, max12), tlsrpt.ResultValidationFailure, "tls-remote-alert-70"},
		{"anything", errors.New("x"), tlsrpt.ResultValidationFailure, ""},
		{"nothing", nil, tlsrpt.ResultValidationFailure, ""},
		{"policy status", fmt.Errorf("%w: %w", mtasts.ErrFetch, &mtasts.StatusError{Code: 404}), tlsrpt.ResultSTSPolicyFetchError, "http-status-404"},
		{"policy host", fmt.Errorf("%w: %w", mtasts.ErrFetch, errors.New("x")), tlsrpt.ResultSTSPolicyFetchError, ""},
		{"policy certificate", fmt.Errorf("%w: %w", mtasts.ErrCertificate, handshake(t, good, other.ClientConfig("mx.example"))), tlsrpt.ResultSTSWebPKIInvalid, "unknown-authority"},
		{"policy syntax", fmt.Errorf("%w: x", mtasts.ErrPolicySyntax), tlsrpt.ResultSTSPolicyInvalid, ""},
	} {
		got, reason := tlsrpt.Classify(tc.err)
		if got != tc.want || reason != tc.reason {
			t.Errorf("%s (%v): got %s, %q, expected %s, %q", tc.name, tc.err, got, reason, tc.want, tc.reason)
		}
	}
}
