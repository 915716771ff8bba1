package sasl

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding"
	"encoding/hex"
	"fmt"
	"hash"
	"time"
)

// CRAMMD5Keys is what a server stores to check CRAM-MD5 responses without
// keeping the password: the states of the two MD5 computations inside HMAC after
// the key block, RFC 2104 §4. They are as good as the password for CRAM-MD5
// itself, so they are secrets. The zero value matches no response.
//
// The octets are in the encoding of crypto/md5, which promises to stay readable
// by later Go releases.
type CRAMMD5Keys struct {
	Inner []byte
	Outer []byte
}

// DeriveCRAMMD5 returns the keys for a password, which is prepared first.
func DeriveCRAMMD5(password string) (CRAMMD5Keys, error) {
	key := []byte(PreparePassword(password))
	if len(key) > md5.BlockSize {
		sum := md5.Sum(key)
		key = sum[:]
	}
	inner, err := md5State(key, 0x36)
	if err != nil {
		return CRAMMD5Keys{}, err
	}
	outer, err := md5State(key, 0x5c)
	if err != nil {
		return CRAMMD5Keys{}, err
	}
	return CRAMMD5Keys{Inner: inner, Outer: outer}, nil
}

// md5State returns the state after one block of the key padded with zeros and
// combined with pad.
func md5State(key []byte, pad byte) ([]byte, error) {
	block := bytes.Repeat([]byte{pad}, md5.BlockSize)
	subtle.XORBytes(block, block, key)
	h := md5.New()
	h.Write(block)
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encoding md5 state: %w", err)
	}
	return state, nil
}

func md5FromState(state []byte) (hash.Hash, error) {
	h := md5.New()
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		return nil, fmt.Errorf("decoding md5 state: %w", err)
	}
	return h, nil
}

// Verify checks the digest of a response to challenge in constant time. It
// returns ErrInvalidProof for a wrong digest, and another error for keys that
// cannot be used.
func (k CRAMMD5Keys) Verify(challenge, digest []byte) error {
	inner, err := md5FromState(k.Inner)
	if err != nil {
		return err
	}
	outer, err := md5FromState(k.Outer)
	if err != nil {
		return err
	}
	inner.Write(challenge)
	outer.Write(inner.Sum(nil))
	if !hmac.Equal(outer.Sum(nil), digest) {
		return ErrInvalidProof
	}
	return nil
}

// NewCRAMMD5Challenge returns an unpredictable challenge in the form of a
// message id, RFC 2195 §2, with time and host name.
func NewCRAMMD5Challenge(hostname string) []byte {
	return fmt.Appendf(nil, "<%s.%d@%s>", rand.Text(), time.Now().UnixNano(), hostname)
}

// ParseCRAMMD5 parses a CRAM-MD5 response, RFC 2195 §2: a user name, a space and
// 32 hexadecimal digits. The name may contain spaces. Digits must be lower case
// by the RFC; upper case is accepted too.
func ParseCRAMMD5(msg []byte) (username string, digest []byte, err error) {
	if err := checkSize(msg); err != nil {
		return "", nil, err
	}
	i := bytes.LastIndexByte(msg, ' ')
	if i < 0 {
		return "", nil, failf(ErrProtocol, "CRAM-MD5 response without space")
	}
	if len(msg)-i-1 != hex.EncodedLen(md5.Size) {
		return "", nil, failf(ErrProtocol, "CRAM-MD5 digest of %d digits", len(msg)-i-1)
	}
	digest = make([]byte, md5.Size)
	if _, err := hex.Decode(digest, msg[i+1:]); err != nil {
		return "", nil, failf(ErrProtocol, "CRAM-MD5 digest not hexadecimal")
	}
	username, err = PrepareUsername(string(msg[:i]))
	return username, digest, err
}

type cramMD5Client struct {
	cred Credentials
	done bool
}

// NewCRAMMD5Client returns a client for CRAM-MD5. The mechanism has no
// authorization identity; the one in cred is ignored.
func NewCRAMMD5Client(cred Credentials) Client {
	return &cramMD5Client{cred: cred}
}

func (c *cramMD5Client) Name() string      { return CRAMMD5 }
func (c *cramMD5Client) ClientFirst() bool { return false }

func (c *cramMD5Client) Next(challenge []byte) ([]byte, bool, error) {
	if c.done {
		return nil, false, failf(ErrProtocol, "unexpected challenge for CRAM-MD5")
	}
	c.done = true
	if err := checkSize(challenge); err != nil {
		return nil, false, err
	}
	if len(challenge) == 0 {
		return nil, false, failf(ErrProtocol, "empty CRAM-MD5 challenge")
	}
	mac := hmac.New(md5.New, []byte(PreparePassword(c.cred.Password)))
	mac.Write(challenge)
	return fmt.Appendf(nil, "%s %x", c.cred.Authentication, mac.Sum(nil)), true, nil
}
