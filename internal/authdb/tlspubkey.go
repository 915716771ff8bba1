package authdb

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mjl-/bstore"
)

// TLSPublicKey is a public key with which an account logs in: whoever shows in a TLS
// handshake to have its private key is the user. All else in the certificate, such as
// names and dates, has no meaning.
type TLSPublicKey struct {
	Fingerprint  string    // SHA-256 of the SubjectPublicKeyInfo, in base64url without padding.
	Type         string    `bstore:"nonzero"` // "ecdsa-p256", "ed25519", "rsa-2048" and the like.
	Account      string    `bstore:"nonzero,index"`
	LoginAddress string    `bstore:"nonzero"` // Of the account, at the time when the key was added.
	Name         string    // For people.
	Created      time.Time `bstore:"default now"`
	Certificate  []byte    `bstore:"nonzero"` // DER.

	// NoIMAPPreauth is for clients that log in all the same: a connection of IMAP with the
	// key begins unauthenticated, and EXTERNAL can be used.
	NoIMAPPreauth bool
}

// Fingerprint returns the fingerprint of the key of a certificate.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// maxName is the length of the longest name of a key or app password, in octets.
const maxName = 200

func validName(name string) bool {
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	return len(name) <= maxName && utf8.ValidString(name) && !strings.ContainsFunc(name, control)
}

// NewTLSPublicKey returns the key of a certificate, for an account. The certificate is
// in DER.
func NewTLSPublicKey(der []byte, account, loginAddress, name string) (TLSPublicKey, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return TLSPublicKey{}, fmt.Errorf("parse certificate: %w", err)
	}
	if !validName(name) {
		return TLSPublicKey{}, fmt.Errorf("name of key has control characters, or is longer than %d octets", maxName)
	}
	k := TLSPublicKey{Fingerprint: Fingerprint(cert), Account: account, LoginAddress: loginAddress, Name: name, Certificate: der}
	switch pub := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		k.Type = "ecdsa-" + strings.ToLower(strings.ReplaceAll(pub.Params().Name, "-", ""))
	case ed25519.PublicKey:
		k.Type = "ed25519"
	case *rsa.PublicKey:
		bits := pub.N.BitLen()
		if bits < minRSA {
			return TLSPublicKey{}, fmt.Errorf("rsa key of %d bits is too weak, at least %d are needed", bits, minRSA)
		}
		k.Type = "rsa-" + strconv.Itoa(bits)
	default:
		return TLSPublicKey{}, errors.New("certificate has a key of an unknown type")
	}
	return k, nil
}

// minRSA is the size in bits of the smallest RSA key.
const minRSA = 2048

// AddTLSPublicKey adds a key. Errors match ErrExists and ErrTooMany.
func (d *DB) AddTLSPublicKey(ctx context.Context, k TLSPublicKey) error {
	return d.bdb.Write(ctx, func(tx *bstore.Tx) error {
		old := TLSPublicKey{Fingerprint: k.Fingerprint}
		if err := tx.Get(&old); err == nil {
			return fmt.Errorf("%w, for account %s", ErrExists, old.Account)
		} else if err != bstore.ErrAbsent {
			return fmt.Errorf("look for key: %w", err)
		}
		n, err := bstore.QueryTx[TLSPublicKey](tx).FilterEqual("Account", k.Account).Count()
		if err != nil {
			return fmt.Errorf("count keys: %w", err)
		}
		if n >= MaxAccountKeys {
			return ErrTooMany
		}
		if err := tx.Insert(&k); err != nil {
			return fmt.Errorf("insert key: %w", err)
		}
		return nil
	})
}

// TLSPublicKey returns a key by its fingerprint. The error matches ErrNotFound if there
// is none.
func (d *DB) TLSPublicKey(ctx context.Context, fingerprint string) (TLSPublicKey, error) {
	k := TLSPublicKey{Fingerprint: fingerprint}
	if fingerprint == "" {
		return TLSPublicKey{}, ErrNotFound
	}
	err := d.bdb.Get(ctx, &k)
	if err == bstore.ErrAbsent {
		return TLSPublicKey{}, ErrNotFound
	} else if err != nil {
		return TLSPublicKey{}, fmt.Errorf("read key: %w", err)
	}
	return k, nil
}

// TLSPublicKeys returns the keys of an account, or of all for the empty name, oldest
// first.
func (d *DB) TLSPublicKeys(ctx context.Context, account string) ([]TLSPublicKey, error) {
	q := bstore.QueryDB[TLSPublicKey](ctx, d.bdb)
	if account != "" {
		q = q.FilterEqual("Account", account)
	}
	l, err := q.SortAsc("Created").List()
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	return l, nil
}

// RemoveTLSPublicKey removes a key. The error matches ErrNotFound if there is none.
func (d *DB) RemoveTLSPublicKey(ctx context.Context, fingerprint string) error {
	if fingerprint == "" {
		return ErrNotFound
	}
	err := d.bdb.Delete(ctx, &TLSPublicKey{Fingerprint: fingerprint})
	if err == bstore.ErrAbsent {
		return ErrNotFound
	} else if err != nil {
		return fmt.Errorf("remove key: %w", err)
	}
	return nil
}
