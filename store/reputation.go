package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/mjl-/bstore"
)

// Evidence is a way in which two messages can be from the same sender.
type Evidence string

// The values are part of the storage format.
const (
	EvidenceFrom           Evidence = "from"     // Address in From.
	EvidenceFromDomain     Evidence = "fromdom"  // Domain in From, ASCII.
	EvidenceFromOrg        Evidence = "fromorg"  // Organizational domain of it.
	EvidenceDKIM           Evidence = "dkim"     // Domain of a valid DKIM signature.
	EvidenceMailFrom       Evidence = "mailfrom" // Reverse-path that SPF passed.
	EvidenceMailFromDomain Evidence = "mailfdom" // Its domain.
	EvidenceEHLO           Evidence = "ehlo"     // Domain in EHLO that SPF passed.
	EvidenceIP1            Evidence = "ip1"      // Address: IPv4 /32, IPv6 /64.
	EvidenceIP2            Evidence = "ip2"      // Network: IPv4 /26, IPv6 /48.
	EvidenceIP3            Evidence = "ip3"      // Network: IPv4 /21, IPv6 /32.
)

const (
	// ReputationWindow is how long an outcome counts at most.
	ReputationWindow = 3 * 365 * 24 * time.Hour
	// maxOutcomes is how many of the newest messages from one sender are remembered. The
	// most that are asked for is 50: what is left is for when some are expunged.
	maxOutcomes = 64
	// maxEvidence is how many DKIM domains of a message count.
	maxEvidence = 10
)

// Outcome is a message from a sender that was junk to the user, or not.
type Outcome struct {
	Received time.Time
	Junk     bool
	Author   uint32 // Hash of the address in From.
}

// NetworksOf returns the networks of an address, as evidence EvidenceIP1 to
// EvidenceIP3. They are empty for an invalid address.
func NetworksOf(ip netip.Addr) (l [3]string) {
	if !ip.IsValid() {
		return l
	}
	bits := [3]int{32, 26, 21}
	if ip = ip.Unmap(); ip.Is6() {
		bits = [3]int{64, 48, 32}
	}
	for i, n := range bits {
		if p, err := ip.WithZone("").Prefix(n); err == nil {
			l[i] = p.String()
		}
	}
	return l
}

// reputationKey returns the key of a sender. Evidence that others could have made up
// is apart from what was validated.
func reputationKey(mailboxID int64, e Evidence, validated bool, value string) string {
	v := "-"
	if validated {
		v = "+"
	}
	return fmt.Sprintf("%d/%s%s%s", mailboxID, e, v, value)
}

// month returns a month as it is indexed.
func month(t time.Time) int32 {
	return int32(t.UTC().Year()*12 + int(t.UTC().Month()) - 1)
}

// evidence returns the keys of the senders that a message is from.
func (o *Origin) evidence() []string {
	var l []string
	add := func(e Evidence, validated bool, value string) {
		if value != "" {
			l = append(l, reputationKey(o.Destined, e, validated, value))
		}
	}
	add(EvidenceFrom, o.MsgFromValidated, strings.ToLower(o.MsgFrom))
	add(EvidenceFromDomain, o.MsgFromValidated, o.MsgFromDomain)
	add(EvidenceFromOrg, o.MsgFromValidated, o.MsgFromOrgDomain)
	for i, d := range o.DKIMDomains {
		if i < maxEvidence {
			add(EvidenceDKIM, true, d)
		}
	}
	if o.MailFromValidated {
		add(EvidenceMailFrom, true, strings.ToLower(o.MailFrom))
		add(EvidenceMailFromDomain, true, o.MailFromDomain)
	}
	if o.EHLOValidated {
		add(EvidenceEHLO, true, o.EHLODomain)
	}
	if ip, err := netip.ParseAddr(o.RemoteIP); err == nil && !o.IsForward {
		nets := NetworksOf(ip)
		for i, e := range []Evidence{EvidenceIP1, EvidenceIP2, EvidenceIP3} {
			add(e, true, nets[i])
		}
	}
	return l
}

// AuthorHash returns the hash of an address in From, as in [Outcome].
func AuthorHash(msgFrom string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(strings.ToLower(msgFrom)))
	return h.Sum32()
}

// setOutcome notes that a message was judged, or with nil that it is not any more.
func (tx *Tx) setOutcome(o *Origin, contentID int64, out *outcome) error {
	if o == nil {
		return nil
	}
	if _, err := tx.box(o.Destined); errors.Is(err, ErrNoMailbox) {
		return nil
	} else if err != nil {
		return err
	}
	for _, key := range o.evidence() {
		r, err := tx.reputation(key)
		if err != nil {
			return err
		}
		r.Outcomes = slices.DeleteFunc(r.Outcomes, func(h outcome) bool { return h.ContentID == contentID })
		if out == nil {
			continue
		}
		at, _ := slices.BinarySearchFunc(r.Outcomes, *out, func(a, b outcome) int {
			return cmp.Or(cmp.Compare(b.Received, a.Received), cmp.Compare(b.ContentID, a.ContentID)) // Newest first.
		})
		if at < maxOutcomes {
			r.Outcomes = slices.Insert(r.Outcomes, at, *out)
			r.Outcomes = r.Outcomes[:min(len(r.Outcomes), maxOutcomes)]
		}
	}
	return nil
}

// reputation returns a record for changing; it is written at commit.
func (tx *Tx) reputation(key string) (*reputation, error) {
	if r, ok := tx.reputations[key]; ok {
		return r, nil
	}
	r := &reputation{Key: key}
	if err := tx.btx.Get(r); err != nil && !errors.Is(err, bstore.ErrAbsent) {
		return nil, fmt.Errorf("read reputation: %w", err)
	}
	if tx.reputations == nil {
		tx.reputations = map[string]*reputation{}
	}
	tx.reputations[key] = r
	tx.written = true
	return r, nil
}

// flushReputations writes the changed records, without outcomes that are too old.
func (tx *Tx) flushReputations() error {
	oldest := tx.now.Add(-ReputationWindow).Unix()
	for _, r := range tx.reputations {
		r.Outcomes = slices.DeleteFunc(r.Outcomes, func(o outcome) bool { return o.Received < oldest })
		had := r.Month != 0
		var err error
		if len(r.Outcomes) > 0 {
			r.Month = month(time.Unix(r.Outcomes[0].Received, 0))
		}
		switch {
		case len(r.Outcomes) == 0 && had:
			err = tx.btx.Delete(r)
		case len(r.Outcomes) == 0:
		case had:
			err = tx.btx.Update(r)
		default:
			err = tx.btx.Insert(r)
		}
		if err != nil {
			return fmt.Errorf("write reputation: %w", err)
		}
	}
	return nil
}

// forgetReputation removes what is known of senders to a mailbox that is deleted.
func (tx *Tx) forgetReputation(mailboxID int64) error {
	prefix := fmt.Sprintf("%d/", mailboxID)
	for key := range tx.reputations {
		if strings.HasPrefix(key, prefix) {
			delete(tx.reputations, key)
		}
	}
	q := bstore.QueryTx[reputation](tx.btx).FilterGreaterEqual("Key", prefix).FilterLess("Key", prefix[:len(prefix)-1]+"0") // "0" follows "/".
	if _, err := q.Delete(); err != nil {
		return fmt.Errorf("delete reputation: %w", err)
	}
	return nil
}

// pruneReputations removes some of what is too old to be asked for.
func (tx *Tx) pruneReputations() error {
	old := month(tx.now.Add(-ReputationWindow)) - 1
	n, err := bstore.QueryTx[reputation](tx.btx).FilterLess("Month", old).Limit(pruneBatch).Delete()
	if err != nil {
		return fmt.Errorf("delete old reputation: %w", err)
	}
	m, err := bstore.QueryTx[contact](tx.btx).FilterLess("Month", old).Limit(pruneBatch).Delete()
	if err != nil {
		return fmt.Errorf("delete old contacts: %w", err)
	}
	tx.written = tx.written || n+m > 0
	return nil
}

// Reputation is what an account knows of senders, at one moment. It is only valid
// during the call it is passed to.
type Reputation struct {
	tx   *bstore.Tx
	tree *Tree
}

// Reputation calls fn with what is known of senders. Fn must be short, and not wait
// for the network: a read transaction is open meanwhile.
func (a *Account) Reputation(ctx context.Context, fn func(r *Reputation) error) error {
	t := a.Tree()
	return a.read(ctx, func(tx *bstore.Tx) error { return fn(&Reputation{tx, t}) })
}

// Outcomes returns the newest messages, at most n and none from before since, that
// were meant for a mailbox and from a sender, and that the user has judged, newest
// first. Evidence other than From is always validated, or an address. There are none if
// the mailbox does not exist.
func (r *Reputation) Outcomes(mailbox string, e Evidence, validated bool, value string, since time.Time, n int) ([]Outcome, error) {
	mb, ok := r.tree.ByName(mailbox)
	if !ok || value == "" {
		return nil, nil
	}
	rec := reputation{Key: reputationKey(mb.ID, e, validated, value)}
	if err := r.tx.Get(&rec); errors.Is(err, bstore.ErrAbsent) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read reputation: %w", err)
	}
	var l []Outcome
	for _, o := range rec.Outcomes {
		if len(l) == n || o.Received < since.Unix() {
			break
		}
		l = append(l, Outcome{time.Unix(o.Received, 0), o.Junk, o.Author})
	}
	return l, nil
}
