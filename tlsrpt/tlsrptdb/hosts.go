package tlsrptdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mjl-/bstore"

	"mox/dns"
	"mox/mlog"
)

// tlsHost is a host that did TLS.
type tlsHost struct {
	Host string    // In ASCII.
	Last time.Time `bstore:"nonzero,index"` // When it did so last, within hostStep.
}

// DidTLS reports whether a host did TLS within [HostAge]. If that cannot be read, it did
// not: then the host is treated as one that is new.
func (d *Results) DidTLS(ctx context.Context, host dns.Domain) bool {
	last, err := d.hostLast(ctx, host)
	if err != nil {
		d.log.ErrorContext(ctx, "looking up whether host did tls", mlog.Err(err))
		return false
	}
	return !last.IsZero() && time.Since(last) < HostAge
}

// SetTLS remembers that a host did TLS now. It does not wait for the disk.
func (d *Results) SetTLS(ctx context.Context, host dns.Domain) {
	if host.IsZero() {
		return
	}
	last, err := d.hostLast(ctx, host)
	if err != nil {
		d.log.ErrorContext(ctx, "looking up whether host did tls", mlog.Err(err))
		return
	}
	now := time.Now().UTC().Round(0)
	if !last.IsZero() && now.Sub(last) < hostStep {
		return
	}
	// That the database is closed does not matter: it is learned again.
	_ = d.writer.Add(func(p *pending) {
		if _, ok := p.hosts[host.ASCII]; ok || len(p.hosts) < maxPending {
			p.hosts[host.ASCII] = now
		}
	})
}

// hostLast returns when a host did TLS last, zero for never.
func (d *Results) hostLast(ctx context.Context, host dns.Domain) (time.Time, error) {
	var last time.Time
	d.writer.Look(func(p *pending) { last = p.hosts[host.ASCII] })
	if !last.IsZero() {
		return last, nil
	}
	h := tlsHost{Host: host.ASCII}
	err := d.bdb.Read(ctx, func(tx *bstore.Tx) error { return tx.Get(&h) })
	if errors.Is(err, bstore.ErrAbsent) {
		return time.Time{}, nil
	} else if err != nil {
		return time.Time{}, fmt.Errorf("read host: %w", err)
	}
	return h.Last, nil
}

// putHost stores a host, and removes others if there are too many.
func (d *Results) putHost(tx *bstore.Tx, host string, last time.Time) error {
	h := tlsHost{Host: host}
	err := tx.Get(&h)
	if err == nil {
		h.Last = last
		return tx.Update(&h)
	} else if !errors.Is(err, bstore.ErrAbsent) {
		return err
	}
	if err := tx.Insert(&tlsHost{host, last}); err != nil {
		return err
	}
	n, err := addUsage(tx, kindHosts, 1)
	if err != nil || n <= int64(d.limits.hosts) {
		return err
	}
	removed, err := bstore.QueryTx[tlsHost](tx).SortAsc("Last").Limit(int(min(n-int64(d.limits.hosts), removeBatch))).Delete()
	if err != nil {
		return err
	}
	_, err = addUsage(tx, kindHosts, int64(-removed))
	return err
}

// pruneHosts removes hosts that count no more.
func (d *Results) pruneHosts(ctx context.Context, now time.Time) error {
	for {
		var n int
		err := d.bdb.Write(ctx, func(tx *bstore.Tx) (err error) {
			n, err = bstore.QueryTx[tlsHost](tx).FilterLess("Last", now.Add(-HostAge)).Limit(removeBatch).Delete()
			if err != nil {
				return err
			}
			_, err = addUsage(tx, kindHosts, int64(-n))
			return err
		})
		if err != nil {
			return fmt.Errorf("remove hosts that did tls: %w", err)
		}
		if n < removeBatch {
			return nil
		}
	}
}
