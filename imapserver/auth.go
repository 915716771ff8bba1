package imapserver

import (
	"context"
	"errors"
	"net/netip"

	"mox/imap"
	"mox/internal/identity"
	"mox/sasl"
)

// Authenticator checks credentials, counts and records attempts. *identity.Checker is
// one.
type Authenticator interface {
	Allowed(ip netip.Addr) bool
	Mechanisms(tls, clientCert, plaintextOK bool) []string
	Password(ctx context.Context, a identity.Attempt, user, password string) (identity.Result, error)
	Begin(ctx context.Context, a identity.Attempt, mechanism string) (identity.Exchange, error)
	Certificate(ctx context.Context, a identity.Attempt, preauth bool) (identity.Certificate, error)
	Watch(ctx context.Context, res identity.Result, end func()) (stop func())
}

// authStatus has the answers to failed logins. Unknown users, wrong passwords and
// everything else that says something about the user are answered alike. RFC 9051 §6.2.2
var authStatus = []struct {
	err    error
	answer *imap.Error
	counts bool // It counts as a failed login of this connection.
}{
	// Before ErrCredentials, which it comes with.
	{identity.ErrNoSecret, imap.No(imap.CodeAuthenticationFailed, "authentication failed"), false},
	{identity.ErrCredentials, imap.No(imap.CodeAuthenticationFailed, "authentication failed"), true},
	{identity.ErrRateLimited, imap.No(imap.CodeUnavailable, "too many failed logins from your network, try again later"), true},
	{sasl.ErrMechanism, imap.No("", "authentication mechanism is not supported"), false},
	{sasl.ErrAborted, imap.Bad("", "authentication cancelled"), false},
	{sasl.ErrProtocol, imap.Bad("", "invalid message of authentication mechanism"), true},
	{sasl.ErrEncoding, imap.Bad("", "invalid message of authentication mechanism"), true},
	{sasl.ErrExtension, imap.No("", "extension of authentication mechanism is not supported"), true},
	{sasl.ErrUsername, imap.No(imap.CodeAuthenticationFailed, "authentication failed"), true},
	{sasl.ErrInvalidProof, imap.No(imap.CodeAuthenticationFailed, "authentication failed"), true},
	{sasl.ErrChannelBinding, imap.No(imap.CodeAuthenticationFailed, "channel binding does not match, someone may be in between"), true},
	{sasl.ErrChannelBindingMissing, imap.No(imap.CodeAuthenticationFailed, "channel binding is missing"), true},
	{sasl.ErrChannelBindingType, imap.No(imap.CodeAuthenticationFailed, "channel binding type is not supported"), true},
	{sasl.ErrDowngrade, imap.No(imap.CodeAuthenticationFailed, "offer of channel binding was changed, someone may be in between"), true},
}

// authError returns the answer to a failed login, and whether it counts as one.
func authError(err error) (answer error, counts bool) {
	var disabled *identity.LoginDisabledError
	if errors.As(err, &disabled) {
		// Without a code that makes the client ask for another password.
		return imap.No("", disabled.Text).With(err), false
	}
	for _, s := range authStatus {
		if errors.Is(err, s.err) {
			return s.answer.With(err), s.counts
		}
	}
	return err, false
}
