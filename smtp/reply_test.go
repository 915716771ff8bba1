package smtp

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestReplyLines(t *testing.T) {
	t.Parallel()
	word := strings.Repeat("w", 450)
	tests := []struct {
		name  string
		reply Reply
		utf8  bool
		want  string
	}{
		{"with enhanced code", Reply{250, "2.1.0", "ok"}, false, "250 2.1.0 ok\r\n"},
		{"without enhanced code", Reply{354, "", "go on"}, false, "354 go on\r\n"},
		{"without text", Reply{250, "2.0.0", ""}, false, "250 2.0.0 \r\n"},
		{"several lines", Reply{250, "2.0.0", "a\nb\nc"}, false, "250-2.0.0 a\r\n250-2.0.0 b\r\n250 2.0.0 c\r\n"},
		{"no other reply can be forged", Reply{550, "5.7.1", "a\r\n250 ok\x00"}, false, "550-5.7.1 a \r\n550 5.7.1 250 ok \r\n"},
		{"characters beyond ASCII", Reply{550, "", "é☺"}, false, "550 ??\r\n"},
		{"characters beyond ASCII with SMTPUTF8", Reply{550, "", "é☺\xff"}, true, "550 é☺?\r\n"},
		{"long text is broken at a space", Reply{550, "5.1.1", word + " " + word}, false, "550-5.1.1 " + word + "\r\n550 5.1.1 " + word + "\r\n"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := string(tc.reply.Append([]byte("x"), tc.utf8)); got != "x"+tc.want {
				t.Fatalf("got %q, want %q", got[1:], tc.want)
			}
		})
	}
}

func TestReplyLinesAreShortEnough(t *testing.T) {
	t.Parallel()
	texts := []string{strings.Repeat("a", 2000), strings.Repeat("é", 1500), strings.Repeat("😀", 700), strings.Repeat("ab cd ", 400), "a " + strings.Repeat("x", 600)}
	for _, text := range texts {
		out := string(Reply{550, "5.7.27", text}.Append(nil, true))
		var back strings.Builder
		lines := strings.SplitAfter(out, "\r\n")
		for i, line := range lines[:len(lines)-1] {
			if len(line) > MaxReplyLine || !utf8.ValidString(line) {
				t.Fatalf("line of %d octets: %q", len(line), line)
			}
			sep := "-"
			if i == len(lines)-2 {
				sep = " "
			}
			rest, ok := strings.CutPrefix(line, "550"+sep+"5.7.27 ")
			if !ok {
				t.Fatalf("line %d is %q", i, line)
			}
			back.WriteString(strings.TrimSuffix(rest, "\r\n"))
		}
		if strings.ReplaceAll(back.String(), " ", "") != strings.ReplaceAll(text, " ", "") {
			t.Fatalf("text of %d octets was changed", len(text))
		}
	}
}

func TestEnhancedCodeHasTheClassOfTheReply(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code           int
		detail, result string
	}{
		{C250Completed, Se15AddressValid, "2.1.5"},
		{C451LocalError, Se30SystemOther, "4.3.0"},
		{C550MailboxUnavailable, Se11BadMailbox, "5.1.1"},
		{C550MailboxUnavailable, Se727SenderNullMX, "5.7.27"},
		{C354StartMailInput, Se00Other, ""},
		{C250Completed, "", ""},
	}
	for _, tc := range tests {
		if got := Enhanced(tc.code, tc.detail); got != tc.result {
			t.Errorf("%d %s: got %q, want %q", tc.code, tc.detail, got, tc.result)
		}
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	e := Errorf(C451LocalError, Se43DirectoryFailure, "temporary failure for %s", "x")
	if !e.Temporary() || e.Permanent() || e.Error() != "451 4.4.3 temporary failure for x" {
		t.Fatalf("got %v", e)
	}
	withCause := e.WithCause(io.ErrUnexpectedEOF)
	wrapped := fmt.Errorf("rcpt: %w", withCause)
	if !errors.Is(wrapped, io.ErrUnexpectedEOF) || AsError(wrapped) != withCause || e.Cause != nil {
		t.Fatalf("got %v", wrapped)
	}
	if withCause.Error() != "451 4.4.3 temporary failure for x: unexpected EOF" {
		t.Fatalf("got %v", withCause)
	}
	if r := withCause.Reply(); strings.Contains(string(r.Append(nil, false)), "EOF") {
		t.Fatal("the cause is for the log only")
	}
	p := Errorf(C554TransactionFailed, "", "no")
	if p.Temporary() || !p.Permanent() || p.Enhanced != "" || AsError(io.EOF) != nil {
		t.Fatalf("got %v", p)
	}
}

func TestExtensions(t *testing.T) {
	t.Parallel()
	for i, k := range extensionKeywords {
		e := ExtensionByKeyword(strings.ToLower(k))
		if e != 1<<i || e.String() != k {
			t.Errorf("%s: got %d, %s", k, e, e)
		}
	}
	if ExtStartTLS.String() != "STARTTLS" || Ext8BITMIME.String() != "8BITMIME" || ExtLimits.String() != "LIMITS" {
		t.Error("keywords are not in the order of the constants")
	}
	if ExtensionByKeyword("X-UNKNOWN") != 0 {
		t.Error("unknown keyword")
	}
	if e := ExtSize | ExtAuth; !e.Has(ExtSize) || e.Has(ExtSize|ExtDSN) || e.String() != "AUTH SIZE" {
		t.Errorf("got %s", e)
	}
}
