package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mjl-/bstore"

	"mox/dns"
	"mox/message"
	"mox/publicsuffix"
	"mox/smtp"
)

// Whom the account knows: to whom it has sent, and what the user has said of senders.

const (
	// maxNoted is of how many addresses in To, Cc and Bcc of a sent message note is
	// taken: not of those of a message to a crowd.
	maxNoted = 200
	// MaxSenderRules is how many rules an account has at most.
	MaxSenderRules = 10000
	// subjectPassKeySize is the number of characters in a key.
	subjectPassKeySize = 16
)

// ContactKind says what of an address was sent to. The values are part of the storage
// format.
type ContactKind string

const (
	ContactAddress ContactKind = "a:"
	ContactDomain  ContactKind = "d:" // ASCII.
	ContactOrg     ContactKind = "o:" // Organizational domain, ASCII.
)

// OrgDomain returns the organizational domain of a domain by the public suffix list,
// both ASCII. The domain of its own is that of a public suffix.
func OrgDomain(ascii string) string {
	d, err := dns.ParseDomain(ascii)
	if err != nil {
		return ascii
	}
	if org, ok := publicsuffix.Organization(d, false); ok {
		return org.ASCII
	}
	return ascii
}

// AddContacts notes that the account has sent to addresses at a time. Submitted says that
// the messages were submitted here.
func (tx *Tx) AddContacts(addrs []smtp.Address, at time.Time, submitted bool) error {
	for key := range contactKeys(addrs) {
		c := contact{Key: key}
		err := tx.btx.Get(&c)
		if err != nil && !errors.Is(err, bstore.ErrAbsent) {
			return fmt.Errorf("read contact: %w", err)
		}
		if err == nil && !c.stale(at, submitted) {
			continue
		}
		c.Last, c.Month = at, month(at)
		c.Submitted = c.Submitted || submitted && c.isAddress()
		tx.written = true
		if err == nil {
			err = tx.btx.Update(&c)
		} else {
			err = tx.btx.Insert(&c)
		}
		if err != nil {
			return fmt.Errorf("write contact: %w", err)
		}
	}
	return nil
}

// contactKeys returns the keys of addresses, each with its address.
func contactKeys(addrs []smtp.Address) map[string]smtp.Address {
	keys := map[string]smtp.Address{}
	for _, a := range addrs {
		if a.Domain.IsZero() {
			continue
		}
		keys[contactKey(ContactAddress, a.XString(true))] = a
		keys[contactKey(ContactDomain, a.Domain.ASCII)] = a
		keys[contactKey(ContactOrg, OrgDomain(a.Domain.ASCII))] = a
	}
	return keys
}

func (c *contact) isAddress() bool { return strings.HasPrefix(c.Key, string(ContactAddress)) }

// stale reports whether the contact is to be written when it is sent to. Nobody asks for
// the hour.
func (c *contact) stale(at time.Time, submitted bool) bool {
	return at.Sub(c.Last) >= 24*time.Hour || submitted && c.isAddress() && !c.Submitted
}

// Submitted returns which addresses nothing was submitted for yet, and those that
// AddContacts is to be called for at a time.
func (a *Account) Submitted(ctx context.Context, addrs []smtp.Address, at time.Time) (first, stale []smtp.Address, err error) {
	err = a.read(ctx, func(tx *bstore.Tx) error {
		seen := map[smtp.Address]bool{}
		for key, addr := range contactKeys(addrs) {
			c := contact{Key: key}
			err := tx.Get(&c)
			if err != nil && !errors.Is(err, bstore.ErrAbsent) {
				return err
			}
			if c.isAddress() && !c.Submitted {
				first = append(first, addr)
			}
			if c.stale(at, true) && !seen[addr] {
				seen[addr] = true
				stale = append(stale, addr)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read contacts: %w", err)
	}
	return first, stale, nil
}

func contactKey(k ContactKind, value string) string { return string(k) + strings.ToLower(value) }

// noteSent takes note of the recipients of a message that comes into the mailbox for
// sent messages. The digest is read if it is nil.
func (tx *Tx) noteSent(b *box, m *Message, d message.Digest) error {
	if b.SpecialUse&UseSent == 0 {
		return nil
	}
	if d == nil {
		ct := content{ID: m.ContentID}
		if err := tx.btx.Get(&ct); err != nil {
			return fmt.Errorf("read content: %w", err)
		}
		d = ct.Digest
	}
	var addrs []smtp.Address
	for _, list := range [][]byte{d.SearchTo(), d.SearchCc(), d.SearchBcc()} {
		for line := range bytes.Lines(list) {
			_, text := message.SplitAddress(line)
			if len(text) == 0 || len(addrs) >= maxNoted {
				continue
			}
			if a, err := smtp.ParseAddress(string(text), smtp.Lenient); err == nil {
				addrs = append(addrs, a)
			}
		}
	}
	return tx.AddContacts(addrs, m.Received, false)
}

// SentTo returns when the account has last sent to an address or domain, zero if it
// never has. It is exact to a day.
func (r *Reputation) SentTo(k ContactKind, value string) (time.Time, error) {
	c := contact{Key: contactKey(k, value)}
	if err := r.tx.Get(&c); errors.Is(err, bstore.ErrAbsent) {
		return time.Time{}, nil
	} else if err != nil {
		return time.Time{}, fmt.Errorf("read contact: %w", err)
	}
	return c.Last, nil
}

// SenderRule is what the user has said of a sender.
type SenderRule struct {
	Sender string // Address, or @ and a domain in ASCII, for it and all below it. Lower-case.
	Allow  bool   // Else block.
	Since  time.Time
}

// ParseSender returns the sender of a rule in the form in which rules have it, of an
// address or an @ and a domain, in any case of letters and with domains also in Unicode.
func ParseSender(s string) (string, error) {
	if domain, ok := strings.CutPrefix(s, "@"); ok {
		d, err := dns.ParseDomain(domain)
		if err != nil {
			return "", fmt.Errorf("domain %q: %w", domain, err)
		}
		return "@" + d.ASCII, nil
	}
	if !strings.Contains(s, "@") {
		return "", fmt.Errorf("%q is not an address; for all addresses at a domain write @%s", s, s)
	}
	a, err := smtp.ParseAddress(s, smtp.Lenient)
	if err != nil {
		return "", fmt.Errorf("address %q: %w", s, err)
	}
	return SenderKeys(a)[0], nil
}

// SenderKeys returns the rules that an address can have, the most specific first.
func SenderKeys(a smtp.Address) []string {
	l := []string{strings.ToLower(a.XString(false))}
	for d := a.Domain.ASCII; d != ""; {
		l = append(l, "@"+d)
		_, d, _ = strings.Cut(d, ".")
	}
	return l
}

// SenderRule returns the most specific rule for an address.
func (r *Reputation) SenderRule(a smtp.Address) (SenderRule, bool, error) {
	for _, key := range SenderKeys(a) {
		rule := senderRule{Sender: key}
		err := r.tx.Get(&rule)
		if err == nil {
			return SenderRule(rule), true, nil
		} else if !errors.Is(err, bstore.ErrAbsent) {
			return SenderRule{}, false, fmt.Errorf("read sender rule: %w", err)
		}
	}
	return SenderRule{}, false, nil
}

// SenderRules returns all rules, by sender.
func (a *Account) SenderRules(ctx context.Context) (l []SenderRule, err error) {
	err = a.read(ctx, func(tx *bstore.Tx) error {
		return bstore.QueryTx[senderRule](tx).SortAsc("Sender").ForEach(func(r senderRule) error {
			l = append(l, SenderRule(r))
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read sender rules: %w", err)
	}
	return l, nil
}

// SetSenderRule adds a rule, or replaces that of the same sender. It returns ErrLimit
// if there are too many.
func (a *Account) SetSenderRule(ctx context.Context, sender string, allow bool) error {
	return a.Update(ctx, func(tx *Tx) error {
		tx.written = true
		r := senderRule{Sender: sender, Allow: allow, Since: tx.now}
		err := tx.btx.Update(&r)
		if !errors.Is(err, bstore.ErrAbsent) {
			return err
		}
		if n, err := bstore.QueryTx[senderRule](tx.btx).Count(); err != nil {
			return fmt.Errorf("count sender rules: %w", err)
		} else if n >= MaxSenderRules {
			return fmt.Errorf("%w: %d rules for senders", ErrLimit, MaxSenderRules)
		}
		return tx.btx.Insert(&r)
	})
}

// RemoveSenderRule removes a rule, and reports whether there was one.
func (a *Account) RemoveSenderRule(ctx context.Context, sender string) (removed bool, err error) {
	err = a.Update(ctx, func(tx *Tx) error {
		err := tx.btx.Delete(&senderRule{Sender: sender})
		if errors.Is(err, bstore.ErrAbsent) {
			return nil
		}
		removed, tx.written = err == nil, true
		return err
	})
	return removed, err
}

// SubjectPassKey returns the key for tokens in subjects of messages to an address of
// the account, in canonical form. The first time, it is made.
func (a *Account) SubjectPassKey(ctx context.Context, address string) (key string, err error) {
	err = a.read(ctx, func(tx *bstore.Tx) error {
		r := subjectPass{Address: address}
		if err := tx.Get(&r); err != nil && !errors.Is(err, bstore.ErrAbsent) {
			return fmt.Errorf("read key for subjects: %w", err)
		}
		key = r.Key
		return nil
	})
	if err != nil || key != "" {
		return key, err
	}
	err = a.Update(ctx, func(tx *Tx) error {
		r := subjectPass{Address: address}
		if err := tx.btx.Get(&r); err == nil {
			key = r.Key
			return nil
		}
		r.Key, tx.written = rand.Text()[:subjectPassKeySize], true
		key = r.Key
		return tx.btx.Insert(&r)
	})
	return key, err
}
