package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"

	"mox/config"
	"mox/internal/inbound"
	"mox/internal/metrics"
	"mox/internal/parallel"
	"mox/internal/submit"
	"mox/message"
	"mox/mlog"
	"mox/smtp"
)

// pkg is the name of this package in the panic counter.
const pkg = "deliver"

// maxParallelMembers is how many members of an alias a message is judged for, or
// delivered to, at the same time.
const maxParallelMembers = 8

// Reasons about aliases, as those of inbound.
const (
	// ReasonAliasPosting: who the message is from may not write to the alias.
	ReasonAliasPosting = "alias-posting"
	// ReasonAliasMember: the message was taken because another member takes it.
	ReasonAliasMember = "alias-member"
	// ReasonAliasEmpty: no member takes any mail.
	ReasonAliasEmpty = "alias-empty"
)

// MembersOptions are for [NewMembers]. Decide and Deliver are needed.
type MembersOptions struct {
	Decide  func(context.Context, inbound.Facts) inbound.Verdict
	Deliver func(context.Context, Delivery) (Result, error)
	Keep    func(context.Context, Delivery) bool // KeepRejected. Nil keeps no copies.
	Log     *slog.Logger                         // Nil logs nothing.
}

// Members delivers messages to the members of aliases. It is safe for concurrent
// use.
type Members struct{ MembersOptions }

// NewMembers returns a Members.
func NewMembers(o MembersOptions) *Members {
	metrics.PanicPackages(pkg)
	if o.Log == nil {
		o.Log = mlog.Discard()
	}
	return &Members{o}
}

// Expansion is a message to an alias.
type Expansion struct {
	Delivery // For the alias, without verdict.
	Config   *config.Snapshot

	// FromAuthentic says that the message is from the address in its From field. If it
	// is not known, the address may be forged.
	FromAuthentic bool

	// Skip reports whether a member gets no copy, because it has the message already or
	// gets it otherwise. Nil is false for all.
	Skip func(member smtp.Address) bool
}

// Expanded is what has become of a message to an alias.
type Expanded struct {
	// Refused: the message is not wanted, and nobody has got it. Err and Reason say why.
	Refused bool
	Reason  string
	Kept    int  // Copies of a refused message.
	Slow    bool // The client is one to be slow with.

	// Err is nil if all members have the message that can have it. With an error and
	// members who have it, the message must come again, with a Skip that knows them.
	Err error

	// Evaluated is about the message, and nil if it was not decided about or must come
	// again and nobody has it.
	Evaluated *Evaluated

	Got  []GotMember
	Full []smtp.Address // Who did not get the message because their mailbox is full.
}

// GotMember is a member that got a message.
type GotMember struct {
	Address smtp.Address
	// Of the verdict.
	Reason    string
	FirstTime bool
}

// author returns the address in the From field in canonical form, zero if there is not
// exactly one.
func (e Expansion) author() smtp.Address {
	if e.Digest == nil {
		return smtp.Address{}
	}
	h := message.ParseHeader(e.Digest.Fields(), message.Limits{})
	from, err := submit.From(&h)
	if err != nil {
		return smtp.Address{}
	}
	if d, ok := e.Config.Domain(from.Domain); ok {
		from.Localpart = d.Canonical(from.Localpart)
	}
	return from
}

// mayPost reports whether someone may write to an alias.
func mayPost(a *config.Alias, from smtp.Address) bool {
	if a.PostPublic {
		return true
	}
	member := func(m config.AliasMember) bool { return m.Address == from }
	return !from.IsZero() && (slices.ContainsFunc(a.Members, member) || slices.ContainsFunc(a.ForwardTo, addressIs(from)) || a.AllowMsgFrom && a.Address == from)
}

// Expand decides about a message to an alias, and delivers it to the members. It is
// judged for each of them. If any takes it, all get it: those who write to an alias
// write to all of it, and members would else miss what others answer.
func (m *Members) Expand(ctx context.Context, e Expansion) Expanded {
	a, from := e.Recipient.Alias, e.author()
	if !mayPost(a, from) {
		return Expanded{Refused: true, Reason: ReasonAliasPosting, Err: smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se72ListExpansionProhibited, "not allowed to send to this address")}
	}
	dels := m.judge(ctx, e)
	if len(dels) == 0 {
		return Expanded{Refused: true, Reason: ReasonAliasEmpty, Err: smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se11BadMailbox, "no such user here")}
	}
	taker := slices.IndexFunc(dels, func(d Delivery) bool { return d.Verdict.Accept })
	if taker < 0 {
		return m.refuse(ctx, dels)
	}
	evaluated := dels[taker].Evaluated()
	elsewhere := e.elsewhere(dels, from)
	for i := range dels {
		d := &dels[i]
		if !d.Verdict.Accept {
			d.Verdict = taken(d.Verdict, d.Recipient, a)
		}
	}
	dels = slices.DeleteFunc(dels, func(d Delivery) bool {
		return e.FromAuthentic && d.Recipient.Canonical == from || e.Skip != nil && e.Skip(d.Recipient.Canonical)
	})
	x := m.deliver(ctx, e.Config, dels)
	if x.Err == nil && elsewhere != nil {
		// Last, so that it is not repeated if the message must come again.
		if err := m.parallel(1, func(int) error { _, err := m.Deliver(ctx, *elsewhere); return err })[0]; err != nil {
			x.Err = partly([]error{err})
		}
	}
	if x.Err == nil || len(x.Got) > 0 {
		x.Evaluated = evaluated
	}
	return x
}

// elsewhere returns the delivery to members elsewhere, nil if there are none or nobody
// wants the message. The author needs no copy.
func (e Expansion) elsewhere(dels []Delivery, from smtp.Address) *Delivery {
	targets := e.Recipient.Alias.ForwardTo
	if e.FromAuthentic {
		targets = without(targets, from)
	}
	i := slices.IndexFunc(dels, func(d Delivery) bool { return wanted(d.Verdict) })
	if len(targets) == 0 || i < 0 {
		return nil
	}
	a := *e.Recipient.Alias
	a.ForwardTo = targets
	d := e.Delivery
	d.Recipient.Alias, d.Verdict = &a, dels[i].Verdict
	return &d
}

// judge returns the deliveries to all members that take mail at all, each with its own
// verdict: what the mail of one has taught must not show in the header of another.
func (m *Members) judge(ctx context.Context, e Expansion) []Delivery {
	a := e.Recipient.Alias
	var dels []Delivery
	for _, member := range a.Members {
		if member.Recipient.Destination.SMTPError != nil {
			continue
		}
		d := e.Delivery
		d.Recipient = member.Recipient
		d.DeliveredTo = member.Address.Path()
		if e.Recipient.Expands() {
			// The sender is told that the message was expanded, RFC 3461 §5.2.7.3.
			d.Notify &^= smtp.NotifySuccess
		}
		dels = append(dels, d)
	}
	for i, err := range m.parallel(len(dels), func(i int) error {
		dels[i].Verdict = m.Decide(ctx, dels[i].Facts)
		return nil
	}) {
		if v := &dels[i].Verdict; err != nil || !v.Accept && v.Err == nil {
			*v = inbound.Verdict{Err: localError(err), Reason: "error"}
		}
	}
	return dels
}

// taken returns the verdict for a member who would have refused what another takes.
func taken(v inbound.Verdict, r config.Recipient, a *config.Alias) inbound.Verdict {
	if v.Mailbox == "" {
		v.Mailbox = r.Destination.Mailbox
	}
	if v.Mailbox == "" {
		v.Mailbox = inbound.DefaultMailbox
	}
	why := fmt.Sprintf("on its own refused because of %s, but another member of %s takes it", v.Reason, a.Address)
	v.Reasons = append(slices.Clone(v.Reasons), why)
	v.Accept, v.Err, v.KeepCopy, v.Reason = true, nil, false, ReasonAliasMember
	return v
}

// refuse keeps copies for members of a message that none of them takes. The first one
// says what the sender is told.
func (m *Members) refuse(ctx context.Context, dels []Delivery) Expanded {
	v := dels[0].Verdict
	x := Expanded{Refused: true, Reason: v.Reason, Err: v.Err, Slow: v.Slow, Evaluated: dels[0].Evaluated()}
	if m.Keep == nil {
		return x
	}
	kept := make([]bool, len(dels))
	m.parallel(len(dels), func(i int) error {
		kept[i] = dels[i].Verdict.KeepCopy && m.Keep(ctx, dels[i])
		return nil
	})
	for _, k := range kept {
		if k {
			x.Kept++
		}
	}
	return x
}

// deliver delivers to members, to the first ones one after the other: an error that
// is not about their quota is likely one for all, and then nobody should have got the
// message. After one has it, the others no longer wait, nor do they miss it because of
// an error with one of them.
func (m *Members) deliver(ctx context.Context, conf *config.Snapshot, dels []Delivery) Expanded {
	var x Expanded
	var failed []error
	add := func(d Delivery, err error) {
		switch addr := d.Recipient.Canonical; {
		case err == nil:
			x.Got = append(x.Got, GotMember{addr, d.Verdict.Reason, d.Verdict.FirstTime})
		case isFull(err):
			x.Full = append(x.Full, addr)
			if len(x.Full) == 1 {
				x.Err = err
			}
		default:
			failed = append(failed, err)
		}
	}
	one := func(d Delivery) error {
		if disabled(conf, d) > 0 {
			return smtp.Errorf(smtp.C450MailboxUnavailable, smtp.Se21MailboxDisabled, "domain temporarily disabled")
		}
		_, err := m.Deliver(ctx, d)
		return err
	}
	// Members in domains that take no mail now come last.
	slices.SortStableFunc(dels, func(a, b Delivery) int {
		return disabled(conf, a) - disabled(conf, b)
	})
	for len(dels) > 0 && len(x.Got) == 0 {
		errs := m.parallel(1, func(int) error { return one(dels[0]) })
		add(dels[0], errs[0])
		if len(failed) > 0 {
			x.Err = failed[0]
			return x
		}
		dels = dels[1:]
	}
	for i, err := range m.parallel(len(dels), func(i int) error { return one(dels[i]) }) {
		add(dels[i], err)
	}
	if len(x.Got) > 0 {
		x.Err = nil
	}
	if len(failed) > 0 {
		x.Err = partly(failed)
	}
	return x
}

// disabled is 1 for a member in a domain that takes no mail now.
func disabled(conf *config.Snapshot, d Delivery) int {
	if dom, ok := conf.Domain(d.Recipient.Canonical.Domain); ok && dom.Disabled {
		return 1
	}
	return 0
}

// isFull reports whether a message was not delivered because the mailbox is full.
func isFull(err error) bool {
	e := smtp.AsError(err)
	return e != nil && e.Code == smtp.C452InsufficientStorage && e.Enhanced == "4."+smtp.Se22MailboxFull
}

// partly returns the error for a message that some members got and others did not. It
// is permanent if none of them can get it later. Who the members are is not for the
// sender to know.
func partly(failed []error) error {
	code := smtp.C554TransactionFailed
	for _, err := range failed {
		if e := smtp.AsError(err); e == nil || e.Temporary() {
			code = smtp.C451LocalError
		}
	}
	return smtp.Errorf(code, smtp.Se30SystemOther, "not delivered to all members").WithCause(failed[0])
}

// parallel calls fn for 0 to n-1 and returns the errors. A panic is an error.
func (m *Members) parallel(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	call := func(i int) {
		defer func() {
			if x := recover(); x != nil {
				metrics.Panic(pkg)
				m.Log.Error("unhandled panic", slog.Any("panic", x), slog.String("stack", string(debug.Stack())))
				errs[i] = fmt.Errorf("panic: %v", x)
			}
		}()
		errs[i] = fn(i)
	}
	parallel.Do(n, maxParallelMembers, call)
	return errs
}
