package dsn

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"mox/dns"
	"mox/internal/testkit"
	"mox/message"
	"mox/smtp"
)

func domain(t testing.TB, s string) dns.Domain {
	t.Helper()
	d, err := dns.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func path(t testing.TB, s string) smtp.Path {
	t.Helper()
	p, err := smtp.ParseMailbox(s, smtp.Lenient)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var zone = time.FixedZone("", 2*3600)

// failure is a notification about two recipients.
func failure(t testing.TB) Message {
	return Message{
		From:      smtp.NewAddress("postmaster", domain(t, "mail.example")),
		To:        path(t, "sender@example.org"),
		Subject:   "mail delivery failure",
		MessageID: "<id@mail.example>",
		Date:      time.Date(2026, 3, 4, 5, 6, 7, 0, zone),
		InReplyTo: "<original@example.org>",
		Text:      "The message could not be delivered to these recipients:\n\n\twho@other.example\n",
		Header:    []byte("From: <sender@example.org>\r\nSubject: hello\r\n"),
		Report: Report{
			OriginalEnvelopeID: "QQ314159",
			ReportingMTA:       MTA{Name: "mail.example"},
			ReceivedFromMTA:    MTA{Name: "client.example", Comment: "10.0.0.1"},
			ArrivalDate:        time.Date(2026, 3, 3, 5, 6, 7, 0, zone),
			Recipients: []Recipient{
				{
					Original:       smtp.OriginalRecipient{AddrType: "rfc822", Address: "alias@example.org"},
					Final:          Address(path(t, "who@other.example")),
					Action:         Failed,
					Status:         "5.1.1",
					StatusComment:  "bad destination mailbox",
					RemoteMTA:      MTA{Name: "mx.other.example", Comment: "192.0.2.1"},
					DiagnosticType: "smtp",
					Diagnostic:     "550-5.1.1 who is that?\n550 5.1.1 There is no one with that name here, and never has been",
					LastAttempt:    time.Date(2026, 3, 4, 5, 6, 0, 0, zone),
				},
				{
					Final:          Address(path(t, "busy@other.example")),
					Action:         Delayed,
					Status:         "4.4.1",
					LastAttempt:    time.Date(2026, 3, 4, 5, 6, 1, 0, zone),
					FinalLogID:     "1f2",
					WillRetryUntil: time.Date(2026, 3, 8, 5, 6, 7, 0, zone),
				},
			},
		},
	}
}

// international is a notification with UTF-8 in all places.
func international(t testing.TB) Message {
	m := failure(t)
	m.From.Domain = domain(t, "mäil.example")
	m.To = path(t, "sénder@ëxample.org")
	m.Subject = "Zustellung fehlgeschlagen: Grüße"
	m.Text = "Grüße an alle, die dies lesen.\n"
	m.Header = []byte("From: <sénder@ëxample.org>\r\nSubject: Grüße\r\n")
	m.Report.FutureReleaseRequest = "for;3600"
	r := &m.Report.Recipients[0]
	r.Original = smtp.OriginalRecipient{AddrType: "utf-8", Address: "älias+x@example.org"}
	r.Final = Address(path(t, "wér@ëxample.org"))
	r.Diagnostic = "550 5.1.1 kein Empfänger dieses Namens"
	return m
}

var boundary = regexp.MustCompile(`=_[0-9a-f]{32}`)

// compose returns the notification with a fixed boundary.
func compose(t testing.TB, m Message, opts ComposeOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := m.Compose(&b, opts); err != nil {
		t.Fatal(err)
	}
	return boundary.ReplaceAll(b.Bytes(), []byte("=_boundary"))
}

// parse parses a notification and returns its parts too.
func parse(t testing.TB, msg []byte) (Report, *message.Part, error) {
	t.Helper()
	r := bytes.NewReader(msg)
	root, err := message.Parse(r, int64(len(msg)), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	rep, err := Parse(r, root)
	return rep, root, err
}

func TestComposedNotifications(t *testing.T) {
	t.Parallel()
	whole := func(t testing.TB, content string) Message {
		m := failure(t)
		m.Content = strings.NewReader(content)
		return m
	}
	body8 := whole(t, "Subject: hello\r\n\r\nGrüße\r\n")
	body8.Content8Bit = true
	header8 := whole(t, "Subject: Grüße\r\n\r\nGrüße\r\n")
	header8.Content8Bit, header8.ContentUTF8 = true, true
	header8.Header = []byte("Subject: Grüße\r\n")
	latin := failure(t)
	latin.Header = []byte("Subject: Gr\xfc\xdfe\r\n")
	bare := failure(t)
	bare.Header = nil
	tests := []struct {
		name  string
		m     Message
		opts  ComposeOptions
		parts string
	}{
		{"failure", failure(t), ComposeOptions{}, "TEXT/PLAIN 7BIT, MESSAGE/DELIVERY-STATUS 7BIT, TEXT/RFC822-HEADERS 7BIT"},
		{"failure-over-utf8", failure(t), ComposeOptions{UTF8: true}, "TEXT/PLAIN 7BIT, MESSAGE/DELIVERY-STATUS 7BIT, TEXT/RFC822-HEADERS 7BIT"},
		{"international", international(t), ComposeOptions{UTF8: true}, "TEXT/PLAIN QUOTED-PRINTABLE, MESSAGE/GLOBAL-DELIVERY-STATUS 8BIT, MESSAGE/GLOBAL-HEADERS 8BIT"},
		{"international-in-ascii", international(t), ComposeOptions{}, "TEXT/PLAIN QUOTED-PRINTABLE, MESSAGE/DELIVERY-STATUS 7BIT, MESSAGE/GLOBAL-HEADERS BASE64"},
		{"whole-message", whole(t, "Subject: hello\r\n\r\nhi\r\n"), ComposeOptions{}, "TEXT/PLAIN 7BIT, MESSAGE/DELIVERY-STATUS 7BIT, MESSAGE/RFC822 7BIT"},
		{"whole-8bit-message", body8, ComposeOptions{UTF8: true}, "TEXT/PLAIN 7BIT, MESSAGE/DELIVERY-STATUS 7BIT, MESSAGE/RFC822 8BIT"},
		{"header-of-8bit-message-in-ascii", body8, ComposeOptions{}, "TEXT/PLAIN 7BIT, MESSAGE/DELIVERY-STATUS 7BIT, TEXT/RFC822-HEADERS 7BIT"},
		{"whole-utf8-message", header8, ComposeOptions{UTF8: true}, "TEXT/PLAIN 7BIT, MESSAGE/DELIVERY-STATUS 7BIT, MESSAGE/GLOBAL 8BIT"},
		{"header-of-utf8-message-in-ascii", header8, ComposeOptions{}, "TEXT/PLAIN 7BIT, MESSAGE/DELIVERY-STATUS 7BIT, MESSAGE/GLOBAL-HEADERS BASE64"},
		{"header-not-utf8", latin, ComposeOptions{UTF8: true}, "TEXT/PLAIN 7BIT, MESSAGE/DELIVERY-STATUS 7BIT, TEXT/RFC822-HEADERS BASE64"},
		{"without-header", bare, ComposeOptions{}, "TEXT/PLAIN 7BIT, MESSAGE/DELIVERY-STATUS 7BIT"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := compose(t, tc.m, tc.opts)
			testkit.Golden(t, filepath.Join("testdata", tc.name+".eml"), got)
			if bytes.ContainsFunc(got, func(r rune) bool { return r > 0x7e }) && !tc.opts.UTF8 {
				t.Error("not ASCII")
			}
			for line := range bytes.SplitSeq(got, []byte("\r\n")) {
				if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") {
					t.Errorf("line %q", line)
				}
			}
			rep, root, err := parse(t, got)
			if err != nil {
				t.Fatal(err)
			}
			var parts []string
			for _, p := range root.Parts {
				parts = append(parts, p.Type+"/"+p.Subtype+" "+p.Encoding)
			}
			if s := strings.Join(parts, ", "); s != tc.parts {
				t.Errorf("got parts %s, want %s", s, tc.parts)
			}
			checkReport(t, rep, tc.m.Report, tc.opts.UTF8)
		})
	}
}

// checkReport compares a report with the one it was made of.
func checkReport(t *testing.T, got, want Report, utf8 bool) {
	t.Helper()
	want.Recipients = append([]Recipient(nil), want.Recipients...)
	for _, m := range []*MTA{&want.ReportingMTA, &want.ReceivedFromMTA, &want.Recipients[0].RemoteMTA} {
		m.Type = "dns"
	}
	r := &want.Recipients[0]
	r.Diagnostic = strings.ReplaceAll(r.Diagnostic, "\n", " ")
	if !utf8 {
		r.Diagnostic = strings.ReplaceAll(r.Diagnostic, "ä", `\x{E4}`)
	}
	for _, pair := range [][2]*time.Time{{&got.ArrivalDate, &want.ArrivalDate}, {&got.Recipients[0].LastAttempt, &r.LastAttempt},
		{&got.Recipients[1].LastAttempt, &want.Recipients[1].LastAttempt}, {&got.Recipients[1].WillRetryUntil, &want.Recipients[1].WillRetryUntil}} {
		if !pair[0].Equal(*pair[1]) {
			t.Errorf("got time %v, want %v", pair[0], pair[1])
		}
		*pair[0], *pair[1] = time.Time{}, time.Time{}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

// The example of RFC 3464 appendix E.1, with its report as it is there.
const example = "From: Mail Delivery Subsystem <MAILER-DAEMON@CS.UTK.EDU>\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: multipart/report; report-type=delivery-status;\r\n" +
	"      boundary=\"RAA14128.773615765/CS.UTK.EDU\"\r\n" +
	"\r\n" +
	"--RAA14128.773615765/CS.UTK.EDU\r\n" +
	"\r\n" +
	"The original message was received at Sat, 2 Jul 1994 17:10:28 -0400\r\n" +
	"--RAA14128.773615765/CS.UTK.EDU\r\n" +
	"content-type: message/delivery-status\r\n" +
	"\r\n" +
	"Reporting-MTA: dns; cs.utk.edu\r\n" +
	"\r\n" +
	"Original-Recipient: rfc822;louisl@larry.slip.umd.edu\r\n" +
	"Final-Recipient: rfc822;louisl@larry.slip.umd.edu\r\n" +
	"Action: failed\r\n" +
	"Status: 4.0.0\r\n" +
	"Diagnostic-Code: smtp; 426 connection timed out\r\n" +
	"Last-Attempt-Date: Thu, 7 Jul 1994 17:15:49 -0400\r\n" +
	"\r\n" +
	"--RAA14128.773615765/CS.UTK.EDU\r\n" +
	"content-type: message/rfc822\r\n" +
	"\r\n" +
	"[original message goes here]\r\n" +
	"\r\n" +
	"--RAA14128.773615765/CS.UTK.EDU--\r\n"

func TestExampleOfTheRFC(t *testing.T) {
	t.Parallel()
	rep, _, err := parse(t, []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	address := smtp.OriginalRecipient{AddrType: "rfc822", Address: "louisl@larry.slip.umd.edu"}
	last := rep.Recipients[0].LastAttempt
	rep.Recipients[0].LastAttempt = time.Time{}
	want := Report{
		ReportingMTA: MTA{Type: "dns", Name: "cs.utk.edu"},
		Recipients:   []Recipient{{Original: address, Final: address, Action: Failed, Status: "4.0.0", DiagnosticType: "smtp", Diagnostic: "426 connection timed out"}},
	}
	if !reflect.DeepEqual(rep, want) || !last.Equal(time.Date(1994, 7, 7, 21, 15, 49, 0, time.UTC)) {
		t.Fatalf("got %+v, last attempt %v", rep, last)
	}
	code, enhanced := rep.Recipients[0].SMTPCode()
	if p, ok := Path(rep.Recipients[0].Final); code != 426 || enhanced != "4.0.0" || !ok || p.String() != "<louisl@larry.slip.umd.edu>" {
		t.Fatalf("got %d %s, %v", code, enhanced, p)
	}
}

func TestWhatIsNoNotification(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		msg  string
		err  error
	}{
		{"plain message", "Subject: hi\r\n\r\nbody\r\n", ErrNotDSN},
		{"other report", strings.ReplaceAll(example, "report-type=delivery-status", "report-type=disposition-notification"), ErrNotDSN},
		{"other multipart", strings.ReplaceAll(example, "multipart/report", "multipart/mixed"), ErrNotDSN},
		{"other second part", strings.ReplaceAll(example, "message/delivery-status", "text/plain"), ErrNotDSN},
		{"no report type", strings.ReplaceAll(example, "report-type=delivery-status;", ""), nil},
		{"report in UTF-8", strings.ReplaceAll(example, "message/delivery-status", "message/global-delivery-status"), nil},
		{"no recipients", strings.ReplaceAll(example, "Final-Recipient", "X-Final-Recipient"), nil}, // The original one is there.
		{"no recipient at all", strings.ReplaceAll(example, "l-Recipient", "l-Receiver"), ErrMalformed},
		{"no action", strings.ReplaceAll(example, "Action: failed", "Action: fold"), ErrMalformed},
		{"empty report", strings.ReplaceAll(example, "Reporting-MTA", "\r\n\r\nX"), nil},
		{"unknown encoding", strings.ReplaceAll(example, "content-type: message/delivery-status", "Content-Transfer-Encoding: x-odd\r\nContent-Type: message/delivery-status"), ErrMalformed},
		{"too large", strings.ReplaceAll(example, "Reporting-MTA: dns;", "X: "+strings.Repeat("x", MaxReport)+"\r\nReporting-MTA: dns;"), ErrMalformed},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if rep, _, err := parse(t, []byte(tc.msg)); !errors.Is(err, tc.err) {
				t.Fatalf("got %+v, %v, want %v", rep, err, tc.err)
			}
		})
	}
}

func TestReportFields(t *testing.T) {
	t.Parallel()
	one := func(fields string) string { return "Reporting-MTA: dns; a\r\n\r\n" + fields + "\r\n" }
	final := smtp.OriginalRecipient{AddrType: "rfc822", Address: "a@b.example"}
	tests := []struct {
		name, in string
		want     Recipient
	}{
		{"comments and case", one("FINAL-RECIPIENT: RFC822 (type); a@b.example\r\naction: Delayed (soon)\r\nStatus: 4.4.1 (no answer)"), Recipient{Final: final, Action: Delayed, Status: "4.4.1", StatusComment: "no answer"}},
		{"address without type", one("Final-Recipient: a@b.example\r\nAction: failed"), Recipient{Final: final, Action: Failed}},
		{"status that is none", one("Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 550"), Recipient{Final: final, Action: Failed}},
		{"folded diagnostic", one("Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\nDiagnostic-Code: smtp;\r\n 550-5.1.1 a\r\n\t550 5.1.1 b"),
			Recipient{Final: final, Action: Failed, DiagnosticType: "smtp", Diagnostic: "550-5.1.1 a 550 5.1.1 b"}},
		{"address in UTF-8, encoded", one(`Final-Recipient: utf-8; \x{E9}@b.example` + "\r\nAction: failed"), Recipient{Final: smtp.OriginalRecipient{AddrType: "utf-8", Address: "é@b.example"}, Action: Failed}},
		{"address of type utf-8 that is none", one(`Final-Recipient: utf-8; \x{}@b` + "\r\nAction: failed"), Recipient{Final: smtp.OriginalRecipient{AddrType: "utf-8", Address: `\x{}@b`}, Action: Failed}},
		{"all in one group", "Reporting-MTA: dns; a\r\nFinal-Recipient: rfc822; a@b.example\r\nAction: relayed\r\n", Recipient{Final: final, Action: Relayed}},
		{"bare line feeds and blank lines", "\n\nReporting-MTA: dns; a\n\n\n\nFinal-Recipient: rfc822; a@b.example\nAction: expanded\n", Recipient{Final: final, Action: Expanded}},
		{"other diagnostic type", one("Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\nDiagnostic-Code: X-Postfix; unknown user"), Recipient{Final: final, Action: Failed, DiagnosticType: "x-postfix", Diagnostic: "unknown user"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			rep, err := parseReport([]byte(tc.in))
			if err != nil || len(rep.Recipients) != 1 || !reflect.DeepEqual(rep.Recipients[0], tc.want) {
				t.Fatalf("got %+v, %v, want %+v", rep, err, tc.want)
			}
		})
	}
}

func TestRecipientsOfAReportAreLimited(t *testing.T) {
	t.Parallel()
	rep, err := parseReport([]byte("Reporting-MTA: dns; a\n" + strings.Repeat("\nFinal-Recipient: rfc822; a@b\nAction: failed\n", MaxRecipients+1)))
	if err != nil || len(rep.Recipients) != MaxRecipients {
		t.Fatalf("got %d, %v", len(rep.Recipients), err)
	}
}

func TestNotificationsOfOthers(t *testing.T) {
	t.Parallel()
	dir := testkit.Shared(t, "testdata/mail/multipart_report_emails")
	want := map[string]string{
		"multi_address_bounce1.eml": "failed 550 5.1.1",
		"multi_address_bounce2.eml": "failed 550 5.1.1",
		"report_422.eml":            "delayed 452 4.2.2",
		"report_530.eml":            "failed 553 5.3.0",
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.eml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files, %v", err)
	}
	for _, f := range files {
		msg, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		rep, _, err := parse(t, msg)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(f), err)
			continue
		}
		code, enhanced := rep.Recipients[0].SMTPCode()
		got := fmt.Sprintf("%s %d %s", rep.Recipients[0].Action, code, enhanced)
		if w := want[filepath.Base(f)]; w != "" && got != w {
			t.Errorf("%s: got %s, want %s", filepath.Base(f), got, w)
		}
	}
}

func TestStatusOfReplies(t *testing.T) {
	t.Parallel()
	tests := []struct {
		permanent bool
		code      int
		enhanced  string
		want      string
	}{
		{true, 550, "5.1.1", "5.1.1"},
		{true, 550, "", "5.0.0"},
		{false, 451, "x", "4.0.0"},
		{true, 0, "", "5.0.0"},
		{false, 0, "", "4.0.0"},
		{true, 0, "5.7.30", "5.7.30"},
		{true, 550, "5.1.1234", "5.0.0"},
		{true, 550, "6.1.1", "5.0.0"},
	}
	for _, tc := range tests {
		if got := Status(tc.permanent, tc.code, tc.enhanced); got != tc.want {
			t.Errorf("%+v: got %s", tc, got)
		}
	}
}

func TestSMTPCodeOfDiagnostics(t *testing.T) {
	t.Parallel()
	tests := []struct {
		typ, diagnostic, status string
		code                    int
		enhanced                string
	}{
		{"smtp", "550-5.1.1 a 550 5.1.1 b", "5.0.0", 550, "5.1.1"},
		{"SMTP", "452 4.2.2 full", "", 452, "4.2.2"},
		{"smtp", "550 5.1.1", "5.0.0", 550, "5.1.1"},
		{"smtp", "550 no", "5.2.1", 550, "5.2.1"},
		{"smtp", "550 4.1.1 no", "5.2.1", 550, "5.2.1"},
		{"smtp", "5500 no", "5.2.1", 0, "5.2.1"},
		{"smtp", "host not found", "4.4.4", 0, "4.4.4"},
		{"x-local", "550 5.1.1 a", "5.0.0", 0, "5.0.0"},
	}
	for _, tc := range tests {
		r := Recipient{DiagnosticType: tc.typ, Diagnostic: tc.diagnostic, Status: tc.status}
		if code, enhanced := r.SMTPCode(); code != tc.code || enhanced != tc.enhanced {
			t.Errorf("%+v: got %d %s", tc, code, enhanced)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for p, want := range map[string]smtp.OriginalRecipient{
		"a@b.example":       {AddrType: "rfc822", Address: "a@b.example"},
		`"a b"@ëxample.org`: {AddrType: "rfc822", Address: `"a b"@xn--xample-ova.org`},
		"é@ëxample.org":     {AddrType: "utf-8", Address: "é@ëxample.org"},
	} {
		got := Address(path(t, p))
		if got != want {
			t.Errorf("%s: got %+v", p, got)
		}
		if back, ok := Path(got); !ok || !back.Equal(path(t, p)) {
			t.Errorf("%s: got %v back", p, back)
		}
	}
	if p, ok := Path(smtp.OriginalRecipient{AddrType: "rfc822", Address: "<a@b.example>"}); !ok || !p.Equal(path(t, "a@b.example")) {
		t.Errorf("got %v", p)
	}
	for _, a := range []smtp.OriginalRecipient{{AddrType: "x400", Address: "a@b.example"}, {AddrType: "rfc822", Address: "a b"}, {}} {
		if p, ok := Path(a); ok {
			t.Errorf("%+v: got %v", a, p)
		}
	}
	if a := Address(smtp.Path{Localpart: "a", IPDomain: dns.IPDomain{IP: net.IPv4(10, 0, 0, 1)}}); a.Address != "a@[10.0.0.1]" {
		t.Errorf("got %+v", a)
	}
}

func TestServersCannotAddFields(t *testing.T) {
	t.Parallel()
	m := failure(t)
	m.Report.Recipients = m.Report.Recipients[:1]
	r := &m.Report.Recipients[0]
	r.Diagnostic = "550 no\r\n\r\nFinal-Recipient: rfc822; victim@example.org\r\nAction: failed\x00\xff" + strings.Repeat("x", 5000) + strings.Repeat(" y", maxDiagnostic)
	r.StatusComment = "a) (b\r\nAction: delivered"
	r.RemoteMTA.Comment = ")\n("
	rep, _, err := parse(t, compose(t, m, ComposeOptions{}))
	if err != nil || len(rep.Recipients) != 1 || rep.Recipients[0].Action != Failed || rep.Recipients[0].Final != r.Final {
		t.Fatalf("got %+v, %v", rep, err)
	}
	if n := len(rep.Recipients[0].Diagnostic); n < 5000 || n > maxDiagnostic+100 {
		t.Fatalf("diagnostic of %d octets", n)
	}
}

func TestComposeErrors(t *testing.T) {
	t.Parallel()
	m := failure(t)
	if err := m.Compose(&bytes.Buffer{}, ComposeOptions{MaxSize: 100}); !errors.Is(err, message.ErrMessageSize) {
		t.Errorf("got %v", err)
	}
	m.Report.Recipients = nil
	if err := m.Compose(&bytes.Buffer{}, ComposeOptions{}); err == nil {
		t.Error("no error without recipients")
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add([]byte("Reporting-MTA: dns; a (b)\r\nArrival-Date: Thu, 7 Jul 1994 17:15:49 -0400\r\n\r\nFinal-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.1.1 (x)\r\nDiagnostic-Code: smtp; 550 x\r\n"))
	f.Add([]byte("Reporting-MTA: x;y\n\nFinal-Recipient: utf-8; \\x{E9}@b\nOriginal-Recipient: utf-8;é\nAction: delayed\nWill-Retry-Until: Thu, 7 Jul 1994 17:15:49 +0000\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rep, err := parseReport(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if rep.ReportingMTA.Name == "" {
			return // Compose refuses it.
		}
		// What is written of it can be read, and stays what it is.
		for _, utf8 := range []bool{false, true} {
			once, _ := rep.format(utf8)
			if !utf8 && bytes.ContainsFunc(once, func(r rune) bool { return r > 0x7f }) {
				t.Fatalf("not ASCII: %q", once)
			}
			again, err := parseReport(once)
			if err != nil {
				t.Fatalf("%q became %q: %v", data, once, err)
			}
			if len(again.Recipients) != len(rep.Recipients) {
				t.Fatalf("%q became %q", data, once)
			}
			for i, r := range again.Recipients {
				if r.Action != rep.Recipients[i].Action {
					t.Fatalf("%q became %q", data, once)
				}
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	for _, utf8 := range []bool{false, true} {
		f.Add(compose(f, international(f), ComposeOptions{UTF8: utf8}))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		r := bytes.NewReader(msg)
		root, err := message.Parse(r, int64(len(msg)), message.Limits{})
		if err != nil {
			return
		}
		rep, err := Parse(r, root)
		switch {
		case err == nil && (len(rep.Recipients) == 0 || len(rep.Recipients) > MaxRecipients || Find(root) == nil):
			t.Fatalf("got %+v", rep)
		case err != nil && !errors.Is(err, ErrNotDSN) && !errors.Is(err, ErrMalformed):
			t.Fatal(err)
		}
	})
}
