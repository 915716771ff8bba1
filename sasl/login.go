package sasl

import "unicode/utf8"

// The challenges of the LOGIN mechanism. It was never standardised; clients are
// known to compare them literally.
const (
	loginUsername = "Username:"
	loginPassword = "Password:"
)

// LoginServer is the server side of the LOGIN mechanism, in which the server
// asks for the user name and then for the password. It exists for old clients.
type LoginServer struct {
	step int
	cred Credentials
}

// NewLoginServer returns a server for one exchange.
func NewLoginServer() *LoginServer {
	return &LoginServer{}
}

// Next takes a response and returns the next challenge, or done when the
// credentials are complete. Start with nil, or with the initial response if the
// client sent one: it is the user name.
func (s *LoginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if err := checkSize(response); err != nil {
		return nil, false, err
	}
	if s.step == 0 && response == nil {
		s.step = 1
		return []byte(loginUsername), false, nil
	}
	switch s.step {
	case 0, 1:
		name, err := PrepareUsername(string(response))
		if err != nil {
			return nil, false, err
		}
		s.cred.Authentication = name
		s.step = 2
		return []byte(loginPassword), false, nil
	case 2:
		if len(response) == 0 || !utf8.Valid(response) {
			return nil, false, failf(ErrProtocol, "LOGIN password empty or not UTF-8")
		}
		s.cred.Password = string(response)
		s.step = 3
		return nil, true, nil
	}
	return nil, false, failf(ErrProtocol, "unexpected response for LOGIN")
}

// Credentials returns what the client sent. It is complete once Next has
// returned done.
func (s *LoginServer) Credentials() Credentials {
	return s.cred
}

type loginClient struct {
	cred Credentials
	step int
}

// NewLoginClient returns a client for LOGIN. Like PLAIN it is for TLS connections
// only. LOGIN has no authorization identity; the one in cred is ignored.
func NewLoginClient(cred Credentials) Client {
	return &loginClient{cred: cred}
}

func (c *loginClient) Name() string      { return Login }
func (c *loginClient) ClientFirst() bool { return false }

// Next answers by position and not by the text of the challenge: servers differ
// in capitals, colons and language.
func (c *loginClient) Next([]byte) ([]byte, bool, error) {
	c.step++
	switch c.step {
	case 1:
		return []byte(c.cred.Authentication), false, nil
	case 2:
		return []byte(c.cred.Password), true, nil
	}
	return nil, false, failf(ErrProtocol, "unexpected challenge for LOGIN")
}
