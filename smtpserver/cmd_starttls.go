package smtpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"mox/mlog"
	"mox/smtp"
)

// STARTTLS, RFC 3207.

// runSTARTTLS writes the reply itself, because what follows it is not SMTP.
//
// What a client sent behind STARTTLS without waiting was not protected, and must
// not be taken for a part of the session that is: anyone in between could have
// added it. The connection ends, so that replies and commands cannot get out of
// step either.
func runSTARTTLS(_ context.Context, s *session, _ struct{}) (smtp.Reply, error) {
	switch {
	case s.tls != nil:
		return smtp.Reply{}, smtp.Errorf(smtp.C503BadSequence, smtp.Se51InvalidCommand, "already speaking TLS")
	case !s.canStartTLS():
		return smtp.Reply{}, smtp.Errorf(smtp.C503BadSequence, smtp.Se51InvalidCommand, "STARTTLS is not offered")
	case s.login != nil:
		return smtp.Reply{}, smtp.Errorf(smtp.C503BadSequence, smtp.Se51InvalidCommand, "STARTTLS must come before AUTH")
	case s.conn.pending():
		return smtp.Reply{}, smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se50ProtocolOther, "nothing may follow STARTTLS before its reply")
	}
	ready := smtp.Reply{Code: smtp.C220ServiceReady, Enhanced: "2.0.0", Text: "go ahead (" + s.id + ")"}
	if err := s.replyNow(ready); err != nil {
		return smtp.Reply{}, err
	}
	err := s.handshake()
	if s.lis.Kind == Delivery {
		metricSTARTTLS.Inc()
		if err != nil {
			metricSTARTTLSErrors.WithLabelValues(handshakeReason(err)).Inc()
		}
	}
	if err != nil {
		return smtp.Reply{}, connectionError(fmt.Errorf("tls handshake: %w", err))
	}
	// RFC 3207 §4.2: "the SMTP protocol is reset to the initial state".
	s.drop()
	s.hello, s.skipping = hello{}, false
	return smtp.Reply{}, nil
}

// handshake starts TLS.
func (s *session) handshake() error {
	cs, err := s.conn.startTLS(s.lis.TLSConfig)
	if err != nil {
		return err
	}
	s.tls = cs
	s.log.Debug("tls handshake done", slog.String("version", tls.VersionName(cs.Version)),
		slog.String("ciphersuite", tls.CipherSuiteName(cs.CipherSuite)), slog.String("servername", cs.ServerName),
		slog.Bool("clientcert", len(cs.PeerCertificates) > 0))
	return nil
}

// handshakeReason returns the label for a failed handshake.
func handshakeReason(err error) string {
	var header tls.RecordHeaderError
	var alert tls.AlertError
	switch text := err.Error(); {
	case errors.Is(err, io.EOF), mlog.IsClosed(err):
		return "eof"
	case errors.As(err, &header) && header.RecordHeader[0]&0x80 != 0 && header.RecordHeader[2] == 1:
		return "sslv2" // The first message of that protocol.
	case errors.As(err, &header):
		return "nottls"
	case errors.As(err, &alert):
		name := strings.TrimPrefix(alert.Error(), "tls: ")
		return fmt.Sprintf("alert-%d-%s", uint8(alert), strings.ReplaceAll(name, " ", ""))
	case strings.Contains(text, "unsupported versions"):
		return "unsupportedversions"
	}
	return "other"
}
