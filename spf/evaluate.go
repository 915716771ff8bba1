package spf

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mox/dns"
)

// An evaluation is one check_host with all that is included and redirected to,
// RFC 7208 §4.6.
type evaluation struct {
	ctx      context.Context
	resolver dns.Resolver
	ip       netip.Addr // Not mapped.
	sender   identity
	helo     string
	receiver string
	now      time.Time

	terms     int // That were counted, RFC 7208 §4.6.4.
	voids     int
	voidNames bool // The names of the client were looked up for this term, and there are none.
	lookups   int  // Done, for logging.
	authentic bool

	namesKnown bool
	names      []string // Validated names of ip, RFC 7208 §5.5.
}

// A frame is a record being evaluated.
type frame struct {
	domain string // <domain>, RFC 7208 §4.1.
	record Record
	next   int // Index of the directive to evaluate next.
}

// run evaluates the record of a domain. A frame above another one is that of an
// include, which is the directive before next in the lower one. Each include and
// redirect counts as a term, which bounds the stack and the loop.
func (e *evaluation) run(domain string) Result {
	f, err := e.load(strings.TrimSuffix(domain, "."))
	if err != nil {
		return Result{Status: statusOf(err), Err: err}
	}
	stack := []frame{f}
	for {
		child, status, err := e.step(&stack[len(stack)-1])
		switch {
		case err != nil:
			return Result{Status: statusOf(err), Err: err}
		case child != nil:
			stack = append(stack, *child)
			continue
		case status == "":
			continue
		}
		// A record has a result, which for an included one is a match or none.
		for len(stack) > 1 && status == StatusPass {
			stack = stack[:len(stack)-1]
			top := stack[len(stack)-1]
			status = top.record.Directives[top.next-1].Qualifier.Status()
		}
		if len(stack) > 1 {
			stack = stack[:len(stack)-1]
			continue
		}
		return e.result(&stack[0], status)
	}
}

// result makes the result for the first record, or the one it redirects to.
func (e *evaluation) result(f *frame, status Status) Result {
	if f.next > len(f.record.Directives) {
		return Result{Status: status, Mechanism: "default"}
	}
	r := Result{Status: status, Mechanism: f.record.Directives[f.next-1].text()}
	if status == StatusFail && f.record.Exp != "" {
		r.Explanation = e.explain(f)
	}
	return r
}

// step evaluates the next directive, or what follows the last one. It returns the
// frame of an include, the result of the record, or neither to go on.
func (e *evaluation) step(f *frame) (child *frame, status Status, err error) {
	if f.next == len(f.record.Directives) {
		if f.record.Redirect != "" {
			done, err := e.redirect(f)
			if err != nil || !done {
				return nil, "", err
			}
		}
		f.next++
		return nil, StatusNeutral, nil // RFC 7208 §4.7.
	}
	d := f.record.Directives[f.next]
	f.next++
	if d.Mechanism == Include {
		child, err := e.include(f, d)
		return child, "", err
	}
	match, err := e.match(f, d)
	if err != nil || !match {
		return nil, "", err
	}
	return nil, d.Qualifier.Status(), nil
}

// load looks up the record of a domain.
func (e *evaluation) load(domain string) (frame, error) {
	e.lookups++
	found, err := lookup(e.ctx, e.resolver, domain)
	e.authentic = e.authentic && found.Authentic
	if err != nil {
		return frame{}, err
	}
	return frame{domain: domain, record: found.Record}, nil
}

// loadTarget looks up the record of an include or redirect. That there is none, or
// that the name is malformed, is a permerror, RFC 7208 §5.2 and §6.1.
func (e *evaluation) loadTarget(f *frame, term, domain string) (frame, error) {
	target, err := e.load(domain)
	if err != nil && statusOf(err) == StatusNone {
		return frame{}, permerror(f, term, err)
	}
	return target, err
}

// include evaluates an include up to its record. It returns nil if it does not
// match without one.
func (e *evaluation) include(f *frame, d Directive) (*frame, error) {
	if err := e.count(f, d.text()); err != nil {
		return nil, err
	}
	name, kind, err := e.expandDomain(f, d.text(), d.Domain)
	if err != nil || kind == nameNonASCII {
		return nil, err
	}
	if e.voidNames {
		if err := e.countVoid(f, d.text()); err != nil {
			return nil, err
		}
	}
	target, err := e.loadTarget(f, d.text(), name)
	if err != nil {
		return nil, err
	}
	return &target, nil
}

// redirect replaces the record in f by the one it redirects to, RFC 7208 §6.1. It
// returns true if there is nothing to redirect to.
func (e *evaluation) redirect(f *frame) (bool, error) {
	term := "redirect=" + f.record.Redirect
	if err := e.count(f, term); err != nil {
		return false, err
	}
	name, kind, err := e.expandDomain(f, term, f.record.Redirect)
	if err != nil || kind == nameNonASCII {
		return true, err
	}
	if e.voidNames {
		if err := e.countVoid(f, term); err != nil {
			return false, err
		}
	}
	target, err := e.loadTarget(f, term, name)
	if err != nil {
		return false, err
	}
	*f = target
	return false, nil
}

// count counts a term that takes DNS lookups.
func (e *evaluation) count(f *frame, term string) error {
	e.terms++
	e.voidNames = false
	if e.terms > MaxTerms {
		return permerror(f, term, ErrTooManyTerms)
	}
	return nil
}

// countVoid counts a term with a lookup that found nothing, and that did not match.
func (e *evaluation) countVoid(f *frame, term string) error {
	e.voids++
	if e.voids > MaxVoidTerms {
		return permerror(f, term, ErrTooManyVoid)
	}
	return nil
}

// match evaluates a directive other than include.
func (e *evaluation) match(f *frame, d Directive) (bool, error) {
	switch d.Mechanism {
	case All:
		return true, nil
	case IP4, IP6:
		return d.Net.Contains(e.ip), nil
	}
	term := d.text()
	if err := e.count(f, term); err != nil {
		return false, err
	}
	name, kind := f.domain, nameOK
	if d.Domain != "" {
		var err error
		name, kind, err = e.expandDomain(f, term, d.Domain)
		if err != nil {
			return false, err
		}
	}
	if kind != nameOK {
		return false, nil
	}
	var match, void bool
	var err error
	switch d.Mechanism {
	case A:
		match, void, err = e.matchA(name, d)
	case MX:
		match, void, err = e.matchMX(f, name, d)
	case PTR:
		match, err = e.matchPTR(name)
	case Exists:
		match, void, err = e.matchExists(name)
	}
	switch {
	case err != nil && statusOf(err) == StatusPermerror:
		return false, err
	case err != nil:
		return false, &Error{StatusTemperror, f.domain, term, err}
	case (void || e.voidNames) && !match:
		return false, e.countVoid(f, term)
	}
	return match, nil
}

// note takes the outcome of a lookup into account.
func (e *evaluation) note(n int, res dns.Result, err error) (lookupKind, error) {
	e.lookups++
	e.authentic = e.authentic && res.Authentic
	return sortLookup(n, err)
}

// addresses looks up addresses of the IP version of the client, RFC 7208 §5.
func (e *evaluation) addresses(name string) ([]net.IP, lookupKind, error) {
	network := "ip6"
	if e.ip.Is4() {
		network = "ip4"
	}
	ips, res, err := e.resolver.LookupIP(e.ctx, network, name)
	kind, err := e.note(len(ips), res, err)
	return ips, kind, err
}

func (e *evaluation) matchA(name string, d Directive) (match, isVoid bool, err error) {
	ips, kind, err := e.addresses(name)
	return err == nil && e.near(ips, d), kind == void, err
}

// near reports whether an address is in the same network as the client.
func (e *evaluation) near(ips []net.IP, d Directive) bool {
	bits := e.ip.BitLen()
	if e.ip.Is4() && d.IP4Len != nil {
		bits = *d.IP4Len
	} else if e.ip.Is6() && d.IP6Len != nil {
		bits = *d.IP6Len
	}
	return slices.ContainsFunc(ips, func(ip net.IP) bool {
		a, ok := netip.AddrFromSlice(ip)
		if e.ip.Is4() {
			a = a.Unmap()
		}
		return ok && netip.PrefixFrom(a, bits).Contains(e.ip)
	})
}

// matchMX evaluates "mx", RFC 7208 §5.4. All hosts are looked at before a void
// lookup counts: the order of those with the same preference is random.
func (e *evaluation) matchMX(f *frame, name string, d Directive) (match, isVoid bool, err error) {
	l, res, err := e.resolver.LookupMX(e.ctx, name)
	kind, err := e.note(len(l), res, err)
	if err != nil {
		return false, false, err
	}
	if len(l) > MaxMX {
		return false, false, permerror(f, d.text(), ErrTooManyMX)
	}
	isVoid = kind == void
	for _, mx := range l {
		host := strings.TrimSuffix(mx.Host, ".")
		if !isName(host) {
			continue // A null MX, RFC 7505 §3, or not a name.
		}
		ips, kind, err := e.addresses(host)
		if err != nil {
			return false, false, err
		}
		if e.near(ips, d) {
			return true, false, nil
		}
		isVoid = isVoid || kind == void
	}
	return false, isVoid, nil
}

// matchExists evaluates "exists", for which it is A records also if the client has
// an IPv6 address, RFC 7208 §5.7.
func (e *evaluation) matchExists(name string) (match, isVoid bool, err error) {
	ips, res, err := e.resolver.LookupIP(e.ctx, "ip4", name)
	kind, err := e.note(len(ips), res, err)
	return err == nil && len(ips) > 0, kind == void, err
}
