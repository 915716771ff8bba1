package certs

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mox/dane"
	"mox/dns"
	"mox/internal/safefile"
)

// Files of a rollover, next to that of the key.
const (
	nextSuffix     = ".next"     // The key that comes.
	previousSuffix = ".previous" // The key that was, until nobody has its record in a cache.
)

// RolloverWait is how long a new key is not used after it was made, so that its TLSA
// record is known everywhere, and how long the record of the previous one stays after
// that. Caches keep records for a day at most, and zones are copied within hours.
const RolloverWait = 2 * 24 * time.Hour

// notBefore is in the note before a key: when the next step of a rollover is.
const notBefore = "Not before: "

// NewHostKey makes a key and writes it to a file that must not be there yet.
func NewHostKey(path string, kind Kind) (HostKey, error) {
	return writeHostKey(path, kind, "Private key of a hostname. Its TLSA record stays the same for as long as it is used.\n")
}

// NewHostKeys makes a key of each kind for a hostname in a directory, which is made too
// if there is none, and returns the paths. Keys that are there already are left alone.
func NewHostKeys(dir string, host dns.Domain) ([]string, error) {
	if err := os.MkdirAll(dir, 0750); err != nil {
		return nil, err
	}
	var paths []string
	for _, kind := range kinds {
		path := filepath.Join(dir, host.ASCII+"."+string(kind)+".pem")
		if _, err := NewHostKey(path, kind); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

func writeHostKey(path string, kind Kind, note string) (HostKey, error) {
	var key crypto.Signer
	var err error
	switch kind {
	case P256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RSA2048:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("unknown kind %q", kind)
	}
	if err != nil {
		return HostKey{}, fmt.Errorf("make key: %w", err)
	}
	data, err := encodeKey(key, note)
	if err != nil {
		return HostKey{}, err
	}
	if err := safefile.CreateExcl(path, data, 0600); err != nil {
		return HostKey{}, fmt.Errorf("write key: %w", err)
	}
	if err := safefile.SyncDir(filepath.Dir(path)); err != nil {
		return HostKey{}, err
	}
	return HostKey{path, kind, key}, nil
}

func encodeKey(key crypto.Signer, note string) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return append([]byte(note), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...), nil
}

// StartRollover makes the key that is to replace the one in a file, next to it. Its
// TLSA record is now one of [Records] and must be published besides the others. The
// server uses the key from notBefore on, when it has found the record in DNS. It is
// an error if a rollover of the key has begun already.
func StartRollover(path string, now time.Time) (next HostKey, notBefore time.Time, err error) {
	key, err := readHostKey(path)
	if err != nil {
		return HostKey{}, time.Time{}, err
	}
	for _, suffix := range []string{nextSuffix, previousSuffix} {
		if there, err := exists(path + suffix); err != nil {
			return HostKey{}, time.Time{}, err
		} else if there {
			return HostKey{}, time.Time{}, fmt.Errorf("a rollover of %s is not over yet: %s is there", path, path+suffix)
		}
	}
	when := now.Add(RolloverWait).UTC().Truncate(time.Second)
	next, err = writeHostKey(path+nextSuffix, key.Kind, note("Private key of a hostname, to be used when its TLSA record is known.", when))
	return next, when, err
}

func note(text string, when time.Time) string {
	return text + "\n" + notBefore + when.UTC().Format(time.RFC3339) + "\n"
}

// readNote returns the time in the note before a key.
func readNote(path string) (time.Time, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return time.Time{}, err
	}
	text, _, _ := bytes.Cut(data, []byte("-----BEGIN"))
	for line := range strings.Lines(string(text)) {
		if s, ok := strings.CutPrefix(strings.TrimSpace(line), notBefore); ok {
			return time.Parse(time.RFC3339, s)
		}
	}
	return time.Time{}, fmt.Errorf("%s has no line %q before the key: write one with the time as 2006-01-02T15:04:05Z, or remove the file to end the rollover", path, notBefore)
}

// Resolver looks up the records of a host, [dns.Resolver] does.
type Resolver interface {
	LookupTLSA(ctx context.Context, port int, proto, host string) ([]dns.TLSA, dns.Result, error)
	LookupIP(ctx context.Context, network, host string) ([]net.IP, dns.Result, error)
}

// published reports whether the record for a key is in DNS, or there are none at all
// for the host: then nobody verifies with them.
func published(ctx context.Context, resolver Resolver, host dns.Domain, key HostKey) (bool, error) {
	want, err := key.Record()
	if err != nil {
		return false, err
	}
	records, _, err := resolver.LookupTLSA(ctx, 25, "tcp", host.ASCII)
	if errors.Is(err, dns.ErrNotFound) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	for _, r := range records {
		if sameRecord(r, want) {
			return true, nil
		}
	}
	return len(records) == 0, nil
}

func sameRecord(a, b dane.Record) bool {
	return a.Usage == b.Usage && a.Selector == b.Selector && a.MatchType == b.MatchType && bytes.Equal(a.CertAssoc, b.CertAssoc)
}

// roller takes the steps of rollovers.
type roller struct {
	log      *slog.Logger
	resolver Resolver                             // Nil: it is not known what is published.
	inUse    func(dns.Domain, crypto.Signer) bool // Whether there is a certificate for a key.
}

// step takes the next step of the rollover of a key, if there is one and it is time.
// It reports whether another key is in the file now.
func (r *roller) step(ctx context.Context, host dns.Domain, path string, now time.Time) (bool, error) {
	when, err := readNote(path + nextSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return false, r.retire(host, path, now)
	} else if err != nil {
		return false, err
	}
	if now.Before(when) {
		return false, nil
	}
	keys, err := hostKeys(path)
	if err != nil {
		return false, err
	}
	current, next := keys[0], keys[1]
	if r.resolver != nil {
		ok, err := published(ctx, r.resolver, host, next)
		if err != nil {
			return false, fmt.Errorf("looking up tlsa records, key is not changed: %w", err)
		} else if !ok {
			record, err := next.Record()
			return false, errors.Join(err, fmt.Errorf("the new key is not used because its record is not in DNS, publish it besides the others: _25._tcp.%s. TLSA %s", host.ASCII, record.Record()))
		}
	}
	data, err := encodeKey(current.Key, note("Private key of a hostname, not used any more. Its TLSA record stays until the time below.", now.Add(RolloverWait)))
	if err != nil {
		return false, err
	}
	// If this ends in between, it starts again with the same keys.
	if err := safefile.WriteFile(path+previousSuffix, data, 0600); err != nil {
		return false, err
	}
	if err := os.Rename(path+nextSuffix, path); err != nil {
		return false, err
	}
	if err := safefile.SyncDir(filepath.Dir(path)); err != nil {
		return false, err
	}
	r.log.Info("hostname has a new private key", "host", host.ASCII, "path", path)
	return true, nil
}

// retire removes the previous key when it is time, and no certificate is for it.
func (r *roller) retire(host dns.Domain, path string, now time.Time) error {
	when, err := readNote(path + previousSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if now.Before(when) {
		return nil
	}
	key, err := readHostKey(path + previousSuffix)
	if err != nil {
		return err
	}
	if r.inUse(host, key.Key) {
		return nil // The new certificate could not be made yet.
	}
	record, err := key.Record()
	if err != nil {
		return err
	}
	if err := os.Remove(path + previousSuffix); err != nil {
		return err
	}
	r.log.Info("rollover of private key is over, remove the record of the previous one from DNS",
		"host", host.ASCII, "path", path, "record", fmt.Sprintf("_25._tcp.%s. TLSA %s", host.ASCII, record.Record()))
	return nil
}
