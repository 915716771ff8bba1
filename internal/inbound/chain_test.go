package inbound

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/config"
	"mox/dkim"
	"mox/dmarc"
	"mox/dns"
	"mox/imap"
	"mox/iprev"
	"mox/junk"
	"mox/message"
	"mox/smtp"
	"mox/spf"
	"mox/store"
)

// withRuleset is an address with one ruleset.
func withRuleset(r config.RulesetFields) wish {
	return wish{destination: func(d *config.DestinationFields) { d.Rulesets = []config.RulesetFields{r} }}
}

// withFilter is an account with a junk filter.
func withFilter(a *config.AccountFields) { a.JunkFilter = &config.JunkFilterFields{Threshold: 0.95} }

func probability(p float64) junk.Verdict { return junk.Verdict{Probability: p, Significant: true} }

// likely is a setup in which the filter gives messages a probability.
func likely(p float64) func(*world) {
	return func(w *world) { w.junk.none, w.junk.v = false, probability(p) }
}

// history is a setup with judged messages like the one to be decided about, with "j" for
// junk and "h" for ham, the newest first.
func earlier(text string, edits ...func(*Facts)) func(*world) {
	return func(w *world) {
		for i, c := range text {
			f := w.facts(plainText)
			for _, e := range edits {
				e(&f)
			}
			w.deliver(f, c == 'j', time.Duration(i+1)*time.Minute)
		}
	}
}

// fromOther makes the message one of another author, whose domain proves nothing.
func fromOther(f *Facts) {
	const text = "From: <eve@other.example>\r\nTo: <ann@example.org>\r\n\r\nhello\r\n"
	*f = refacts(*f, text)
	f.Auth.SPF.Status = spf.StatusNeutral
}

// refacts gives facts another message.
func refacts(f Facts, text string) Facts {
	d, err := message.NewDigest(strings.NewReader(text), int64(len(text)), message.Limits{})
	if err != nil {
		panic(err)
	}
	f.Digest, f.Size, f.Message = d, int64(len(text)), strings.NewReader(text)
	h := message.ParseHeader(d.Fields(), message.Limits{})
	f.Auth.From, f.Auth.FromErr = shownFrom(&h)
	if len(f.Auth.From) == 1 {
		f.Auth.DMARC.From = f.Auth.From[0]
	}
	return f
}

func domainOf(s string) dns.Domain { return dns.Domain{ASCII: s} }

func TestEachStepDecides(t *testing.T) {
	t.Parallel()
	list := config.RulesetFields{MsgFromRegexp: "@sender\\.example$", ListAllowDomain: "lists.example", Mailbox: "Lists"}
	forward := config.RulesetFields{SMTPMailFromRegexp: "@fw\\.example$", VerifiedDomain: "fw.example", IsForward: true, Mailbox: "Forwarded"}
	forwarded := func(f *Facts) {
		f.MailFrom.IPDomain.Domain = domainOf("fw.example")
		f.Auth.MailFrom = f.MailFrom
		f.Auth.SPF.Domain = f.MailFrom.IPDomain.Domain
	}
	accepting := config.RulesetFields{VerifiedDomain: "sender.example", Mailbox: "Work", AcceptRejectsToMailbox: "Caught"}
	introbox := wish{account: func(a *config.AccountFields) { a.Introbox = "New" }}
	toJunk := wish{account: func(a *config.AccountFields) { withFilter(a); a.JunkDelivery = "junk" }}
	filter := wish{account: withFilter}
	needsAuth := wish{destination: func(d *config.DestinationFields) { d.MessageAuthRequiredSMTPError = "prove it" }}
	badNetwork := func(f *Facts) { f.Auth.IPRev.Status = iprev.StatusFail; unproven(f) }
	for _, tc := range []struct {
		name  string
		wish  wish
		setup func(*world)
		edit  func(*Facts)
		want  string
	}{
		{name: "stranger", want: "250 no-bad-signals Inbox"},

		// 1.
		{name: "rate", setup: func(w *world) { w.d.rates.messages.Count("ann", w.facts(plainText).RemoteIP, w.now, messagesPerMinute) }, want: "452 4.2.2 high-rate"},
		{name: "rate not reached", setup: func(w *world) {
			w.d.rates.messages.Count("ann", w.facts(plainText).RemoteIP, w.now, messagesPerMinute-1)
		}, want: "250 no-bad-signals Inbox"},
		{name: "rate of bytes", setup: func(w *world) { w.d.rates.kib.Count("ann", w.facts(plainText).RemoteIP, w.now, kibPerMinute) }, want: "452 4.2.2 high-rate"},
		{name: "rate of others", setup: func(w *world) { w.d.rates.messages.Count("bob", w.facts(plainText).RemoteIP, w.now, messagesPerMinute) }, want: "250 no-bad-signals Inbox"},
		{name: "rate of exempt network", setup: func(w *world) { w.d.rates.messages.Count("ann", w.facts(plainText).RemoteIP, w.now, messagesPerMinute) },
			edit: func(f *Facts) { f.Exempt = true }, want: "250 no-bad-signals Inbox"},

		// 2 and 3.
		{name: "list", wish: withRuleset(list), edit: func(f *Facts) { policy(dmarc.PolicyReject)(f); sign(f, "lists.example") }, want: "250 list-allow Lists"},
		{name: "list of subdomain", wish: withRuleset(list), edit: func(f *Facts) { policy(dmarc.PolicyReject)(f); sign(f, "news.lists.example") }, want: "250 list-allow Lists"},
		{name: "list of namesake", wish: withRuleset(list), edit: func(f *Facts) { policy(dmarc.PolicyReject)(f); sign(f, "notlists.example") }, want: "550 5.7.26 dmarc-policy"},
		{name: "list not proven", wish: withRuleset(list), want: "250 no-bad-signals Lists"},
		{name: "list with blocked author", wish: withRuleset(list), setup: func(w *world) { w.rule("joe@sender.example", false) },
			edit: func(f *Facts) { sign(f, "lists.example") }, want: "250 list-allow Lists"},

		// 4.
		{name: "forwarded", wish: withRuleset(forward), edit: func(f *Facts) { policy(dmarc.PolicyReject)(f); f.Auth.SPF.Status = spf.StatusPass; forwarded(f) }, want: "250 no-bad-signals Forwarded"},
		{name: "forwarded, not proven", wish: withRuleset(forward), edit: func(f *Facts) { policy(dmarc.PolicyReject)(f); forwarded(f) }, want: "550 5.7.26 dmarc-policy"},
		{name: "forwarded by a network with a bad past", wish: withRuleset(forward), setup: earlier("jj", fromOther), edit: func(f *Facts) { badNetwork(f); f.Auth.SPF.Status = spf.StatusPass; forwarded(f) },
			want: "250 no-bad-signals Forwarded"},

		// 5.
		{name: "dmarc", edit: policy(dmarc.PolicyReject), want: "550 5.7.26 dmarc-policy"},
		{name: "dmarc quarantine", edit: policy(dmarc.PolicyQuarantine), want: "250 dmarc-quarantine Inbox as junk"},
		{name: "dmarc quarantine of whom the user writes to", setup: contact("joe@sender.example"), edit: policy(dmarc.PolicyQuarantine), want: "250 msgtofull Inbox as junk"},
		{name: "dmarc policy none", edit: policy(dmarc.PolicyNone), want: "250 no-bad-signals Inbox"},
		{name: "from unclear", edit: func(f *Facts) { f.Auth.FromErr = errFromNUL }, want: "550 5.6.0 from-unclear"},

		// 8.
		{name: "authentication missing", wish: needsAuth, edit: unproven, want: "550 5.7.26 msg-auth-required"},
		{name: "authentication missing for now", wish: needsAuth, edit: func(f *Facts) { unproven(f); f.Auth.DMARC.Status = dmarc.StatusTemperror }, want: "451 4.7.26 msg-auth-required"},
		{name: "authenticated", wish: needsAuth, want: "250 no-bad-signals Inbox"},

		// Rules.
		{name: "blocked", setup: func(w *world) { w.rule("@sender.example", false) }, want: "451 4.3.0 sender-blocked"},
		{name: "blocked, not proven", setup: func(w *world) { w.rule("joe@sender.example", false) }, edit: unproven, want: "451 4.3.0 sender-blocked"},
		{name: "blocked who was welcome", setup: func(w *world) { earlier("hh")(w); w.rule("joe@sender.example", false) }, want: "451 4.3.0 sender-blocked"},
		{name: "allowed", wish: filter, setup: func(w *world) { likely(1)(w); w.rule("joe@sender.example", true) }, want: "250 sender-allowed Inbox"},
		{name: "allowed, not proven", wish: filter, setup: func(w *world) { likely(1)(w); w.rule("joe@sender.example", true) }, edit: unproven, want: "451 4.3.0 junk-content"},
		{name: "allowed, forged", setup: func(w *world) { w.rule("joe@sender.example", true) }, edit: policy(dmarc.PolicyReject), want: "550 5.7.26 dmarc-policy"},

		// 9 to 11.
		{name: "author who was welcome", wish: filter, setup: func(w *world) { earlier("h")(w); likely(1)(w) }, want: "250 msgfromfull Inbox"},
		{name: "author who was not", setup: earlier("j"), want: "451 4.3.0 msgfromfull"},
		{name: "author who was not, in another mailbox", wish: withRuleset(config.RulesetFields{VerifiedDomain: "sender.example", Mailbox: "Work"}), setup: func(w *world) {
			f := w.facts(plainText)
			f.Share()
			w.store1(f, "Inbox", f.origin(), true, time.Minute)
		}, want: "250 no-bad-signals Work"},
		{name: "whom the user has written to", wish: filter, setup: func(w *world) { contact("joe@sender.example")(w); likely(1)(w) }, edit: unproven, want: "250 msgtofull Inbox"},
		{name: "colleague of whom the user has written to", setup: contact("sue@sender.example"), want: "250 msgtodomain Inbox"},
		{name: "forged author", setup: earlier("j"), edit: unproven, want: "451 4.3.0 msgfromfull"},
		{name: "network with a bad past", setup: earlier("jj", fromOther), want: "451 4.3.0 ip1"},
		{name: "network with a good past", wish: filter, setup: func(w *world) { earlier("hh", fromOther)(w); likely(1)(w) }, want: "250 ip1 Inbox"},
		{name: "introbox", wish: introbox, want: "250 no-bad-signals New"},
		{name: "introbox, but not for those known", wish: introbox, setup: earlier("h"), want: "250 msgfromfull Inbox"},
		{name: "introbox, but not for those written to", wish: introbox, setup: contact("joe@sender.example"), want: "250 msgtofull Inbox"},
		{name: "introbox for colleagues", wish: introbox, setup: contact("sue@sender.example"), want: "250 msgtodomain New"},
		{name: "introbox only for Inbox", wish: wish{account: introbox.account, destination: func(d *config.DestinationFields) { d.Mailbox = "Work" }}, want: "250 no-bad-signals Work"},

		// 13.
		{name: "spf", edit: func(f *Facts) { f.Auth.SPF.Status = spf.StatusFail }, want: "451 4.3.0 spf-policy"},
		{name: "spf softfail", edit: func(f *Facts) { f.Auth.SPF.Status = spf.StatusSoftfail }, want: "451 4.3.0 spf-policy"},
		{name: "spf with signature", edit: func(f *Facts) { f.Auth.SPF.Status = spf.StatusFail; sign(f, "sender.example") }, want: "250 no-bad-signals Inbox"},
		{name: "spf of who is known", setup: earlier("h", unproven), edit: func(f *Facts) { f.Auth.SPF.Status = spf.StatusFail }, want: "250 no-bad-signals Inbox"},

		// 14.
		{name: "iprev and a bad past", setup: earlier("j", fromOther), edit: badNetwork, want: "451 4.3.0 iprev"},
		{name: "iprev alone", edit: badNetwork, want: "250 no-bad-signals Inbox"},
		{name: "a bad past alone", setup: earlier("j", fromOther), edit: unproven, want: "250 no-bad-signals Inbox"},

		// 16.
		{name: "content", wish: filter, setup: likely(0.951), want: "451 4.3.0 junk-content"},
		{name: "content at the threshold", wish: filter, setup: likely(0.95), want: "250 no-bad-signals Inbox"},
		{name: "content, suspicious", wish: filter, setup: likely(0.26), edit: badNetwork, want: "451 4.3.0 junk-content-strict"},
		{name: "content, suspicious, at the threshold", wish: filter, setup: likely(0.25), edit: badNetwork, want: "250 no-bad-signals Inbox"},
		{name: "content, without tls", wish: filter, setup: likely(0.26), edit: func(f *Facts) { f.TLS = nil }, want: "451 4.3.0 junk-content-strict"},
		{name: "content, to someone else", wish: filter, setup: likely(0.26), edit: func(f *Facts) { *f = refacts(*f, strings.Replace(plainText, "To: <ann@", "To: <bob@", 1)) }, want: "451 4.3.0 junk-content-strict"},
		{name: "content, in cc", wish: filter, setup: likely(0.26), edit: func(f *Facts) { *f = refacts(*f, strings.Replace(plainText, "To: <ann@", "Cc: <Ann@", 1)) }, want: "250 no-bad-signals Inbox"},
		{name: "content, to what is after a separator", wish: filter, setup: likely(0.26), edit: func(f *Facts) { f.Rcpt.Localpart = "ann+shop" }, want: "250 no-bad-signals Inbox"},
		{name: "content, forwarded to someone else", wish: wish{account: withFilter, destination: withRuleset(forward).destination}, setup: likely(0.26), edit: func(f *Facts) {
			forwarded(f)
			*f = refacts(*f, strings.Replace(plainText, "To: <ann@", "To: <bob@", 1))
		}, want: "250 no-bad-signals Forwarded"},
		{name: "content, not significant", wish: filter, setup: func(w *world) { likely(1)(w); w.junk.v.Significant = false }, want: "250 no-bad-signals Inbox"},
		{name: "content, not significant, but suspicious", wish: filter, setup: func(w *world) { likely(1)(w); w.junk.v.Significant = false }, edit: badNetwork, want: "451 4.3.0 junk-content-strict"},
		{name: "content does not count", setup: likely(1), want: "250 no-bad-signals Inbox"},
		{name: "no filter", wish: filter, want: "250 no-bad-signals Inbox"},
		{name: "filter fails", wish: filter, setup: func(w *world) { w.junk.err = errors.New("disk") }, want: "451 4.3.0 junk-classify-error"},
		{name: "tokens fail", wish: filter, setup: likely(0), edit: func(f *Facts) { f.Tokens = func() (*junk.Tokens, error) { return nil, errors.New("disk") } }, want: "451 4.3.0 junk-filter-error"},

		// What users want to become of it.
		{name: "junk is delivered", wish: toJunk, setup: likely(1), want: "250 junk-content Inbox as junk"},
		{name: "junk of those known is delivered", wish: toJunk, setup: earlier("jj"), want: "250 msgfromfull Inbox as junk"},
		{name: "forged mail is not delivered", wish: toJunk, edit: policy(dmarc.PolicyReject), want: "550 5.7.26 dmarc-policy"},
		{name: "rejects are accepted", wish: withRuleset(accepting), setup: earlier("jj"), want: "250 msgfromfull Caught"},
		{name: "rejects are accepted for the mailbox", wish: withRuleset(accepting), setup: func(w *world) { w.rule("joe@sender.example", false) }, want: "250 sender-blocked Caught"},

		// What nobody has looked at.
		{name: "mail of users", wish: filter, setup: func(w *world) { likely(1)(w); w.rule("joe@sender.example", false) }, edit: func(f *Facts) { f.Auth = nil }, want: "250 no-bad-signals Inbox"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.wish)
			if tc.setup != nil {
				tc.setup(w)
			}
			f := w.facts(plainText)
			if tc.edit != nil {
				tc.edit(&f)
			}
			v := w.decide(f)
			if got := say(v); got != tc.want {
				t.Fatalf("got %s, want %s; %q", got, tc.want, v.Reasons)
			}
			if v.Accept == (v.Err != nil) || len(v.Reasons) == 0 || v.Origin == nil || !slices.Equal(v.Origin.Reasons, v.Reasons) {
				t.Errorf("verdict %+v", v)
			}
			failed := strings.HasSuffix(v.Reason, "-error")
			if keep := !v.Accept && !failed && v.Reason != ReasonHighRate; v.KeepCopy != keep {
				t.Errorf("keep copy %v", v.KeepCopy)
			}
			if !v.Accept && v.Slow == failed {
				t.Errorf("slow %v", v.Slow)
			}
			if !v.Accept && v.Err.Code == 451 && v.Reason != ReasonAuthRequired && v.Err.Text != notNow {
				t.Errorf("strangers are told %q", v.Err.Text)
			}
			if first := v.Reason == ReasonNoBadSignals && f.Auth != nil && !f.Exempt && !v.IsForward; v.FirstTime != first {
				t.Errorf("first time %v", v.FirstTime)
			}
		})
	}
}

// sign adds a valid signature.
func sign(f *Facts, domain string) {
	f.Auth.DKIM = append(f.Auth.DKIM, dkim.Result{Status: dkim.StatusPass, Signature: &dkim.Sig{Domain: domainOf(domain), Length: -1}, Record: &dkim.Record{}})
}

// contact is a setup in which the account has sent to an address.
func contact(address string) func(*world) {
	return func(w *world) {
		a, err := smtp.ParseAddress(address, smtp.Strict)
		if err != nil {
			w.t.Fatal(err)
		}
		w.account(func(acc *store.Account) error {
			return acc.Update(context.Background(), func(tx *store.Tx) error { return tx.AddContacts([]smtp.Address{a}, w.now, true) })
		})
	}
}

func TestVerdictSaysWhereAMessageWasMeantToGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, wish{account: func(a *config.AccountFields) { a.Introbox = "New" }})
	if v := w.decide(w.facts(plainText)); v.Mailbox != "New" || v.Destined != "Inbox" || v.Flags != 0 {
		t.Errorf("verdict %+v", v)
	}
	w = newWorld(t, withRuleset(config.RulesetFields{VerifiedDomain: "sender.example", Mailbox: "Work", AcceptRejectsToMailbox: "Caught"}))
	w.rule("joe@sender.example", false)
	v := w.decide(w.facts(plainText))
	if v.Mailbox != "Caught" || v.Destined != "Work" || v.Flags != imap.FlagSeen || !v.IsReject || !v.Origin.IsReject || v.KeepCopy {
		t.Errorf("verdict %+v", v)
	}
}

func TestFirstTimeSendersAreThoseOfAccountsThatWantThemToWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, wish{account: func(a *config.AccountFields) { a.NoFirstTimeSenderDelay = true }})
	if v := w.decide(w.facts(plainText)); v.FirstTime {
		t.Error("the account does not want a delay")
	}
}

func TestJunkIsNotForSure(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ threshold, random, want float64 }{
		{0.95, 0.5, 0.95}, {0.95, 0, 0.90}, {0.95, 1, 0.975}, {0.25, 0, 0.20}, {0.25, 1, 0.30}, {0.04, 0, 0.02}, {0.99, 1, 0.995}, {0.99, 0, 0.94},
	} {
		if got := jittered(tc.threshold, tc.random); got < tc.want-1e-9 || got > tc.want+1e-9 {
			t.Errorf("%v with %v: %v", tc.threshold, tc.random, got)
		}
	}
}

func TestWordsOfTheFilterAreShownInASCII(t *testing.T) {
	t.Parallel()
	w := newWorld(t, wish{account: withFilter})
	likely(1)(w)
	w.junk.v.Ham = []junk.Word{{Text: "grüße", Score: -1.5}, {Text: strings.Repeat("x", 100), Score: -1}}
	w.junk.v.Spam = slices.Repeat([]junk.Word{{Text: "pills\r\n", Score: 2}}, 20)
	all := strings.Join(w.decide(w.facts(plainText)).Reasons, "\n")
	for _, want := range []string{"probability of junk 1.000, threshold 0.950", `words for ham: gr\u00fc\u00dfe -1.50, ` + strings.Repeat("x", 40) + " -1.00", `words for junk: pills\r\n 2.00, `} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in %q", want, all)
		}
	}
	if n := strings.Count(all, "pills"); n != maxWords {
		t.Errorf("%d words", n)
	}
}

func TestAuthorsOfRefusedMessagesAreGivenATokenThatWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, wish{account: func(a *config.AccountFields) { withFilter(a); a.SubjectPass.Period = 12 * time.Hour }})
	likely(0.7)(w)
	proven := func(text string) Facts {
		f := w.facts(text)
		f.Auth.DMARC.Status = dmarc.StatusPass
		f.TLS = nil // So that 0.7 is too much.
		return f
	}
	v := w.decide(proven(plainText))
	if say(v) != "550 5.7.1 give-subjectpass" || !v.KeepCopy {
		t.Fatalf("verdict %s", say(v))
	}
	_, token, _ := strings.Cut(v.Err.Text, "(pass:")
	again := strings.Replace(plainText, "Subject: hi", "Subject: hi (pass:"+token, 1)
	if v := w.decide(proven(again)); say(v) != "250 subjectpass Inbox" {
		t.Errorf("with token: %s, %q", say(v), v.Reasons)
	}
	for name, edit := range map[string]func(f *Facts){
		"other author": func(f *Facts) { *f = refacts(*f, strings.Replace(again, "joe@", "sue@", 1)) },
		"malformed":    func(f *Facts) { *f = refacts(*f, strings.Replace(again, "(pass:", "(pass:!", 1)) },
	} {
		f := proven(again)
		edit(&f)
		if v := w.decide(f); v.Reason == ReasonSubjectPass {
			t.Errorf("%s: %s", name, say(v))
		}
	}
	w.now = w.now.Add(12*time.Hour + 257*time.Second)
	if v := w.decide(proven(again)); v.Reason == ReasonSubjectPass {
		t.Errorf("late: %s", say(v))
	}

	// Who is told of tokens is not just anyone.
	likely(0.76)(w)
	if v := w.decide(proven(plainText)); say(v) != "451 4.3.0 junk-content-strict" {
		t.Errorf("likely junk: %s", say(v))
	}
	likely(0.7)(w)
	f := proven(plainText)
	f.Auth.DMARC.Status = dmarc.StatusNone
	if v := w.decide(f); say(v) != "451 4.3.0 junk-content-strict" {
		t.Errorf("not proven: %s", say(v))
	}
	earlier("h", fromOther)(w)
	if v := w.decide(proven(plainText)); say(v) != "451 4.3.0 junk-content-strict" {
		t.Errorf("something is known: %s", say(v))
	}
}

func TestReportsAreAcceptedAndReadOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, wish{})
	w.now = reportNow
	text := mail("text/xml", aggregate())
	facts := func() Facts {
		f := w.facts(plainText)
		f = refacts(f, text)
		f.Auth = reporterAuth(t, "reporter.example", "reporter.example")
		f.Auth.SPF, f.Auth.IPRev.Status = spf.Result{Status: spf.StatusNone}, iprev.StatusPass
		var err error
		f.Rcpt = parsePath(t, "<dmarcreports@example.org>")
		if f.Recipient, err = w.conf.LookupAddress(f.Rcpt); err != nil {
			t.Fatal(err)
		}
		return f
	}
	v := w.decide(facts())
	if say(v) != "250 reporting DMARC" || v.Report == nil || v.Report.DMARC == nil || v.Flags != imap.FlagSeen || len(v.Fields) != 0 || v.FirstTime {
		t.Errorf("%s, %+v", say(v), v)
	}
	f := facts()
	f.Auth.DMARC.Status = dmarc.StatusNone
	v = w.decide(f)
	if say(v) != "250 no-bad-signals DMARC" || v.Report != nil || len(v.Fields) != 1 || v.Fields[0].Name != DMARCReportErrorField || v.Flags != 0 {
		t.Errorf("%s, %+v", say(v), v)
	}
	w.rule("@reporter.example", false)
	if v := w.decide(facts()); say(v) != "451 4.3.0 sender-blocked" || v.Report != nil {
		t.Errorf("%s, %+v", say(v), v)
	}
}

func TestTLSReportsAreAcceptedForDomainsAndTheHost(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ rcpt, about, want string }{
		{"<tlsreports@example.org>", "example.org", "250 reporting TLSRPT"},
		{"<tls@mx.example.org>", "mx.example.org", "250 reporting TLSRPT"},
		{"<tlsreports@example.org>", "other.example", "250 no-bad-signals TLSRPT"},
	} {
		w := newWorld(t, wish{})
		w.now = reportNow
		f := refacts(w.facts(plainText), mail("application/tlsrpt+json", tlsReport(`"example.org"`, `"`+tc.about+`"`)))
		f.Auth = reporterAuth(t, "reporter.example", "reporter.example")
		f.Auth.IPRev.Status = iprev.StatusPass
		var err error
		f.Rcpt = parsePath(t, tc.rcpt)
		if f.Recipient, err = w.conf.LookupAddress(f.Rcpt); err != nil {
			t.Fatal(err)
		}
		v := w.decide(f)
		reported := v.Reason == ReasonReporting
		if say(v) != tc.want || reported != (v.Report != nil && v.Report.TLS != nil) || reported == (len(v.Fields) == 1 && v.Fields[0].Name == TLSReportErrorField) {
			t.Errorf("%s about %s: %s, %+v, %q", tc.rcpt, tc.about, say(v), v.Fields, v.Reasons)
		}
	}
}

func TestWhatIsSaidAboutDMARCInReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withRuleset(config.RulesetFields{MsgFromRegexp: "joe", ListAllowDomain: "lists.example", Mailbox: "Lists"}))
	f := w.facts(plainText)
	policy(dmarc.PolicyReject)(&f)
	if v := w.decide(f); v.Applied != dmarc.PolicyReject || v.Known || len(v.Overrides) != 0 {
		t.Errorf("refused: %+v", v)
	}
	sign(&f, "lists.example")
	if v := w.decide(f); v.Applied != "" || len(v.Overrides) != 1 || v.Overrides[0].Type != dmarc.OverrideMailingList {
		t.Errorf("list: %+v", v)
	}
	f = w.facts(plainText)
	policy(dmarc.PolicyQuarantine)(&f)
	if v := w.decide(f); v.Applied != dmarc.PolicyQuarantine {
		t.Errorf("quarantine: %+v", v)
	}
	contact("sue@sender.example")(w)
	f = w.facts(plainText)
	policy(dmarc.PolicyReject)(&f)
	if v := w.decide(f); !v.Known {
		t.Errorf("the organization is known: %+v", v)
	}
	w = newWorld(t, wish{})
	earlier("h", unproven)(w)
	f = w.facts(plainText)
	policy(dmarc.PolicyReject)(&f)
	if v := w.decide(f); !v.Known {
		t.Errorf("the organization was welcome: %+v", v)
	}
}

func TestErrorsOfTheStoreAreTemporary(t *testing.T) {
	t.Parallel()
	w := newWorld(t, wish{})
	w.account(func(*store.Account) error { return nil })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	v := w.d.Decide(ctx, w.facts(plainText))
	if say(v) != "451 4.3.0 reputation-error" || v.KeepCopy || v.Slow || v.Err.Cause == nil {
		t.Errorf("verdict %s", say(v))
	}
}
