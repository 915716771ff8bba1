package sasl

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// ParsePlain parses the one message of the PLAIN mechanism, RFC 4616 §2:
//
//	message = [authzid] UTF8NUL authcid UTF8NUL passwd
func ParsePlain(msg []byte) (Credentials, error) {
	if err := checkSize(msg); err != nil {
		return Credentials{}, err
	}
	fields := bytes.Split(msg, []byte{0})
	if len(fields) != 3 {
		return Credentials{}, failf(ErrProtocol, "PLAIN message with %d fields instead of 3", len(fields))
	}
	if len(fields[2]) == 0 || !utf8.Valid(fields[2]) {
		return Credentials{}, failf(ErrProtocol, "PLAIN password empty or not UTF-8")
	}
	id, err := prepareIdentity(string(fields[1]), string(fields[0]))
	if err != nil {
		return Credentials{}, err
	}
	return Credentials{Identity: id, Password: string(fields[2])}, nil
}

type plainClient struct {
	cred Credentials
	step int
}

// NewPlainClient returns a client for PLAIN. The password crosses the connection
// as it is, so it is for TLS connections only; the caller sees to that.
func NewPlainClient(cred Credentials) Client {
	return &plainClient{cred: cred}
}

func (c *plainClient) Name() string      { return Plain }
func (c *plainClient) ClientFirst() bool { return true }

func (c *plainClient) Next(challenge []byte) ([]byte, bool, error) {
	c.step++
	if c.step > 1 || len(challenge) > 0 {
		return nil, false, failf(ErrProtocol, "unexpected challenge for PLAIN")
	}
	for _, s := range []string{c.cred.Authorization, c.cred.Authentication, c.cred.Password} {
		if strings.IndexByte(s, 0) >= 0 {
			return nil, false, failf(ErrProtocol, "NUL in credentials")
		}
	}
	msg := []byte(c.cred.Authorization + "\x00" + c.cred.Authentication + "\x00" + c.cred.Password)
	if err := checkSize(msg); err != nil {
		return nil, false, err
	}
	return msg, true, nil
}
