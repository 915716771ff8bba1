package submit

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"mox/config"
	"mox/dkim"
	"mox/dns"
	"mox/message"
	"mox/mlog"
	"mox/queue/queuedb"
)

// signUser puts the signatures of the domain in From in front of the prefix of a
// message. They are on top, as trace fields are, because they are made after the
// message was received (RFC 6376 §5.6).
func (s *Submitter) signUser(ctx context.Context, conf *config.Snapshot, h *message.Header, prefix []byte, sub Submission) []byte {
	from, err := From(h)
	if err != nil {
		return prefix // The message was checked before.
	}
	d, ok := conf.Domain(from.Domain)
	if !ok {
		return prefix
	}
	sigs := s.sign(ctx, d, d.Sign, prefixed{prefix, sub.Spool}, int64(len(prefix))+sub.Spool.Size())
	if len(sigs)+len(prefix) > queuedb.MaxPrefix {
		s.signFailed(ctx, d, fmt.Errorf("header prefix with signatures has %d octets, at most %d", len(sigs)+len(prefix), queuedb.MaxPrefix))
		return prefix
	}
	return append(sigs, prefix...)
}

// SignSystem returns DKIM-Signature fields to go before a message of the system, such as
// a notification or a report, with a domain in From. They are those of the closest
// domain at or above it that has keys, see [config.Snapshot.SignsFor]; without one, or
// when signing fails, which is logged, there are none. Extra names further header
// fields to sign, as RFC 8460 §5.3 wants for TLS reports.
func (s *Submitter) SignSystem(ctx context.Context, from dns.Domain, r io.ReaderAt, size int64, extra ...string) []byte {
	d, ok := s.opts.Config.Snapshot().SignsFor(from)
	if !ok {
		return nil
	}
	selectors := slices.Clone(d.Sign)
	for i := range selectors {
		if len(extra) == 0 {
			break
		}
		names := selectors[i].Headers
		if names == nil {
			names = dkim.DefaultHeaders()
		}
		selectors[i].Headers = append(slices.Clone(names), extra...)
	}
	return s.sign(ctx, d, selectors, r, size)
}

// sign returns signatures of a message, one for each selector. A message that cannot
// be signed goes out without: receivers decide about that, and have SPF too.
//
// They have no i=, which would tell the canonical address of who sends from another
// one. Domains are written with A-labels also in messages with internationalised
// fields, which is allowed and understood by all (RFC 8616 §5).
func (s *Submitter) sign(ctx context.Context, d config.Domain, selectors []dkim.Selector, r io.ReaderAt, size int64) []byte {
	if len(selectors) == 0 {
		return nil
	}
	sigs, err := dkim.Sign(r, size, d.Domain, selectors, dkim.SignOptions{})
	if err != nil {
		s.signFailed(ctx, d, err)
		return nil
	}
	for _, sel := range selectors {
		metricSign.WithLabelValues(keyLabel(sel)).Inc()
	}
	return []byte(sigs)
}

func (s *Submitter) signFailed(ctx context.Context, d config.Domain, err error) {
	metricSignErrors.Inc()
	s.log.ErrorContext(ctx, "signing a message with dkim, it goes out without", mlog.Err(err), slog.Any("domain", d.Domain))
}

// keyLabel returns the kind of key for metrics.
func keyLabel(sel dkim.Selector) string {
	if _, ok := sel.Key.Public().(ed25519.PublicKey); ok {
		return "ed25519"
	}
	return "rsa"
}

// prefixed is a message with more in front of it.
type prefixed struct {
	prefix []byte
	rest   io.ReaderAt
}

// ReadAt implements io.ReaderAt.
func (p prefixed) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("negative offset %d", off)
	}
	n := 0
	if off < int64(len(p.prefix)) {
		if n = copy(b, p.prefix[off:]); n == len(b) {
			return n, nil
		}
	}
	m, err := p.rest.ReadAt(b[n:], off+int64(n)-int64(len(p.prefix)))
	return n + m, err
}
