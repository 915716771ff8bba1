package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mox/internal/script/mpt"
	"mox/internal/testkit"
)

// A conversation says what to do with a file of the Apache James test suite.
type conversation struct {
	state state
	skip  string // Why the file is not run, if it is not.
	edits []mpt.Edit
	files []string // Run before.
	quota int64    // Of the account, in octets. Zero is no limit.
}

// A state is that of a connection when a file starts.
type state int

const (
	greeting      state = iota // Connected.
	authenticated              // Logged in.
	selected                   // Logged in, with mailbox "selected" that has four messages.
)

// TestConversationsIMAP runs the IMAP files of the James test suite, each with an
// account of its own, against one server.
func TestConversationsIMAP(t *testing.T) {
	t.Parallel()
	dir := testkit.Shared(t, "testdata/scripts/imap")
	checkTable(t, dir, imapConversations)
	names := runnable(imapConversations)
	var accounts []account
	for i := range names {
		name := fmt.Sprintf("user%d", i)
		accounts = append(accounts, account{name, "localhost", name + "@localhost", "password", imapConversations[names[i]].quota})
	}
	s := localserve(t, options{dir: withAccounts(t, accounts)})
	t.Run("files", func(t *testing.T) {
		for i, name := range names {
			t.Run(strings.TrimSuffix(name, ".test"), func(t *testing.T) {
				t.Parallel()
				runIMAP(t, s, dir, name, imapConversations[name], accounts[i])
			})
		}
	})
}

// runnable returns the names of files that are run, sorted.
func runnable(table map[string]conversation) []string {
	var l []string
	for name, c := range table {
		if c.skip == "" {
			l = append(l, name)
		}
	}
	slices.Sort(l)
	return l
}

// citation is what the reason of a difference has.
var citation = regexp.MustCompile(`RFC \d+ (§|Appendix )`)

// checkTable fails if a file is not in the table, or the other way around, or a difference
// is not one that an RFC allows.
func checkTable(t *testing.T, dir string, table map[string]conversation) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, e := range entries {
		have[e.Name()] = true
		if _, ok := table[e.Name()]; !ok {
			t.Errorf("%s is not in the table: say what to do with it", e.Name())
		}
	}
	for name, c := range table {
		if !have[name] {
			t.Errorf("%s is in the table and not in %s", name, dir)
		}
		if c.skip != "" && len(c.edits) > 0 {
			t.Errorf("%s has edits and is not run", name)
		}
		for _, e := range c.edits {
			if !citation.MatchString(e.Why) {
				t.Errorf("%s: difference without the section of an RFC: %s", name, e.Why)
			}
		}
	}
}

func runIMAP(t *testing.T, s *server, dir, name string, c conversation, a account) {
	ctx := testContext(t)
	opts := mpt.Options{
		Dial: func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", s.addr["imap"])
		},
		Delimiter: '/',
		Timeout:   patience,
	}
	// The first command of a connection is a good one: otherwise it may be closed.
	opts.Login = parseConversation(t, "first", "C: first CAPABILITY\nS: \\* CAPABILITY .*\nS: first OK done\n", nil)
	if c.state != greeting {
		opts.Login = parseConversation(t, "login", fmt.Sprintf("C: login LOGIN %s %s\nS: login OK done\n", a.address, a.password), nil)
	}
	m := mpt.NewIMAP(opts)
	defer func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}()
	files := slices.Clone(c.files)
	if c.state == selected {
		files = append(files, "SelectedStateSetup.test")
	}
	for _, before := range files {
		if err := m.Run(ctx, readConversation(t, dir, before, imapConversations[before].edits, a)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Run(ctx, readConversation(t, dir, name, c.edits, a)); err != nil {
		t.Error(err)
	}
}

// readConversation reads a file. The user of the files is the one of the test.
func readConversation(t *testing.T, dir, name string, edits []mpt.Edit, a account) *mpt.File {
	t.Helper()
	text := string(testkit.ReadFile(t, filepath.Join(dir, name)))
	plain := func(fields ...string) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.Join(fields, "\x00")))
	}
	return parseConversation(t, name, strings.NewReplacer(
		"LOGIN imapuser ", "LOGIN "+a.address+" ",
		plain("imapuser", "password"), plain(a.address, "password"),
		plain("", "imapuser", "password"), plain("", a.address, "password"),
		plain("imapuser", "imapuser", "password"), plain(a.address, a.address, "password"),
		plain("", "imapuser", "badpassword"), plain("", a.address, "badpassword"),
		plain("", "baduser", "password"), plain("", "baduser@localhost", "password"),
		plain("delegate", "imapuser", "password"), plain("delegate@localhost", a.address, "password"),
	).Replace(text), edits)
}

func parseConversation(t *testing.T, name, text string, edits []mpt.Edit) *mpt.File {
	t.Helper()
	f, err := mpt.Parse(name, text, edits...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestConversationsSMTP runs the SMTP files of the James test suite.
func TestConversationsSMTP(t *testing.T) {
	t.Parallel()
	dir := testkit.Shared(t, "testdata/scripts/smtp")
	checkTable(t, dir, smtpConversations)
	s := localserve(t, options{dir: withAccounts(t, []account{
		{"bob", "mydomain.tld", "bob@mydomain.tld", "secretsecret", 0},
		{"starttls", "mydomain.tld", "starttls@mydomain.tld", "secretsecret", 0},
	})})
	for _, name := range runnable(smtpConversations) {
		t.Run(strings.TrimSuffix(name, ".test"), func(t *testing.T) {
			c := smtpConversations[name]
			service := "smtp"
			if c.state == authenticated {
				service = "submission"
			}
			ctx := testContext(t)
			f := readConversation(t, dir, name, c.edits, account{})
			err := mpt.SMTP(ctx, f, mpt.Options{
				Dial: func(ctx context.Context, _ string) (net.Conn, error) {
					d := net.Dialer{Timeout: patience}
					return d.DialContext(ctx, "tcp", s.addr[service])
				},
				Timeout: patience,
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
