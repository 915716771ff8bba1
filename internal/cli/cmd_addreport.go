package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"

	"mox/config"
	"mox/dmarc/dmarcdb"
	"mox/dmarc/report"
	"mox/dns"
	"mox/internal/safefile"
	"mox/tlsrpt/tlsrptdb"
)

var cmdDMARCDBAddReport = command{
	words: "dmarcdb addreport",
	args:  "fromdomain [file ...]",
	help: `Store DMARC aggregate reports that others have sent.

A file is a message with a report, or just the report, as for "mox dmarc
parsereportmsg". One is read from standard input if no file is given. Reports are
stored as if they came from fromdomain, which is not checked. They must be about a
domain in the configuration. The server must not be running.
`,
	setup: func(*flag.FlagSet) runFunc {
		return func(ctx context.Context, e *env, args []string) error {
			return addReports(e, args, func(s *config.Snapshot, from dns.Domain, each eachReport) (rerr error) {
				db, err := dmarcdb.Open(ctx, dmarcdb.Options{Dir: s.DataDir, Log: e.log})
				if err != nil {
					return err
				}
				defer func() { rerr = errors.Join(rerr, db.Close()) }()
				return each(func(data []byte) error { return addDMARCReport(ctx, db, s, from, data) })
			})
		}
	},
}

var cmdTLSRPTDBAddReport = command{
	words: "tlsrptdb addreport",
	args:  "fromdomain [file ...]",
	help: `Store TLS reports that others have sent.

A file is a message with a report, or just the report, as for "mox tlsrpt
parsereportmsg". One is read from standard input if no file is given. Reports are
stored as if they came from fromdomain, which is not checked. They must be about a
domain in the configuration or this host. The server must not be running.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		host := fs.Bool("hostreport", false, "the reports came to the address for reports about the host")
		return func(ctx context.Context, e *env, args []string) error {
			return addReports(e, args, func(s *config.Snapshot, from dns.Domain, each eachReport) (rerr error) {
				db, err := tlsrptdb.Open(ctx, s.DataDir)
				if err != nil {
					return err
				}
				defer func() { rerr = errors.Join(rerr, db.Close()) }()
				return each(func(data []byte) error { return addTLSReport(ctx, db, s, from, *host, data) })
			})
		}
	},
}

// eachReport calls add for each report that was given.
type eachReport func(add func(data []byte) error) error

// addReports prepares for storing, which store does while no server runs.
func addReports(e *env, args []string, store func(s *config.Snapshot, from dns.Domain, each eachReport) error) (rerr error) {
	if len(args) == 0 {
		return usageError("")
	}
	from, err := dns.ParseDomain(args[0])
	if err != nil {
		return err
	}
	s, err := config.Load(e.configPath, e.overrides...)
	if err != nil {
		return err
	}
	if err := checkDataDir(s.DataDir); err != nil {
		return err
	}
	lock, err := safefile.LockDir(s.DataDir)
	if err != nil {
		return fmt.Errorf("lock data directory %s (stop the server first): %w", s.DataDir, err)
	}
	defer func() { rerr = errors.Join(rerr, lock.Close()) }()
	return store(s, from, func(add func(data []byte) error) error {
		files := args[1:]
		for i := range max(1, len(files)) {
			name := "standard input"
			if len(files) > 0 {
				name = files[i]
			}
			data, err := readInput(e, files[min(i, len(files)):])
			if err == nil {
				err = add(data)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if _, err := fmt.Fprintf(e.out, "%s: report stored\n", name); err != nil {
				return err
			}
		}
		return nil
	})
}

func addDMARCReport(ctx context.Context, db *dmarcdb.DB, s *config.Snapshot, from dns.Domain, data []byte) error {
	var f *report.Feedback
	var err error
	if isReportFile(data) {
		f, err = report.Parse(data)
	} else {
		f, err = report.ParseMessage(bytes.NewReader(data), int64(len(data)))
	}
	if err != nil {
		return err
	}
	domain, err := dns.ParseDomainLax(f.Policy.Domain)
	if err != nil {
		return fmt.Errorf("domain of the policy: %w", err)
	}
	if _, ok := s.Domain(domain); !ok {
		return fmt.Errorf("report is about domain %s, which is not in the configuration", domain)
	}
	in, err := dmarcdb.NewIncoming(f, domain, from)
	if err != nil {
		return err
	}
	_, err = db.AddReport(ctx, in, dmarcdb.Reference{})
	return err
}

func addTLSReport(ctx context.Context, db *tlsrptdb.DB, s *config.Snapshot, from dns.Domain, host bool, data []byte) error {
	r, err := readReport(data)
	if err != nil {
		return err
	}
	ours := func(d dns.Domain) bool {
		_, ok := s.Domain(d)
		return ok || d == s.Hostname
	}
	in, err := tlsrptdb.NewIncoming(r, ours, host, from)
	if err != nil {
		return err
	}
	return db.AddReport(ctx, in, tlsrptdb.Reference{})
}
