//go:build linux

package internet

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mox/dns"
	"mox/tlsrpt"
	"mox/tlsrpt/tlsrptdb"
)

// wantedResults are what is to be known for TLS reports about deliveries to a domain.
type wantedResults struct {
	test   string
	from   *mox
	domain string
	lines  []string
}

// wantResults says what is to be known for TLS reports about deliveries of a server to a
// domain, as lines of resultLine. It is checked when all tests are through.
func (w *world) wantResults(t testing.TB, from *mox, domain string, lines ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wanted = append(w.wanted, wantedResults{t.Name(), from, domain, lines})
}

// resultLine returns a result as a line: the kind of policy, the domain or host that it is
// about, numbers of successes and failures, and for each failure its type and number, and
// the reason if it has one. The number of successes can be left open.
func resultLine(p tlsrpt.PolicyResult, domain string, open bool) string {
	successes := strconv.FormatInt(p.Successes, 10)
	if open {
		successes = "*"
	}
	line := fmt.Sprintf("%s %s %s/%d", p.Policy.Type, domain, successes, p.Failures)
	for _, d := range p.FailureDetails {
		line += fmt.Sprintf(" %s=%d", d.ResultType, d.Count)
		if d.FailureReasonCode != "" {
			line += " (" + d.FailureReasonCode + ")"
		}
	}
	return line
}

// testResults checks what servers that have stopped know for TLS reports, of the days
// since start.
func (w *world) testResults(t *testing.T, start time.Time) {
	for _, m := range []*mox{w.alpha, w.beta} {
		db, err := tlsrptdb.OpenResults(context.Background(), tlsrptdb.ResultsOptions{Dir: filepath.Join(m.dir, "data")})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		for _, want := range w.wanted {
			if want.from != m {
				continue
			}
			open := strings.Contains(strings.Join(want.lines, ""), "*/")
			t.Run(strings.TrimPrefix(want.test, "TestInternet/mail/"), func(t *testing.T) {
				var got []string
				for day := start.UTC().Truncate(24 * time.Hour); !day.After(time.Now()); day = day.Add(24 * time.Hour) {
					l, err := db.ForRecipientDomain(context.Background(), dns.Domain{ASCII: want.domain}, day.Format("20060102"))
					if err != nil {
						t.Fatal(err)
					}
					for _, r := range l {
						for _, p := range r.Results {
							got = append(got, resultLine(p, r.PolicyDomain, open && p.Successes > 0))
						}
					}
				}
				slices.Sort(got)
				slices.Sort(want.lines)
				if !slices.Equal(got, want.lines) {
					t.Errorf("results for %s are\n%s\nexpected\n%s", want.domain, strings.Join(got, "\n"), strings.Join(want.lines, "\n"))
				}
			})
		}
	}
}
