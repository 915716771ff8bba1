package sasl

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// ParseExternal parses the one message of the EXTERNAL mechanism, RFC 4422
// appendix A: an authorization identity, or nothing to use the identity that the
// outer layer (here: the TLS client certificate) has established. The result is
// normalised like a user name, and empty for an empty message.
func ParseExternal(msg []byte) (authorization string, err error) {
	if err := checkSize(msg); err != nil {
		return "", err
	}
	if len(msg) == 0 {
		return "", nil
	}
	return PrepareUsername(string(msg))
}

type externalClient struct {
	authorization string
	done          bool
}

// NewExternalClient returns a client for EXTERNAL. An empty authorization lets
// the server derive the identity from the TLS client certificate.
func NewExternalClient(authorization string) Client {
	return &externalClient{authorization: authorization}
}

func (c *externalClient) Name() string      { return External }
func (c *externalClient) ClientFirst() bool { return true }

func (c *externalClient) Next(challenge []byte) ([]byte, bool, error) {
	if c.done || len(challenge) > 0 {
		return nil, false, failf(ErrProtocol, "unexpected challenge for EXTERNAL")
	}
	c.done = true
	if !utf8.ValidString(c.authorization) || strings.ContainsFunc(c.authorization, unicode.IsControl) {
		return nil, false, failf(ErrUsername, "authorization identity")
	}
	return []byte(norm.NFC.String(c.authorization)), true, nil
}
