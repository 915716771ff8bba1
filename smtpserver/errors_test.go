package smtpserver

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mox/config"
	"mox/internal/identity"
	"mox/internal/safefile"
	"mox/internal/testkit"
	"mox/sasl"
	"mox/smtp"
	"mox/store"
)

// sentinels returns the exported error variables of a package, from its source.
func sentinels(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testkit.Root(t), dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source in %s: %v", dir, err)
	}
	var names []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatalf("parsing %s: %v", file, err)
		}
		for _, decl := range f.Decls {
			gd, ok := decl.(*ast.GenDecl)
			if !ok || gd.Tok != token.VAR {
				continue
			}
			for _, spec := range gd.Specs {
				for _, id := range spec.(*ast.ValueSpec).Names {
					if strings.HasPrefix(id.Name, "Err") {
						names = append(names, filepath.Base(dir)+"."+id.Name)
					}
				}
			}
		}
	}
	return names
}

func TestEveryErrorOfLowerPackagesHasAReply(t *testing.T) {
	t.Parallel()
	// Not returned by what this package calls.
	never := []string{
		"config.ErrNotFile", "config.ErrBroken", "config.ErrChanged",
		"safefile.ErrLocked",
		"identity.ErrPasswordTooShort", "identity.ErrPasswordTooLong", "identity.ErrPasswordUTF8",
		"submit.ErrNotRewritten", // Says that an address is none of these.
	}
	// Only as the cause of a *smtp.Error, which says what the reply is.
	causes := []string{
		"submit.ErrFrom", "submit.ErrBadMessage", "submit.ErrBadFrom", "submit.ErrBadHeader",
		"submit.ErrMissingSMTPUTF8", "submit.ErrMessageLimit", "submit.ErrRecipientLimit", "submit.ErrQueue", "submit.ErrFromID",
	}
	var known []string
	for _, m := range mappings {
		known = append(known, m.name)
	}
	known = append(append(known, never...), causes...)
	for _, dir := range []string{"config", "store", "sasl", "smtp", "internal/safefile", "internal/identity", "internal/submit", "internal/deliver", "internal/inbound"} {
		for _, name := range sentinels(t, dir) {
			if !slices.Contains(known, name) {
				t.Errorf("%s is not in the table of errors", name)
			}
		}
	}
}

func TestMappingsAreValidReplies(t *testing.T) {
	t.Parallel()
	for _, m := range mappings {
		e := replyError(fmt.Errorf("wrapped: %w", m.err))
		if e.Code != m.code || !errors.Is(e, m.err) {
			t.Errorf("%s: got %v", m.name, e)
		}
		if !e.Temporary() && !e.Permanent() || e.Enhanced[0] != byte('0'+e.Code/100) || e.Text == "" {
			t.Errorf("%s: reply %v", m.name, e)
		}
		if strings.ContainsFunc(m.text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%s: text %q", m.name, m.text)
		}
	}
}

func TestReplyErrors(t *testing.T) {
	t.Parallel()
	own := smtp.Errorf(599, smtp.Se00Other, "own")
	tests := []struct {
		name     string
		err      error
		code     int
		enhanced string
		text     string
	}{
		{"a protocol error says it itself", fmt.Errorf("x: %w", own), 599, "5.0.0", "own"},
		{"unknown errors are ours", errors.New("secret detail"), 451, "4.3.0", "local error in processing"},
		{"full disk", fmt.Errorf("write: %w", syscall.ENOSPC), 452, "4.3.1", "insufficient storage"},
		{"quota", fmt.Errorf("x: %w", store.ErrOverQuota), 452, "4.2.2", "mailbox full"},
		{"read-only account", store.ErrReadOnly, 451, "4.3.0", "account not available"},
		{"spool limit", safefile.ErrTooLarge, 552, "5.3.4", "message too large"},
		{"time-out", context.DeadlineExceeded, 451, "4.3.0", "processing took too long, try again later"},
		{"disabled domain", config.ErrDomainDisabled, 450, "4.2.1", "domain temporarily disabled"},
		{"disabled login", &identity.LoginDisabledError{Text: "gone"}, 525, "5.7.13", "gone"},
		{"disabled login without text", identity.ErrLoginDisabled, 525, "5.7.13", "login is disabled for this account"},
		{"wrong password", fmt.Errorf("%w: %w", identity.ErrCredentials, sasl.ErrInvalidProof), 535, "5.7.8", "bad user name or password"},
		{"channel binding", sasl.ErrChannelBinding, 535, "5.7.7", "channel bindings do not match, someone may be intercepting the connection"},
	}
	for _, tc := range tests {
		e := replyError(tc.err)
		if e.Code != tc.code || e.Enhanced != tc.enhanced || e.Text != tc.text {
			t.Errorf("%s: got %v", tc.name, e)
		}
		if !strings.Contains(e.Error(), tc.err.Error()) && e != own {
			t.Errorf("%s: cause is lost: %v", tc.name, e)
		}
	}
}
