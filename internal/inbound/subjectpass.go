package inbound

import (
	"context"
	"errors"

	"mox/smtp"
	"mox/subjectpass"
)

// subjectPassMargin is how far below the threshold the probability of junk must be for
// a stranger to be offered another way in.
const subjectPassMargin = 0.2

// acceptSubjectPass accepts a message with a token in its subject that was given to its
// author before.
func acceptSubjectPass(ctx context.Context, v *verdict) bool {
	if v.account.SubjectPassPeriod <= 0 || v.author.IsZero() {
		return false
	}
	subject := v.shared.usual().Text("Subject")
	if errors.Is(subjectpass.Verify(subject, v.author, nil, 0, v.now), subjectpass.ErrMissing) {
		return false // Which hardly any message has.
	}
	key, err := v.subjectPassKey(ctx)
	if err != nil {
		return v.fail(ctx, ReasonSubjectPassError, err)
	}
	err = subjectpass.Verify(subject, v.author, key, v.account.SubjectPassPeriod, v.now)
	metricSubjectPassVerify.WithLabelValues(subjectPassResult(err)).Inc()
	if err != nil {
		v.explain(err.Error())
		return false
	}
	return v.accept(ReasonSubjectPass, "the subject has a token that the author was given")
}

func subjectPassResult(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, subjectpass.ErrExpired):
		return "expired"
	case errors.Is(err, subjectpass.ErrInvalid):
		return "invalid"
	}
	return "malformed"
}

// subjectPassKey returns the key for tokens of the address the message is for.
func (v *verdict) subjectPassKey(ctx context.Context) ([]byte, error) {
	if v.d.opts.Store == nil {
		return nil, errors.New("no store for keys of tokens")
	}
	acc, err := v.d.opts.Store.Ensure(ctx, v.Recipient.Account)
	if err != nil {
		return nil, err
	}
	defer acc.Release()
	address := v.Recipient.Canonical.XString(true)
	if v.Recipient.Canonical.IsZero() {
		address = v.Rcpt.XString(true)
	}
	key, err := acc.SubjectPassKey(ctx, address)
	return []byte(key), err
}

// offerSubjectPass tells the author of a message that is refused how to come through:
// with a token in the subject. Only a person does that, and only one whose domain says
// that it is theirs is told, and of whom nothing is known.
func (v *verdict) offerSubjectPass(ctx context.Context) {
	unlikely := v.content != nil && *v.content < v.threshold-subjectPassMargin
	if v.account.SubjectPassPeriod <= 0 || v.author.IsZero() || !v.Auth.dmarcPass() || v.past.method != methodNone ||
		v.Reason != ReasonBlocklisted && !(unlikely && (v.Reason == ReasonJunkContent || v.Reason == ReasonJunkContentStrict)) {
		return
	}
	key, err := v.subjectPassKey(ctx)
	if err != nil {
		v.fail(ctx, ReasonSubjectPassError, err)
		return
	}
	token := subjectpass.Generate(v.author, key, v.now)
	metricSubjectPassGenerate.Inc()
	v.Err = smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se71NotAuthorized,
		"message looks like spam; if you are a person, send it again with the following in the subject, to get it delivered: %s", token)
	v.explain("refused for " + v.Reason + ", and the author was given a token")
	v.Reason = ReasonGiveSubjectPass
}
