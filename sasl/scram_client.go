package sasl

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"strings"
)

// SCRAMClientOptions are for NewSCRAMClient.
type SCRAMClientOptions struct {
	// Binding, if not nil, selects the PLUS mechanism with this channel binding.
	Binding *ChannelBinding

	// NoServerPlus is set, without a Binding, when we could have bound and the server
	// did not offer a PLUS mechanism. The server is told, so that it notices when
	// someone in between removed it from the offer, RFC 5802 §6.
	NoServerPlus bool

	// ClientNonce is the client's part of the nonce. Empty means a new random one,
	// anything else is for tests.
	ClientNonce string
}

type scramClient struct {
	hash Hash
	cred Credentials
	opts SCRAMClientOptions
	step int

	gs2Header string
	firstBare string
	signature []byte // That the server is to send.
}

// NewSCRAMClient returns a client for SCRAM with the given hash.
func NewSCRAMClient(h Hash, cred Credentials, opts SCRAMClientOptions) Client {
	if opts.ClientNonce == "" {
		opts.ClientNonce = newNonce()
	}
	return &scramClient{hash: h, cred: cred, opts: opts}
}

func (c *scramClient) Name() string      { return c.hash.Mechanism(c.opts.Binding != nil) }
func (c *scramClient) ClientFirst() bool { return true }

func (c *scramClient) Next(challenge []byte) ([]byte, bool, error) {
	c.step++
	var response []byte
	var err error
	switch c.step {
	case 1:
		response, err = c.first(challenge)
	case 2:
		response, err = c.final(challenge)
	case 3:
		return nil, true, c.verify(challenge)
	default:
		err = failf(ErrProtocol, "unexpected challenge for SCRAM")
	}
	if err != nil {
		c.step = 3 // No way on.
		return nil, false, err
	}
	return response, false, nil
}

func (c *scramClient) first(challenge []byte) ([]byte, error) {
	if len(challenge) > 0 {
		return nil, failf(ErrProtocol, "challenge before client-first-message")
	}
	id, err := prepareIdentity(c.cred.Authentication, c.cred.Authorization)
	if err != nil {
		return nil, err
	}
	flag := "n"
	switch {
	case c.opts.Binding != nil:
		flag = "p=" + c.opts.Binding.Type
	case c.opts.NoServerPlus:
		flag = "y"
	}
	authzid := ""
	if id.Authorization != "" {
		authzid = "a=" + escapeSASLName(id.Authorization)
	}
	c.gs2Header = flag + "," + authzid + ","
	c.firstBare = "n=" + escapeSASLName(id.Authentication) + ",r=" + c.opts.ClientNonce
	return []byte(c.gs2Header + c.firstBare), nil
}

func (c *scramClient) final(challenge []byte) ([]byte, error) {
	m, err := parseServerFirst(challenge)
	if err != nil {
		return nil, err
	}
	serverNonce, ours := strings.CutPrefix(m.nonce, c.opts.ClientNonce)
	switch {
	case !ours:
		return nil, failf(ErrProtocol, "server nonce does not start with ours")
	case len(serverNonce) < SCRAMMinNonce:
		return nil, failf(ErrWeak, "server nonce of %d octets", len(serverNonce))
	case len(m.salt) < SCRAMMinSalt:
		return nil, failf(ErrWeak, "salt of %d octets", len(m.salt))
	case m.iterations < SCRAMClientMinIterations || m.iterations > SCRAMClientMaxIterations:
		return nil, failf(ErrWeak, "%d iterations", m.iterations)
	}

	cbind := []byte(c.gs2Header)
	if c.opts.Binding != nil {
		cbind = append(cbind, c.opts.Binding.Data...)
	}
	withoutProof := "c=" + base64.StdEncoding.EncodeToString(cbind) + ",r=" + m.nonce
	authMessage := []byte(c.firstBare + "," + string(challenge) + "," + withoutProof)

	salted, err := c.hash.saltedPassword(c.cred.Password, m.salt, m.iterations)
	if err != nil {
		return nil, err
	}
	clientKey := c.hash.hmac(salted, []byte("Client Key"))
	proof := proofKey(clientKey, c.hash.hmac(c.hash.sum(clientKey), authMessage))
	c.signature = c.hash.hmac(c.hash.hmac(salted, []byte("Server Key")), authMessage)
	return []byte(withoutProof + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

func (c *scramClient) verify(challenge []byte) error {
	verifier, serverError, err := parseServerFinal(bytes.TrimRight(challenge, "\r\n"))
	if err != nil {
		return err
	}
	if serverError != "" {
		return failf(ErrServerRejected, "%q", serverError)
	}
	if subtle.ConstantTimeCompare(verifier, c.signature) != 1 {
		return ErrServerSignature
	}
	return nil
}
