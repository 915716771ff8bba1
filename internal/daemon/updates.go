package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"mox/config"
	"mox/imap"
	"mox/internal/deliver"
	"mox/internal/inbound"
	"mox/internal/metrics"
	"mox/internal/safefile"
	"mox/internal/updates"
	"mox/message"
	"mox/mlog"
	"mox/smtp"
)

// UpdateClient returns what gets changelogs.
func UpdateClient(s *config.Snapshot) (*http.Client, error) {
	roots, err := s.Authorities.Pool()
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: metrics.ClientTransport("updates", t)}, nil
}

// startUpdates looks for new versions once a day, if the operator wants that.
func (d *Daemon) startUpdates(s *config.Snapshot) {
	if !s.Static.CheckUpdates || d.dns == nil {
		return
	}
	client, err := UpdateClient(s)
	if err != nil {
		d.log.Error("new versions are not looked for", mlog.Err(err))
		return
	}
	c := updates.NewChecker(updates.Options{
		Source:   updates.Source(*s.UpdateSource),
		Current:  d.opts.Version,
		Dir:      s.DataDir,
		Resolver: d.dns,
		Client:   client,
		Log:      d.logger("updates"),
		Deliver:  d.tellUpdate,
	})
	d.run("check for updates", func() error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			select {
			case <-d.stopping:
				cancel()
			case <-ctx.Done():
			}
		}()
		return c.Run(ctx)
	})
}

// tellUpdate delivers a message about a new version to the mailbox of the postmaster.
func (d *Daemon) tellUpdate(ctx context.Context, u updates.Update) error {
	s := d.conf.Snapshot()
	var b bytes.Buffer
	addr := smtp.NewAddress("postmaster", s.Hostname)
	c := message.NewComposer(&b, message.ComposeOptions{})
	from := message.Address{Name: "mox", Mailbox: addr.Localpart.String(), Host: s.Hostname.ASCII}
	c.Addresses("From", from)
	c.Addresses("To", message.Address{Mailbox: from.Mailbox, Host: from.Host})
	c.Header("Subject", fmt.Sprintf("mox %s is available", u.Latest))
	c.Date(time.Now())
	c.Field("Message-ID", "<"+rand.Text()+"@"+s.Hostname.ASCII+">")
	c.Text("plain", fmt.Sprintf("There is a new version of mox.\n\nRunning: %s\nLatest:  %s\n\nWhat has changed:\n\n%s\nThis message is sent because CheckUpdates is set in mox.conf.\n", u.Current, u.Latest, u.Changes))
	if err := c.Close(); err != nil {
		return fmt.Errorf("compose message: %w", err)
	}
	spool := safefile.NewSpool(safefile.SpoolOptions{Dir: d.store.TempDir()})
	defer spool.Close() // A file that stays is removed at a later start.
	if _, err := spool.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	digest, err := message.NewDigest(spool, spool.Size(), message.Limits{})
	if err != nil {
		return fmt.Errorf("parse message: %w", err)
	}
	rcpt := s.Postmaster()
	_, err = d.deliver.Deliver(ctx, deliver.Delivery{
		Facts:   inbound.Facts{Rcpt: addr.Path(), Recipient: rcpt, Digest: digest, Size: spool.Size()},
		Verdict: inbound.Verdict{Accept: true, Mailbox: rcpt.Destination.Mailbox, Flags: imap.FlagFlagged},
		Spool:   spool,
		Notice:  true,
	})
	return err
}
