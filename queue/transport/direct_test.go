package transport

import (
	"fmt"
	"strings"
	"testing"

	"mox/dsn"
	"mox/internal/testkit"
	"mox/queue"
)

func TestDestinations(t *testing.T) {
	t.Parallel()
	mx := serve(t, serverSetup{})
	var zone strings.Builder
	fmt.Fprintf(&zone, `
mx.example A %[1]s
one.example MX 10 mx.example
noaddress.example TXT "x"
self.example A %[1]s
null.example MX 0 .
alias.example CNAME one.example
loop1.example CNAME loop2.example
loop2.example CNAME loop1.example
some.example MX 10 bad\032name.example
some.example MX 20 mx.example
gone.example MX 10 nothing.example
tonull.example CNAME null.example
`, mx.ip)
	for i := range 18 {
		fmt.Fprintf(&zone, "c%d.example CNAME c%d.example\n", i, i+1)
	}
	fmt.Fprintf(&zone, "c18.example MX 10 mx.example\n")
	w := newWorld(t, testkit.DNSOptions{Zone: zone.String(), Faults: map[string]testkit.DNSFault{"MX broken.example": testkit.DNSServFail, "MX bogus.example": testkit.DNSBogus}}, nil)
	tests := []struct{ name, rcpt, want string }{
		{"mx", "a@one.example", "250"},
		{"ip address", "a@[" + mx.ip.String() + "]", "250"},
		{"no mx, but an address", "a@self.example", "250"},
		{"neither", "a@noaddress.example", "550 5.4.4!"},
		{"no such domain", "a@absent.example", "550 5.1.2!"},
		{"null mx", "a@null.example", "556 5.1.10!"},
		{"alias of a domain with null mx", "a@tonull.example", "556 5.1.10!"},
		{"alias", "a@alias.example", "250"},
		{"aliases in a loop", "a@loop1.example", "error"},
		{"one mx is malformed", "a@some.example", "250"},
		{"several aliases", "a@c12.example", "250"},
		{"host that does not exist", "a@gone.example", "error"},
		{"lookup fails", "a@broken.example", "error"},
		{"bogus", "a@bogus.example", "error"},
	}
	for _, tc := range tests {
		d := w.delivery(tc.rcpt)
		got, l := w.deliver(d)
		if tc.name == "aliases in a loop" && got == "550 5.4.6!" {
			continue // Resolvers may notice first.
		}
		if got != tc.want {
			t.Errorf("%s: got %s, %v, want %s", tc.name, got, l[0].Err, tc.want)
		}
		if got == "250" && (l[0].IP != mx.ip || l[0].Remote == "" || l[0].Host != l[0].Remote || l[0].Text != "taken" || l[0].Enhanced != "2.0.0" || l[0].TLS != "opportunistic") {
			t.Errorf("%s: result %+v", tc.name, l[0])
		}
	}
	if n := len(mx.got()); n != 6 {
		t.Errorf("server got %d messages", n)
	}
	if got := mx.got()[0].content; got != testMessage {
		t.Errorf("server got %q", got)
	}
}

func TestHostsInTurn(t *testing.T) {
	t.Parallel()
	refuse := func(command, reply string) func(*session, string) string {
		return func(_ *session, c string) string {
			if strings.HasPrefix(c, command) && (command != "" || c == "") {
				return reply
			}
			return ""
		}
	}
	tests := []struct {
		name    string
		first   *serverSetup // Nil is a dead host.
		edit    func(d *queue.Delivery)
		want    string
		second  bool // It got the message.
		rcpts   []string
		secondS serverSetup
	}{
		{"first takes it", &serverSetup{}, nil, "250", false, nil, serverSetup{}},
		{"first is dead", nil, nil, "250", true, nil, serverSetup{}},
		{"451 to the recipient", &serverSetup{hook: refuse("RCPT", "451 4.7.1 greylisted")}, nil, "250", true, nil, serverSetup{}},
		{"421 as greeting", &serverSetup{hook: refuse("", "421 4.3.2 busy")}, nil, "250", true, nil, serverSetup{}},
		{"554 as greeting", &serverSetup{hook: refuse("", "554 5.3.2 no mail here")}, nil, "250", true, nil, serverSetup{}},
		{"554 as greeting of both", &serverSetup{hook: refuse("", "554 5.3.2 no mail here")}, nil, "554 5.3.2!", false, nil, serverSetup{hook: refuse("", "554 5.3.2 no mail here")}},
		{"permanent at one, temporary at the other", &serverSetup{hook: refuse("", "554 5.3.2 no mail here")}, nil, "451 4.0.0", false, nil, serverSetup{hook: refuse("MAIL", "451 4.0.0 later")}},
		{"temporary at one, permanent at the other", &serverSetup{hook: refuse("MAIL", "451 4.0.0 later")}, nil, "451 4.0.0", false, nil, serverSetup{hook: refuse("", "554 5.3.2 no mail here")}},
		{"550 to the recipient", &serverSetup{hook: refuse("RCPT", "550 5.1.1 who?")}, nil, "550 5.1.1!", false, nil, serverSetup{}},
		{"550 to one of two", &serverSetup{hook: refuse("RCPT TO:<a@", "550 5.1.1 who?")}, nil, "550 5.1.1!, 250", false, []string{"a@one.example", "b@one.example"}, serverSetup{}},
		{"450 to one of two", &serverSetup{hook: refuse("RCPT TO:<a@", "450 4.2.0 who?")}, nil, "250, 250", true, []string{"a@one.example", "b@one.example"}, serverSetup{}},
		{"552 to a recipient is temporary", &serverSetup{hook: refuse("RCPT", "552 5.2.2 full")}, nil, "452 4.2.2", false, nil, serverSetup{hook: refuse("RCPT", "552 5.2.2 full")}},
		{"554 to the content", &serverSetup{hook: refuse(".", "554 5.7.1 spam")}, nil, "554 5.7.1!", false, nil, serverSetup{}},
		{"451 to the content", &serverSetup{hook: refuse(".", "451 4.3.0 trouble")}, nil, "250", true, nil, serverSetup{}},
		{"no reply to the content", &serverSetup{hook: refuse(".", "close")}, nil, "error", false, nil, serverSetup{}},
		{"hangs up at MAIL", &serverSetup{hook: refuse("MAIL", "close")}, nil, "250", true, nil, serverSetup{}},
		{"hangs up at DATA", &serverSetup{hook: refuse("DATA", "close")}, nil, "250", true, nil, serverSetup{}},
		{"too large for the first", &serverSetup{ext: []string{"SIZE 10"}}, nil, "250", true, nil, serverSetup{}},
		{"too large for both", &serverSetup{ext: []string{"SIZE 10"}}, nil, "552 5.3.4!", false, nil, serverSetup{ext: []string{"SIZE 10"}}},
		{"too large, by reply", &serverSetup{hook: refuse("MAIL", "552 5.3.4 too big")}, nil, "250", true, nil, serverSetup{}},
		{"needs SMTPUTF8", &serverSetup{}, func(d *queue.Delivery) { d.Base.SMTPUTF8 = true }, "250", true, nil, serverSetup{ext: []string{"SMTPUTF8"}}},
		{"needs SMTPUTF8, nowhere", &serverSetup{}, func(d *queue.Delivery) { d.Base.SMTPUTF8 = true }, "550 5.6.7!", false, nil, serverSetup{}},
		{"521, takes no mail", &serverSetup{hook: refuse("MAIL", "521 5.3.2 no")}, nil, "250", true, nil, serverSetup{}},
		{"a reply that makes no sense", &serverSetup{hook: refuse("MAIL", "354 what")}, nil, "250", true, nil, serverSetup{}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			firstIP := newIP()
			var first *server
			if tc.first != nil {
				tc.first.ip = firstIP
				first = serve(t, *tc.first)
			}
			second := serve(t, tc.secondS)
			w := newWorld(t, testkit.DNSOptions{Zone: fmt.Sprintf("one.example MX 10 mx1.example\none.example MX 20 mx2.example\nmx1.example A %s\nmx2.example A %s\n", firstIP, second.ip)}, nil)
			rcpts := tc.rcpts
			if rcpts == nil {
				rcpts = []string{"a@one.example"}
			}
			d := w.delivery(rcpts...)
			if tc.edit != nil {
				tc.edit(&d)
			}
			got, l := w.deliver(d)
			if got != tc.want {
				t.Fatalf("got %s, want %s", got, tc.want)
			}
			if n := len(second.got()); (n == 1) != tc.second {
				t.Errorf("second server got %d messages", n)
			}
			if unanswered := tc.name == "no reply to the content"; l[0].Unanswered != unanswered {
				t.Errorf("unanswered is %v", l[0].Unanswered)
			} else if n, _ := second.connections(); unanswered && n > 0 {
				t.Error("second server was connected to")
			}
			if first != nil && !tc.second && tc.want == "250" && len(first.got()) != 1 {
				t.Errorf("first server got %d messages", len(first.got()))
			}
		})
	}
}

func TestEnvelopeGoesToTheServer(t *testing.T) {
	t.Parallel()
	for _, hasDSN := range []bool{true, false} {
		setup := serverSetup{ext: []string{"SIZE", "8BITMIME", "PIPELINING"}}
		if hasDSN {
			setup.ext = append(setup.ext, "DSN")
		}
		mx := serve(t, setup)
		w := newWorld(t, testkit.DNSOptions{Zone: "one.example A " + mx.ip.String()}, nil)
		d := w.delivery("a@one.example", "b@one.example")
		d.Base.EightBit, d.Base.Ret, d.Base.EnvID = true, "HDRS", "env 1"
		d.Messages[0].Notify, d.Messages[0].OriginalType, d.Messages[0].OriginalRecipient = 1, "rfc822", "o@one.example"
		got, l := w.deliver(d)
		if got != "250, 250" {
			t.Fatalf("got %s", got)
		}
		m := mx.got()[0]
		if hasDSN {
			if m.mail != fmt.Sprintf("MAIL FROM:<me@sender.example> SIZE=%d BODY=8BITMIME RET=HDRS ENVID=env+201", len(testMessage)) || !strings.HasSuffix(m.rcpts[0], " ORCPT=rfc822;o@one.example") || l[0].Success != "" {
				t.Errorf("%q, %q, %q", m.mail, m.rcpts, l[0].Success)
			}
		} else if strings.Contains(m.mail, "RET") || strings.Contains(m.rcpts[0], "ORCPT") || l[0].Success != dsn.Relayed {
			t.Errorf("%q, %q, %q", m.mail, m.rcpts, l[0].Success)
		}
		if m.rcpts[1] != "RCPT TO:<b@one.example>" {
			t.Errorf("%q", m.rcpts)
		}
	}
}

func TestNullSender(t *testing.T) {
	t.Parallel()
	mx := serve(t, serverSetup{})
	w := newWorld(t, testkit.DNSOptions{Zone: "one.example A " + mx.ip.String()}, nil)
	d := w.delivery("a@one.example")
	d.Messages[0].SenderLocalpart, d.Messages[0].SenderDomain = "", ""
	w.want("250", d)
	if got := mx.got()[0].mail; got != "MAIL FROM:<>" {
		t.Errorf("got %q", got)
	}
}

func TestManyRecipients(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		setup       serverSetup
		rcpts       int
		messages    []int // Recipients of each.
		connections int
	}{
		{"RCPTMAX", serverSetup{ext: []string{"PIPELINING", "LIMITS RCPTMAX=2"}}, 5, []int{2, 2, 1}, 1},
		{"MAILMAX", serverSetup{ext: []string{"PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=1"}}, 5, []int{2, 2, 1}, 3},
		{"452 after three", serverSetup{hook: func(s *session, c string) string {
			if strings.HasPrefix(c, "RCPT") && s.rcpts == 3 {
				return "452 4.5.3 too many"
			}
			return ""
		}}, 7, []int{3, 3, 1}, 1},
		{"552 after three", serverSetup{ext: []string{"PIPELINING"}, hook: func(s *session, c string) string {
			if strings.HasPrefix(c, "RCPT") && s.rcpts == 3 {
				return "552 5.5.3 too many"
			}
			return ""
		}}, 7, []int{3, 3, 1}, 1},
		{"hangs up after each message", serverSetup{ext: []string{"PIPELINING", "LIMITS RCPTMAX=2"}, hook: func(_ *session, c string) string {
			if c == "." {
				return "quit 250 2.0.0 taken"
			}
			return ""
		}}, 3, []int{2}, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			mx := serve(t, tc.setup)
			w := newWorld(t, testkit.DNSOptions{Zone: "one.example A " + mx.ip.String()}, nil)
			var rcpts []string
			for i := range tc.rcpts {
				rcpts = append(rcpts, fmt.Sprintf("r%d@one.example", i))
			}
			got, l := w.deliver(w.delivery(rcpts...))
			n := 0
			for i, r := range l {
				if r.Err == nil {
					n++
				} else if tc.connections > 0 {
					t.Errorf("recipient %d: %v", i, r.Err)
				}
			}
			var sizes []int
			for _, m := range mx.got() {
				sizes = append(sizes, len(m.rcpts))
			}
			if conns, _ := mx.connections(); tc.connections > 0 && (fmt.Sprint(sizes) != fmt.Sprint(tc.messages) || conns != tc.connections) {
				t.Errorf("messages with %v recipients on %d connections: %s", sizes, conns, got)
			}
			// Whatever happens, no recipient gets it twice, and those with a result got it.
			seen := map[string]int{}
			for _, m := range mx.got() {
				for _, r := range m.rcpts {
					seen[r]++
				}
			}
			for r, k := range seen {
				if k != 1 {
					t.Errorf("%s got %d messages", r, k)
				}
			}
			if len(seen) != n {
				t.Errorf("%d results are good and %d recipients got it", n, len(seen))
			}
		})
	}
}

func TestLargeMessageGoesWithBDAT(t *testing.T) {
	t.Parallel()
	mx := serve(t, serverSetup{ext: []string{"PIPELINING", "CHUNKING", "SIZE 100000000"}})
	w := newWorld(t, testkit.DNSOptions{Zone: "one.example A " + mx.ip.String()}, nil)
	d := w.delivery("a@one.example")
	body := "Subject: big\r\n\r\n" + strings.Repeat(".0123456789\r\n", 400_000)
	d.Content = newContent(body)
	w.want("250", d)
	if got := mx.got()[0].content; got != body || mx.countCommands("BDAT") < 20 || mx.countCommands("DATA") > 0 {
		t.Errorf("server got %d octets in %d chunks", len(got), mx.countCommands("BDAT"))
	}
}

func TestNothingToTry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DNSOptions{Zone: "one.example A 127.0.0.1\n"}, func(o *DirectOptions) { o.DisableIPv4 = true })
	w.want("error", w.delivery("a@one.example"))
	w.want("550 5.4.4!", w.delivery("a@[127.0.0.1]"))
}
