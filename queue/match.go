package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mox/config"
	"mox/dsn"
	"mox/internal/submit"
	"mox/message"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/smtp"
)

// A MatchKind says how it was found which message something is about.
type MatchKind string

// Kinds of matches, the most certain first.
const (
	MatchFromID    MatchKind = "fromid"    // The id in the address, which nobody can guess.
	MatchEnvID     MatchKind = "envid"     // The ENVID that is returned, RFC 3461 §4.4.
	MatchMessageID MatchKind = "messageid" // The Message-ID of the message that is returned.
)

// Match is a message of ours that a message which has come in is about.
type Match struct {
	Sent queuedb.Sent
	Kind MatchKind

	// Action is what has become of it. Empty for a message that is not a notification,
	// or one that does not say: then nothing was recorded.
	Action dsn.Action
	Result queuedb.Result // As recorded in the history of the message.

	// Suppressed: the recipient was put on the suppression list.
	Suppressed bool
}

// MatchDSN finds the messages that one which has come in for a recipient of an account
// is about, in the queue and in the history: by the id in the address; or else, for a
// notification, by its Original-Envelope-Id, and else by the Message-ID of the message
// that it returns, each together with the recipient it is about. It records what a
// notification says. Only one with an id in its address can put the recipient on the
// suppression list: the others can be forged by anyone who has seen the message. For a
// message that is about none of ours it returns nothing.
func (q *Queue) MatchDSN(ctx context.Context, account string, rcpt smtp.Path, r io.ReaderAt, size int64) ([]Match, error) {
	conf := q.opts.Config.Snapshot()
	root, err := message.Parse(r, size, message.Limits{})
	if err != nil {
		return nil, fmt.Errorf("match notification: %w", err)
	}
	rep, err := dsn.Parse(r, root)
	isDSN := err == nil
	if err != nil && !errors.Is(err, dsn.ErrNotDSN) && !errors.Is(err, dsn.ErrMalformed) {
		return nil, fmt.Errorf("match notification: %w", err)
	}
	matches, err := q.matchFromID(ctx, conf, account, rcpt, rep)
	if err == nil && len(matches) == 0 && isDSN {
		matches, err = q.matchReport(ctx, account, rep, returnedID(r, root))
	}
	if err != nil {
		return nil, err
	}
	return matches, q.record(ctx, rep, matches)
}

// matchFromID finds the message of the id in an address.
func (q *Queue) matchFromID(ctx context.Context, conf *config.Snapshot, account string, rcpt smtp.Path, rep dsn.Report) ([]Match, error) {
	id := submit.FromID(conf, rcpt)
	if id == "" {
		return nil, nil
	}
	l, err := q.db.FindSent(ctx, account, queuedb.SentKey{FromID: id})
	if err != nil || len(l) == 0 {
		return nil, err
	}
	m := Match{Sent: l[0], Kind: MatchFromID}
	// With several recipients, that of the message; a single one may be what an alias
	// elsewhere has made of it.
	i := slices.IndexFunc(rep.Recipients, func(r dsn.Recipient) bool { return isAbout(r, l[0].Message) })
	if i < 0 && len(rep.Recipients) == 1 {
		i = 0
	}
	if i >= 0 {
		m.say(rep, rep.Recipients[i])
	}
	return []Match{m}, nil
}

// matchReport finds the messages of a notification by what it returns.
func (q *Queue) matchReport(ctx context.Context, account string, rep dsn.Report, id string) ([]Match, error) {
	type try struct {
		kind MatchKind
		key  queuedb.SentKey
	}
	tries := []try{{MatchEnvID, queuedb.SentKey{EnvID: rep.OriginalEnvelopeID}}, {MatchMessageID, queuedb.SentKey{MessageID: id}}}
	for _, t := range tries {
		if t.key == (queuedb.SentKey{}) {
			continue
		}
		sent, err := q.db.FindSent(ctx, account, t.key)
		if err != nil {
			return nil, err
		}
		var matches []Match
		for _, r := range rep.Recipients {
			if i := slices.IndexFunc(sent, func(s queuedb.Sent) bool { return isAbout(r, s.Message) }); i >= 0 {
				m := Match{Sent: sent[i], Kind: t.kind}
				m.say(rep, r)
				matches = append(matches, m)
			}
		}
		if len(matches) > 0 {
			return matches, nil
		}
	}
	return nil, nil
}

// isAbout reports whether a recipient of a report is that of a message.
func isAbout(r dsn.Recipient, m queuedb.Message) bool {
	for _, a := range []smtp.OriginalRecipient{r.Original, r.Final} {
		if p, ok := dsn.Path(a); ok && strings.EqualFold(string(p.Localpart), m.RecipientLocalpart) && smtp.FormatDomain(p.IPDomain, false) == m.RecipientDomain {
			return true
		}
	}
	return false
}

// say fills in what a report says about a recipient.
func (m *Match) say(rep dsn.Report, r dsn.Recipient) {
	code, enhanced := r.SMTPCode()
	m.Action = r.Action
	text := oneLine(r.Diagnostic)
	if text == "" {
		text = r.StatusComment
	}
	m.Result = queuedb.Result{
		Start:    r.LastAttempt,
		Success:  r.Action == dsn.Delivered || r.Action == dsn.Relayed || r.Action == dsn.Expanded,
		Code:     int32(code),
		Enhanced: enhanced,
		Error:    strings.TrimSuffix(fmt.Sprintf("notification from %s: %s: %s", rep.ReportingMTA.Name, r.Action, text), ": "),
		Remote:   r.RemoteMTA.Name,
	}
	if m.Result.Start.IsZero() {
		m.Result.Start = time.Now().UTC().Round(0)
	}
}

// record adds what a notification says to the history of messages.
func (q *Queue) record(ctx context.Context, rep dsn.Report, matches []Match) error {
	var l []queuedb.Added
	var of []int
	for i, m := range matches {
		if m.Action == "" {
			continue
		}
		a := queuedb.Added{ID: m.Sent.Message.ID, Result: m.Result}
		if m.Action == dsn.Failed && m.Kind == MatchFromID {
			judged := m.Result
			judged.Remote = rep.ReportingMTA.Name
			if judged.Code == 0 { // Only the status is known, RFC 3463 §2.
				judged.Code = smtp.C451LocalError
				if strings.HasPrefix(judged.Enhanced, "5.") {
					judged.Code = smtp.C554TransactionFailed
				}
			}
			a.Undeliverable = undeliverable(judged)
		}
		l, of = append(l, a), append(of, i)
	}
	if len(l) == 0 {
		return nil
	}
	suppressed, err := q.db.AddResults(ctx, l)
	if err != nil {
		return fmt.Errorf("record notification: %w", err)
	}
	for k, i := range of {
		m := &matches[i]
		m.Suppressed = suppressed[k]
		q.traceMatch(ctx, *m)
		q.log.InfoContext(ctx, "notification about message", slog.Int64("msgid", m.Sent.Message.ID), slog.String("account", m.Sent.Message.Account),
			slog.String("by", string(m.Kind)), slog.String("action", string(m.Action)), slog.Bool("suppressed", m.Suppressed), mlog.Err(errors.New(m.Result.Error)))
	}
	return nil
}

// returnedID returns the Message-ID in the message, or the header of one, that a
// notification returns, with brackets, or an empty string.
func returnedID(r io.ReaderAt, root *message.Part) string {
	if len(root.Parts) < 3 {
		return ""
	}
	dec, err := root.Parts[2].Decoder(r)
	if err != nil {
		return ""
	}
	data, err := io.ReadAll(io.LimitReader(dec, maxOriginalHeader))
	if err != nil {
		return ""
	}
	h := message.ParseHeader(data, message.Limits{})
	return strings.TrimSpace(h.Value("Message-Id"))
}
