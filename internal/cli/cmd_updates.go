package cli

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"mox/internal/safefile"
	"mox/internal/updates"
)

var cmdUpdatesGenKey = command{
	words:    "updates genkey",
	unlisted: true,
	help: `Print a new private key for signing changelogs, in base64.
`,
	setup: func(*flag.FlagSet) runFunc {
		return func(_ context.Context, e *env, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			_, key, err := ed25519.GenerateKey(nil)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(e.out, base64.StdEncoding.EncodeToString(key.Seed()))
			return err
		}
	},
}

var cmdUpdatesPubKey = command{
	words:    "updates pubkey",
	args:     "<privatekey",
	unlisted: true,
	help: `Print the public key of a private key for signing changelogs, for UpdateSource in mox.conf.
`,
	setup: func(*flag.FlagSet) runFunc {
		return func(_ context.Context, e *env, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			data, err := io.ReadAll(e.in)
			if err != nil {
				return err
			}
			key, err := parseUpdateKey(data)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(e.out, base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)))
			return err
		}
	},
}

var cmdUpdatesAddSigned = command{
	words:    "updates addsigned",
	args:     "privatekeyfile changelogfile <text",
	unlisted: true,
	help: `Add a signed entry to a changelog, as the newest.

The text begins with lines "Version: v0.3.12", "Previous: v0.3.11" and "Date:
2026-01-31", and an empty line.
`,
	setup: func(*flag.FlagSet) runFunc { return runUpdatesAddSigned },
}

var cmdUpdatesVerify = command{
	words:    "updates verify",
	args:     "publickey <changelog",
	unlisted: true,
	help: `Check that a changelog is signed with a key and that its entries follow one another.
`,
	setup: func(*flag.FlagSet) runFunc {
		return func(_ context.Context, e *env, args []string) error {
			if len(args) != 1 {
				return usageError("")
			}
			key, err := base64.StdEncoding.DecodeString(args[0])
			if err != nil || len(key) != ed25519.PublicKeySize {
				return errors.New("the public key is not 32 bytes in base64")
			}
			var c updates.Changelog
			if err := json.NewDecoder(e.in).Decode(&c); err != nil {
				return fmt.Errorf("read changelog: %w", err)
			}
			return c.Verify(key)
		}
	},
}

var cmdUpdatesServe = command{
	words:    "updates serve",
	args:     "changelogfile",
	unlisted: true,
	help: `Serve a changelog over HTTP, for behind a web server with TLS.

Programs get JSON with the entries of versions after parameter from, browsers a page.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		address := fs.String("address", "127.0.0.1:8596", "`address` to listen on")
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) != 1 {
				return usageError("")
			}
			return serveUpdates(ctx, e, *address, args[0])
		}
	},
}

func parseUpdateKey(data []byte) (ed25519.PrivateKey, error) {
	seed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errors.New("the private key is not 32 bytes in base64")
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func runUpdatesAddSigned(_ context.Context, e *env, args []string) error {
	if len(args) != 2 {
		return usageError("")
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	key, err := parseUpdateKey(data)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	c, err := readChangelog(args[1])
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, err := io.ReadAll(e.in)
	if err != nil {
		return err
	}
	c.Changes = append([]updates.Change{updates.Sign(key, string(text))}, c.Changes...)
	if err := c.Verify(key.Public().(ed25519.PublicKey)); err != nil {
		return err
	}
	if data, err = json.MarshalIndent(c, "", "\t"); err != nil {
		return err
	}
	return safefile.WriteFile(args[1], append(data, '\n'), 0644)
}

func readChangelog(path string) (c updates.Changelog, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// serveUpdates serves a changelog, which is read for each request, until ctx is done.
func serveUpdates(ctx context.Context, e *env, address, path string) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: updatesHandler(path), ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	e.log.Info("serving changelog", "address", ln.Addr().String())
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func updatesHandler(path string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		c, err := readChangelog(path)
		if err != nil {
			http.Error(w, "the changelog cannot be read", http.StatusInternalServerError)
			return
		}
		from := updates.Version{}
		if s := r.FormValue("from"); s != "" {
			if from, err = updates.ParseVersion(s); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		c = c.After(from)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Vary", "Accept")
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = fmt.Fprintf(w, "<!doctype html>\n<title>Changelog</title>\n<pre>%s</pre>\n", html.EscapeString(c.Text(from)))
			return
		}
		var b bytes.Buffer
		if err := json.NewEncoder(&b).Encode(c); err != nil {
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(b.Bytes())
	})
}
