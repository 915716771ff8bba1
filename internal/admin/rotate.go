package admin

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"mox/config"
	"mox/config/edit"
	"mox/dkim"
	"mox/dns"
)

// retireAfter is for how long the records of old keys stay in DNS after they have signed
// for the last time: for longer than messages are in queues, here and elsewhere.
const retireAfter = 7 * 24 * time.Hour

// States of the keys of a domain.
const (
	DKIMStable  = "stable"  // No change has been begun.
	DKIMWaiting = "waiting" // New keys wait for their records to be in DNS. The old ones sign.
	DKIMSigning = "signing" // New keys sign. The old ones stay in DNS until RetireAt.
)

// DKIMStatus is about the keys of a domain.
type DKIMStatus struct {
	Domain   string
	State    string
	RetireAt time.Time // When the old keys go away, with DKIMSigning.
	Keys     []DKIMKey // By selector.
}

// DKIMKey is a key of a domain.
type DKIMKey struct {
	Selector string
	Kind     string
	Signs    bool
	New, Old bool   // Of a change that has been begun.
	Record   Record // That must be in DNS.
	InDNS    bool
	Problem  string // Why not; empty if there is just no record.
}

// DKIMStatus returns what there is of keys of a domain, and whether they are in DNS.
func (a *Admin) DKIMStatus(ctx context.Context, domain string) (DKIMStatus, error) {
	d, err := parseDomain(domain)
	if err != nil {
		return DKIMStatus{}, err
	}
	s := a.opts.Config.Snapshot()
	conf, ok := s.Domain(d)
	if !ok {
		return DKIMStatus{}, noDomain(d.Name())
	}
	st := DKIMStatus{Domain: d.Name(), State: DKIMStable}
	f := s.Dynamic.Domains[d.Name()].DKIM
	if f == nil {
		return st, nil
	}
	r := f.Rotation
	if r != nil {
		st.State = DKIMWaiting
		if since, err := r.Started(); err == nil && !since.IsZero() {
			st.State, st.RetireAt = DKIMSigning, since.Add(retireAfter)
		}
	}
	records, err := selectorRecords(conf)
	if err != nil {
		return st, err
	}
	for i, name := range slices.Sorted(maps.Keys(conf.Selectors)) {
		k := DKIMKey{Selector: name, Kind: kindOf(conf.Selectors[name]), Signs: slices.Contains(f.Sign, name), Record: records[i]}
		if r != nil {
			k.Old = slices.Contains(r.Old, name)
			k.New = !k.Old
		}
		k.InDNS, k.Problem = a.keyInDNS(ctx, k.Record)
		st.Keys = append(st.Keys, k)
	}
	return st, nil
}

func kindOf(sel dkim.Selector) string {
	if _, ok := sel.Key.Public().(ed25519.PublicKey); ok {
		return KeyEd25519
	}
	return KeyRSA
}

// keyInDNS looks up the record of a key.
func (a *Admin) keyInDNS(ctx context.Context, r Record) (ok bool, problem string) {
	if a.opts.Resolver == nil {
		return false, "DNS is not used by this server"
	}
	l, _, err := a.opts.Resolver.LookupTXT(ctx, r.Name+".")
	switch {
	case missing(err):
		return false, ""
	case err != nil:
		return false, err.Error()
	case len(l) != 1:
		return false, fmt.Sprintf("there are %d TXT records", len(l))
	case !sameKey(l[0], r.Data):
		return false, "the record has another key"
	}
	return true, ""
}

// RotateDKIM changes the keys of a domain to new ones, step by step, and goes as far as
// is possible now. It begins if that has not been done, by making as many new keys of the
// same kinds. When the records of all of them are in DNS, they sign instead of the old
// ones. When the latter have not signed for a week, they go away, and their files are moved
// to the directory for old ones. The result is where that stands.
func (a *Admin) RotateDKIM(ctx context.Context, domain string) (DKIMStatus, error) {
	a.rotating.Lock()
	defer a.rotating.Unlock()
	st, err := a.DKIMStatus(ctx, domain)
	if err != nil {
		return st, err
	}
	if st.State == DKIMStable {
		if err := a.beginRotation(ctx, st); err != nil {
			return st, err
		}
	}
	return a.stepRotation(ctx, domain)
}

// StepRotations goes on with the changes of keys that have been begun. Errors are logged.
func (a *Admin) StepRotations(ctx context.Context) {
	a.rotating.Lock()
	defer a.rotating.Unlock()
	for name, f := range a.opts.Config.Snapshot().Dynamic.Domains {
		if f.DKIM == nil || f.DKIM.Rotation == nil || ctx.Err() != nil {
			continue
		}
		if _, err := a.stepRotation(ctx, name); err != nil {
			a.log.ErrorContext(ctx, "changing to new dkim keys", "domain", name, "err", err)
		}
	}
}

// beginRotation makes new keys.
func (a *Admin) beginRotation(ctx context.Context, st DKIMStatus) (rerr error) {
	if !slices.ContainsFunc(st.Keys, func(k DKIMKey) bool { return k.Signs }) {
		return errorf(ErrNotFound, "domain %s has no DKIM keys that sign, so there is nothing to change", st.Domain)
	}
	d, err := parseDomain(st.Domain)
	if err != nil {
		return err
	}
	before := a.opts.Config.Snapshot().Dynamic.Domains[st.Domain].DKIM
	names := newSelectors(before, a.opts.Now().UTC().Year(), len(st.Keys))
	made := map[string]config.SelectorFields{}
	defer func() {
		if rerr != nil {
			rerr = errors.Join(rerr, a.removeKeys(&config.DKIMFields{Selectors: made}))
		}
	}()
	r := &config.DKIMRotationFields{}
	for i, old := range st.Keys {
		fields, err := a.newSelector(d, names[i], old.Kind)
		if err != nil {
			return err
		}
		// All but the key stays as the operator has set it.
		keep := before.Selectors[old.Selector]
		keep.PrivateKeyFile = fields.PrivateKeyFile
		made[names[i]] = keep
		r.Old = append(r.Old, old.Selector)
		if old.Signs {
			r.Sign = append(r.Sign, names[i])
		}
	}
	return a.edit(ctx, "new dkim keys were made", func(doc *edit.Doc, s *config.Snapshot) error {
		f := s.Dynamic.Domains[st.Domain].DKIM
		if f == nil || f.Rotation != nil || !maps.EqualFunc(f.Selectors, before.Selectors, func(a, b config.SelectorFields) bool { return a.PrivateKeyFile == b.PrivateKeyFile }) {
			return errorf(ErrInUse, "keys of domain %s were changed at the same time", st.Domain)
		}
		path := edit.At("Domains", st.Domain, "DKIM")
		for _, name := range names {
			if err := doc.Set(path.Key("Selectors", name), made[name]); err != nil {
				return err
			}
		}
		return doc.Set(path.Key("Rotation"), r)
	}, "domain", st.Domain, "selectors", names)
}

func (a *Admin) newSelector(d dns.Domain, name, kind string) (config.SelectorFields, error) {
	key, err := newKey(kind)
	if err != nil {
		return config.SelectorFields{}, err
	}
	return config.NewSelector(a.dir(), name, d, key, a.opts.Now())
}

// newSelectors returns names for new keys, the year and letters that follow those that
// are there: a name that was in DNS with another key must not come back soon.
func newSelectors(f *config.DKIMFields, year, n int) []string {
	last := -1
	for i := range 26 + 26*26 {
		if _, ok := f.Selectors[selectorName(year, i)]; ok {
			last = i
		}
	}
	var l []string
	for i := range n {
		l = append(l, selectorName(year, last+1+i))
	}
	return l
}

// selectorName returns the i-th name of a year: 2026a to 2026z, then 2026aa and so on.
func selectorName(year, i int) string {
	letters := string(rune('a' + i%26))
	if i >= 26 {
		letters = string(rune('a'+(i/26-1)%26)) + letters
	}
	return strconv.Itoa(year) + letters
}

// stepRotation goes on as far as possible. The caller holds rotating.
func (a *Admin) stepRotation(ctx context.Context, domain string) (DKIMStatus, error) {
	st, err := a.DKIMStatus(ctx, domain)
	if err != nil {
		return st, err
	}
	switch {
	case st.State == DKIMWaiting && !slices.ContainsFunc(st.Keys, func(k DKIMKey) bool { return k.New && !k.InDNS }):
		err = a.signWithNew(ctx, st)
	case st.State == DKIMWaiting:
		return st, a.writeKeys(ctx, st)
	case st.State == DKIMSigning && !a.opts.Now().Before(st.RetireAt):
		err = a.endRotation(ctx, st)
	default:
		return st, nil
	}
	if err != nil {
		return st, err
	}
	return a.DKIMStatus(ctx, domain)
}

// rotation returns the section of a change, which must not have gone on meanwhile.
func rotation(s *config.Snapshot, st DKIMStatus) (*config.DKIMFields, error) {
	f := s.Dynamic.Domains[st.Domain].DKIM
	if f == nil || f.Rotation == nil || (f.Rotation.Since == "") != (st.State == DKIMWaiting) {
		return nil, errorf(ErrInUse, "keys of domain %s were changed at the same time", st.Domain)
	}
	return f, nil
}

func (a *Admin) signWithNew(ctx context.Context, st DKIMStatus) error {
	return a.edit(ctx, "new dkim keys sign", func(doc *edit.Doc, s *config.Snapshot) error {
		f, err := rotation(s, st)
		if err != nil {
			return err
		}
		path := edit.At("Domains", st.Domain, "DKIM")
		if err := doc.Set(path.Key("Sign"), f.Rotation.Sign); err != nil {
			return err
		}
		return doc.Set(path.Key("Rotation", "Since"), a.opts.Now().UTC().Format(time.RFC3339))
	}, "domain", st.Domain)
}

func (a *Admin) endRotation(ctx context.Context, st DKIMStatus) error {
	if err := a.unpublishKeys(ctx, st); err != nil {
		return err
	}
	var files []string
	err := a.edit(ctx, "old dkim keys were removed", func(doc *edit.Doc, s *config.Snapshot) error {
		f, err := rotation(s, st)
		if err != nil {
			return err
		}
		files = nil
		path := edit.At("Domains", st.Domain, "DKIM")
		for _, name := range f.Rotation.Old {
			files = append(files, f.Selectors[name].PrivateKeyFile)
			if err := doc.Remove(path.Key("Selectors", name)); err != nil {
				return err
			}
		}
		return doc.Remove(path.Key("Rotation"))
	}, "domain", st.Domain)
	if err != nil {
		return err
	}
	for _, k := range st.Keys {
		if k.Old {
			a.log.InfoContext(ctx, "record of an old dkim key is not needed in dns any more", "domain", st.Domain, "name", k.Record.Name)
		}
	}
	return a.retireKeys(files)
}
