package inbound

import (
	"strings"
	"testing"

	"mox/arc"
	"mox/config"
	"mox/dkim"
	"mox/dmarc"
	"mox/message/trace"
	"mox/smtp"
	"mox/spf"
	"mox/store"
)

// chain makes an ARC chain of pairs of a domain that seals and the results it has seen.
func chain(t *testing.T, pairs ...string) arc.Result {
	t.Helper()
	res := arc.Result{Status: arc.StatusPass}
	for i := 0; i < len(pairs); i += 2 {
		s := &arc.Set{Instance: i/2 + 1, Seal: &dkim.Sig{Domain: domainOf(pairs[i])}}
		s.AuthResults, s.AuthResultsErr = trace.Parse(pairs[i+1])
		res.Sets = append(res.Sets, s)
	}
	return res
}

func TestForwardersThatAreTrustedAreBelieved(t *testing.T) {
	t.Parallel()
	const (
		pass = "mx.fw.example; dmarc=pass header.from=sender.example"
		fail = "mx.fw.example; dmarc=fail header.from=sender.example; spf=fail smtp.mailfrom=sender.example"
	)
	for _, tc := range []struct {
		name   string
		chain  []string
		edit   func(*Facts)
		result store.Validation
	}{
		{"dmarc", []string{"fw.example", pass}, nil, store.ValidationDMARC},
		{"subdomain of a trusted one", []string{"mx.fw.example", pass}, nil, store.ValidationDMARC},
		{"dkim", []string{"fw.example", "x; dkim=pass header.d=sender.example"}, nil, store.ValidationStrict},
		{"dkim identity", []string{"fw.example", "x; dkim=pass header.i=@mail.sender.example"}, nil, store.ValidationRelaxed},
		{"spf", []string{"fw.example", "x; spf=pass smtp.mailfrom=b@sender.example"}, nil, store.ValidationStrict},
		{"best of several", []string{"fw.example", "x; spf=pass smtp.mailfrom=b@a.sender.example; dkim=fail header.d=sender.example; dmarc=pass header.from=sender.example"}, nil, store.ValidationDMARC},
		{"trusted ones in a row", []string{"fw.example", pass, "gw.example", fail}, nil, store.ValidationDMARC},
		{"unreadable results in between", []string{"fw.example", pass, "gw.example", ";;"}, nil, store.ValidationDMARC},
		{"stranger in between", []string{"fw.example", pass, "evil.example", fail, "gw.example", fail}, nil, store.ValidationFail},
		{"stranger last", []string{"fw.example", pass, "evil.example", pass}, nil, store.ValidationFail},
		{"namesake", []string{"notfw.example", pass}, nil, store.ValidationFail},
		{"other author", []string{"fw.example", "x; dmarc=pass header.from=evil.example; dkim=pass header.d=evil.example; spf=pass smtp.mailfrom=evil.example"}, nil, store.ValidationFail},
		{"other method", []string{"fw.example", "x; iprev=pass policy.iprev=sender.example; arc=pass header.d=sender.example"}, nil, store.ValidationFail},
		{"no author in results", []string{"fw.example", "x; dmarc=pass"}, nil, store.ValidationFail},
		{"fail", []string{"fw.example", fail}, nil, store.ValidationFail},
		{"chain fails", []string{"fw.example", pass}, func(f *Facts) { f.Auth.ARC.Status = arc.StatusFail }, store.ValidationFail},
		{"several authors", []string{"fw.example", pass}, func(f *Facts) { f.Auth.From = append(f.Auth.From, domainOf("x.example")) }, store.ValidationFail},
		{"no chain", nil, nil, store.ValidationFail},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, wish{account: func(a *config.AccountFields) { a.TrustedForwarders = []string{"fw.example", "gw.example"} }})
			f := w.facts(plainText)
			policy(dmarc.PolicyReject)(&f)
			f.Auth.SPF.Status = spf.StatusFail
			f.Auth.ARC = chain(t, tc.chain...)
			if tc.edit != nil {
				tc.edit(&f)
			}
			v := w.decide(f)
			if v.Origin.MsgFromResult != tc.result || v.Origin.MsgFromValidated != isValidated(tc.result) {
				t.Errorf("result %d, %q", v.Origin.MsgFromResult, v.Reasons)
			}
			want := "550 5.7.26 dmarc-policy"
			if isValidated(tc.result) {
				want = "250 no-bad-signals Inbox"
			}
			if say(v) != want {
				t.Errorf("verdict %s", say(v))
			}
			if isValidated(tc.result) && (len(v.Overrides) != 1 || v.Overrides[0].Type != dmarc.OverrideTrustedForwarder) {
				t.Errorf("overrides %v", v.Overrides)
			}
		})
	}
	w := newWorld(t, wish{})
	f := w.facts(plainText)
	policy(dmarc.PolicyReject)(&f)
	f.Auth.ARC = chain(t, "fw.example", pass)
	if v := w.decide(f); v.Reason != ReasonDMARC {
		t.Errorf("nobody is trusted: %s", say(v))
	}
}

func TestOriginSaysHowTheSenderWasValidated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, wish{})
	none := func(f *Facts) { f.Auth.SPF.Status = spf.StatusNone }
	for _, tc := range []struct {
		name                 string
		edit                 func(*Facts)
		ehlo, mailFrom, from store.Validation
	}{
		{"spf of the domain", func(*Facts) {}, 0, store.ValidationPass, store.ValidationStrict},
		{"spf of the organization", func(f *Facts) { f.Auth.SPF.Domain = domainOf("b.sender.example") }, 0, store.ValidationPass, store.ValidationRelaxed},
		{"of the organization, with dmarc", func(f *Facts) {
			f.Auth.SPF.Domain = domainOf("b.sender.example")
			f.Auth.DMARC.Status = dmarc.StatusPass
		}, 0, store.ValidationPass, store.ValidationDMARC},
		{"of the organization, which is not enough", func(f *Facts) {
			f.Auth.SPF.Domain = domainOf("b.sender.example")
			f.Auth.DMARC.Status = dmarc.StatusFail
		}, 0, store.ValidationPass, store.ValidationFail},
		{"spf of another domain", func(f *Facts) { f.Auth.SPF.Domain = domainOf("other.example") }, 0, store.ValidationPass, store.ValidationNone},
		{"signature", func(f *Facts) { none(f); sign(f, "sender.example") }, 0, store.ValidationNone, store.ValidationStrict},
		{"signature of the organization", func(f *Facts) { none(f); sign(f, "mail.sender.example") }, 0, store.ValidationNone, store.ValidationRelaxed},
		{"signature of a neighbour", func(f *Facts) {
			*f = refacts(*f, "From: <me@me.github.io>\r\n\r\n")
			none(f)
			sign(f, "evil.github.io")
		}, 0, store.ValidationNone, store.ValidationNone},
		{"signature fails", func(f *Facts) { none(f); sign(f, "sender.example"); f.Auth.DKIM[0].Status = dkim.StatusFail }, 0, store.ValidationNone, store.ValidationNone},
		{"null reverse-path", func(f *Facts) { f.Auth.SPF.Identity = spf.IdentityHELO }, store.ValidationPass, 0, store.ValidationNone},
		{"null reverse-path, fail", func(f *Facts) { f.Auth.SPF.Identity = spf.IdentityHELO; f.Auth.SPF.Status = spf.StatusFail }, store.ValidationFail, 0, store.ValidationNone},
		{"softfail", func(f *Facts) { f.Auth.SPF.Status = spf.StatusSoftfail }, 0, store.ValidationSoftfail, store.ValidationNone},
		{"neutral", func(f *Facts) { f.Auth.SPF.Status = spf.StatusNeutral }, 0, store.ValidationNeutral, store.ValidationNone},
		{"temperror", func(f *Facts) { f.Auth.SPF.Status = spf.StatusTemperror; f.Auth.DMARC.Status = dmarc.StatusTemperror }, 0, store.ValidationTemperror, store.ValidationTemperror},
		{"permerror", func(f *Facts) { f.Auth.SPF.Status = spf.StatusPermerror; f.Auth.DMARC.Status = dmarc.StatusPermerror }, 0, store.ValidationPermerror, store.ValidationPermerror},
		{"several authors", func(f *Facts) { f.Auth.From = append(f.Auth.From, domainOf("x.example")) }, 0, store.ValidationPass, store.ValidationFail},
		{"unclear author", func(f *Facts) { f.Auth.FromErr = errFromNUL }, 0, store.ValidationPass, store.ValidationFail},
	} {
		f := w.facts(plainText)
		tc.edit(&f)
		o := OriginOf(f)
		if o.EHLO != tc.ehlo || o.MailFromResult != tc.mailFrom || o.MsgFromResult != tc.from ||
			o.EHLOValidated != (tc.ehlo == store.ValidationPass) || o.MailFromValidated != (tc.mailFrom == store.ValidationPass) || o.MsgFromValidated != isValidated(tc.from) {
			t.Errorf("%s: %d %d %d %+v", tc.name, o.EHLO, o.MailFromResult, o.MsgFromResult, o)
		}
	}
	f := w.facts("From: <Joe@Mail.Sender.Example>\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nfailed\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nx\r\n--b--\r\n")
	sign(&f, "a.example")
	sign(&f, "a.example")
	f.RequireTLS = true
	o := OriginOf(f)
	if o.RemoteIP != "192.0.2.2" || o.EHLODomain != "mail.sender.example" || o.MailFrom != "bounce@sender.example" || o.MailFromDomain != "sender.example" ||
		o.RcptTo != "ann@example.org" || o.RcptToDomain != "example.org" || o.MsgFrom != "Joe@mail.sender.example" || o.MsgFromDomain != "mail.sender.example" ||
		o.MsgFromOrgDomain != "sender.example" || len(o.DKIMDomains) != 1 || !o.RequireTLS || o.TLSVersion != f.TLS.Version || !o.IsDSN {
		t.Errorf("origin %+v", o)
	}
	f.TLS = nil
	if o := OriginOf(f); o.TLSVersion != tlsNone {
		t.Errorf("tls version %d", o.TLSVersion)
	}
}

func TestForwarderIsSetApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withRuleset(config.RulesetFields{SMTPMailFromRegexp: "@out\\.fw\\.example$", VerifiedDomain: "fw.example", IsForward: true, Mailbox: "F"}))
	f := w.facts(plainText)
	policy(dmarc.PolicyReject)(&f)
	f.MailFrom.IPDomain.Domain = domainOf("out.fw.example")
	f.Auth.SPF.Status, f.Auth.SPF.Domain = spf.StatusPass, f.MailFrom.IPDomain.Domain
	sign(&f, "fw.example")
	sign(&f, "mx.fw.example")
	sign(&f, "shop.example")
	o := w.decide(f).Origin
	fw := o.Forwarder
	if !o.IsForward || fw == nil || fw.EHLODomain != "mail.sender.example" || fw.MailFromDomain != "out.fw.example" || len(fw.DKIMDomains) != 2 {
		t.Fatalf("origin %+v, forwarder %+v", o, fw)
	}
	if o.EHLODomain+o.MailFrom+o.MailFromDomain != "" || o.MailFromValidated || len(o.DKIMDomains) != 1 || o.DKIMDomains[0] != "shop.example" || o.RemoteIP == "" {
		t.Errorf("origin %+v", o)
	}
}

func TestExplanationIsWhatMessagesGet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, wish{})
	joe := smtp.Address{Localpart: "joe", Domain: domainOf("sender.example")}
	if _, err := w.d.Explain(t.Context(), "ann", "", joe); err == nil {
		t.Error("explanation for an account that does not exist")
	}
	check := func(validated, unvalidated string, lines ...string) {
		t.Helper()
		e, err := w.d.Explain(t.Context(), "ann", "", joe)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Validated.Decision + " " + e.Validated.Reason; got != validated {
			t.Errorf("validated: %s", got)
		}
		if got := e.Unvalidated.Decision + " " + e.Unvalidated.Reason; got != unvalidated {
			t.Errorf("unvalidated: %s", got)
		}
		for _, want := range lines {
			if !contains(e.Lines(), want) {
				t.Errorf("no line %q in\n%s", want, e)
			}
		}
		// What is said is what is done.
		for _, x := range []struct {
			Expectation
			edit func(*Facts)
		}{{e.Validated, func(f *Facts) { sign(f, "sender.example") }}, {e.Unvalidated, unproven}} {
			f := w.facts(plainText)
			x.edit(&f)
			f.RemoteIP = f.RemoteIP.Next()
			if v := w.decide(f); x.Decision != "undecided" && (v.Reason != x.Reason || v.Accept != (x.Decision == "accepted")) {
				t.Errorf("%+v, but %s", x.Expectation, say(v))
			}
		}
	}
	w.account(func(*store.Account) error { return nil })
	check("undecided none", "undecided none", "joe@sender.example to Inbox of account ann", "the user has neither allowed nor blocked it",
		"nothing was sent there, and no message from there was judged")
	earlier("jh", unproven)(w)
	check("undecided none", "undecided msgfromfull", "address joe@sender.example, not validated: 1 not junk, 1 junk, the newest of "+w.now.UTC().Format("2006-01-02"))
	earlier("hj")(w)
	check("accepted msgfromfull", "undecided msgfromfull", "domain sender.example, validated: 1 not junk, 1 junk, the newest of "+w.now.UTC().Format("2006-01-02"))
	contact("sue@sender.example")(w)
	check("accepted msgfromfull", "undecided msgfromfull", "domain sender.example: last sent to on "+w.now.UTC().Format("2006-01-02"))
	w.rule("@sender.example", true)
	check("accepted sender-allowed", "undecided msgfromfull", "the user has allowed @sender.example, on "+w.now.UTC().Format("2006-01-02"))
	w.rule("joe@sender.example", false)
	check("refused sender-blocked", "refused sender-blocked")
}

func contains(l []string, s string) bool {
	for _, x := range l {
		if x == s {
			return true
		}
	}
	return false
}

func TestChainOfAForwarderIsBelievedFromDNSToVerdict(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, authZone+"\n_dmarc.sender.example TXT \"v=DMARC1; p=reject\"\n")
	results, err := trace.Parse("mx.signer.example; arc=none; dmarc=pass header.from=sender.example")
	if err != nil {
		t.Fatal(err)
	}
	seal, err := arc.Seal(strings.NewReader(plainText), int64(len(plainText)), parseDomain(t, "signer.example"), dkim.Selector{Name: o.selector, Key: o.key}, results, arc.Result{Status: arc.StatusNone}, arc.SealOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a := o.authenticator()
	for _, tc := range []struct {
		name, msg string
		trusted   []string
		want      string
	}{
		{"trusted", seal + plainText, []string{"signer.example"}, "250 no-bad-signals Inbox"},
		{"not trusted", seal + plainText, []string{"other.example"}, "550 5.7.26 dmarc-policy"},
		{"changed after it", seal + strings.Replace(plainText, "hello", "money", 1), []string{"signer.example"}, "550 5.7.26 dmarc-policy"},
		{"not sealed", plainText, []string{"signer.example"}, "550 5.7.26 dmarc-policy"},
	} {
		w := newWorld(t, wish{account: func(a *config.AccountFields) { a.TrustedForwarders = tc.trusted }})
		auth, err := a.Authenticate(t.Context(), arrival(t, "<joe@signer.example>"), strings.NewReader(tc.msg), int64(len(tc.msg)))
		if err != nil {
			t.Fatal(err)
		}
		f := refacts(w.facts(plainText), tc.msg)
		f.Auth = auth
		if v := w.decide(f); say(v) != tc.want {
			t.Errorf("%s: %s, %q", tc.name, say(v), v.Reasons)
		}
	}
}
