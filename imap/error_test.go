package imap

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestError(t *testing.T) {
	t.Parallel()
	base := No(CodeTryCreate, "no such mailbox")
	e := base.With(io.EOF)
	if base.Cause != nil {
		t.Error("With changes its receiver")
	}
	if got := e.Error(); got != "NO [TRYCREATE] no such mailbox: EOF" {
		t.Errorf("got %q", got)
	}
	if !errors.Is(fmt.Errorf("append: %w", e), io.EOF) {
		t.Error("the cause is not found")
	}
	for want, e := range map[string]*Error{
		"BAD syntax error":    Bad("", "syntax error"),
		"BYE [TOOBIG] enough": Bye(CodeTooBig, "enough"),
		"NO":                  No("", ""),
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		code Code
		want string
		name Code
	}{
		{CodeReadOnly, "READ-ONLY", CodeReadOnly},
		{CodeUIDNext.Num(4392), "UIDNEXT 4392", CodeUIDNext},
		{CodeBadCharset.List("US-ASCII", "UTF-8"), "BADCHARSET (US-ASCII UTF-8)", CodeBadCharset},
		{CodePermanentFlags.List(), "PERMANENTFLAGS ()", CodePermanentFlags},
		// RFC 7162 §3.1.3, example 7.
		{CodeModified.Set(NewRanges[uint32](7, 9)), "MODIFIED 7,9", CodeModified},
		// RFC 4315 §3
		{AppendUIDCode(38505, NewRanges[uint32](3955)), "APPENDUID 38505 3955", CodeAppendUID},
		{CopyUIDCode(38505, NewRanges[uint32](304, 319, 320), NewRanges[uint32](3956, 3957, 3958)), "COPYUID 38505 304,319:320 3956:3958", CodeCopyUID},
		{"uidnext 5", "uidnext 5", CodeUIDNext},
		{CodeMetadataMaxSize.Num(1024), "METADATA MAXSIZE 1024", "METADATA"},
	} {
		if string(tc.code) != tc.want || tc.code.Name() != tc.name {
			t.Errorf("got %q with name %q, want %q with %q", tc.code, tc.code.Name(), tc.want, tc.name)
		}
	}
}

func TestCaps(t *testing.T) {
	t.Parallel()
	caps := NewCaps("imap4REV2", "AUTH=PLAIN", CapIdle)
	caps.Add("literal+")
	for _, c := range []Cap{CapIMAP4rev2, CapIdle, "idle", CapLiteralPlus} {
		if !caps.Has(c) {
			t.Errorf("%s is missing", c)
		}
	}
	if !caps.HasAuth("plain") || caps.HasAuth("LOGIN") || caps.Has(CapMove) || Caps(nil).Has(CapIdle) {
		t.Error("the set has what was not added")
	}
}

func TestAddressKinds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a          Address
		start, end bool
	}{
		{Address{Mailbox: Str("mrc"), Host: Str("cac.washington.edu")}, false, false},
		{Address{Mailbox: Str("group")}, true, false},
		{Address{}, false, true},
	} {
		if tc.a.GroupStart() != tc.start || tc.a.GroupEnd() != tc.end {
			t.Errorf("%+v: start %v, end %v", tc.a, tc.a.GroupStart(), tc.a.GroupEnd())
		}
	}
}

func TestBodyStructureKinds(t *testing.T) {
	t.Parallel()
	msg := &BodyStructure{Type: "Message", Subtype: "rfc822", Body: &BodyStructure{}, Envelope: &Envelope{}}
	for _, tc := range []struct {
		b                        *BodyStructure
		multipart, text, message bool
	}{
		{&BodyStructure{Type: "MULTIPART"}, true, false, false},
		{&BodyStructure{Type: "text"}, false, true, false},
		{msg, false, false, true},
		{&BodyStructure{Type: "message", Subtype: "GLOBAL"}, false, false, false},
		{&BodyStructure{Type: "message", Subtype: "delivery-status"}, false, false, false},
	} {
		if tc.b.IsMultipart() != tc.multipart || tc.b.IsText() != tc.text || tc.b.IsMessage() != tc.message {
			t.Errorf("%+v: %v %v %v", tc.b, tc.b.IsMultipart(), tc.b.IsText(), tc.b.IsMessage())
		}
	}
}
