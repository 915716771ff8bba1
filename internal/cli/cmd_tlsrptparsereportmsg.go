package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"mox/tlsrpt"
)

var cmdTLSRPTParseReportMsg = command{
	words: "tlsrpt parsereportmsg",
	args:  "[file ...]",
	help: `Print the TLS reports in messages.

A file is a message with a report, or just the report, in JSON and possibly compressed
with gzip. One message or report is read from standard input if no file is given. What
reports say has not been verified; neither are DKIM signatures of messages.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		asJSON := fs.Bool("json", false, "print reports as JSON")
		return func(_ context.Context, e *env, args []string) error {
			return runTLSRPTParseReportMsg(e, args, *asJSON)
		}
	},
}

func runTLSRPTParseReportMsg(e *env, args []string, asJSON bool) error {
	if len(args) == 0 {
		return printReport(e, "standard input", e.in, asJSON)
	}
	var errs []error
	for i, name := range args {
		if i > 0 {
			fmt.Fprintln(e.out)
		}
		f, err := os.Open(name)
		if err == nil {
			err = errors.Join(printReport(e, name, f, asJSON), f.Close())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func printReport(e *env, name string, r io.Reader, asJSON bool) error {
	data, err := io.ReadAll(io.LimitReader(r, tlsrpt.MaxReportSize+1))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	report, err := readReport(data)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if asJSON {
		return report.WriteJSON(e.out)
	}
	_, err = io.WriteString(e.out, describeReport(report))
	return err
}

// readReport reads a report that is in a message or is by itself.
func readReport(data []byte) (tlsrpt.Report, error) {
	start := bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), " \t\r\n")
	if bytes.HasPrefix(start, []byte("{")) || bytes.HasPrefix(data, []byte("\x1f\x8b")) {
		return tlsrpt.ParseReport(bytes.NewReader(data))
	}
	return tlsrpt.ParseMessage(bytes.NewReader(data), int64(len(data)))
}

// describeReport returns a report as text for a person.
func describeReport(r tlsrpt.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "report %s of %s (%s)\n", printableText(r.ReportID), printableText(r.OrganizationName), printableText(r.ContactInfo))
	fmt.Fprintf(&b, "from %s to %s\n", r.Start.Format(time.RFC3339), r.End.Format(time.RFC3339))
	for _, p := range r.Policies {
		fmt.Fprintf(&b, "\n%s for %s: %d sessions succeeded, %d failed\n", printableText(string(p.Policy.Type)), printableText(p.Policy.Domain), p.Successes, p.Failures)
		for _, h := range p.Policy.MXHost {
			fmt.Fprintf(&b, "\tmx %s\n", printableText(h))
		}
		for _, line := range p.Policy.Text {
			fmt.Fprintf(&b, "\tpolicy %s\n", printableText(line))
		}
		for _, d := range p.FailureDetails {
			fmt.Fprintf(&b, "\t%d %s%s\n", d.Count, printableText(string(d.ResultType)), describeDetail(d))
		}
	}
	return b.String()
}

func describeDetail(d tlsrpt.FailureDetail) string {
	var s string
	for _, f := range []struct{ name, value string }{
		{"from", d.SendingMTAIP},
		{"to", d.ReceivingMXHostname},
		{"helo", d.ReceivingMXHelo},
		{"at", d.ReceivingIP},
		{"reason", d.FailureReasonCode},
		{"see", d.AdditionalInformation},
	} {
		if f.value != "" {
			s += ", " + f.name + " " + printableText(f.value)
		}
	}
	return s
}
