package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"

	"mox/dmarc/report"
)

var cmdDMARCParseReportMsg = command{
	words: "dmarc parsereportmsg",
	args:  "[file ...]",
	help: `Parse messages with DMARC aggregate reports and print the reports as JSON.

A message is read from standard input if no file is given. A file may also be a report
without a message around it: XML, or XML in a gzip or zip file.
`,
	setup: func(*flag.FlagSet) runFunc { return runDMARCParseReportMsg },
}

func runDMARCParseReportMsg(_ context.Context, e *env, args []string) error {
	enc := json.NewEncoder(e.out)
	enc.SetIndent("", "\t")
	enc.SetEscapeHTML(false)
	if len(args) == 0 {
		return parseReport(e, enc, nil)
	}
	for i, name := range args {
		if err := parseReport(e, enc, args[i:i+1]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func parseReport(e *env, enc *json.Encoder, args []string) error {
	data, err := readInput(e, args)
	if err != nil {
		return err
	}
	var f *report.Feedback
	if isReportFile(data) {
		f, err = report.Parse(data)
	} else {
		f, err = report.ParseMessage(bytes.NewReader(data), int64(len(data)))
	}
	if err != nil {
		return err
	}
	return enc.Encode(f)
}

// isReportFile reports whether data is not a message, which begins with the name of a
// header field.
func isReportFile(data []byte) bool {
	start := strings.TrimLeft(string(data[:min(len(data), 16)]), "\ufeff \t\r\n")
	return strings.HasPrefix(start, "<") || strings.HasPrefix(start, "\x1f\x8b") || strings.HasPrefix(start, "PK\x03\x04")
}
