package smtpclient

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"mox/smtp"
)

func TestReadReply(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in       string
		code           int
		enhanced, text string
		err            error
	}{
		{"one line", "250 ok\r\n", 250, "", "ok", nil},
		{"enhanced code", "550 5.1.1 who is that?\r\n", 550, "5.1.1", "who is that?", nil},
		{"enhanced code alone", "250 2.0.0\r\n", 250, "2.0.0", "", nil},
		{"enhanced code on each line", "550-5.7.1 a\r\n550-5.7.1  b\r\n550 5.7.1\r\n", 550, "5.7.1", "a\n b\n", nil},
		{"enhanced code of another class", "550 2.1.1 ok\r\n", 550, "", "2.1.1 ok", nil},
		{"enhanced code with long numbers", "550 5.7.1234 x\r\n", 550, "", "5.7.1234 x", nil},
		{"number with dots", "550 5.1.1.1 x\r\n", 550, "", "5.1.1.1 x", nil},
		{"address", "250 2.1.5-a x\r\n", 250, "", "2.1.5-a x", nil},
		{"intermediate reply has none", "354 3.0.0 go\r\n", 354, "", "3.0.0 go", nil},
		{"code alone", "250\r\n", 250, "", "", nil},
		{"code and space", "250 \r\n", 250, "", "", nil},
		{"bare LF", "250-a\n250 b\n", 250, "", "a\nb", nil},
		{"longest line", "250 " + strings.Repeat("x", MaxReplyLine-6) + "\r\n", 250, "", strings.Repeat("x", MaxReplyLine-6), nil},
		{"line too long", "250 " + strings.Repeat("x", MaxReplyLine-5) + "\r\n", 0, "", "", ErrProtocol},
		{"most lines", strings.Repeat("250-x\r\n", MaxReplyLines-1) + "250 x\r\n", 250, "", strings.Repeat("x\n", MaxReplyLines-1) + "x", nil},
		{"too many lines", strings.Repeat("250-x\r\n", MaxReplyLines) + "250 x\r\n", 0, "", "", ErrProtocol},
		{"different codes", "250-a\r\n251 b\r\n", 0, "", "", ErrProtocol},
		{"code too low", "150 x\r\n", 0, "", "", ErrProtocol},
		{"code too high", "600 x\r\n", 0, "", "", ErrProtocol},
		{"short", "25\r\n", 0, "", "", ErrProtocol},
		{"no code", "hello there\r\n", 0, "", "", ErrProtocol},
		{"no separator", "2500\r\n", 0, "", "", ErrProtocol},
		{"nothing", "", 0, "", "", io.ErrUnexpectedEOF},
		{"end within a line", "250 o", 0, "", "", io.ErrUnexpectedEOF},
		{"end within a reply", "250-a\r\n", 0, "", "", io.ErrUnexpectedEOF},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, err := readReply(bufio.NewReaderSize(strings.NewReader(tc.in), MaxReplyLine))
			if !errors.Is(err, tc.err) || r.Code != tc.code || r.Enhanced != tc.enhanced || r.Text() != tc.text {
				t.Fatalf("got %d %q %q, %v", r.Code, r.Enhanced, r.Text(), err)
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	r := Reply{Code: 550, Enhanced: "5.1.1", Lines: []string{"550-5.1.1 who", "550 5.1.1 is that"}}
	if got := replyError("rcpt", r).Error(); got != "rcpt: 550-5.1.1 who / 550 5.1.1 is that" {
		t.Errorf("got %s", got)
	}
	if got := (&Error{Command: "mail", Err: ErrSize}).Error(); got != "mail: smtpclient: message larger than server accepts" {
		t.Errorf("got %s", got)
	}
	if got := replyError("data", Reply{Code: 250, Lines: []string{"250 ok"}}).Error(); got != "data: 250 ok: smtpclient: protocol error: unexpected reply code" {
		t.Errorf("got %s", got)
	}
}

func FuzzReadReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-5.1.1 a\r\n250 b\r\n", "550 5.1.1 x\n", "250\r\n", "354 3.0.0\r\n", "220-x\r\n220-\r\n220 \r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		br := bufio.NewReaderSize(strings.NewReader(s), MaxReplyLine)
		r, err := readReply(br)
		if err != nil {
			return
		}
		if r.Code < 200 || r.Code > 599 || len(r.Lines) == 0 || len(r.Lines) > MaxReplyLines {
			t.Fatalf("%q: got %+v", s, r)
		}
		again, err := readReply(bufio.NewReaderSize(strings.NewReader(strings.Join(r.Lines, "\r\n")+"\r\n"), MaxReplyLine+1))
		if err != nil || again.Text() != r.Text() || again.Enhanced != r.Enhanced {
			t.Fatalf("%q: %+v became %+v, %v", s, r, again, err)
		}
	})
}

func FuzzCapabilities(f *testing.F) {
	for _, s := range []string{"mail.example\nSIZE 100\nAUTH PLAIN\nLIMITS RCPTMAX=1 X", "x\nAUTH=PLAIN LOGIN\nSIZE 99999999999999999999", "x\nLIMITS A=;\nLIMITS MAILMAX=0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var r Reply
		for line := range strings.SplitSeq(s, "\n") {
			r.Lines = append(r.Lines, "250-"+line)
		}
		r.Code = 250
		c := parseCapabilities(r)
		if c.MaxSize < 0 || c.Limits.MailMax < 0 || c.Limits.MailMax > 999_999 || c.Limits.RcptMax > 999_999 || c.Limits.RcptDomainMax > 999_999 {
			t.Fatalf("%q: got %+v", s, c)
		}
		if !c.Extensions.Has(smtp.ExtAuth) && len(c.Mechanisms) > 0 || !c.Extensions.Has(smtp.ExtLimits) && c.Limits != (Limits{}) {
			t.Fatalf("%q: got %+v", s, c)
		}
	})
}
