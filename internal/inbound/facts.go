package inbound

import (
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"sync"

	"mox/config"
	"mox/dmarc"
	"mox/dns"
	"mox/dnsbl"
	"mox/junk"
	"mox/message"
	"mox/smtp"
	"mox/store"
)

// Facts is what is known of a message for one recipient.
type Facts struct {
	// Of the connection. Zero for a message that did not come over one.
	RemoteIP netip.Addr
	EHLO     dns.IPDomain
	TLS      *tls.ConnectionState // Nil without TLS.
	Exempt   bool                 // The network has no limits and no delays.
	DNSBLs   []dns.Domain         // Blocklists that the listener is configured with.

	// Of the transaction.
	MailFrom  smtp.Path        // Zero for the null reverse-path.
	Rcpt      smtp.Path        // As the client gave it.
	Recipient config.Recipient // What it leads to.
	SMTPUTF8  bool             // The message needs SMTPUTF8.

	// What the client has asked for.
	RequireTLS bool // The message must not go on without TLS, RFC 8689.
	Ret        smtp.Ret
	EnvID      string                 // RFC 3461 §4.4
	Notify     smtp.Notify            // What the sender wants to be told, RFC 3461 §4.1.
	Original   smtp.OriginalRecipient // RFC 3461 §4.2

	// Of the message.
	Digest  message.Digest
	Size    int64       // In octets.
	Message io.ReaderAt // All of it. Nil if only the digest is known.

	// Tokens returns those of the message for the junk filter. Nil is what Share makes.
	Tokens func() (*junk.Tokens, error)

	// Auth says who the message is from. Nil if that was not looked at, as for mail from
	// users of this server.
	Auth *Auth

	shared *shared
}

// shared is what is read of a message at most once, when it is needed.
type shared struct {
	usual  func() *message.Header          // The usual header fields.
	header func() (*message.Header, error) // All of them.
	author func() (smtp.Address, error)    // The one address in From.
	listed func(func() []dnsbl.Result) []dnsbl.Result
}

// Share makes what is read of the message be read once for all copies of the facts,
// which are those for its recipients. They can be used at the same time.
func (f *Facts) Share() {
	r, size, digest := f.Message, f.Size, f.Digest
	s := &shared{}
	s.usual = sync.OnceValue(func() *message.Header {
		h := message.ParseHeader(digest.Fields(), message.Limits{})
		return &h
	})
	s.header = sync.OnceValues(func() (*message.Header, error) {
		if r == nil {
			return s.usual(), nil
		}
		h, err := message.ReadHeader(r, size, message.Limits{})
		return &h, err
	})
	s.author = sync.OnceValues(func() (smtp.Address, error) { return authorOf(s.usual()) })
	var once sync.Once
	var results []dnsbl.Result
	s.listed = func(ask func() []dnsbl.Result) []dnsbl.Result {
		once.Do(func() { results = ask() })
		return results
	}
	f.shared = s
	if f.Tokens == nil && r != nil {
		f.Tokens = sync.OnceValues(func() (*junk.Tokens, error) {
			root, err := digest.Tree()
			if err != nil {
				return nil, err
			}
			return junk.Read(r, size, root)
		})
	}
}

var errAuthor = errors.New("from is not one address")

// authorOf returns the address of the author, if there is one From field with one
// address in it.
func authorOf(h *message.Header) (smtp.Address, error) {
	n := 0
	for range h.All("From") {
		n++
	}
	var addrs []message.Address
	for _, a := range h.Addresses("From") {
		if a.Kind == message.KindMailbox {
			addrs = append(addrs, a)
		}
	}
	if n != 1 || len(addrs) != 1 {
		return smtp.Address{}, errAuthor
	}
	localpart, err := smtp.NewLocalpart(addrs[0].Mailbox, smtp.Lenient)
	if err != nil {
		return smtp.Address{}, errors.Join(errAuthor, err)
	}
	domain, err := dns.ParseDomainLax(addrs[0].Host)
	if err != nil {
		return smtp.Address{}, errors.Join(errAuthor, err)
	}
	return smtp.NewAddress(localpart, domain), nil
}

// Verdict is what to do with a message. Exactly one of Accept and Err is set.
type Verdict struct {
	Accept bool
	Err    *smtp.Error // What the client is told.

	// KeepCopy says that the user can have a copy of a message that is refused.
	KeepCopy bool
	// Slow says that the client is one to be slow with from now on.
	Slow bool
	// FirstTime says that nothing at all is known of the sender, who can wait for the
	// reply to a message that is accepted.
	FirstTime bool

	// Reason names the check that decided, as in metrics and X-Mox-Reason, and Reasons
	// says why, for the user and the operator.
	Reason  string
	Reasons []string

	// Where an accepted message goes.
	Mailbox string // Created when it does not exist.
	Junk    bool   // It goes to the account's mailbox for junk instead.
	Flags   store.Flags

	// Destined is the mailbox that the message was meant for, and that reputation counts
	// for, whether the message gets there or not. Empty if that is not known.
	Destined string

	IsForward     bool // A ruleset says that it was forwarded.
	IsMailingList bool // A ruleset says that it is from a mailing list.
	IsReject      bool // It is accepted only because a ruleset wants what is refused.

	// Report is what the message reports, to an address that is for it. Fields are ours to
	// put in front of the message, if it should have been a report and is not.
	Report *Report
	Fields []HeaderField

	// For reports to the domain in From: what was done because the message fails DMARC,
	// why that is not what the domain asks for, and, if it was refused, whether anything
	// good is known of its organization.
	Applied   dmarc.Policy
	Overrides []dmarc.Override
	Known     bool

	// Origin is what is remembered of the message. It is not shared.
	Origin *store.Origin
}

// HeaderField is a header field with a value of printable ASCII.
type HeaderField struct {
	Name, Value string
}
