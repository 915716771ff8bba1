package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/libdns/libdns"

	"mox/config"
	"mox/dns"
	"mox/internal/certs"
)

// zoneTimeout is how long it may take to read a zone, or to write to it.
const zoneTimeout = 2 * time.Minute

// Zone is a zone in DNS whose records can be written.
type Zone struct {
	Name     string // In ASCII, without dot at the end.
	provider certs.DNSProvider
}

// OpenZone returns the zone with the records of a domain, at the DNSProvider that the
// configuration names for it.
func OpenZone(ctx context.Context, s *config.Snapshot, resolver dns.Resolver, domain dns.Domain) (*Zone, error) {
	if _, ok := s.Dynamic.Domains[domain.Name()]; !ok {
		return nil, noDomain(domain.Name())
	}
	conf, ok := s.DNSProvider(domain.Name())
	if !ok {
		return nil, errorf(ErrNotFound, "domain %s has no DNSProvider in domains.conf", domain)
	}
	provider, err := certs.NewDNSProvider(conf, s.ReadFile)
	if err != nil {
		return nil, err
	}
	name, err := findZone(ctx, resolver, domain)
	return &Zone{name, provider}, err
}

// findZone returns the zone that a domain is in: the closest name with name servers.
func findZone(ctx context.Context, resolver dns.Resolver, domain dns.Domain) (string, error) {
	if resolver == nil {
		return "", errorf(ErrInvalid, "the zone of %s cannot be looked up without a resolver", domain)
	}
	for name := domain.ASCII; strings.Contains(name, "."); _, name, _ = strings.Cut(name, ".") {
		_, _, err := resolver.LookupNS(ctx, name+".")
		if err == nil {
			return name, nil
		} else if !missing(err) {
			return "", fmt.Errorf("look up the zone of %s: %w", domain, err)
		}
	}
	return "", errorf(ErrNotFound, "no zone for %s is in DNS", domain)
}

// ZoneChange is what is to be done in a zone.
type ZoneChange struct {
	Remove []Record // Of the server, with another text than they should have.
	Add    []Record

	// What is not touched.
	Left      []Record // Of someone else, beside records of the server of the same name and type.
	Blocked   []Record // Cannot be added because of an alias, or what is beside it.
	Elsewhere []Record // Wanted, and not in this zone.
}

// None reports whether nothing is to be done.
func (c ZoneChange) None() bool { return len(c.Remove)+len(c.Add) == 0 }

// WriteText writes the change for people, a line for each record.
func (c ZoneChange) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, part := range []struct {
		mark, after string
		records     []Record
	}{
		{"- ", "", c.Remove}, {"+ ", "", c.Add},
		{"  ", "\tnot ours, left as it is", c.Left},
		{"! ", "\tcannot be added beside what is there", c.Blocked},
		{"! ", "\tnot in this zone, add it elsewhere", c.Elsewhere},
	} {
		for _, r := range part.records {
			fmt.Fprintf(&b, "%s%s\t%s\t%s%s\n", part.mark, r.Name, r.Type, r.Data, part.after)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Plan compares the zone with records that should be in it.
func (z *Zone) Plan(ctx context.Context, want []Record) (c ZoneChange, err error) {
	have, err := z.read(ctx)
	if err != nil {
		return c, err
	}
	for _, w := range want {
		if w.Name != z.Name && !strings.HasSuffix(w.Name, "."+z.Name) {
			c.Elsewhere = append(c.Elsewhere, w)
			continue
		}
		z.plan(&c, w, have)
	}
	return c, nil
}

func (z *Zone) plan(c *ZoneChange, w Record, have []Record) {
	there, blocked := false, false
	var old, left []Record
	for _, h := range have {
		switch {
		case h.Name != w.Name:
		case h.Type == w.Type && sameData(h, w):
			there = true
		case h.Type == "CNAME" || w.Type == "CNAME":
			blocked = true
		case h.Type != w.Type:
		case w.Type == "TXT" && ours(h, w):
			old = append(old, h)
		case w.Type != "TXT": // Other texts have nothing to do with ours.
			left = append(left, h)
		}
	}
	if blocked && !there {
		c.Blocked = append(c.Blocked, w)
		return
	}
	c.Remove = append(c.Remove, old...)
	if !there {
		c.Add = append(c.Add, w)
	}
	for _, h := range left {
		wanted := slices.ContainsFunc(c.Add, func(r Record) bool { return r.Name == h.Name && r.Type == h.Type && sameData(r, h) })
		if !wanted && !slices.Contains(c.Left, h) {
			c.Left = append(c.Left, h)
		}
	}
}

// ours reports whether a text is of the same kind as a wanted one, by its version: two of
// them would make both invalid. At the name of a DKIM key there is nothing else.
func ours(have, want Record) bool {
	return strings.Contains(want.Name, "._domainkey.") || version(have.Data) == version(want.Data)
}

func version(text string) string {
	if i := strings.IndexAny(text, "; "); i >= 0 {
		text = text[:i]
	}
	return strings.ToLower(strings.TrimSpace(text))
}

// sameData reports whether two records of a type say the same.
func sameData(a, b Record) bool {
	if a.Type == "TXT" {
		return a.Data == b.Data
	}
	normal := func(s string) string {
		f := strings.Fields(strings.ToLower(strings.ReplaceAll(s, `"`, "")))
		for i := range f {
			f[i] = strings.TrimSuffix(f[i], ".")
		}
		return strings.Join(f, " ")
	}
	return normal(a.Data) == normal(b.Data)
}

// read returns the records of the zone.
func (z *Zone) read(ctx context.Context) ([]Record, error) {
	ctx, cancel := context.WithTimeout(ctx, zoneTimeout)
	defer cancel()
	l, err := z.provider.GetRecords(ctx, z.Name+".")
	if err != nil {
		return nil, fmt.Errorf("read zone %s: %w", z.Name, err)
	}
	var have []Record
	for _, r := range l {
		rr := r.RR()
		name := strings.ToLower(strings.TrimSuffix(libdns.AbsoluteName(rr.Name, z.Name+"."), "."))
		have = append(have, Record{name, rr.Type, rr.Data})
	}
	return have, nil
}

// Apply makes a change that was planned, and looks whether it is there.
func (z *Zone) Apply(ctx context.Context, c ZoneChange) error {
	if c.None() {
		return nil
	}
	if err := z.change(ctx, c); err != nil {
		return err
	}
	now, err := z.Plan(ctx, c.Add)
	if err == nil && !now.None() {
		err = fmt.Errorf("zone %s does not have what was written to it", z.Name)
	}
	return err
}

func (z *Zone) change(ctx context.Context, c ZoneChange) error {
	ctx, cancel := context.WithTimeout(ctx, zoneTimeout)
	defer cancel()
	remove, rerr := z.records(c.Remove)
	add, aerr := z.records(c.Add)
	if err := errors.Join(rerr, aerr); err != nil {
		return err
	}
	// A text that is missing for a moment is better than two, which would be invalid.
	if len(remove) > 0 {
		if _, err := z.provider.DeleteRecords(ctx, z.Name+".", remove); err != nil {
			return fmt.Errorf("remove records from zone %s: %w", z.Name, err)
		}
	}
	if len(add) > 0 {
		if _, err := z.provider.AppendRecords(ctx, z.Name+".", add); err != nil {
			return fmt.Errorf("add records to zone %s: %w", z.Name, err)
		}
	}
	return nil
}

// records returns records in the form of providers.
func (z *Zone) records(l []Record) ([]libdns.Record, error) {
	var out []libdns.Record
	for _, r := range l {
		rr := libdns.RR{Name: libdns.RelativeName(r.Name+".", z.Name+"."), Type: r.Type, Data: r.Data, TTL: recordTTL * time.Second}
		p, err := rr.Parse()
		if err != nil {
			return nil, fmt.Errorf("record %s %s: %w", r.Name, r.Type, err)
		}
		out = append(out, p)
	}
	return out, nil
}

// writeKeys adds the records of new keys of a domain to its zone, if it has a
// DNSProvider.
func (a *Admin) writeKeys(ctx context.Context, st DKIMStatus) error {
	var want []Record
	for _, k := range st.Keys {
		if k.New && !k.InDNS {
			want = append(want, k.Record)
		}
	}
	z, err := a.keyZone(ctx, st, want)
	if err != nil || z == nil {
		return err
	}
	c, err := z.Plan(ctx, want)
	if err == nil {
		err = z.Apply(ctx, c)
	}
	return err
}

// unpublishKeys removes the records of old keys of a domain, if it has a DNSProvider.
// What has another key there stays.
func (a *Admin) unpublishKeys(ctx context.Context, st DKIMStatus) error {
	var old []Record
	for _, k := range st.Keys {
		if k.Old {
			old = append(old, k.Record)
		}
	}
	z, err := a.keyZone(ctx, st, old)
	if err != nil || z == nil {
		return err
	}
	have, err := z.read(ctx)
	if err != nil {
		return err
	}
	have = slices.DeleteFunc(have, func(h Record) bool {
		return !slices.ContainsFunc(old, func(o Record) bool { return h.Name == o.Name && h.Type == "TXT" && sameKey(h.Data, o.Data) })
	})
	return z.Apply(ctx, ZoneChange{Remove: have})
}

// keyZone returns the zone for records, nil if there are none or it is not ours to write.
func (a *Admin) keyZone(ctx context.Context, st DKIMStatus, l []Record) (*Zone, error) {
	s := a.opts.Config.Snapshot()
	d, err := parseDomain(st.Domain)
	if _, ok := s.DNSProvider(d.Name()); err != nil || !ok || len(l) == 0 {
		return nil, err
	}
	return OpenZone(ctx, s, a.opts.Resolver, d)
}
