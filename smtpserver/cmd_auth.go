package smtpserver

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"mox/internal/identity"
	"mox/internal/lex"
	"mox/mlog"
	"mox/sasl"
	"mox/smtp"
)

// AUTH, RFC 4954. Mechanisms, accounts and limits on failures are those of
// internal/identity; here is the profile of SASL for SMTP.

// login is who has logged in.
type login struct {
	account string
	address string // Login address, empty if there is none.
	unwatch func() // Ends the look at the credentials.
}

// authRequest is the argument of AUTH.
type authRequest struct {
	mechanism string // In upper case.
	initial   []byte // Decoded initial response. Nil for none, not nil if it is empty.
}

// parseAUTH parses:
//
//	auth-command     = "AUTH" SP sasl-mech [SP initial-response] CRLF
//	initial-response = base64 / "="
//	sasl-mech        = 1*20( UPPER-ALPHA / DIGIT / HYPHEN / UNDERSCORE )
func parseAUTH(g grammar, args string) (authRequest, error) {
	sc := lex.New(args)
	req := authRequest{mechanism: strings.ToUpper(sc.NeedRun(mechanismChar, "mechanism"))}
	if !sc.End() {
		sc.NeedByte(' ')
		if g.mode == smtp.Lenient {
			sc.Take(lex.Bytes(" "))
		}
		if text := sc.TakeRest(); text == "=" {
			req.initial = []byte{}
		} else if data, err := decodeBase64(text); err != nil {
			return authRequest{}, err
		} else {
			req.initial = data
		}
	}
	return req, sc.Err()
}

var mechanismChar = lex.LetDig.Union(lex.Bytes("-_"))

// decodeBase64 decodes a response. RFC 4954 §4: "servers and clients MUST reject
// (and not ignore) any character not explicitly allowed by the BASE64 alphabet".
func decodeBase64(s string) ([]byte, error) {
	data, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || s == "" || strings.ContainsAny(s, "\r\n") {
		return nil, smtp.Errorf(smtp.C501BadParameters, smtp.Se52Syntax, "response is not base64")
	}
	return data, nil
}

// mechanisms returns what is offered to the client as it is connected now.
func (s *session) mechanisms() []string {
	clientCert := s.tls != nil && len(s.tls.PeerCertificates) > 0
	return s.lis.Auth.Mechanisms(s.tls != nil, clientCert, !s.lis.RequireTLS)
}

func runAUTH(ctx context.Context, s *session, req authRequest) (smtp.Reply, error) {
	if err := s.canAuth(req.mechanism); err != nil {
		return smtp.Reply{}, err
	}
	if err := s.delay(identity.SlowdownFor(s.counts.authFailures).Delay); err != nil {
		return smtp.Reply{}, err
	}
	got, err := s.exchange(ctx, req)
	if err != nil {
		s.authFailed(err)
		return smtp.Reply{}, authError(err)
	}
	s.login = got
	s.counts.authFailures = 0
	s.conn.slow = false
	s.progress()
	s.log = s.log.With(slog.String("account", got.account))
	return ok(smtp.C235AuthSuccess, smtp.Se70SecurityOther, "welcome")
}

// authError returns the error for a failed login. One of ours has a code of its own,
// so that the user is not asked for another password (RFC 4954 §6).
func authError(err error) error {
	if e := replyError(err); e.Code == smtp.C451LocalError && !errors.Is(err, errConnection) {
		return smtp.Errorf(smtp.C454TempAuthFailure, smtp.Se70SecurityOther, "login not possible at the moment").WithCause(err)
	}
	return err
}

// canAuth checks whether an exchange can begin.
func (s *session) canAuth(mechanism string) error {
	if s.lis.Kind != Submission {
		return smtp.Errorf(smtp.C503BadSequence, smtp.Se51InvalidCommand, "authentication is not possible here, use a submission port")
	}
	if s.login != nil {
		return smtp.Errorf(smtp.C503BadSequence, smtp.Se51InvalidCommand, "already authenticated")
	}
	if slices.Contains(s.mechanisms(), mechanism) {
		return nil
	}
	if s.tls == nil && slices.Contains(s.lis.Auth.Mechanisms(true, true, true), mechanism) {
		return smtp.Errorf(smtp.C538EncryptionForMechanism, smtp.Se711EncryptionForMechanism, "TLS is needed for this mechanism")
	}
	return smtp.Errorf(smtp.C504ParameterNotImpl, smtp.Se54InvalidArguments, "mechanism not supported")
}

// exchange does a SASL exchange. The server begins, with an empty challenge where
// the mechanism wants the client to (RFC 4954 §4).
func (s *session) exchange(ctx context.Context, req authRequest) (*login, error) {
	x, err := s.lis.Auth.Begin(ctx, s.attempt(), req.mechanism)
	if err != nil {
		return nil, err
	}
	defer x.Close()
	response := req.initial
	for {
		challenge, done, err := x.Next(ctx, response)
		if err != nil {
			return nil, s.rejectExchange(challenge, err)
		}
		if done {
			res := x.Result()
			return &login{res.Account, res.LoginAddress, s.lis.Auth.Watch(ctx, res, s.conn.revoke)}, nil
		}
		if response, err = s.challenge(challenge); err != nil {
			return nil, err
		}
	}
}

func (s *session) attempt() identity.Attempt {
	return identity.Attempt{
		Protocol: s.lis.Kind.String(),
		RemoteIP: s.remoteIP,
		LocalIP:  s.localIP,
		TLS:      s.tls,
		Cid:      s.cid,
	}
}

// rejectExchange tells the client the last words of a mechanism that has some, and
// waits for the line that the client must answer with.
func (s *session) rejectExchange(challenge []byte, err error) error {
	if len(challenge) == 0 {
		return err
	}
	if _, cerr := s.challenge(challenge); errors.Is(cerr, errConnection) {
		return errors.Join(cerr, err)
	}
	return err
}

// challenge sends a challenge and returns the response.
func (s *session) challenge(data []byte) ([]byte, error) {
	text := base64.StdEncoding.EncodeToString(data)
	if err := s.write334(text); err != nil {
		return nil, err
	}
	line, err := s.conn.readLine(maxAuthLine, s.srv.commandTimeout())
	mlog.Trace(s.conn.ctx, s.log, mlog.LevelTraceauth, "RC: ", line)
	switch {
	case errors.Is(err, errLineTooLong):
		s.ended = true // The rest of the line must not be taken for commands.
		return nil, smtp.Errorf(smtp.C500BadSyntax, smtp.Se56AuthExchangeTooBig, "response too long")
	case errors.Is(err, errStopping):
		return nil, errShuttingDown
	case errors.Is(err, errBareLF):
		return nil, smtp.Errorf(smtp.C501BadParameters, smtp.Se52Syntax, "line must end in CRLF, not in LF alone")
	case err != nil:
		return nil, connectionError(err)
	case string(line) == "*":
		return nil, fmt.Errorf("client cancelled: %w", sasl.ErrAborted)
	case len(line) == 0:
		return []byte{}, nil
	}
	return decodeBase64(string(line))
}

// write334 writes a challenge. It is not a reply with text: RFC 4954 §4 allows
// nothing but base64, in one line however long.
func (s *session) write334(text string) error {
	if err := s.conn.write([]byte("334 " + text + "\r\n")); err != nil {
		return connectionError(err)
	}
	if err := s.conn.flush(); err != nil {
		return connectionError(err)
	}
	return nil
}

// authFailed counts a failed login, unless it is not the client's doing. The line in
// the log about it is written by package identity.
func (s *session) authFailed(err error) {
	if replyError(err).Temporary() || errors.Is(err, identity.ErrNoSecret) || errors.Is(err, sasl.ErrAborted) || errors.Is(err, errConnection) {
		return
	}
	s.counts.authFailures++
	if identity.SlowdownFor(s.counts.authFailures).Slow {
		s.penalize()
	}
}
