package tlsrptdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/mjl-/bstore"

	"mox/dns"
	"mox/internal/boltpages"
)

// verifyResults checks the database with results.
func verifyResults(ctx context.Context, dir string) (problems []string, err error) {
	path := filepath.Join(dir, ResultsName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := boltpages.Check(path); err != nil {
		return []string{err.Error()}, nil
	}
	d, err := OpenResults(ctx, ResultsOptions{Dir: dir})
	if err != nil {
		return nil, err
	}
	err = d.bdb.Read(ctx, func(tx *bstore.Tx) error {
		problems, err = verifyResultsTx(tx)
		return err
	})
	if err != nil {
		problems = append(problems, fmt.Sprintf("reading tls results: %v", err))
	}
	return problems, d.Close()
}

func verifyResultsTx(tx *bstore.Tx) (problems []string, err error) {
	want := map[string]int64{}
	err = bstore.QueryTx[TLSResult](tx).ForEach(func(r TLSResult) error {
		want[kindResults]++
		if problem := r.verify(); problem != "" {
			problems = append(problems, fmt.Sprintf("tls result %d: %s", r.ID, problem))
		}
		return nil
	})
	if err != nil {
		return problems, err
	}
	err = bstore.QueryTx[tlsHost](tx).ForEach(func(h tlsHost) error {
		want[kindHosts]++
		if !isDomain(h.Host) {
			problems = append(problems, fmt.Sprintf("host that did tls is no domain: %.300q", h.Host))
		}
		return nil
	})
	if err != nil {
		return problems, err
	}
	for _, kind := range []string{kindResults, kindHosts} {
		n, err := addUsage(tx, kind, 0)
		if err != nil {
			return problems, err
		}
		if n != want[kind] {
			problems = append(problems, fmt.Sprintf("there are %d records of %s, not %d", want[kind], kind, n))
		}
	}
	// All of them can be read.
	return problems, bstore.QueryTx[Suppression](tx).ForEach(func(Suppression) error { return nil })
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
