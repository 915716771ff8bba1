package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"time"

	"mox/internal/authdb"
	"mox/internal/metrics"
	"mox/mlog"
	"mox/sasl"
)

var (
	metricAuthentication = metrics.NewCounterVec("mox_authentication_total",
		"Login attempts, by protocol, mechanism and result: ok, baduser, badpassword, badcreds, badchanbind, badprotocol, logindisabled, ratelimited, error, aborted.",
		"kind", "variant", "result")
	metricRateLimited = metrics.NewCounterVec("mox_authentication_ratelimited_total",
		"Login attempts and connections refused because of too many failed logins before.", "kind")
)

// Results of an attempt, as in metrics and log.
const (
	resultOK            = authdb.ResultOK
	resultBadUser       = "baduser"     // There is no such user.
	resultBadPassword   = "badpassword" // Or proof of one.
	resultBadCreds      = "badcreds"    // No guess, but no good either. There is a reason with it.
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

// reasons are for failures that are more than a wrong user name or password.
var reasons = []struct {
	err    error
	reason string
}{
	{ErrNoSecret, "nosecret"},
	{errScope, "scope"},
	{errProxy, "authzid"},
	{errKey, "key"},
	{errMechanism, "mechanism"},
}

// describe returns result and reason of an attempt, as they are recorded. Remotes are
// told less.
func describe(u user, err error) (result, reason string) {
	if result = resultOf(err); result != resultBadCreds {
		return result, ""
	}
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return result, r.reason
		}
	}
	if u.known {
		return resultBadPassword, ""
	}
	return resultBadUser, ""
}

// maxLogName is how many octets of a user name are logged.
const maxLogName = 256

// record counts, logs and records an attempt, and keeps the limits. It is called once
// for each.
func (c *Checker) record(a Attempt, u user, err error) {
	result, reason := describe(u, err)
	metricAuthentication.WithLabelValues(a.Protocol, strings.ToLower(a.Mechanism), result).Inc()
	switch {
	case c.limiter == nil:
	case result == resultOK:
		c.limiter.Reset(a.RemoteIP)
	case errors.Is(err, ErrCredentials) && !errors.Is(err, ErrNoSecret):
		c.limiter.Add(a.RemoteIP, time.Now(), 1)
	}
	c.logAttempt(a, u, result, reason)
	if c.opts.Attempts != nil {
		c.opts.Attempts.RecordLogin(loginAttempt(a, u, result, reason))
	}
	switch result {
	case resultError:
		c.log.Error("checking credentials", mlog.Err(err), mlog.CidAttr(a.Cid))
	case resultBadChanBind:
		c.log.Warn("channel binding of login failed, someone may be intercepting the connection", mlog.Err(err), mlog.CidAttr(a.Cid), mlog.IP("remote", a.RemoteIP))
	}
}

// logAttempt logs an attempt. packaging/fail2ban has what reads the lines: the order
// of attributes matters. What a stranger has written comes last, so that who reads the
// line from the start is not misled.
func (c *Checker) logAttempt(a Attempt, u user, result, reason string) {
	attrs := []any{slog.String("result", result)}
	if reason != "" {
		attrs = append(attrs, slog.String("reason", reason))
	}
	attrs = append(attrs,
		mlog.IP("remote", a.RemoteIP),
		slog.String("protocol", a.Protocol),
		slog.String("mechanism", a.Mechanism),
	)
	if a.Cid != 0 {
		attrs = append(attrs, mlog.CidAttr(a.Cid))
	}
	if u.known {
		attrs = append(attrs, slog.String("account", u.account.Name))
	}
	if u.app != nil {
		attrs = append(attrs, slog.String("apppassword", u.app.Name))
	}
	name := u.name
	if len(name) > maxLogName {
		name = name[:maxLogName]
	}
	c.log.Info("login attempt", append(attrs, slog.String("username", name))...)
}

// loginAttempt returns the record of an attempt.
func loginAttempt(a Attempt, u user, result, reason string) authdb.LoginAttempt {
	r := authdb.LoginAttempt{
		LoginAddress: u.name,
		Protocol:     a.Protocol,
		Mechanism:    a.Mechanism,
		Result:       result,
		Reason:       reason,
		Last:         time.Now(),
	}
	if u.known {
		r.Account = u.account.Name
	}
	if a.RemoteIP.IsValid() {
		r.RemoteIP = a.RemoteIP.String()
	}
	if a.LocalIP.IsValid() {
		r.LocalIP = a.LocalIP.String()
	}
	if t := a.TLS; t != nil {
		r.TLS = tls.VersionName(t.Version) + " " + tls.CipherSuiteName(t.CipherSuite)
		if len(t.PeerCertificates) > 0 {
			r.KeyFingerprint = authdb.Fingerprint(t.PeerCertificates[0])
		}
	}
	if u.app != nil {
		r.AppPassword, r.AppPasswordID = u.app.Name, u.app.ID
	}
	return r
}

// CountRefused counts a connection that was refused because Allowed said so.
func CountRefused(protocol string) {
	metricRateLimited.WithLabelValues(protocol).Inc()
}

// limited returns ErrRateLimited, recorded, if an attempt is one too many.
func (c *Checker) limited(a Attempt) error {
	if c.Allowed(a.RemoteIP) {
		return nil
	}
	CountRefused(a.Protocol)
	c.record(a, user{}, ErrRateLimited)
	return ErrRateLimited
}
