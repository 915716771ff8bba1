package sasl

import (
	"strconv"
	"strings"
)

// Mechanisms for OAuth tokens. XOAUTH2 is not registered; it is older, and of the same
// meaning.
const (
	OAuthBearer = "OAUTHBEARER"
	XOAuth2     = "XOAUTH2"
)

type bearerClient struct {
	name, message string
	done          bool
}

// NewOAuthBearerClient returns a client for OAUTHBEARER, RFC 7628 §3.1, with the token of
// a user for a host. Whoever can read the connection can use the token, so it is for TLS
// connections only; the caller sees to that.
func NewOAuthBearerClient(user, token, host string, port int) Client {
	name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user)
	return &bearerClient{name: OAuthBearer, message: "n,a=" + name + ",\x01host=" + host + "\x01port=" + strconv.Itoa(port) + "\x01auth=Bearer " + token + "\x01\x01"}
}

// NewXOAuth2Client returns a client for XOAUTH2. See NewOAuthBearerClient.
func NewXOAuth2Client(user, token string) Client {
	return &bearerClient{name: XOAuth2, message: "user=" + user + "\x01auth=Bearer " + token + "\x01\x01"}
}

func (c *bearerClient) Name() string      { return c.name }
func (c *bearerClient) ClientFirst() bool { return true }

// Next returns the one message. A challenge after it tells what is wrong with the token
// (RFC 7628 §3.2.2); the exchange is then cancelled.
func (c *bearerClient) Next(challenge []byte) ([]byte, bool, error) {
	if c.done || len(challenge) > 0 {
		return nil, false, failf(ErrProtocol, "token was refused: %.200q", challenge)
	}
	c.done = true
	if strings.ContainsAny(c.message, "\r\n\x00") {
		return nil, false, failf(ErrProtocol, "control character in user or token")
	}
	b := []byte(c.message)
	if err := checkSize(b); err != nil {
		return nil, false, err
	}
	return b, true, nil
}
