package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var digestMessage = crlf(`
Return-Path: <bounce@example.com>
Received: from a by b
DKIM-Signature: v=1
Date: Wed, 31 Jan 2024 23:30:00 -0500
From: =?utf-8?q?J=C3=B6rg?= <Joerg@Example.com>
To: Alice <alice@example.org>, "Bob, B." <bob@example.org>,
 Team: carol@example.org;
Cc: dave@example.org
Subject: =?iso-8859-1?q?Re=3A_[list]_Caf=E9?=
Message-ID: <"ABC"@Example.com>
In-Reply-To: <parent@x>
References: <root@x> <parent@x>
List-Id: <list.example.org>
X-Spam: no
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Grüße aus Köln
--b
Content-Type: application/pdf; name=x.pdf
Content-Disposition: attachment
Content-Language: en, de
Content-Transfer-Encoding: base64

eA==
--b
Content-Type: message/rfc822
Content-Description: d
Content-Location: l
Content-MD5: m
Content-ID: <i@d>

Subject: inner

inner
--b--
`)

func collect(d Digest) []string {
	var l []string
	for id := range d.References() {
		l = append(l, string(id))
	}
	return l
}

func TestDigest(t *testing.T) {
	t.Parallel()
	d := mustDigest(t, digestMessage)
	root := mustParse(t, digestMessage, Limits{})
	for _, c := range []struct {
		name      string
		got, want string
	}{
		{"envelope", string(d.Envelope()), string(root.Envelope)},
		{"body structure", string(d.BodyStructure()), string(AppendBodyStructure(nil, root))},
		{"body", string(d.Body()), string(AppendBody(nil, root))},
		{"subject", string(d.SearchSubject()), "re: [list] café"},
		{"from", string(d.SearchFrom()), "jörg <joerg@example.com>\n"},
		{"to", string(d.SearchTo()), "alice <alice@example.org>\nbob, b. <bob@example.org>\nteam:\n<carol@example.org>\n"},
		{"cc", string(d.SearchCc()), "<dave@example.org>\n"},
		{"bcc", string(d.SearchBcc()), ""},
		{"message id", string(d.MessageID()), "abc@example.com"},
		{"references", fmt.Sprint(collect(d)), "[root@x parent@x]"},
		{"base subject", string(d.BaseSubject()), "café"},
		{"preview", string(d.Preview()), "Grüße aus Köln"},
		{"sizes", fmt.Sprint(d.Size(), d.HeaderSize()), fmt.Sprint(len(digestMessage), strings.Index(digestMessage, "\r\n\r\n")+4)},
		{"facts", fmt.Sprint(d.IsReply(), d.IsDSN(), d.HasAttachments(), d.NeedsSMTPUTF8(), d.Needs8BitMIME(), d.SearchCut()), "true false true false true false"},
	} {
		if c.got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.name, c.got, c.want)
		}
	}
	if day, ok := d.SentDay(); !ok || time.Unix(int64(day)*86400, 0).UTC().Format("2006-01-02") != "2024-01-31" {
		t.Errorf("sent on day %d", day)
	}
	if at, ok := d.SentTime(); !ok || at.Format(time.RFC3339) != "2024-02-01T04:30:00Z" {
		t.Errorf("sent at %v", at)
	}
	tree, err := d.Tree()
	if err != nil || !reflect.DeepEqual(tree, root) {
		t.Errorf("tree %v\n got %s\nwant %s", err, outline(tree), outline(root))
	}
}

func TestDigestOfMessageWithoutAnything(t *testing.T) {
	t.Parallel()
	d := mustDigest(t, "")
	if _, ok := d.SentTime(); ok {
		t.Error("sent")
	}
	if _, ok := d.SentDay(); ok {
		t.Error("sent")
	}
	if string(d.Envelope()) != emptyEnvelope || len(d.Fields()) != 0 || !d.HasField([]byte("From")) || len(collect(d)) != 0 {
		t.Errorf("%s, fields %q", d.Envelope(), d.Fields())
	}
	d = mustDigest(t, "Date: 1 Jan 1960 00:00 +0000\r\n\r\n")
	if day, ok := d.SentDay(); !ok || day != -3653 {
		t.Errorf("a day before 1970 is %d", day)
	}
}

func TestDigestFields(t *testing.T) {
	t.Parallel()
	d := mustDigest(t, digestMessage)
	for name, want := range map[string]bool{
		"From": true, "CONTENT-TYPE": true, "list-id": true, "Bcc": true, "Newsgroups": true, "List-Unsubscribe": true, "X-Absent": true,
		"Received": false, "DKIM-Signature": false, "x-spam": false,
	} {
		if got := d.HasField([]byte(name)); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
	// What is answered from the fields is what the full header gives.
	h := ParseHeader([]byte(digestMessage), Limits{})
	names := [][]byte{[]byte("subject"), []byte("TO"), []byte("From"), []byte("Bcc"), []byte("Newsgroups"), []byte("Content-Type")}
	got, want := d.FilterFields(nil, names, false), FilterFields(nil, h.Raw, names, false)
	if string(got) != string(want) || !strings.Contains(string(got), "Team: carol") || !strings.HasSuffix(string(got), "\r\n\r\n") {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if strings.Contains(string(d.Fields()), "Received") {
		t.Errorf("fields %q", d.Fields())
	}
}

func TestDigestFieldsHaveALimit(t *testing.T) {
	t.Parallel()
	msg := "To: " + strings.Repeat("someone@example.org,\r\n ", 1000) + "\r\nSubject: x\r\nList-Id: y\r\nList-Post: " + strings.Repeat("z", MaxDigestFields) + "\r\nFrom: a@b\r\n\r\n"
	d := mustDigest(t, msg)
	if n := len(d.Fields()); n > MaxDigestFields+2 {
		t.Errorf("%d bytes of fields", n)
	}
	for name, want := range map[string]bool{"To": false, "List-Post": false, "List-Id": true, "Subject": true, "From": true, "Cc": true} {
		if d.HasField([]byte(name)) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	if string(d.FilterFields(nil, [][]byte{[]byte("From")}, false)) != "From: a@b\r\n\r\n" {
		t.Errorf("fields %q", d.Fields())
	}
	var many strings.Builder
	for i := range 2 * maxOmitted {
		fmt.Fprintf(&many, "X-%d: y\r\n", i)
	}
	if d := mustDigest(t, many.String()+"From: a@b\r\n\r\n"); d.HasField([]byte("From")) || d.HasField([]byte("To")) {
		t.Error("too many names to tell what is absent")
	}
	cut, err := NewDigest(strings.NewReader(msg), int64(len(msg)), Limits{Header: 100})
	if err != nil || cut.HasField([]byte("Cc")) || !cut.SearchCut() {
		t.Errorf("a header that was cut: %v", err)
	}
}

func TestDigestSearchTextHasALimit(t *testing.T) {
	t.Parallel()
	d := mustDigest(t, "Subject: "+strings.Repeat("é", MaxSearchText)+"\r\nTo: "+strings.Repeat("someone@example.org,", 4000)+"\r\n\r\n")
	if len(d.SearchSubject()) > MaxSearchText || len(d.SearchTo()) > MaxSearchText || !d.SearchCut() {
		t.Errorf("%d and %d bytes", len(d.SearchSubject()), len(d.SearchTo()))
	}
	if len(d.BaseSubject()) > maxBaseSubject {
		t.Errorf("base subject of %d bytes", len(d.BaseSubject()))
	}
}

func TestDigestFacts(t *testing.T) {
	t.Parallel()
	report := "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: message/%s\r\n\r\nx: y\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n--b--\r\n"
	for _, c := range []struct{ name, msg, want string }{
		{"a DSN", strings.ReplaceAll(report, "%s", "delivery-status"), "dsn"},
		{"a DSN of RFC 6533", strings.ReplaceAll(report, "%s", "global-delivery-status"), "dsn"},
		{"another report", strings.ReplaceAll(report, "%s", "disposition-notification"), ""},
		{"a header beyond ASCII", "Subject: é\r\n\r\n", "utf8 8bit"},
		{"a header of a part beyond ASCII", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: é\r\n\r\n--b--\r\n", "utf8 8bit"},
		{"a body beyond ASCII", "\r\né", "8bit"},
		{"a body beyond ASCII at its end", "\r\n" + strings.Repeat("x", 100_001) + "\x80", "8bit"},
		{"a forward", "Subject: Fwd: x\r\n\r\n", "reply"},
		{"an attachment in a nested message", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: image/png\r\nContent-Disposition: attachment\r\n\r\n--b--\r\n", "attachments"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := mustDigest(t, c.msg)
			var got []string
			for _, f := range []struct {
				name string
				set  bool
			}{{"reply", d.IsReply()}, {"dsn", d.IsDSN()}, {"attachments", d.HasAttachments()}, {"utf8", d.NeedsSMTPUTF8()}, {"8bit", d.Needs8BitMIME()}} {
				if f.set {
					got = append(got, f.name)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}

func TestSplitAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"name <a@b>\nx <c@d>\n": "name|a@b", "<a@b>\n": "|a@b", "a < b <a@b>\n": "a < b|a@b", "group:\n<a@b>\n": "group|", "name <>\n": "name|", "": "|", "x": "x|",
	} {
		name, addr := SplitAddress([]byte(in))
		if got := string(name) + "|" + string(addr); got != want {
			t.Errorf("%q: got %q", in, got)
		}
	}
}

// useAll calls each accessor, for what they must not do on hostile bytes.
func useAll(d Digest) {
	for _, b := range [][]byte{d.Envelope(), d.BodyStructure(), d.Body(), d.Fields(), d.SearchSubject(), d.SearchFrom(), d.SearchTo(), d.SearchCc(), d.SearchBcc(),
		d.MessageID(), d.BaseSubject(), d.Preview()} {
		_ = slices.Max(append(b, 0))
	}
	_, _ = SplitAddress(d.SearchFrom())
	_ = collect(d)
	_, _ = d.SentDay()
	_, _ = d.SentTime()
	_ = d.HasField([]byte("X"))
	_ = d.FilterFields(nil, [][]byte{[]byte("To")}, true)
	_ = fmt.Sprint(d.Size(), d.HeaderSize(), d.IsReply(), d.IsDSN(), d.HasAttachments(), d.NeedsSMTPUTF8(), d.Needs8BitMIME(), d.SearchCut())
	if root, err := d.Tree(); err == nil {
		_ = AppendBodyStructure(nil, root)
	}
}

func TestCorruptDigestIsFound(t *testing.T) {
	t.Parallel()
	d := mustDigest(t, digestMessage)
	for n := range d {
		short := d[:n:n]
		if err := short.Valid(); !errors.Is(err, ErrDigest) {
			t.Fatalf("%d of %d bytes: %v", n, len(d), err)
		}
		useAll(short)
	}
	if err := append(slices.Clone(d), 0).Valid(); !errors.Is(err, ErrDigest) {
		t.Errorf("a byte more: %v", err)
	}
	if err := Digest(nil).Valid(); !errors.Is(err, ErrDigest) {
		t.Errorf("nil: %v", err)
	}
	for i := range d {
		for _, x := range []byte{0xff, 0x80, 1} {
			bad := slices.Clone(d)
			bad[i] ^= x
			useAll(bad)
			if bad.Valid() == nil {
				// What it says may be wrong, but it can be sent and used.
				if err := checkEnvelopeLoosely(bad.Envelope()); err != nil {
					t.Fatalf("byte %d: %v", i, err)
				}
			}
		}
	}
	table := digestTable + 4*int(sectionTree)
	bad := slices.Clone(d)
	binary.LittleEndian.PutUint32(bad[table:], 1<<31)
	if err := bad.Valid(); !errors.Is(err, ErrDigest) {
		t.Errorf("bounds: %v", err)
	}
	useAll(bad)
}

// checkEnvelopeLoosely checks that lists and strings are well-formed.
func checkEnvelopeLoosely(b []byte) error {
	if !isWireList(b) {
		return fmt.Errorf("%q is no list", b)
	}
	return nil
}

func TestIsWireList(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		`()`: true, `(NIL)`: true, `("a" 12 ({3}` + "\r\n" + `abc))`: true, `("\"\\")`: true, `(({0}` + "\r\n" + `))`: true,
		``: false, `(`: false, `)`: false, `())`: false, `() `: false, `NIL`: false, `("a`: false, `("\a")`: false, `({4}` + "\r\n" + `abc)`: false, `({1}a)`: false,
		"(\"\xff\")": false, "(\"\x00\")": false, "({1}\r\n\x00)": false, "(\"a\r\n\")": false, `(x)`: false, `({}` + "\r\n)": false, `({99999999999999999999}` + "\r\n)": false,
		` (NIL)`: false, `(NIL)(NIL)`: false,
	} {
		if got := isWireList([]byte(s)); got != want {
			t.Errorf("%q: got %v", s, got)
		}
	}
}

func TestAccessorsDoNotAllocate(t *testing.T) {
	d := mustDigest(t, digestMessage)
	name := []byte("Subject")
	sum := 0
	if n := testing.AllocsPerRun(100, func() {
		sum += len(d.Envelope()) + len(d.BodyStructure()) + len(d.Fields()) + len(d.SearchFrom()) + len(d.MessageID()) + len(d.BaseSubject()) + len(d.Preview())
		day, _ := d.SentDay()
		at, _ := d.SentTime()
		sum += day + int(at.Unix())
		if d.HasField(name) && d.IsReply() {
			sum++
		}
		for id := range d.References() {
			sum += len(id)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// memoryReader has its bytes in memory, as a spool with a small message has.
type memoryReader struct {
	*strings.Reader
	b []byte
}

func (r memoryReader) Bytes() ([]byte, bool) { return r.b, r.b != nil }

func TestMessageInMemoryIsParsedWhereItIs(t *testing.T) {
	t.Parallel()
	for _, msg := range []string{"", "x", complexExample, complexMessage, digestMessage, string(typicalMessage()), strings.Repeat("a: b\r\n", windowSize)} {
		b := []byte(msg)
		for _, r := range []memoryReader{{strings.NewReader(msg), b}, {strings.NewReader(msg), nil}} {
			got, err := NewDigest(r, int64(len(msg)), Limits{})
			if err != nil || !bytes.Equal(got, mustDigest(t, msg)) {
				t.Errorf("%.100q: got %q, %v", msg, got, err)
			}
		}
		if string(b) != msg {
			t.Errorf("%.100q was changed", msg)
		}
	}
}

func TestReceivedFieldsAreCounted(t *testing.T) {
	t.Parallel()
	for msg, want := range map[string]int{
		"": 0, "Received: a\r\nX: y\r\nreceived : b\r\n\tReceived: c\r\nReceived-SPF: d\r\n\r\nReceived: e\r\n": 2,
		strings.Repeat("Received:\r\n", 500) + "\r\n": 500,
	} {
		if got := mustDigest(t, msg).Received(); got != want {
			t.Errorf("%.100q: %d, want %d", msg, got, want)
		}
	}
}
