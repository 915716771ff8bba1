package smtpserver

import (
	"context"
	"log/slog"

	"mox/internal/deliver"
	"mox/mlog"
	"mox/smtp"
)

// Aliases: addresses with several members. To the client an alias is one recipient,
// with one outcome. What becomes of the message for the members is decided by
// deliver.Members; here is who is not to get another copy. A member who is a
// recipient too gets the message as that, and one of several aliases gets it once.
// When only some members got it, who has it is remembered as for recipients
// (receive.go), so that the message can come again.

// deliverAliases fills in the outcomes of recipients that are aliases.
func (s *session) deliverAliases(ctx context.Context, t *transaction, m *incoming, outcomes []outcome) {
	others := map[smtp.Address]bool{} // Who get the message otherwise.
	for _, r := range t.recipients {
		if r.to.Alias == nil {
			others[r.to.Canonical] = true
		}
	}
	for i := range outcomes {
		if o := &outcomes[i]; o.rcpt.to.Alias != nil && !o.had {
			s.deliverAlias(ctx, t, m, o, others)
		}
	}
}

// deliverAlias decides about and delivers a message to the members of an alias. Those
// who have got it are added to others.
func (s *session) deliverAlias(ctx context.Context, t *transaction, m *incoming, o *outcome, others map[smtp.Address]bool) {
	got, err := s.srv.gotMembers(t, m, o.rcpt)
	if err != nil {
		o.err = err
		return
	}
	x := s.srv.members.Expand(ctx, deliver.Expansion{
		Delivery:      deliver.Delivery{Facts: s.facts(t, m, o.rcpt), Spool: m.spool, Trace: m.trace, Received: m.time},
		Config:        s.srv.opts.Config.Snapshot(),
		FromAuthentic: m.auth.Authentic(),
		Skip:          func(member smtp.Address) bool { return others[member] || got.has(member) },
	})
	o.err, o.slow, o.evaluated, o.again = x.Err, x.Slow, x.Evaluated, len(got.had) > 0
	for _, g := range x.Got {
		o.stranger = o.stranger || g.FirstTime
		others[g.Address] = true
	}
	if err := got.settle(x); err != nil {
		// It is delivered again to those who have it, which is better than not at all.
		s.log.Error("remembering which members have a message", mlog.Err(err))
	}
	if x.Refused {
		s.traceRejected(ctx, t, o.rcpt, x.Reason, nil, x.Err)
	}
	s.logAlias(t, m, o, x)
}

// logAlias logs and counts what became of a message to an alias.
func (s *session) logAlias(t *transaction, m *incoming, o *outcome, x deliver.Expanded) {
	log := s.log.With(slog.Any("mailfrom", t.mail.ReversePath), slog.Any("rcptto", o.rcpt.path))
	if x.Refused {
		metricDelivery.WithLabelValues("reject", x.Reason).Inc()
		log.Info("message to alias refused", slog.String("reason", x.Reason), slog.Int("copieskept", x.Kept), mlog.Err(x.Err))
		return
	}
	for _, g := range x.Got {
		metricDelivery.WithLabelValues("delivered", g.Reason).Inc()
	}
	for _, member := range x.Full {
		metricDelivery.WithLabelValues("delivererror", "quota").Inc()
		log.Info("message not delivered to member of alias: mailbox full", slog.Any("member", member))
	}
	if o.err != nil {
		metricDelivery.WithLabelValues("delivererror", "alias").Inc()
		log.Info("message not delivered to all members of alias", slog.Int("delivered", len(x.Got)), mlog.Err(o.err))
		return
	}
	log.Info("message delivered to members of alias", slog.Int("delivered", len(x.Got)), slog.Int("full", len(x.Full)), slog.Int64("size", m.size))
}

// memberships knows which members of an alias have got a message in an earlier
// attempt.
type memberships struct {
	d     *delivered
	id    *messageID
	alias smtp.Address
	had   map[smtp.Address]deliveryKey
}

func (srv *Server) gotMembers(t *transaction, m *incoming, r recipient) (*memberships, error) {
	g := &memberships{d: srv.got, id: &messageID{sender: t.mail.ReversePath, m: m}, alias: r.to.Alias.Address}
	if srv.got.empty() {
		return g, nil
	}
	g.had = map[smtp.Address]deliveryKey{}
	for _, member := range r.to.Alias.Members {
		k, err := g.id.memberKey(g.alias, member.Address)
		if err != nil {
			return nil, err
		}
		if srv.got.has(k, m.time) {
			g.had[member.Address] = k
		}
	}
	return g, nil
}

func (g *memberships) has(member smtp.Address) bool {
	_, ok := g.had[member]
	return ok
}

// settle remembers who has got the message, if it must come again, and else forgets
// who has.
func (g *memberships) settle(x deliver.Expanded) error {
	if x.Err == nil {
		g.d.mu.Lock()
		defer g.d.mu.Unlock()
		for _, k := range g.had {
			delete(g.d.until, k)
		}
		return nil
	}
	for _, member := range x.Got {
		k, err := g.id.memberKey(g.alias, member.Address)
		if err != nil {
			return err
		}
		g.d.add(k, g.id.m.time.Add(deliveredFor))
	}
	return nil
}

// newMembers returns what delivers to members of aliases, with the engines of the server.
func newMembers(o Options) *deliver.Members {
	mo := deliver.MembersOptions{Decide: o.Decide.Decide, Deliver: o.Deliver.Deliver, Log: o.Log}
	if o.Rejects != nil {
		mo.Keep = o.Rejects.KeepRejected
	}
	return deliver.NewMembers(mo)
}
