package sasl

import (
	"crypto/tls"
	"slices"
	"strings"
)

// Client is the client side of one exchange.
type Client interface {
	// Name returns the name of the mechanism for the authentication command.
	Name() string

	// ClientFirst reports whether the mechanism starts with a message of the client,
	// which can go with the command as initial response.
	ClientFirst() bool

	// Next takes a challenge and returns the response. For a client-first mechanism,
	// the first call is with nil and returns the initial response; otherwise it is
	// with the first challenge. A response may be empty but must then be sent too.
	//
	// The mechanism has nothing to add once last is true. A success that the server
	// reports before that, or a further challenge after it, must be treated as
	// a failure: the server may not have proven itself. On an error the exchange
	// must be cancelled.
	Next(challenge []byte) (response []byte, last bool, err error)
}

// ChooseOptions are for Choose.
type ChooseOptions struct {
	// Offered are the mechanisms the server offers, in any case and order.
	Offered []string

	// Mechanisms are the allowed ones, in order of preference. Nil means
	// DefaultMechanisms.
	Mechanisms []string

	Credentials Credentials

	// TLS is the state of the connection, nil without TLS.
	TLS *tls.ConnectionState

	// AllowCleartext allows mechanisms that show the password to whoever can read
	// a connection without TLS.
	AllowCleartext bool
}

// DefaultMechanisms returns the mechanisms that are used when nothing is
// configured, strongest first. Those with channel binding come before those
// without, whatever their hash: they also protect from someone in between that
// has a certificate. PLAIN and LOGIN, which hand the password to the server, are
// only used when asked for.
func DefaultMechanisms() []string {
	return []string{SCRAMSHA256Plus, SCRAMSHA1Plus, SCRAMSHA256, SCRAMSHA1, CRAMMD5}
}

// Choose returns a client for the first mechanism that is allowed, offered and
// possible on the connection, or ErrMechanism. When a SCRAM mechanism with
// channel binding is allowed and possible but was not offered, the client that
// is returned tells the server.
func Choose(opts ChooseOptions) (Client, error) {
	allowed := opts.Mechanisms
	if allowed == nil {
		allowed = DefaultMechanisms()
	}
	bindings := TLSChannelBindings(opts.TLS)
	noPlus := len(bindings) > 0 && has(allowed, SCRAMSHA1Plus, SCRAMSHA256Plus) && !has(opts.Offered, SCRAMSHA1Plus, SCRAMSHA256Plus)
	for _, name := range allowed {
		if !has(opts.Offered, name) {
			continue
		}
		switch strings.ToUpper(name) {
		case SCRAMSHA256Plus, SCRAMSHA1Plus:
			if len(bindings) == 0 {
				continue
			}
			return NewSCRAMClient(scramHash(name), opts.Credentials, SCRAMClientOptions{Binding: &bindings[0]}), nil
		case SCRAMSHA256, SCRAMSHA1:
			return NewSCRAMClient(scramHash(name), opts.Credentials, SCRAMClientOptions{NoServerPlus: noPlus}), nil
		case CRAMMD5:
			return NewCRAMMD5Client(opts.Credentials), nil
		case External:
			return NewExternalClient(opts.Credentials.Authorization), nil
		case Plain:
			if opts.TLS != nil || opts.AllowCleartext {
				return NewPlainClient(opts.Credentials), nil
			}
		case Login:
			if opts.TLS != nil || opts.AllowCleartext {
				return NewLoginClient(opts.Credentials), nil
			}
		}
	}
	return nil, failf(ErrMechanism, "offered %q, allowed %q", opts.Offered, allowed)
}

func scramHash(mechanism string) Hash {
	if strings.HasPrefix(strings.ToUpper(mechanism), SCRAMSHA1) {
		return SHA1
	}
	return SHA256
}

// has reports whether list has one of the names, in any case.
func has(list []string, names ...string) bool {
	return slices.ContainsFunc(list, func(s string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(s, name) })
	})
}
