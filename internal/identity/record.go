package identity

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"mox/internal/metrics"
	"mox/mlog"
	"mox/sasl"
)

var (
	metricAuthentication = metrics.NewCounterVec("mox_authentication_total",
		"Login attempts, by protocol, mechanism and result: ok, badcreds, badchanbind, badprotocol, logindisabled, ratelimited, error, aborted.",
		"kind", "variant", "result")
	metricRateLimited = metrics.NewCounterVec("mox_authentication_ratelimited_total",
		"Login attempts refused because of too many failed ones before.", "kind")
)

// Results of an attempt, as in metrics and log.
const (
	resultOK            = "ok"
	resultBadCreds      = "badcreds"
	resultBadChanBind   = "badchanbind"
	resultBadProtocol   = "badprotocol"
	resultLoginDisabled = "logindisabled"
	resultRateLimited   = "ratelimited"
	resultError         = "error"
	resultAborted       = "aborted"
)

// resultOf returns the result for an error of an attempt.
func resultOf(err error) string {
	table := []struct {
		err    error
		result string
	}{
		{ErrCredentials, resultBadCreds},
		{ErrLoginDisabled, resultLoginDisabled},
		{ErrRateLimited, resultRateLimited},
		{sasl.ErrAborted, resultAborted},
		{context.Canceled, resultAborted},
		{context.DeadlineExceeded, resultAborted},
		{sasl.ErrChannelBinding, resultBadChanBind},
		{sasl.ErrChannelBindingMissing, resultBadChanBind},
		{sasl.ErrChannelBindingType, resultBadChanBind},
		{sasl.ErrDowngrade, resultBadChanBind},
		{sasl.ErrProtocol, resultBadProtocol},
		{sasl.ErrEncoding, resultBadProtocol},
		{sasl.ErrExtension, resultBadProtocol},
		{sasl.ErrUsername, resultBadProtocol},
		{sasl.ErrMechanism, resultBadProtocol},
	}
	if err == nil {
		return resultOK
	}
	for _, t := range table {
		if errors.Is(err, t.err) {
			return t.result
		}
	}
	return resultError
}

// maxLogName is how many octets of a user name are logged.
const maxLogName = 256

// record counts and logs an attempt, and keeps the limits. It is called once for
// each.
func (c *Checker) record(a Attempt, u user, err error) {
	result := resultOf(err)
	metricAuthentication.WithLabelValues(a.Protocol, strings.ToLower(a.Mechanism), result).Inc()
	switch {
	case c.limiter == nil:
	case result == resultOK:
		c.limiter.Reset(a.RemoteIP)
	case result == resultBadCreds && !errors.Is(err, ErrNoSecret):
		c.limiter.Add(a.RemoteIP, time.Now(), 1)
	}
	name := u.name
	if len(name) > maxLogName {
		name = name[:maxLogName]
	}
	// What a stranger has written comes last, so that a tool that reads the line from
	// the start is not misled.
	attrs := []any{
		slog.String("result", result),
		slog.Any("remote", a.RemoteIP),
		slog.String("protocol", a.Protocol),
		slog.String("mechanism", a.Mechanism),
	}
	if a.Cid != 0 {
		attrs = append(attrs, mlog.CidAttr(a.Cid))
	}
	if u.known {
		attrs = append(attrs, slog.String("account", u.account.Name))
	}
	attrs = append(attrs, slog.String("username", name))
	c.log.Info("login attempt", attrs...)
	switch result {
	case resultError:
		c.log.Error("checking credentials", mlog.Err(err), mlog.CidAttr(a.Cid))
	case resultBadChanBind:
		c.log.Warn("channel binding of login failed, someone may be intercepting the connection", mlog.Err(err), mlog.CidAttr(a.Cid), slog.Any("remote", a.RemoteIP))
	}
}

// limited returns ErrRateLimited, recorded, if an attempt is one too many.
func (c *Checker) limited(a Attempt) error {
	if c.Allowed(a.RemoteIP) {
		return nil
	}
	metricRateLimited.WithLabelValues(a.Protocol).Inc()
	c.record(a, user{}, ErrRateLimited)
	return ErrRateLimited
}
