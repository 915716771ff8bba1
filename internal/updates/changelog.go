package updates

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Limits of a changelog.
const (
	maxChangelog = 1 << 20 // Bytes of an answer.
	fetchTimeout = time.Minute
)

// ErrChangelog means that a changelog cannot be trusted or is not complete.
var ErrChangelog = errors.New("updates: changelog is wrong")

// A Changelog has an entry for each version, the newest first.
type Changelog struct {
	Changes []Change
}

// A Change is the entry for a version. Its text has lines "Version: v0.3.12", "Previous:
// v0.3.11" and "Date: 2026-01-31" first, then an empty line, and then what is new. The
// oldest entry of all has no Previous.
type Change struct {
	PubKey []byte // Of Ed25519.
	Sig    []byte // Of Text.
	Text   string
}

// Sign returns an entry with a signature.
func Sign(key ed25519.PrivateKey, text string) Change {
	return Change{key.Public().(ed25519.PublicKey), ed25519.Sign(key, []byte(text)), text}
}

// heads are the lines of an entry before the first empty one.
type heads struct {
	version  Version
	previous Version // Zero for none.
}

// parse reads the lines that an entry starts with.
func (c Change) parse() (heads, error) {
	var h heads
	head, _, ok := strings.Cut(c.Text, "\n\n")
	if !ok {
		return h, fmt.Errorf("%w: an entry without an empty line", ErrChangelog)
	}
	for line := range strings.SplitSeq(head, "\n") {
		name, value, _ := strings.Cut(line, ": ")
		var err error
		switch name {
		case "Version":
			h.version, err = ParseVersion(value)
		case "Previous":
			h.previous, err = ParseVersion(value)
		}
		if err != nil {
			return h, fmt.Errorf("%w: %w", ErrChangelog, err)
		}
	}
	if h.version == (Version{}) || h.previous.Compare(h.version) >= 0 {
		return h, fmt.Errorf("%w: an entry without version, or with a previous one that is not older", ErrChangelog)
	}
	return h, nil
}

// Verify returns an error unless all entries are signed with a key, and follow one
// another.
func (c Changelog) Verify(key ed25519.PublicKey) error {
	var expect Version
	for i, change := range c.Changes {
		if !bytes.Equal(change.PubKey, key) || !ed25519.Verify(key, []byte(change.Text), change.Sig) {
			return fmt.Errorf("%w: entry %d is not signed with the key", ErrChangelog, i+1)
		}
		h, err := change.parse()
		if err != nil {
			return err
		}
		if i > 0 && h.version != expect {
			return fmt.Errorf("%w: %s is where %s should be", ErrChangelog, h.version, expect)
		}
		expect = h.previous
	}
	return nil
}

// between returns an error unless a verified changelog has all that is new in latest
// after from: no entry for a version was left out.
func (c Changelog) between(from, latest Version) error {
	if len(c.Changes) == 0 {
		return fmt.Errorf("%w: nothing about %s", ErrChangelog, latest)
	}
	first, err := c.Changes[0].parse()
	if err != nil {
		return err
	}
	last, err := c.Changes[len(c.Changes)-1].parse()
	if err != nil {
		return err
	}
	if first.version != latest {
		return fmt.Errorf("%w: begins with %s instead of %s", ErrChangelog, first.version, latest)
	}
	if last.previous.Compare(from) > 0 {
		return fmt.Errorf("%w: nothing about %s, which is newer than %s", ErrChangelog, last.previous, from)
	}
	return nil
}

// After returns the entries of versions after from.
func (c Changelog) After(from Version) Changelog {
	var newer Changelog
	for _, change := range c.Changes {
		if h, err := change.parse(); err == nil && h.version.Compare(from) > 0 {
			newer.Changes = append(newer.Changes, change)
		}
	}
	return newer
}

// Text returns the entries of versions after from as text.
func (c Changelog) Text(from Version) string {
	var l []string
	for _, change := range c.After(from).Changes {
		l = append(l, strings.TrimSpace(change.Text))
	}
	return strings.Join(l, "\n\n\n") + "\n"
}

// Fetch returns what has changed after version from until latest, from a URL. All of it
// is verified with the key.
func Fetch(ctx context.Context, client *http.Client, changelogURL string, key ed25519.PublicKey, from, latest Version) (_ Changelog, rerr error) {
	start := time.Now()
	defer func() {
		result := "ok"
		if rerr != nil {
			result = "error"
		}
		metricFetch.WithLabelValues(result).Observe(time.Since(start).Seconds())
	}()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	u, err := url.Parse(changelogURL)
	if err != nil {
		return Changelog{}, fmt.Errorf("url of changelog: %w", err)
	}
	q := u.Query()
	q.Set("from", from.String())
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Changelog{}, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return Changelog{}, fmt.Errorf("fetch changelog: %w", err)
	}
	defer resp.Body.Close() // Only read.
	if resp.StatusCode != http.StatusOK {
		return Changelog{}, fmt.Errorf("fetch changelog from %s: status %s", u.Redacted(), resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxChangelog+1))
	if err != nil {
		return Changelog{}, fmt.Errorf("fetch changelog: %w", err)
	}
	if len(data) > maxChangelog {
		return Changelog{}, fmt.Errorf("%w: larger than %d bytes", ErrChangelog, maxChangelog)
	}
	var c Changelog
	if err := json.Unmarshal(data, &c); err != nil {
		return Changelog{}, fmt.Errorf("%w: %w", ErrChangelog, err)
	}
	if err := c.Verify(key); err != nil {
		return Changelog{}, err
	}
	return c, c.between(from, latest)
}
