package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"mox/config"
	"mox/internal/inbound"
	"mox/smtp"
	"mox/store"
)

// aliasEnv has an alias list@example.org with members m0 to m<n-1>, and engines that
// fail as it says.
type aliasEnv struct {
	mu     sync.Mutex // Guards what follows.
	conf   *config.Snapshot
	reject map[string]*smtp.Error // Verdicts, by account.
	fail   map[string]error       // Deliveries, by account.
	tried  []string
	dels   map[string]Delivery
	kept   []string
}

func newAliasEnv(t testing.TB, n int, change func(c *config.Dynamic, a *config.AliasFields)) *aliasEnv {
	t.Helper()
	alias := config.AliasFields{PostPublic: true}
	dyn := config.Dynamic{
		Domains:  map[string]config.DomainFields{"example.org": {LocalpartCatchallSeparator: "+"}, "off.example": {Disabled: true}},
		Accounts: map[string]config.AccountFields{},
	}
	for i := range n {
		name := fmt.Sprintf("m%d", i)
		alias.Addresses = append(alias.Addresses, name+"@example.org")
		dyn.Accounts[name] = config.AccountFields{Domain: "example.org", Destinations: map[string]config.DestinationFields{name + "@example.org": {Mailbox: "Lists"}}}
	}
	if change != nil {
		change(&dyn, &alias)
	}
	d := dyn.Domains["example.org"]
	d.Aliases = map[string]config.AliasFields{"list": alias}
	dyn.Domains["example.org"] = d
	conf, err := config.New(config.Static{
		DataDir:    t.TempDir(),
		LogLevel:   "error",
		Hostname:   "mx.example.org",
		Listeners:  map[string]config.ListenerFields{"local": {IPs: []string{"127.0.0.1"}}},
		Postmaster: config.PostmasterFields{Account: "m0", Mailbox: "Postmaster"},
	}, dyn)
	tcheck(t, err)
	return &aliasEnv{conf: conf, reject: map[string]*smtp.Error{}, fail: map[string]error{}, dels: map[string]Delivery{}}
}

func (e *aliasEnv) members() *Members {
	return NewMembers(MembersOptions{
		Decide: func(_ context.Context, f inbound.Facts) inbound.Verdict {
			v := inbound.Verdict{Accept: true, Reason: "test", Reasons: []string{"about " + f.Recipient.Account}, Mailbox: f.Recipient.Destination.Mailbox}
			if err := e.reject[f.Recipient.Account]; err != nil {
				v.Accept, v.Err, v.KeepCopy, v.Reason = false, err, true, "test-reject"
			}
			return v
		},
		Deliver: func(_ context.Context, d Delivery) (Result, error) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.tried = append(e.tried, d.Recipient.Account)
			if err := e.fail[d.Recipient.Account]; err != nil {
				return Result{}, err
			}
			e.dels[d.Recipient.Account] = d
			return Result{}, nil
		},
		Keep: func(_ context.Context, d Delivery) bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.kept = append(e.kept, d.Recipient.Account)
			return true
		},
	})
}

// expand sends a message with a From field to the alias.
func (e *aliasEnv) expand(t testing.TB, from string, change func(x *Expansion)) Expanded {
	t.Helper()
	x := Expansion{Config: e.conf, Delivery: delivery(t, "", from+"Subject: hi\r\n\r\nbody\r\n")}
	x.Rcpt = path(t, "List+x@example.org")
	r, err := e.conf.LookupAddress(x.Rcpt)
	tcheck(t, err)
	x.Recipient, x.Verdict = r, inbound.Verdict{}
	x.Notify = smtp.NotifySuccess | smtp.NotifyFailure
	if change != nil {
		change(&x)
	}
	return e.members().Expand(ctxbg, x)
}

// got returns who got the message, in order.
func (e *aliasEnv) got() string {
	var l []string
	for account := range e.dels {
		l = append(l, account)
	}
	slices.Sort(l)
	return strings.Join(l, " ")
}

const stranger = "From: <joe@remote.example>\r\n"

var full = smtp.Errorf(smtp.C452InsufficientStorage, smtp.Se22MailboxFull, "mailbox full").WithCause(store.ErrOverQuota)

func TestMembersGetTheMessageWithTheirOwnVerdict(t *testing.T) {
	t.Parallel()
	e := newAliasEnv(t, 3, nil)
	e.reject["m1"] = smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se71NotAuthorized, "no")
	x := e.expand(t, stranger, nil)
	if x.Err != nil || x.Refused || len(x.Got) != 3 || len(e.kept) != 0 {
		t.Fatalf("got %+v", x)
	}
	for account, d := range e.dels {
		if d.DeliveredTo.XString(true) != account+"@example.org" || d.Rcpt.XString(true) != "List+x@example.org" || d.Recipient.Account != account || d.Verdict.Mailbox != "Lists" {
			t.Errorf("%s: got %+v", account, d)
		}
		if d.Notify != smtp.NotifyFailure {
			t.Errorf("%s: notify %s", account, d.Notify)
		}
		if !strings.Contains(string(prefix(d)), "Delivered-To: "+account+"@example.org\r\n") {
			t.Errorf("%s: prefix %s", account, prefix(d))
		}
		if o := origin(d); o.RcptTo != "List+x@example.org" {
			t.Errorf("%s: origin %+v", account, o)
		}
		for _, why := range d.Verdict.Reasons {
			if strings.HasPrefix(why, "about ") && why != "about "+account {
				t.Errorf("%s: sees %q", account, why)
			}
		}
		want := "test"
		if account == "m1" {
			want = ReasonAliasMember
		}
		if v := d.Verdict; v.Reason != want || !v.Accept || v.Err != nil || v.KeepCopy {
			t.Errorf("%s: verdict %+v", account, v)
		}
	}
}

func TestSingleMemberIsToldForLikeARecipient(t *testing.T) {
	t.Parallel()
	e := newAliasEnv(t, 1, nil)
	if x := e.expand(t, stranger, nil); x.Err != nil || e.dels["m0"].Notify != smtp.NotifySuccess|smtp.NotifyFailure {
		t.Fatalf("got %+v, %+v", x, e.dels)
	}
}

func TestCopiesOfARefusedMessageAreForEachMember(t *testing.T) {
	t.Parallel()
	e := newAliasEnv(t, 3, nil)
	for i := range 3 {
		e.reject[fmt.Sprintf("m%d", i)] = smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se71NotAuthorized, "no %d", i)
	}
	x := e.expand(t, stranger, nil)
	if err := smtp.AsError(x.Err); !x.Refused || err == nil || err.Text != "no 0" || x.Reason != "test-reject" || x.Kept != 3 || len(e.kept) != 3 || e.got() != "" {
		t.Fatalf("got %+v, kept %q, delivered %q", x, e.kept, e.got())
	}
}

func TestWhoMayWriteToAnAlias(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		from          string
		public, allow bool
		want          bool
	}{
		{stranger, true, false, true},
		{"", true, false, true},
		{stranger, false, true, false},
		{"", false, true, false},
		{"From: <M0+x@Example.Org>\r\n", false, false, true},
		{"From: <m0@example.org>, <m1@example.org>\r\n", false, false, false},
		{"From: <m0@example.org>\r\nFrom: <m0@example.org>\r\n", false, false, false},
		{"From: <list@example.org>\r\n", false, false, false},
		{"From: <list@example.org>\r\n", false, true, true},
		{"From: <m9@example.org>\r\n", false, true, false},
	} {
		e := newAliasEnv(t, 2, func(_ *config.Dynamic, a *config.AliasFields) { a.PostPublic, a.AllowMsgFrom = tc.public, tc.allow })
		x := e.expand(t, tc.from, nil)
		if tc.want {
			if x.Err != nil || e.got() != "m0 m1" {
				t.Errorf("%q: got %+v, delivered %q", tc.from, x, e.got())
			}
			continue
		}
		if err := smtp.AsError(x.Err); !x.Refused || x.Reason != ReasonAliasPosting || err == nil || err.Code != 550 || err.Enhanced != "5.7.2" || e.got() != "" || len(e.kept) != 0 {
			t.Errorf("%q: got %+v, delivered %q", tc.from, x, e.got())
		}
	}
}

func TestMembersWhoHaveOrWroteTheMessageGetNone(t *testing.T) {
	t.Parallel()
	const from = "From: \"M\" <M1+y@example.org>\r\n"
	e := newAliasEnv(t, 3, nil)
	e.expand(t, from, nil)
	if e.got() != "m0 m1 m2" {
		t.Errorf("From that may be forged: got %q", e.got())
	}
	e = newAliasEnv(t, 3, nil)
	x := e.expand(t, from, func(x *Expansion) { x.FromAuthentic = true })
	if e.got() != "m0 m2" || x.Err != nil {
		t.Errorf("authentic From: got %q, %+v", e.got(), x)
	}
	e = newAliasEnv(t, 3, nil)
	x = e.expand(t, from, func(x *Expansion) {
		x.FromAuthentic = true
		x.Skip = func(a smtp.Address) bool { return a.Localpart != "m1" }
	})
	if e.got() != "" || x.Err != nil || x.Refused {
		t.Errorf("nobody left: got %q, %+v", e.got(), x)
	}
}

func TestFailuresOfMembers(t *testing.T) {
	t.Parallel()
	trouble := smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "disk trouble")
	large := smtp.Errorf(smtp.C552ExceededStorage, smtp.Se34MessageTooBig, "too large")
	for _, tc := range []struct {
		name  string
		fail  map[string]error
		got   string
		full  int
		tried int
		code  int // 0 for success.
		text  string
	}{
		{"none", nil, "m0 m1 m2", 0, 3, 0, ""},
		{"one is full", map[string]error{"m0": full}, "m1 m2", 1, 3, 0, ""},
		{"last is full", map[string]error{"m2": full}, "m0 m1", 1, 3, 0, ""},
		{"all are full", map[string]error{"m0": full, "m1": full, "m2": full}, "", 3, 3, 452, "mailbox full"},
		{"trouble first", map[string]error{"m0": trouble}, "", 0, 1, 451, "disk trouble"},
		{"full, then trouble", map[string]error{"m0": full, "m1": trouble}, "", 1, 2, 451, "disk trouble"},
		{"trouble later", map[string]error{"m1": trouble}, "m0 m2", 0, 3, 451, "not delivered to all members"},
		{"trouble that passes, and some that does not", map[string]error{"m1": large, "m2": trouble}, "m0", 0, 3, 451, "not delivered to all members"},
		{"trouble that does not pass", map[string]error{"m1": large}, "m0 m2", 0, 3, 554, "not delivered to all members"},
		{"no protocol error", map[string]error{"m1": context.DeadlineExceeded}, "m0 m2", 0, 3, 451, "not delivered to all members"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := newAliasEnv(t, 3, nil)
			e.fail = tc.fail
			x := e.expand(t, stranger, nil)
			if e.got() != tc.got || len(x.Got) != len(e.dels) || len(x.Full) != tc.full || len(e.tried) != tc.tried || x.Refused {
				t.Fatalf("got %q, tried %q, %+v", e.got(), e.tried, x)
			}
			err := smtp.AsError(x.Err)
			if tc.code == 0 && x.Err != nil || tc.code != 0 && (err == nil || err.Code != tc.code || err.Text != tc.text) {
				t.Fatalf("error %v", x.Err)
			}
		})
	}
}

func TestMembersThatTakeNoMailHaveNoSay(t *testing.T) {
	t.Parallel()
	refusing := func(account string) func(*config.Dynamic, *config.AliasFields) {
		return func(c *config.Dynamic, _ *config.AliasFields) {
			c.Accounts[account].Destinations[account+"@example.org"] = config.DestinationFields{SMTPError: "550"}
		}
	}
	e := newAliasEnv(t, 2, refusing("m0"))
	if x := e.expand(t, stranger, nil); x.Err != nil || e.got() != "m1" {
		t.Errorf("got %q, %+v", e.got(), x)
	}
	e = newAliasEnv(t, 1, refusing("m0"))
	if x := e.expand(t, stranger, nil); !x.Refused || x.Reason != ReasonAliasEmpty || smtp.AsError(x.Err).Code != 550 {
		t.Errorf("got %+v", x)
	}
}

func TestMembersInDisabledDomainsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	e := newAliasEnv(t, 2, func(c *config.Dynamic, a *config.AliasFields) {
		c.Accounts["m0"].Destinations["m0@off.example"] = config.DestinationFields{}
		a.Addresses = slices.Insert(a.Addresses, 0, "m0@off.example")
	})
	x := e.expand(t, stranger, nil)
	if err := smtp.AsError(x.Err); e.got() != "m0 m1" || err == nil || err.Code != 451 || len(x.Got) != 2 {
		t.Fatalf("got %q, %+v", e.got(), x)
	}
	x = e.expand(t, stranger, func(x *Expansion) { x.Skip = func(a smtp.Address) bool { return a.Domain.ASCII == "example.org" } })
	if err := smtp.AsError(x.Err); err == nil || err.Code != 450 || len(x.Got) != 0 {
		t.Fatalf("got %+v", x)
	}
}

func TestOnlySomeMembersAreDeliveredToAtATime(t *testing.T) {
	t.Parallel()
	e := newAliasEnv(t, config.MaxAliasMembers, nil)
	m := e.members()
	var now, most atomic.Int64
	entered := make(chan struct{}, config.MaxAliasMembers)
	m.Deliver = func(context.Context, Delivery) (Result, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		entered <- struct{}{}
		return Result{}, nil
	}
	x := Expansion{Config: e.conf, Delivery: delivery(t, "", stranger+"\r\n")}
	x.Recipient, _ = e.conf.LookupAddress(path(t, "list@example.org"))
	if got := m.Expand(ctxbg, x); got.Err != nil || len(got.Got) != config.MaxAliasMembers || len(entered) != config.MaxAliasMembers {
		t.Fatalf("%d members got the message, error %v", len(got.Got), got.Err)
	}
	if n := most.Load(); n > maxParallelMembers {
		t.Fatalf("%d deliveries at the same time", n)
	}
}

func TestVerdictWithoutErrorIsATemporaryError(t *testing.T) {
	t.Parallel()
	e := newAliasEnv(t, 2, nil)
	m := e.members()
	m.Decide = func(context.Context, inbound.Facts) inbound.Verdict { return inbound.Verdict{} }
	x := Expansion{Config: e.conf, Delivery: delivery(t, "", stranger+"\r\n")}
	x.Recipient, _ = e.conf.LookupAddress(path(t, "list@example.org"))
	var err *smtp.Error
	if got := m.Expand(ctxbg, x); !got.Refused || !errors.As(got.Err, &err) || !err.Temporary() {
		t.Fatalf("got %+v", got)
	}
}

func BenchmarkExpandToManyMembers(b *testing.B) {
	e := newAliasEnv(b, config.MaxAliasMembers, nil)
	m := e.members()
	x := Expansion{Config: e.conf, Delivery: delivery(b, "", stranger+"\r\n")}
	x.Recipient, _ = e.conf.LookupAddress(path(b, "list@example.org"))
	for b.Loop() {
		if got := m.Expand(ctxbg, x); got.Err != nil {
			b.Fatal(got.Err)
		}
	}
}
