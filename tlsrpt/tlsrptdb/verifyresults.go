package tlsrptdb

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/mjl-/bstore"

	"mox/dns"
	"mox/internal/dbformat"
	"mox/internal/reportdb"
)

// verifyResults checks the database with results.
func verifyResults(ctx context.Context, dir string) (problems []string, err error) {
	open := func() (*Results, error) { return OpenResults(ctx, ResultsOptions{Dir: dir}) }
	return dbformat.Verify(filepath.Join(dir, ResultsName), open, func(d *Results, add func(format string, args ...any)) {
		if err := d.bdb.Read(ctx, func(tx *bstore.Tx) error { return verifyResultsTx(tx, add) }); err != nil {
			add("reading tls results: %v", err)
		}
	})
}

func verifyResultsTx(tx *bstore.Tx, add func(format string, args ...any)) error {
	want := map[string]int64{}
	err := bstore.QueryTx[TLSResult](tx).ForEach(func(r TLSResult) error {
		want[kindResults]++
		if problem := r.verify(); problem != "" {
			add("tls result %d: %s", r.ID, problem)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = bstore.QueryTx[tlsHost](tx).ForEach(func(h tlsHost) error {
		want[kindHosts]++
		if !isDomain(h.Host) {
			add("host that did tls is no domain: %.300q", h.Host)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, kind := range []string{kindResults, kindHosts} {
		n, err := addUsage(tx, kind, 0)
		if err != nil {
			return err
		}
		if n != want[kind] {
			add("there are %d records of %s, not %d", want[kind], kind, n)
		}
	}
	// All of them can be read.
	return bstore.QueryTx[reportdb.Suppression](tx).ForEach(func(reportdb.Suppression) error { return nil })
}

func isDomain(s string) bool {
	d, err := dns.ParseDomainLax(s)
	return err == nil && d.ASCII == s
}

// verify returns what is wrong with a record.
func (r *TLSResult) verify() string {
	if !isDomain(r.PolicyDomain) || !isDomain(r.RecipientDomain) {
		return "policy domain or recipient domain is no domain"
	}
	if !r.IsHost && r.PolicyDomain != r.RecipientDomain {
		return "policy domain is neither the recipient domain nor a host"
	}
	if _, err := time.Parse("20060102", r.Day); err != nil {
		return "day is no day"
	}
	if len(r.Results) == 0 || len(r.Results) > maxResultPolicies {
		return fmt.Sprintf("%d policies", len(r.Results))
	}
	for _, p := range r.Results {
		if len(p.FailureDetails) > maxResultDetails || p.Successes < 0 || p.Failures < 0 {
			return fmt.Sprintf("%d successes, %d failures, %d details", p.Successes, p.Failures, len(p.FailureDetails))
		}
	}
	return ""
}
