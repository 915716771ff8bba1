package updates

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mox/dns"
	"mox/internal/safefile"
	"mox/mlog"
)

// Interval is how often a [Checker] looks.
const Interval = 24 * time.Hour

// lastKnownName is the file in the data directory with the version that the operator was
// told of last. Its time is that of the last check.
const lastKnownName = "lastknownversion"

// A Source is where new versions are announced.
type Source struct {
	Domain       dns.Domain // Below it, _updates has the latest version.
	ChangelogURL string     // Of what has changed; parameter from is added.
	Key          ed25519.PublicKey
}

// Options are for [NewChecker]. All are needed.
type Options struct {
	Source   Source
	Current  string // Version of this program. It can be one that is not a release.
	Dir      string // For the file with what is known.
	Resolver dns.Resolver
	Client   *http.Client
	Log      *slog.Logger

	// Deliver is called with a text about new versions.
	Deliver func(ctx context.Context, u Update) error
}

// An Update is what the operator is told.
type Update struct {
	Current string
	Latest  Version
	Changes string // Text of the entries of the changelog.
}

// A Checker looks for new versions.
type Checker struct {
	opts Options
	path string
}

// NewChecker returns a checker that does not run yet.
func NewChecker(opts Options) *Checker {
	return &Checker{opts, filepath.Join(opts.Dir, lastKnownName)}
}

// Run looks once a day, until ctx is done. Errors are logged, and tried again the next
// day.
func (c *Checker) Run(ctx context.Context) error {
	for {
		wait := time.Until(c.last().Add(Interval))
		timer := time.NewTimer(min(max(wait, 0), Interval))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if err := c.Check(ctx); err != nil && ctx.Err() == nil {
			c.opts.Log.ErrorContext(ctx, "looking for a new version, will do so again tomorrow", mlog.Err(err))
			if err := c.touch(); err != nil {
				return fmt.Errorf("note when new versions were looked for: %w", err)
			}
		}
	}
}

// last returns when the last check was.
func (c *Checker) last() time.Time {
	info, err := os.Stat(c.path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// touch notes that a check was done.
func (c *Checker) touch() error {
	now := time.Now()
	err := os.Chtimes(c.path, now, now)
	if errors.Is(err, fs.ErrNotExist) {
		return c.store(c.known())
	}
	return err
}

func (c *Checker) store(v Version) error {
	return safefile.WriteFile(c.path, []byte(v.String()+"\n"), 0660)
}

// known returns the latest version that the operator knows of: the running one, or one
// that a message was about.
func (c *Checker) known() Version {
	v, err := ParseVersion(c.opts.Current)
	if err != nil {
		v = Version{}
	}
	data, err := os.ReadFile(c.path)
	if err != nil {
		return v
	}
	if last, err := ParseVersion(strings.TrimSpace(string(data))); err == nil && last.Compare(v) > 0 {
		return last
	}
	return v
}

// Check looks for a new version now.
func (c *Checker) Check(ctx context.Context) error {
	latest, err := Lookup(ctx, c.opts.Resolver, c.opts.Source.Domain)
	if err != nil {
		return err
	}
	from := c.known()
	switch {
	case from == Version{}:
		// Of a program that is not a release nobody knows what is new for it.
		c.opts.Log.InfoContext(ctx, "latest version noted, later ones will be told", slog.String("latest", latest.String()))
		return c.store(latest)
	case latest.Compare(from) <= 0:
		c.opts.Log.DebugContext(ctx, "no new version", slog.String("latest", latest.String()))
		return c.store(from)
	}
	log, err := Fetch(ctx, c.opts.Client, c.opts.Source.ChangelogURL, c.opts.Source.Key, from, latest)
	if err != nil {
		return err
	}
	if err := c.opts.Deliver(ctx, Update{c.opts.Current, latest, log.Text(from)}); err != nil {
		return fmt.Errorf("deliver changelog: %w", err)
	}
	c.opts.Log.InfoContext(ctx, "there is a new version", slog.String("latest", latest.String()), slog.String("current", c.opts.Current))
	return c.store(latest)
}
