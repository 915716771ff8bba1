package smtpserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"mox/internal/inbound"
	"mox/message"
	"mox/message/trace"
)

// Before a message from elsewhere is decided about: who it is from, and what in its
// header poses as ours.

// ourFields tell users why they got a message, and what is wrong with a report, so
// nobody else may.
var ourFields = []string{"X-Mox-Reason", inbound.DMARCReportErrorField, inbound.TLSReportErrorField}

// authenticate finds out who a message from elsewhere is from, if the server can look
// that up, and then removes what poses as ours from its header. What another server
// on this machine hands over is that server's business.
func (s *session) authenticate(ctx context.Context, t *transaction, m *incoming) error {
	if s.lis.Kind != Delivery {
		return nil
	}
	if o := s.srv.opts.Origins; o != nil && s.remoteIP.IsValid() {
		arr := inbound.Arrival{RemoteIP: s.remoteIP, EHLO: s.hello.name, MailFrom: t.mail.ReversePath, Hostname: s.lis.Hostname, SPF: t.spf}
		auth, err := o.Authenticate(ctx, arr, m.spool, m.size)
		if err != nil {
			return err
		}
		s.log.Info("message authenticated", slog.String("iprev", string(auth.IPRev.Status)), slog.String("spf", string(auth.SPF.Status)),
			slog.Int("dkimsignatures", len(auth.DKIM)), slog.String("dmarc", string(auth.DMARC.Status)), slog.Any("from", auth.DMARC.From), slog.Any("passed", auth.Passed()))
		m.auth = auth
	}
	return s.removeForged(t, m)
}

// removeForged removes header fields that only we add, RFC 8601 §5.
func (s *session) removeForged(t *transaction, m *incoming) (rerr error) {
	head, ok := m.spool.Bytes() // All of a message that is small: what comes after the header is not looked at.
	if !ok {
		h, err := message.ReadHeader(m.spool, m.size, message.Limits{})
		if err != nil {
			return err
		}
		head = h.Raw
	}
	kept, n := trace.RemoveForged(head, trace.Ours{AuthservIDs: []string{s.lis.Hostname.ASCII}, Names: ourFields})
	if n == 0 {
		return nil
	}
	s.log.Info("removed header fields that pose as ours", slog.Int("fields", n))
	clean := s.newSpool()
	defer func() {
		if rerr != nil {
			rerr = errors.Join(rerr, clean.Close())
		}
	}()
	if _, err := clean.Write(kept); err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	off := int64(len(head))
	if _, err := io.Copy(clean, io.NewSectionReader(m.spool, off, m.size-off)); err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	if err := m.spool.Close(); err != nil {
		return err
	}
	t.body.spool = clean
	m.spool, m.size = clean, clean.Size()
	return nil
}
