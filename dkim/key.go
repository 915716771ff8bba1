package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// pemType is that of a PKCS #8 private key, RFC 7468 §10.
const pemType = "PRIVATE KEY"

// ParsePrivateKey parses a private key, an *rsa.PrivateKey or ed25519.PrivateKey,
// in PEM of PKCS #8, or for RSA also of PKCS #1. Only the first PEM block is looked
// at. Errors do not have any of the data in them.
func ParsePrivateKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	var key any
	var err error
	switch block.Type {
	case pemType:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("PEM block of type %q instead of %q", block.Type, pemType)
	}
	if err != nil {
		return nil, errors.New("malformed private key")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: type %T", ErrKey, key)
	}
	if _, err := AlgorithmOf(signer); err != nil {
		return nil, err
	}
	return signer, nil
}

// FormatPrivateKey returns a private key in PEM of PKCS #8.
func FormatPrivateKey(key crypto.Signer) ([]byte, error) {
	data, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("marshal private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: data}), nil
}

// AlgorithmOf returns the algorithm for signing with a key, or why there must be
// none.
func AlgorithmOf(key crypto.Signer) (Algorithm, error) {
	if key == nil {
		return Algorithm{}, fmt.Errorf("%w: none", ErrKey)
	}
	pub := key.Public()
	switch pub.(type) {
	case *rsa.PublicKey:
		return RSASHA256, checkKeySize(pub)
	case ed25519.PublicKey:
		return Ed25519SHA256, nil
	}
	return Algorithm{}, fmt.Errorf("%w: type %T", ErrKey, pub)
}

// SignHash signs the SHA-256 hash of the data to be signed, RFC 6376 §3.3.2,
// RFC 8463 §3.
func SignHash(key crypto.Signer, hash []byte) ([]byte, error) {
	alg, err := AlgorithmOf(key)
	if err != nil {
		return nil, err
	}
	var opts crypto.SignerOpts = crypto.SHA256
	if alg == Ed25519SHA256 {
		opts = crypto.Hash(0) // PureEdDSA, over the hash.
	}
	sig, err := key.Sign(rand.Reader, hash, opts)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return sig, nil
}
