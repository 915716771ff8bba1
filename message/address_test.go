package message

import (
	"fmt"
	"strings"
	"testing"
)

// show writes a list in a short form: name|route|mailbox|host, [name for the beginning
// of a group, ] for its end.
func show(l []Address) string {
	var b []string
	for _, a := range l {
		switch a.Kind {
		case KindGroupStart:
			b = append(b, "["+a.Name)
		case KindGroupEnd:
			b = append(b, "]")
		default:
			s := a.Mailbox + "|" + a.Host
			if a.Name != "" {
				s = a.Name + "|" + s
			}
			if a.Route != "" {
				s += "|" + a.Route
			}
			b = append(b, s)
		}
	}
	return strings.Join(b, ", ")
}

func TestParseAddressList(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		// RFC 5322 §A.1, §A.5, §A.6.1
		{`"Joe Q. Public" <john.q.public@example.com>`, `Joe Q. Public|john.q.public|example.com`},
		{`Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>`, `Mary Smith|mary|x.test, jdoe|example.org, Who?|one|y.test`},
		{`<boss@nil.test>, "Giant; \"Big\" Box" <sysservices@example.net>`, `boss|nil.test, Giant; "Big" Box|sysservices|example.net`},
		{`A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;`, `[A Group, Ed Jones|c|a.test, joe|where.test, John|jdoe|one.test, ]`},
		{`Undisclosed recipients:;`, `[Undisclosed recipients, ]`},
		{`Pete(A nice \) chap) <pete(his account)@silly.test(his host)>`, `Pete|pete|silly.test`},
		{"A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n         joe@example.org,\r\n  John <jdoe@one.test> (my dear friend); (the end of the group)",
			`[A Group, Chris Jones|c|public.example, joe|example.org, John|jdoe|one.test, ]`},
		{`(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;`, `[Hidden recipients, ]`},
		{`Joe Q. Public <john.q.public@example.com>`, `Joe Q. Public|john.q.public|example.com`},
		{`Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example`, `Mary Smith|mary|example.net|@node.test, jdoe|test.example`},
		{`<@a.test,@b.test:x@c.test>`, `x|c.test|@a.test,@b.test`},
		{`Mary Smith    <mary@example.net   >`, `Mary Smith|mary|example.net`},
		// Quoted and literal.
		{`"a b"@example.org`, `a b|example.org`},
		{`"a\"b" <"c d"@[192.0.2.1]>`, `a"b|c d|[192.0.2.1]`},
		{`x@[IPv6:2001:db8::1]`, `x|[IPv6:2001:db8::1]`},
		{`"" <a@b>`, `a|b`},
		{`Jörg <jörg@exämple.org>`, `Jörg|jörg|exämple.org`},
		{`=?utf-8?q?J=C3=B6rg?= <j@x.test>`, `=?utf-8?q?J=C3=B6rg?=|j|x.test`},
		// Several groups, and mailboxes beside them.
		{`a@b, G:c@d;, H:;, e@f`, `a|b, [G, c|d, ], [H, ], e|f`},
		{`G: a@b`, `[G, a|b, ]`},
		{`G: H: a@b;`, `[G, H:|a|b, ]`},
		// What other software writes.
		{`foo@bar.test (Foo Bar)`, `Foo Bar|foo|bar.test`},
		{`foo@bar.test <foo@bar.test>`, `foo@bar.test|foo|bar.test`},
		{`Foo @ Bar <foo@bar.test>`, `Foo @ Bar|foo|bar.test`},
		{`a@b; c@d;`, `a|b, c|d`},
		{`a@b c@d`, `a|b, c|d`},
		{`A <a@b> C <c@d>`, `A|a|b, C|c|d`},
		{`Foo Bar foo@bar.test`, `Foo Bar|foo|bar.test`},
		{`foo@bar.test Foo Bar`, `Foo Bar|foo|bar.test`},
		{`Foo <foo@bar.test`, `Foo|foo|bar.test`},
		{`Foo <foo@bar.test, Baz <baz@bar.test>`, `Foo|foo|bar.test, Baz|baz|bar.test`},
		{`<<foo@bar.test>>`, `foo|bar.test`},
		{`"Foo <foo@bar.test>`, `"Foo|foo|bar.test`},
		{`Foo [x <foo@bar.test>`, `Foo [x|foo|bar.test`},
		{`foo@bar@baz.test`, `foo@bar|baz.test`},
		{`undisclosed-recipients`, `undisclosed-recipients|`},
		{`Foo <>`, `Foo||`},
		{`<>`, ``},
		{`<foo>`, `foo|`},
		{`@bar.test`, `|bar.test`},
		{`foo@`, `foo|`},
		{`(just a comment)`, ``},
		{`(not closed`, ``},
		{` , ,, `, ``},
		{``, ``},
		{`;`, ``},
		{`a@b (x) (y)`, `y|a|b`},
		{"a\x00b@c\x00.test", `ab|c.test`},
	} {
		got := show(ParseAddressList([]byte(c.in)))
		if got != c.want {
			t.Errorf("%q\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

func TestAddressListLimits(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("a@b,", 2*MaxAddresses)
	if l := ParseAddressList([]byte(many)); len(l) != MaxAddresses {
		t.Errorf("%d addresses", len(l))
	}
	l := ParseAddressList([]byte("G:" + many))
	if len(l) != MaxAddresses || l[len(l)-1].Kind != KindGroupEnd {
		t.Errorf("%d addresses, the last %v", len(l), l[len(l)-1])
	}
	h := ParseHeader([]byte(strings.Repeat("To: "+strings.Repeat("a@b,", 999)+"\r\n", 10)), Limits{})
	if l := h.Addresses("to"); len(l) != MaxAddresses {
		t.Errorf("%d addresses in ten fields", len(l))
	}
	// Without commas.
	if l := ParseAddressList([]byte(strings.Repeat("a@b ", 1000))); len(l) != 1000 {
		t.Errorf("%d addresses without commas", len(l))
	}
}

func TestFormatAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a    Address
		want string
	}{
		{Address{Mailbox: "a", Host: "b.test"}, `a@b.test`},
		{Address{Name: "A B", Mailbox: "a", Host: "b.test"}, `A B <a@b.test>`},
		{Address{Name: "A, B.", Mailbox: "a", Host: "b.test"}, `"A, B." <a@b.test>`},
		{Address{Name: `A "x" \`, Mailbox: "a", Host: "b.test"}, `"A \"x\" \\" <a@b.test>`},
		{Address{Name: "Jörg", Mailbox: "a", Host: "b.test"}, `=?utf-8?q?J=C3=B6rg?= <a@b.test>`},
		{Address{Name: "=?utf-8?q?J=C3=B6rg?=", Mailbox: "a", Host: "b.test"}, `=?utf-8?q?J=C3=B6rg?= <a@b.test>`},
		{Address{Mailbox: "a b", Host: "b.test"}, `"a b"@b.test`},
		{Address{Mailbox: ".a", Host: "b.test"}, `".a"@b.test`},
		{Address{Name: "a\r\nBcc: x@y", Mailbox: "a", Host: "b.test"}, `"a  Bcc: x@y" <a@b.test>`},
		{Address{Name: "Foo"}, `Foo <>`},
		{Address{Kind: KindGroupStart, Name: "A Group"}, `A Group:`},
		{Address{Kind: KindGroupEnd}, `;`},
	} {
		if got := c.a.String(); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.a, got, c.want)
		}
		if c.a.Kind != KindMailbox || c.a.Mailbox == "" {
			continue
		}
		back := ParseAddressList([]byte(c.want))
		if len(back) != 1 || back[0].Mailbox != c.a.Mailbox || back[0].Host != c.a.Host {
			t.Errorf("%s reads as %s", c.want, show(back))
		}
	}
	if s := (Address{Name: "Jörg", Mailbox: "jörg", Host: "b.test"}).format(true); s != "Jörg <jörg@b.test>" {
		t.Errorf("with SMTPUTF8: %s", s)
	}
	if s := fmt.Sprint((Address{Name: "=?iso-8859-1?q?J=F6rg?="}).DisplayName()); s != "Jörg" {
		t.Errorf("display name %s", s)
	}
}
