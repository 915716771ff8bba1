package submit

import (
	"errors"
	"slices"
	"strings"

	"mox/config"
	"mox/message"
	"mox/queue/queuedb"
	"mox/smtp"
)

// ErrFromID is a kind of errors of Submit: the id in MAIL FROM cannot be used.
var ErrFromID = errors.New("bad id in MAIL FROM")

// addFromIDs gives each recipient a reverse-path with an id of its own, if the user has
// logged in with an address that is configured for that. What comes back to such an
// address is about that message. A client can bring an id itself, for one recipient.
func addFromIDs(account config.Account, conf *config.Snapshot, sub Submission, rcpts []queuedb.Recipient) error {
	base, sep, id, ok := fromIDBase(account, conf, sub)
	if !ok {
		return nil
	}
	if id != "" && len(rcpts) > 1 {
		return smtp.Errorf(smtp.C554TransactionFailed, smtp.Se53TooManyRecipients, "an address with an id in MAIL FROM is for one recipient only").WithCause(ErrFromID)
	}
	for i := range rcpts {
		r := &rcpts[i]
		if r.FromID = id; id == "" {
			r.FromID = randomID()
			r.Sender.Localpart = smtp.Localpart(base + sep + r.FromID)
		}
	}
	return nil
}

// maxLocalpart is the length of a local-part, RFC 5321 §4.5.3.1.1.
const maxLocalpart = 64

// fromIDBase takes the local-part of MAIL FROM apart. Ok is false if there are to be no
// ids: the user has not logged in for that, the address cannot have one, or there is
// none.
func fromIDBase(account config.Account, conf *config.Snapshot, sub Submission) (base, sep, id string, ok bool) {
	login, err := smtp.ParseAddress(sub.Login, smtp.Lenient)
	if err != nil {
		return "", "", "", false
	}
	if d, ok := conf.Domain(login.Domain); ok {
		login.Localpart = d.Canonical(login.Localpart)
	}
	from := sub.Mail.ReversePath
	d, ok := conf.Domain(from.IPDomain.Domain)
	if !ok || len(d.Separators) == 0 || from.IsZero() || !slices.Contains(account.FromIDLogins, login) {
		return "", "", "", false
	}
	sep = d.Separators[0]
	base, id, _ = strings.Cut(string(from.Localpart), sep)
	return base, sep, id, id != "" || len(base)+len(sep)+len(randomID()) <= maxLocalpart
}

// FromID returns the id in an address that a message has come to, or an empty string.
func FromID(conf *config.Snapshot, p smtp.Path) string {
	d, ok := conf.Domain(p.IPDomain.Domain)
	if !ok || len(d.Separators) == 0 {
		return ""
	}
	_, id, _ := strings.Cut(string(p.Localpart), d.Separators[0])
	return id
}

// jumpFloorPercent is which part of what an account may send in a day is never taken
// for a jump of its sending.
const jumpFloorPercent = 30

// isBulk reports whether a message says that it is one of many: such mail goes behind
// that of persons.
func isBulk(h *message.Header) bool {
	for _, name := range []string{"List-Id", "List-Unsubscribe"} {
		if _, ok := h.Get(name); ok {
			return true
		}
	}
	switch strings.ToLower(strings.TrimSpace(h.Value("Precedence"))) {
	case "bulk", "list", "junk":
		return true
	}
	return false
}
