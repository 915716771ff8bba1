package daemon

import (
	"context"
	"crypto/x509"
	"fmt"

	"mox/config"
	"mox/mtasts"
	"mox/mtasts/mtastsdb"
	"mox/queue/transport"
	"mox/tlsrpt/tlsrptdb"
)

// outgoing has what deliveries to other servers know of them: policies, and how TLS
// went.
type outgoing struct {
	policies   *mtastsdb.DB
	tlsResults *tlsrptdb.Results
	roots      *x509.CertPool  // Authorities that are trusted. Nil: those of the system.
	pool       *transport.Pool // Nil if nothing leaves the server.

	cancel    context.CancelFunc // Ends refreshing policies. Nil if it was not started.
	refreshed chan struct{}      // Closed when it has ended.
}

// openOutgoing reads which authorities are trusted, and opens the databases.
func (d *Daemon) openOutgoing(ctx context.Context, s *config.Snapshot) (err error) {
	if d.out.roots, err = s.Authorities.Pool(); err != nil {
		return fmt.Errorf("trusted authorities: %w", err)
	}
	d.out.policies, err = mtastsdb.Open(ctx, mtastsdb.Options{
		Dir:      s.DataDir,
		Resolver: d.dns,
		Fetch:    mtasts.FetchOptions{RootCAs: d.out.roots, Transport: countPolicies},
		Log:      d.logger("mtastsdb"),
	})
	if err != nil {
		return err
	}
	d.out.tlsResults, err = tlsrptdb.OpenResults(ctx, tlsrptdb.ResultsOptions{Dir: s.DataDir, Log: d.logger("tlsrptdb")})
	return err
}

// startOutgoing starts refreshing policies.
func (d *Daemon) startOutgoing() {
	ctx, cancel := context.WithCancel(context.Background())
	d.out.cancel, d.out.refreshed = cancel, make(chan struct{})
	d.run("mta-sts policies", func() error {
		defer close(d.out.refreshed)
		return d.out.policies.Run(ctx)
	})
}

// shutdown closes connections that are kept and ends refreshing policies, and waits for
// both until ctx is done.
func (o *outgoing) shutdown(ctx context.Context) error {
	if o.cancel == nil {
		return nil
	}
	o.cancel()
	var err error
	if o.pool != nil {
		err = o.pool.Close(ctx)
	}
	select {
	case <-o.refreshed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close closes the databases that were opened.
func (o *outgoing) close() []error {
	var errs []error
	if o.policies != nil {
		errs = append(errs, o.policies.Close())
	}
	if o.tlsResults != nil {
		errs = append(errs, o.tlsResults.Close())
	}
	return errs
}
