package transport

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"mox/dane"
	"mox/dns"
	"mox/queue"
	"mox/sasl"
	"mox/smtp"
	"mox/smtpclient"
)

// RelayOptions are for NewRelay.
type RelayOptions struct {
	Network

	Host dns.IPDomain // Of the relay. It is not looked up in MX records.
	Port int          // Zero is 465 with TLSImmediate, else 587 with credentials and 25 without.

	// Mode is how TLS is used: TLSImmediate for "Submissions", TLSRequired (with STARTTLS)
	// for "Submission" and "SMTP", or TLSSkip. TLSOpportunistic, the zero value, is taken
	// as TLSRequired.
	Mode smtpclient.TLSMode

	// InsecureSkipVerify accepts each certificate.
	InsecureSkipVerify bool

	// Username and Password are for authentication. With neither, and no Mechanisms,
	// there is none.
	Username string
	Password string

	// Mechanisms are those that may be used, in order of preference. Empty is
	// sasl.DefaultMechanisms, from the strongest to CRAM-MD5; PLAIN and LOGIN are only used
	// if they are here. EXTERNAL is authentication by the client certificate in TLS.
	Mechanisms []string
}

// Relay is a transport that hands all messages to one server, which sends them on.
type Relay struct {
	opts RelayOptions
}

// NewRelay returns a transport.
func NewRelay(opts RelayOptions) *Relay {
	opts.setDefaults("relay")
	if opts.Mode == smtpclient.TLSOpportunistic {
		opts.Mode = smtpclient.TLSRequired
	}
	if opts.Port == 0 {
		switch {
		case opts.Mode == smtpclient.TLSImmediate:
			opts.Port = 465
		case opts.authenticates():
			opts.Port = 587
		default:
			opts.Port = 25
		}
	}
	return &Relay{opts}
}

func (o *RelayOptions) authenticates() bool {
	return o.Username != "" || len(o.Mechanisms) > 0
}

// Name implements queue.Transport.
func (t *Relay) Name() string { return t.opts.Name }

// Deliver implements queue.Transport.
func (t *Relay) Deliver(ctx context.Context, d queue.Delivery) []queue.Result {
	a := newAttempt(&t.opts.Network, d)
	if err := t.deliver(ctx, a); err != nil {
		l := link{host: t.opts.Host}
		a.rec.add("%v", err)
		a.logFailed(ctx, l, err)
		a.fail(l, err)
	}
	return a.finish()
}

func (t *Relay) deliver(ctx context.Context, a *attempt) error {
	if a.needsTLS() && (t.opts.Mode == smtpclient.TLSSkip || t.opts.InsecureSkipVerify) {
		metricRequireTLS.WithLabelValues("nopolicy").Inc()
		return smtp.Errorf(smtp.C554TransactionFailed, smtp.Se730RequireTLS, "sender requires verified TLS, which is not configured for the relay of this server")
	}
	left := budget(DialTimeout)
	ips, h, err := t.lookup(ctx, a, &left)
	if err != nil {
		return err
	}
	req, login := t.requirement(h), t.login()
	linkTo := func(ip netip.Addr) link {
		return link{host: t.opts.Host, addr: netip.AddrPortFrom(ip, uint16(t.opts.Port)), req: req, login: login}
	}
	ips = a.order(ctx, ips, linkTo)
	for i, ip := range ips {
		l := linkTo(ip)
		timeout := left.share(len(ips) - i)
		err := a.send(ctx, l, false, func(c *conn) error {
			return a.n.open(ctx, c, l, timeout, func(c *conn, _ smtpclient.TLSInfo, err error) {
				left.spend(c.dialed)
				a.dialed(ctx, l, err)
			})
		})
		if err == nil {
			return nil
		}
		a.logFailed(ctx, l, err)
		a.fail(l, err)
		if ctx.Err() != nil || errors.Is(err, ErrPoolClosed) {
			break
		}
	}
	return nil
}

// lookup finds the addresses of the relay, and its TLSA records: they are as good for
// a host that is configured as for one in MX records, RFC 7672 §2.1.
func (t *Relay) lookup(ctx context.Context, a *attempt, left *budget) ([]netip.Addr, *dane.Host, error) {
	host := t.opts.Host
	if host.IsIP() {
		ips := a.n.usable([]net.IP{host.IP})
		if len(ips) == 0 {
			return nil, nil, fmt.Errorf("the address of relay %s is of a family that is not used", host)
		}
		return ips, nil, nil
	}
	start := time.Now()
	defer func() { left.spend(time.Since(start)) }()
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	verifies := t.opts.Mode != smtpclient.TLSSkip && !t.opts.InsecureSkipVerify
	d := dane.Destination{Domain: host.Domain, Expanded: host.Domain, Authentic: verifies, Hosts: []dns.Domain{host.Domain}}
	h, err := dane.LookupHost(ctx, a.log, a.n.Resolver, d, host.Domain, t.opts.Port)
	if err != nil {
		return nil, nil, err
	}
	ips := a.n.usable(h.IPs)
	if len(ips) == 0 {
		return nil, nil, fmt.Errorf("relay %s has no address of a family that is used", host)
	}
	return ips, &h, nil
}

// requirement returns how TLS is to be used. The wish "TLS-Required: No" is for hosts
// further on: here it would give away credentials.
func (t *Relay) requirement(h *dane.Host) requirement {
	r := requirement{mode: t.opts.Mode, name: t.opts.Host.Domain, label: modeLabel(t.opts.Mode)}
	if r.mode == smtpclient.TLSSkip || t.opts.InsecureSkipVerify {
		return r
	}
	if h == nil || h.Status != dane.StatusUsable {
		r.pkix = true
		return r
	}
	r.name, r.daneID, r.label = h.Base, recordsID(h.Records, h.Names), r.label+"+dane"
	r.verify = func(cs tls.ConnectionState) error { return verifyDANE(h, cs) }
	return r
}

// login returns how to authenticate, with the first mechanism that both sides want.
func (t *Relay) login() login {
	o := &t.opts
	if !o.authenticates() {
		return login{}
	}
	id := sha256.Sum256([]byte(strings.Join(append([]string{o.Username, o.Password}, o.Mechanisms...), "\x00")))
	return login{
		id: hex.EncodeToString(id[:]),
		choose: func(offered []string, cs *tls.ConnectionState) (sasl.Client, error) {
			return sasl.Choose(sasl.ChooseOptions{
				Offered:     offered,
				Mechanisms:  o.Mechanisms,
				Credentials: sasl.Credentials{Identity: sasl.Identity{Authentication: o.Username}, Password: o.Password},
				TLS:         cs,
			})
		},
	}
}
