package updates

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mox/dns"
)

// lookupTimeout is for how long DNS is asked.
const lookupTimeout = 30 * time.Second

// Errors of [Lookup].
var (
	ErrNoRecord = errors.New("updates: no record")
	ErrRecord   = errors.New("updates: record is wrong")
	ErrDNS      = errors.New("updates: lookup failed")
)

// parseRecord parses a TXT record, "v=UPDATES0; l=v0.3.12". Without v it is about
// something else, and ok is false.
func parseRecord(txt string) (latest Version, ok bool, err error) {
	for i, field := range strings.Split(txt, ";") {
		name, value, found := strings.Cut(field, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case i == 0:
			if name != "v" || value != "UPDATES0" {
				return Version{}, false, nil
			}
		case strings.TrimSpace(field) == "":
		case !found:
			return Version{}, true, fmt.Errorf("%w: field %q has no value", ErrRecord, name)
		case name == "l":
			if latest != (Version{}) {
				return Version{}, true, fmt.Errorf("%w: two versions", ErrRecord)
			}
			if latest, err = ParseVersion(value); err != nil {
				return Version{}, true, fmt.Errorf("%w: %w", ErrRecord, err)
			}
		}
	}
	if latest == (Version{}) {
		return Version{}, true, fmt.Errorf("%w: no version", ErrRecord)
	}
	return latest, true, nil
}

// Lookup returns the latest version that a domain says there is.
func Lookup(ctx context.Context, resolver dns.Resolver, domain dns.Domain) (latest Version, rerr error) {
	start := time.Now()
	defer func() {
		metricLookup.WithLabelValues(lookupResult(rerr)).Observe(time.Since(start).Seconds())
	}()
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	name := "_updates." + domain.ASCII + "."
	txts, _, err := resolver.LookupTXT(ctx, name)
	if errors.Is(err, dns.ErrNotFound) {
		return Version{}, fmt.Errorf("%w at %s", ErrNoRecord, name)
	} else if err != nil {
		return Version{}, fmt.Errorf("%w: %w", ErrDNS, err)
	}
	records := 0
	for _, txt := range txts {
		v, ok, err := parseRecord(txt)
		if !ok {
			continue
		}
		if records++; records > 1 {
			return Version{}, fmt.Errorf("%w: several at %s", ErrRecord, name)
		}
		if err != nil {
			return Version{}, err
		}
		latest = v
	}
	if records == 0 {
		return Version{}, fmt.Errorf("%w at %s", ErrNoRecord, name)
	}
	return latest, nil
}

func lookupResult(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrNoRecord):
		return "notfound"
	case errors.Is(err, ErrRecord):
		return "syntax"
	}
	return "error"
}
