package rdap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"mox/dns"
)

const (
	// maxAnswer is the size of an answer in bytes that is read.
	maxAnswer = 4 << 20

	// Timeout is for how long a server is waited for.
	Timeout = 30 * time.Second

	// bootstrapAge is for how long the list of servers is kept.
	bootstrapAge = 24 * time.Hour

	// DefaultBootstrap is the list of IANA of servers for domains, RFC 9224 §4.
	DefaultBootstrap = "https://data.iana.org/rdap/dns.json"
)

// Errors, for errors.Is.
var (
	// ErrNoServer means that the registry of a domain has no server.
	ErrNoServer = errors.New("rdap: no server for domain")

	// ErrNotFound means that a registry does not know a domain. It knows none below those
	// that were registered.
	ErrNotFound = errors.New("rdap: domain not known to registry")

	// ErrNoEvent means that the registry does not tell when a domain was registered.
	ErrNoEvent = errors.New("rdap: registry does not tell date of registration")

	// ErrAnswer means that an answer could not be understood.
	ErrAnswer = errors.New("rdap: answer is wrong")
)

// Options are for [New]. The zero value is right for use on the internet.
type Options struct {
	HTTP      *http.Client // Nil is http.DefaultClient.
	Bootstrap string       // URL of the list of servers. Empty is DefaultBootstrap.
}

// Client asks servers of registries.
type Client struct {
	opts Options

	mu      sync.Mutex // Guards what follows.
	servers map[string]string
	fetched time.Time
}

// New returns a client.
func New(opts Options) *Client {
	if opts.HTTP == nil {
		opts.HTTP = http.DefaultClient
	}
	if opts.Bootstrap == "" {
		opts.Bootstrap = DefaultBootstrap
	}
	return &Client{opts: opts}
}

// Registered returns when a domain was registered, the last time if it was more than once
// (RFC 9083 §4.5).
func (c *Client) Registered(ctx context.Context, domain dns.Domain) (time.Time, error) {
	base, err := c.server(ctx, domain)
	if err != nil {
		return time.Time{}, err
	}
	// RFC 9082 §3.1.3.
	data, err := c.get(ctx, strings.TrimSuffix(base, "/")+"/domain/"+url.PathEscape(domain.ASCII))
	if err != nil {
		return time.Time{}, err
	}
	return parseRegistered(data)
}

// parseRegistered returns the time in an answer about a domain.
func parseRegistered(data []byte) (time.Time, error) {
	var answer struct {
		ObjectClassName string `json:"objectClassName"`
		Events          []struct {
			Action string `json:"eventAction"`
			Date   string `json:"eventDate"`
		} `json:"events"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if answer.ObjectClassName != "domain" {
		return time.Time{}, fmt.Errorf("%w: about %q instead of a domain", ErrAnswer, answer.ObjectClassName)
	}
	var last time.Time
	for _, e := range answer.Events {
		switch e.Action {
		case "registration", "reregistration", "reinstantiation":
			t, err := time.Parse(time.RFC3339, e.Date)
			if err != nil {
				return time.Time{}, fmt.Errorf("%w: %w", ErrAnswer, err)
			}
			if t.After(last) {
				last = t
			}
		}
	}
	if last.IsZero() {
		return time.Time{}, ErrNoEvent
	}
	return last, nil
}

// server returns the URL of the server for a domain: that of the longest name in the list
// that the domain is below (RFC 9224 §4).
func (c *Client) server(ctx context.Context, domain dns.Domain) (string, error) {
	servers, err := c.list(ctx)
	if err != nil {
		return "", fmt.Errorf("list of servers: %w", err)
	}
	for name := domain.ASCII; name != ""; {
		if base := servers[name]; base != "" {
			return base, nil
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return "", fmt.Errorf("%w %s", ErrNoServer, domain)
}

// list returns the servers by domain, from the list that is kept if it is not old.
func (c *Client) list(ctx context.Context) (map[string]string, error) {
	c.mu.Lock()
	servers, fetched := c.servers, c.fetched
	c.mu.Unlock()
	if servers != nil && time.Since(fetched) < bootstrapAge {
		return servers, nil
	}
	data, err := c.get(ctx, c.opts.Bootstrap)
	if err != nil {
		return nil, err
	}
	if servers, err = parseBootstrap(data); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers, c.fetched = servers, time.Now()
	return servers, nil
}

// parseBootstrap returns the servers by domain. With HTTPS is preferred (RFC 9224 §3).
func parseBootstrap(data []byte) (map[string]string, error) {
	var list struct {
		Services [][2][]string `json:"services"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	servers := map[string]string{}
	for _, s := range list.Services {
		var base string
		for _, u := range s[1] {
			switch {
			case strings.HasPrefix(u, "https://"):
				base = u
			case strings.HasPrefix(u, "http://") && base == "":
				base = u
			}
		}
		for _, name := range s[0] {
			if base != "" {
				servers[strings.ToLower(name)] = base
			}
		}
	}
	return servers, nil
}

// get makes a request.
func (c *Client) get(ctx context.Context, u string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	req.Header.Set("Accept", "application/rdap+json, application/json")
	resp, err := c.opts.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("rdap: %w", err)
	}
	defer resp.Body.Close() // Only read.
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%w (%s)", ErrNotFound, req.URL.Host)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("rdap: %s: status %s", req.URL.Host, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("rdap: %w", err)
	}
	if len(data) > maxAnswer {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrAnswer, maxAnswer)
	}
	return data, nil
}
