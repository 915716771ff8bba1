package smtpserver

import (
	"context"
	"strconv"
	"strings"

	"mox/internal/lex"
	"mox/smtp"
)

// flags describe the nature of a command.
type flags uint16

const (
	preHello       flags = 1 << iota // Allowed before EHLO or HELO.
	preTLS                           // Allowed before TLS at a submission listener that requires TLS.
	inTxn                            // Allowed in a mail transaction only.
	noTxn                            // Not allowed in a mail transaction.
	needLogin                        // At a submission listener, for users who have logged in.
	lastInPipeline                   // The client has to wait for the reply, so it is sent at once.
	budgeted                         // Gets the client nowhere: at most maxJunkCommands of these.
	noLogArgs                        // The arguments must not be logged.
	lmtpOnly                         // Of LMTP.
	notLMTP                          // Not of LMTP.
	hasChunk                         // Message data follows the line, also when the command is refused.
)

// command is a row of the table.
type command struct {
	name  string
	flags flags
	run   handler
}

// handler parses the arguments of a command and runs it.
type handler func(ctx context.Context, s *session, args string) (smtp.Reply, error)

// table has all commands. The flags follow from:
//
//   - RFC 5321 §4.1.4: a session starts with EHLO or HELO. "The NOOP, HELP, EXPN,
//     VRFY, and RSET commands can be used at any time during a session, or without
//     previously initializing a session." QUIT "may be issued at any time"
//     (§4.1.1.10). "MAIL [...] MUST NOT be sent if a mail transaction is already open";
//     RCPT and DATA need one. Out of order they get 503, and the server "MUST stay in
//     the same state".
//   - RFC 3207 §4: a server that requires TLS answers with 530 "to every command other
//     than NOOP, EHLO, STARTTLS, or QUIT". HELO is let through for the clients that
//     end with it, and AUTH because it has a reply of its own, 538 (RFC 4954 §6).
//   - RFC 4954 §4: "The AUTH command is not permitted during a mail transaction", and
//     §6: 530 without login. RFC 6409 §4.3: a submission server requires one.
//   - RFC 2920 §3.1: "The EHLO, DATA, VRFY, EXPN, TURN, QUIT, and NOOP commands can
//     only appear as the last command in a group"; so can those of extensions unless
//     they say otherwise, as AUTH does not in general (RFC 4954 §4), nor STARTTLS.
//     Unknown commands: §3.2, "MUST NOT buffer responses to unrecognized commands".
//   - RFC 2033 §4.1: LHLO takes the place of EHLO and HELO, which get 500. STARTTLS and
//     AUTH are for networks.
//   - RFC 3030 §2: "If a failure occurs after a BDAT command is received, the
//     receiver-SMTP MUST accept and discard the associated message data", and "MUST be
//     prepared to accept and discard additional BDAT chunks already in the pipeline".
var table = []command{
	{"EHLO", preHello | preTLS | lastInPipeline | budgeted | notLMTP, bind(parseEHLO, runEHLO)},
	{"HELO", preHello | preTLS | lastInPipeline | budgeted | notLMTP, bind(parseHELO, runHELO)},
	{"LHLO", preHello | lastInPipeline | budgeted | lmtpOnly, bind(parseEHLO, runEHLO)},
	{"STARTTLS", preTLS | lastInPipeline | notLMTP, bind(parseNone, runSTARTTLS)},
	{"AUTH", preTLS | noTxn | lastInPipeline | noLogArgs | notLMTP, bind(parseAUTH, runAUTH)},
	{"MAIL", noTxn | needLogin, bind(parseMAIL, runMAIL)},
	{"RCPT", inTxn, bindTxn(parseRCPT, runRCPT)},
	{"DATA", inTxn | lastInPipeline, bindTxn(parseNone, runDATA)},
	{"BDAT", inTxn | hasChunk, handleBDAT},
	{"RSET", preHello | budgeted, bind(parseNone, runRSET)},
	{"NOOP", preHello | preTLS | lastInPipeline | budgeted, bind(parseText, runNOOP)},
	{"VRFY", preHello | lastInPipeline | budgeted, bind(parseNeedText, runVRFY)},
	{"EXPN", preHello | lastInPipeline | budgeted, bind(parseNeedText, runVRFY)},
	{"HELP", preHello | lastInPipeline | budgeted, bind(parseText, runHELP)},
	{"QUIT", preHello | preTLS | lastInPipeline, bind(parseNone, runQUIT)},

	{"ETRN", preHello | preTLS | lastInPipeline | budgeted, notImplemented},
	{"SAML", preHello | preTLS | lastInPipeline | budgeted, notImplemented},
	{"SEND", preHello | preTLS | lastInPipeline | budgeted, notImplemented},
	{"SOML", preHello | preTLS | lastInPipeline | budgeted, notImplemented},
	{"TURN", preHello | preTLS | lastInPipeline | budgeted, notImplemented},
}

// unknown stands for everything that is not in the table, in the log and metrics.
var unknown = command{name: "(unknown)", flags: preHello | preTLS | lastInPipeline | budgeted}

// byName is the table for looking up.
var byName = func() map[string]*command {
	m := map[string]*command{}
	for i := range table {
		m[table[i].name] = &table[i]
	}
	return m
}()

// grammar is what parsers need to know of a session.
type grammar struct {
	mode     smtp.Mode
	kind     Kind
	ext      smtp.Extensions // As offered.
	smtputf8 bool            // Of the transaction.

	requireTLS bool // REQUIRETLS is offered, or would be with TLS.
}

// bind makes a handler of a parser, which reads all of the arguments, and a runner.
func bind[R any](parse func(grammar, string) (R, error), run func(context.Context, *session, R) (smtp.Reply, error)) handler {
	return func(ctx context.Context, s *session, args string) (smtp.Reply, error) {
		req, err := parse(s.grammar(), args)
		if err != nil {
			return smtp.Reply{}, syntaxError(err)
		}
		return run(ctx, s, req)
	}
}

// bindTxn is bind for commands with the flag inTxn.
func bindTxn[R any](parse func(grammar, string) (R, error), run func(context.Context, *session, *transaction, R) (smtp.Reply, error)) handler {
	return bind(parse, func(ctx context.Context, s *session, req R) (smtp.Reply, error) {
		return run(ctx, s, s.txn, req)
	})
}

// syntaxError returns the reply for an error of a parser.
func syntaxError(err error) *smtp.Error {
	if e := smtp.AsError(err); e != nil {
		return e
	}
	return smtp.Errorf(smtp.C501BadParameters, smtp.Se52Syntax, "%s", err)
}

func (s *session) grammar() grammar {
	g := grammar{kind: s.lis.Kind, ext: s.hello.ext}
	if s.srv.opts.Config.Snapshot().Pedantic {
		g.mode = smtp.Strict
	}
	g.requireTLS = s.hello.esmtp && s.lis.offersRequireTLS()
	if s.txn != nil {
		g.smtputf8 = s.txn.mail.SMTPUTF8
	}
	return g
}

// lookup finds the command of a line. If the line has none, the command is unknown
// and there is an error.
func (s *session) lookup(line []byte, lineErr error) (*command, string, error) {
	if lineErr != nil {
		return &unknown, "", s.notCommand("line must end in CRLF, not in LF alone")
	}
	verb, args, _ := strings.Cut(string(line), " ")
	other := lmtpOnly
	if s.lis.Kind == LMTP {
		other = notLMTP
	}
	if c, ok := byName[strings.ToUpper(verb)]; ok && c.flags&other == 0 {
		return c, args, nil
	}
	return &unknown, "", s.notCommand("command not recognized")
}

// notCommand returns the error for a line that is no command. A client whose first
// line is not is no SMTP client.
func (s *session) notCommand(text string) *smtp.Error {
	if s.counts.commands == 1 {
		s.ended = true
		return smtp.Errorf(smtp.C500BadSyntax, smtp.Se52Syntax, "%s", text)
	}
	return smtp.Errorf(smtp.C500BadSyntax, smtp.Se51InvalidCommand, "%s", text)
}

// affordable checks whether a client has used up what it can do without success.
func (s *session) affordable(c *command) error {
	switch {
	case s.exempt:
		return nil
	case c.flags&budgeted != 0 && s.counts.junk >= maxJunkCommands:
		return smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se70SecurityOther, "too many commands without a message")
	case s.counts.errors >= maxErrors:
		return smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se70SecurityOther, "too many errors")
	}
	return nil
}

// allowed checks whether a command can be executed now.
func (s *session) allowed(c *command) error {
	submission := s.lis.Kind == Submission
	badSequence := func(text string) error {
		return smtp.Errorf(smtp.C503BadSequence, smtp.Se51InvalidCommand, "%s", text)
	}
	switch has := func(f flags) bool { return c.flags&f != 0 }; {
	case !has(preHello) && !s.hello.done:
		return badSequence("no EHLO or HELO yet")
	case !has(preTLS) && submission && s.lis.RequireTLS && s.tls == nil:
		return smtp.Errorf(smtp.C530AuthRequired, smtp.Se70SecurityOther, "must issue a STARTTLS command first")
	case has(needLogin) && submission && s.login == nil:
		return smtp.Errorf(smtp.C530AuthRequired, smtp.Se70SecurityOther, "authentication required")
	case has(inTxn) && s.txn == nil:
		return badSequence("no MAIL yet")
	case has(noTxn) && s.txn != nil:
		return badSequence("mail transaction in progress")
	}
	return nil
}

// count keeps the accounts of a client after a command.
func (s *session) count(c *command, err error) {
	if c.flags&budgeted != 0 {
		s.counts.junk++
	}
	if err != nil && err != errSkipped && c.countsError(replyError(err)) {
		s.counts.errors++
	}
}

// countsError reports whether an error is held against a client. One that may pass
// is not its fault. Recipients are refused for many reasons that it cannot know;
// trying many that do not exist has its own limits.
func (c *command) countsError(e *smtp.Error) bool {
	return e.Permanent() && (c.name != "RCPT" || e.Code < smtp.C530AuthRequired)
}

// progress forgives a client its errors after it has done something useful.
func (s *session) progress() {
	s.counts.junk, s.counts.errors, s.counts.skipped = 0, 0, 0
}

// parseNone is for commands without arguments.
func parseNone(g grammar, args string) (struct{}, error) {
	sc := lex.New(args)
	skipTrailing(g, sc)
	sc.NeedEnd()
	return struct{}{}, sc.Err()
}

// skipTrailing skips white space at the end of a line, RFC 5321 §4.1.1: "SMTP
// receivers SHOULD tolerate trailing white space before the terminating <CRLF>."
func skipTrailing(g grammar, sc *lex.Scanner) {
	if g.mode == smtp.Lenient {
		sc.Take(lex.WSP)
	}
}

func codeLabel(code int) string {
	if code == 0 {
		return "" // No reply was possible.
	}
	return strconv.Itoa(code)
}

// ok returns a positive reply.
func ok(code int, subjectDetail, text string) (smtp.Reply, error) {
	return smtp.Reply{Code: code, Enhanced: smtp.Enhanced(code, subjectDetail), Text: text}, nil
}
