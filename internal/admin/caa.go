package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"
)

// CAARecord is a record that says who may make certificates, RFC 8659 §4.1.
type CAARecord struct {
	Critical   bool
	Tag, Value string
}

// resolvConf has the resolvers of the system.
const resolvConf = "/etc/resolv.conf"

// CAALookup returns how CAA records are looked up with resolvers, as ip:port, or those of
// the system if there are none. Names are in ASCII.
func CAALookup(servers []string) func(ctx context.Context, name string) ([]CAARecord, error) {
	return func(ctx context.Context, name string) ([]CAARecord, error) {
		ask := servers
		if len(ask) == 0 {
			conf, err := mdns.ClientConfigFromFile(resolvConf)
			if err != nil {
				return nil, err
			}
			for _, s := range conf.Servers {
				ask = append(ask, net.JoinHostPort(s, conf.Port))
			}
		}
		var errs []error
		for _, server := range ask {
			l, err := lookupCAA(ctx, server, name)
			if err == nil {
				return l, nil
			}
			errs = append(errs, err)
		}
		return nil, errors.Join(errs...)
	}
}

func lookupCAA(ctx context.Context, server, name string) ([]CAARecord, error) {
	req := new(mdns.Msg)
	req.SetQuestion(mdns.Fqdn(name), mdns.TypeCAA)
	req.SetEdns0(1232, false)
	resp, _, err := new(mdns.Client).ExchangeContext(ctx, req, server)
	if err == nil && resp.Truncated {
		resp, _, err = (&mdns.Client{Net: "tcp"}).ExchangeContext(ctx, req, server)
	}
	if err != nil {
		return nil, fmt.Errorf("looking up caa for %q: %w", name, err)
	}
	if resp.Rcode != mdns.RcodeSuccess && resp.Rcode != mdns.RcodeNameError {
		return nil, fmt.Errorf("looking up caa for %q: %s", name, mdns.RcodeToString[resp.Rcode])
	}
	var l []CAARecord
	for _, rr := range resp.Answer {
		if r, ok := rr.(*mdns.CAA); ok {
			l = append(l, CAARecord{r.Flag&0x80 != 0, strings.ToLower(r.Tag), r.Value})
		}
	}
	return l, nil
}

// relevantCAA returns the records for a name, and where they are: at the name, or else at
// the nearest name above it that has some (RFC 8659 §3).
func relevantCAA(ctx context.Context, lookup func(context.Context, string) ([]CAARecord, error), name string) ([]CAARecord, string, error) {
	for at := name; at != ""; {
		l, err := lookup(ctx, at)
		if err != nil || len(l) > 0 {
			return l, at, err
		}
		_, at, _ = strings.Cut(at, ".")
	}
	return nil, "", nil
}

// permits reports whether records let an authority make certificates, for an account if
// that is known, with at least one of some methods (RFC 8659 §4.2, RFC 8657).
func permits(l []CAARecord, issuer, account, methods string) bool {
	unknown := func(r CAARecord) bool {
		return r.Critical && !slices.Contains([]string{"issue", "issuewild", "iodef"}, r.Tag)
	}
	issue := slices.DeleteFunc(slices.Clone(l), func(r CAARecord) bool { return r.Tag != "issue" })
	return !slices.ContainsFunc(l, unknown) &&
		(len(issue) == 0 || slices.ContainsFunc(issue, func(r CAARecord) bool { return permitsIssue(r.Value, issuer, account, methods) }))
}

func permitsIssue(value, issuer, account, methods string) bool {
	parts := strings.Split(value, ";")
	if !strings.EqualFold(strings.TrimSpace(parts[0]), issuer) {
		return false
	}
	for _, p := range parts[1:] {
		key, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "accounturi":
			if account != "" && strings.TrimSpace(v) != account {
				return false
			}
		case "validationmethods":
			ours := strings.Split(methods, ",")
			if !slices.ContainsFunc(strings.Split(v, ","), func(m string) bool { return slices.Contains(ours, strings.TrimSpace(m)) }) {
				return false
			}
		}
	}
	return true
}
