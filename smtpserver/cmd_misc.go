package smtpserver

import (
	"context"
	"unicode/utf8"

	"mox/internal/lex"
	"mox/smtp"
)

// RSET, NOOP, VRFY, EXPN, HELP and QUIT, RFC 5321 §4.1.1.5 to §4.1.1.10.

var stringChar = lex.VChar.Union(lex.WSP, lex.NonASCII)

// parseText parses an optional String (RFC 5321 §4.1.2), which is not used for
// anything. Real clients send more than the grammar of a String allows.
func parseText(g grammar, args string) (string, error) {
	sc := trimmed(g, args)
	text := sc.Take(stringChar)
	sc.NeedEnd()
	if !utf8.ValidString(text) {
		sc.Fail("not UTF-8")
	}
	return text, sc.Err()
}

// parseNeedText is parseText for a String that must be there.
func parseNeedText(g grammar, args string) (string, error) {
	text, err := parseText(g, args)
	if err == nil && text == "" {
		return "", smtp.Errorf(smtp.C501BadParameters, smtp.Se54InvalidArguments, "a user or list name is needed")
	}
	return text, err
}

func runRSET(_ context.Context, s *session, _ struct{}) (smtp.Reply, error) {
	s.abandon()
	return ok(smtp.C250Completed, smtp.Se00Other, "transaction reset")
}

func runNOOP(context.Context, *session, string) (smtp.Reply, error) {
	return ok(smtp.C250Completed, smtp.Se00Other, "ok")
}

// runVRFY is for VRFY and EXPN. RFC 5321 §7.3 allows not to tell who exists, with
// 252.
func runVRFY(context.Context, *session, string) (smtp.Reply, error) {
	return ok(smtp.C252CannotVerify, smtp.Se70SecurityOther, "addresses are not verified or expanded, send a message to find out")
}

func runHELP(_ context.Context, s *session, _ string) (smtp.Reply, error) {
	text := "see RFC 5321; commands: EHLO HELO STARTTLS AUTH"
	if s.lis.Kind == LMTP {
		text = "see RFC 2033; commands: LHLO"
	}
	return ok(smtp.C214Help, smtp.Se00Other, text+" MAIL RCPT DATA BDAT RSET NOOP VRFY EXPN HELP QUIT")
}

func runQUIT(_ context.Context, s *session, _ struct{}) (smtp.Reply, error) {
	s.abandon()
	s.ended = true
	return ok(smtp.C221Closing, smtp.Se00Other, "bye")
}

// notImplemented is for commands that are known and not supported, RFC 5321 §4.2.4.
func notImplemented(context.Context, *session, string) (smtp.Reply, error) {
	return smtp.Reply{}, smtp.Errorf(smtp.C502NotImplemented, smtp.Se51InvalidCommand, "command not implemented")
}
