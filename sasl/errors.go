package sasl

import (
	"errors"
	"fmt"
)

// The failures of an exchange. Errors returned by this package wrap one of
// these, with detail for the log.
var (
	// ErrProtocol says that a message of the other side does not follow the
	// mechanism's grammar, or came out of turn.
	ErrProtocol = errors.New("sasl: protocol error")

	// ErrEncoding says that a base64 value inside a message is malformed.
	ErrEncoding = errors.New("sasl: invalid encoding")

	// ErrUsername says that a user name is not valid UTF-8, is empty, too long, or
	// has characters that no user name can have.
	ErrUsername = errors.New("sasl: invalid user name")

	// ErrExtension says that a SCRAM message has a mandatory extension. None is
	// defined, so none is supported, RFC 5802 §5.1.
	ErrExtension = errors.New("sasl: unsupported mandatory extension")

	// ErrInvalidProof says that the other side does not know the password.
	ErrInvalidProof = errors.New("sasl: invalid proof")

	// ErrChannelBinding says that the channel binding data of the two sides
	// differ: they do not share one TLS connection, someone may be in between.
	ErrChannelBinding = errors.New("sasl: channel bindings do not match")

	// ErrChannelBindingMissing says that a PLUS mechanism was chosen and the client
	// did not bind, or binding was asked for on a channel that has none.
	ErrChannelBindingMissing = errors.New("sasl: channel binding missing")

	// ErrChannelBindingType says that the client asked for a type of channel
	// binding that this connection cannot provide.
	ErrChannelBindingType = errors.New("sasl: unsupported channel binding type")

	// ErrDowngrade says that the client believes that the server has no channel
	// binding, while it was offered. Someone may have changed the offer, RFC 5802 §6.
	ErrDowngrade = errors.New("sasl: downgrade of channel binding detected")

	// ErrAborted says that the other side cancelled the exchange.
	ErrAborted = errors.New("sasl: exchange aborted")

	// ErrServerRejected says, at a client, that the server ended a SCRAM exchange
	// with an error value instead of its signature.
	ErrServerRejected = errors.New("sasl: rejected by server")

	// ErrServerSignature says, at a client, that the server could not prove that it
	// knows the user's keys. It may be an impostor.
	ErrServerSignature = errors.New("sasl: invalid server signature")

	// ErrWeak says, at a client, that the server's nonce, salt or iteration count
	// is outside what this client accepts.
	ErrWeak = errors.New("sasl: unacceptable parameters")

	// ErrMechanism says that no mechanism is supported by both sides, or allowed on
	// this connection.
	ErrMechanism = errors.New("sasl: no usable mechanism")
)

// failf adds detail to one of the sentinels.
func failf(sentinel error, format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{sentinel}, args...)...)
}

// SCRAMErrorValue returns the server-error-value of RFC 5802 §7 for an error
// of a server side, "other-error" for those that have none of their own.
func SCRAMErrorValue(err error) string {
	values := []struct {
		err   error
		value string
	}{
		{ErrEncoding, "invalid-encoding"},
		{ErrExtension, "extensions-not-supported"},
		{ErrInvalidProof, "invalid-proof"},
		{ErrChannelBinding, "channel-bindings-dont-match"},
		{ErrDowngrade, "server-does-support-channel-binding"},
		{ErrChannelBindingMissing, "channel-binding-not-supported"},
		{ErrChannelBindingType, "unsupported-channel-binding-type"},
		{ErrUsername, "invalid-username-encoding"},
	}
	for _, v := range values {
		if errors.Is(err, v.err) {
			return v.value
		}
	}
	return "other-error"
}
