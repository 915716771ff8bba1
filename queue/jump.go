package queue

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"mox/config"
	"mox/message"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/smtp"
)

// tellJumps tells the postmaster of accounts that were put on hold because their
// sending has jumped. What fails is tried again within an hour.
func (q *Queue) tellJumps(ctx context.Context) {
	rules, err := q.db.Untold(ctx)
	if err != nil {
		if ctx.Err() == nil {
			q.log.ErrorContext(ctx, "looking for accounts on hold", mlog.Err(err))
		}
		return
	}
	for _, r := range rules {
		conf := q.opts.Config.Snapshot()
		to := smtp.NewAddress("postmaster", conf.Hostname)
		text, err := jumpText(conf, to, r)
		if err == nil {
			rcpt := conf.Postmaster()
			err = q.deliverNotice(ctx, rcpt, rcpt.Destination.Mailbox, to.Path(), false, text)
		}
		if err == nil {
			err = q.db.SetTold(ctx, r.ID)
		}
		if err != nil {
			q.log.ErrorContext(ctx, "telling postmaster of account on hold, will try again", mlog.Err(err), slog.String("account", r.Account))
		}
	}
}

// jumpText returns the message to the postmaster.
func jumpText(conf *config.Snapshot, to smtp.Address, r queuedb.HoldRule) ([]byte, error) {
	var b bytes.Buffer
	c := message.NewComposer(&b, message.ComposeOptions{SMTPUTF8: true})
	c.Field("From", "<"+to.XString(true)+">")
	c.Field("To", "<"+to.XString(true)+">")
	c.Header("Subject", "sending of account "+r.Account+" is on hold")
	c.Date(time.Now())
	c.Field("Message-ID", "<"+rand.Text()+"@"+conf.Hostname.ASCII+">")
	c.Field("Auto-Submitted", "auto-generated")
	c.Text("plain", fmt.Sprintf(`Account %q was put on hold at %s:

    %s

All its messages stay in the queue for now, and so do further ones.

If the password was stolen, change it, look at the messages and drop them:

    mox setaccountpassword %s
    mox queue list -account %s
    mox queue drop -account %s

Then, or if all is well, remove the rule and release what is left:

    mox queue holdrules remove %d
    mox queue unhold -account %s

For 24 hours after that the account can send as much as its other limits allow.

Mail server at %s
`, r.Account, formatTime(r.Created), r.Reason, r.Account, r.Account, r.Account, r.ID, r.Account, conf.Hostname.Name()))
	if err := c.Close(); err != nil {
		return nil, fmt.Errorf("compose message: %w", err)
	}
	return b.Bytes(), nil
}
