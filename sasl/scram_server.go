package sasl

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
)

// SCRAMServerOptions are for NewSCRAMServer.
type SCRAMServerOptions struct {
	// Plus is set when the client chose the PLUS name of the mechanism. Then it must
	// bind. A client that chose the plain name and binds nevertheless is served:
	// the binding is checked, and clients exist that do so.
	Plus bool

	// PlusOffered is set when the client was offered a PLUS mechanism. A client that
	// says it was not, is refused with ErrDowngrade.
	PlusOffered bool

	// Bindings are the channel bindings of the connection, see TLSChannelBindings.
	Bindings []ChannelBinding

	// ServerNonce is the server's part of the nonce. Empty means a new random one,
	// anything else is for tests.
	ServerNonce string
}

type scramState uint8

const (
	scramWantClientFirst scramState = iota
	scramWantKeys
	scramWantClientFinal
	scramDone
)

// SCRAMServer is the server side of one SCRAM exchange. Its three methods are
// called in order; after an error the exchange is over.
type SCRAMServer struct {
	hash  Hash
	opts  SCRAMServerOptions
	state scramState

	first       clientFirst
	binding     []byte // Data for flag 'p'.
	keys        []SCRAMKeys
	matched     int // Index in keys, of what the client has proved to know.
	nonce       string
	serverFirst string
}

// NewSCRAMServer returns a server for one exchange.
func NewSCRAMServer(h Hash, opts SCRAMServerOptions) *SCRAMServer {
	if opts.ServerNonce == "" {
		opts.ServerNonce = newNonce()
	}
	return &SCRAMServer{hash: h, opts: opts}
}

// advance checks that a step is called in turn. The state moves on at once, and
// to the end unless the step succeeds.
func (s *SCRAMServer) advance(from scramState) error {
	if s.state != from {
		s.state = scramDone
		return failf(ErrProtocol, "SCRAM step out of turn")
	}
	s.state = scramDone
	return nil
}

// ClientFirst takes the client's first message and returns who wants to log in.
func (s *SCRAMServer) ClientFirst(msg []byte) (Identity, error) {
	if err := s.advance(scramWantClientFirst); err != nil {
		return Identity{}, err
	}
	first, err := parseClientFirst(msg)
	if err != nil {
		return Identity{}, err
	}
	if n := len(first.nonce); n < SCRAMMinNonce || n > SCRAMMaxNonce {
		return Identity{}, failf(ErrProtocol, "client nonce of %d octets", n)
	}
	if err := s.checkFlag(first); err != nil {
		return Identity{}, err
	}
	id, err := prepareIdentity(first.username, first.authzid)
	if err != nil {
		return Identity{}, err
	}
	s.first = first
	s.state = scramWantKeys
	return id, nil
}

// checkFlag applies the rules of RFC 5802 §6 to the gs2-cbind-flag.
func (s *SCRAMServer) checkFlag(first clientFirst) error {
	switch first.flag {
	case 'p':
		b := findBinding(s.opts.Bindings, first.cbName)
		if b == nil && len(s.opts.Bindings) == 0 {
			return failf(ErrChannelBindingMissing, "connection has none")
		}
		if b == nil {
			return failf(ErrChannelBindingType, "%s", first.cbName)
		}
		s.binding = b.Data
	case 'y':
		if s.opts.Plus || s.opts.PlusOffered {
			return ErrDowngrade
		}
	default:
		if s.opts.Plus {
			return failf(ErrChannelBindingMissing, "PLUS mechanism without binding")
		}
	}
	return nil
}

// ServerFirst takes the keys of the user, or fake ones, and returns the
// challenge to send.
//
// A user may have several passwords, of which the client knows one: their keys are
// to be of one salt and iteration count, which is all that the client gets to see.
// How many there may be is for the caller to limit.
func (s *SCRAMServer) ServerFirst(keys ...SCRAMKeys) ([]byte, error) {
	if err := s.advance(scramWantKeys); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("sasl: no SCRAM keys for %s", s.hash.Mechanism(false))
	}
	salt, iterations := keys[0].Salt, keys[0].Iterations
	for _, k := range keys {
		if len(k.StoredKey) != s.hash.Size() || len(k.ServerKey) != s.hash.Size() || len(k.Salt) == 0 || k.Iterations <= 0 {
			return nil, fmt.Errorf("sasl: stored SCRAM keys not usable with %s", s.hash.Mechanism(false))
		}
		if !bytes.Equal(k.Salt, salt) || k.Iterations != iterations {
			return nil, errors.New("sasl: SCRAM keys of one user with more than one salt or iteration count")
		}
	}
	s.keys = keys
	s.nonce = s.first.nonce + s.opts.ServerNonce
	s.serverFirst = fmt.Sprintf("r=%s,s=%s,i=%d", s.nonce, base64.StdEncoding.EncodeToString(salt), iterations)
	s.state = scramWantClientFinal
	return []byte(s.serverFirst), nil
}

// ClientFinal takes the client's last message. When it proves that the client
// knows the password, it returns the last challenge, with the server's own proof.
// The client acknowledges that with an empty response.
//
// With an error it returns a last challenge too, "e=" with the reason, for servers
// that want to tell the client before they end the exchange, RFC 5802 §5.1.
func (s *SCRAMServer) ClientFinal(msg []byte) ([]byte, error) {
	if err := s.advance(scramWantClientFinal); err != nil {
		return nil, err
	}
	authMessage, err := s.verify(msg)
	if err != nil {
		return []byte("e=" + SCRAMErrorValue(err)), err
	}
	signature := s.hash.hmac(s.keys[s.matched].ServerKey, authMessage)
	return []byte("v=" + base64.StdEncoding.EncodeToString(signature)), nil
}

// Matched returns which of the keys given to ServerFirst are those of the password
// that the client knows, counted from 0. It is known once ClientFinal has returned
// without an error.
func (s *SCRAMServer) Matched() int { return s.matched }

// verify checks the client's proof and returns AuthMessage of RFC 5802 §3, which
// both sides sign.
func (s *SCRAMServer) verify(msg []byte) ([]byte, error) {
	final, err := parseClientFinal(msg)
	if err != nil {
		return nil, err
	}
	if final.nonce != s.nonce {
		return nil, failf(ErrProtocol, "nonce in client-final-message differs")
	}
	cbind := append([]byte(s.first.gs2Header), s.binding...)
	if subtle.ConstantTimeCompare(final.cbind, cbind) != 1 {
		return nil, ErrChannelBinding
	}
	if len(final.proof) != s.hash.Size() {
		return nil, failf(ErrInvalidProof, "proof of %d octets", len(final.proof))
	}
	authMessage := []byte(s.first.bare + "," + s.serverFirst + "," + final.withoutProof)
	for i, k := range s.keys {
		clientKey := proofKey(final.proof, s.hash.hmac(k.StoredKey, authMessage))
		if subtle.ConstantTimeCompare(s.hash.sum(clientKey), k.StoredKey) == 1 {
			s.matched = i
			return authMessage, nil
		}
	}
	return nil, ErrInvalidProof
}
