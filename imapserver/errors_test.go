package imapserver

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"mox/imap"
	"mox/internal/identity"
	"mox/internal/safefile"
	"mox/sasl"
	"mox/store"
)

// sentinels returns the names of the exported error variables of a package that are in
// its own files.
func sentinels(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				for _, n := range s.(*ast.ValueSpec).Names {
					if strings.HasPrefix(n.Name, "Err") {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

// errorTests has the sentinels by name and the code they are answered with.
var errorTests = map[string]struct {
	err  error
	code imap.Code
}{
	"ErrNoAccount":     {store.ErrNoAccount, imap.CodeUnavailable},
	"ErrNoMailbox":     {store.ErrNoMailbox, imap.CodeNonExistent},
	"ErrMailboxExists": {store.ErrMailboxExists, imap.CodeAlreadyExists},
	"ErrMailboxName":   {store.ErrMailboxName, imap.CodeCannot},
	"ErrHasChildren":   {store.ErrHasChildren, imap.CodeHasChildren},
	"ErrInbox":         {store.ErrInbox, imap.CodeCannot},
	"ErrSpecialUse":    {store.ErrSpecialUse, imap.CodeUseAttr},
	"ErrNotSubscribed": {store.ErrNotSubscribed, imap.CodeNonExistent},
	"ErrNoMessage":     {store.ErrNoMessage, imap.CodeExpungeIssued},
	"ErrOverQuota":     {store.ErrOverQuota, imap.CodeOverQuota},
	"ErrTooLarge":      {store.ErrTooLarge, imap.CodeTooBig},
	"ErrLimit":         {store.ErrLimit, imap.CodeLimit},
	"ErrNoSpace":       {store.ErrNoSpace, imap.CodeUnavailable},
	"ErrReadOnly":      {store.ErrReadOnly, imap.CodeUnavailable},
	"ErrClosed":        {store.ErrClosed, imap.CodeUnavailable},
}

func TestEverySentinelOfTheStoreHasAnAnswer(t *testing.T) {
	t.Parallel()
	for _, name := range sentinels(t, "../store") {
		tt, ok := errorTests[name]
		if !ok {
			t.Errorf("store.%s has no answer", name)
			continue
		}
		e := protocolError(fmt.Errorf("doing something: %w", tt.err))
		if e.Type != imap.TypeNO || e.Code != tt.code || !errors.Is(e, tt.err) {
			t.Errorf("store.%s is answered with %v", name, e)
		}
	}
}

func TestEverySentinelOfAuthenticationHasAnAnswer(t *testing.T) {
	t.Parallel()
	known := map[string]error{
		"ErrCredentials": identity.ErrCredentials, "ErrNoSecret": identity.ErrNoSecret,
		"ErrLoginDisabled": &identity.LoginDisabledError{Text: "x"}, "ErrRateLimited": identity.ErrRateLimited,
		"ErrProtocol": sasl.ErrProtocol, "ErrEncoding": sasl.ErrEncoding, "ErrUsername": sasl.ErrUsername,
		"ErrExtension": sasl.ErrExtension, "ErrInvalidProof": sasl.ErrInvalidProof,
		"ErrChannelBinding": sasl.ErrChannelBinding, "ErrChannelBindingMissing": sasl.ErrChannelBindingMissing,
		"ErrChannelBindingType": sasl.ErrChannelBindingType, "ErrDowngrade": sasl.ErrDowngrade,
		"ErrAborted": sasl.ErrAborted, "ErrMechanism": sasl.ErrMechanism,
	}
	// What only clients, stored hashes and new passwords can have.
	other := map[string]bool{"ErrServerRejected": true, "ErrServerSignature": true, "ErrWeak": true, "ErrHash": true,
		"ErrPasswordTooShort": true, "ErrPasswordTooLong": true, "ErrPasswordUTF8": true}
	for _, name := range append(sentinels(t, "../internal/identity"), sentinels(t, "../sasl")...) {
		err, ok := known[name]
		if !ok && !other[name] {
			t.Errorf("%s has no answer", name)
		}
		var e *imap.Error
		if answer, _ := authError(err); ok && !errors.As(answer, &e) {
			t.Errorf("%s is answered with %v", name, answer)
		}
	}
}

func TestUnknownErrorsAreServerBugs(t *testing.T) {
	t.Parallel()
	cause := errors.New("disk on fire at /secret/path")
	e := protocolError(cause)
	if e.Code != imap.CodeServerBug || strings.Contains(e.Text, "secret") || !errors.Is(e, cause) {
		t.Errorf("answer is %v", e)
	}
	if result(e) != resultServer {
		t.Errorf("counted as %s", result(e))
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{imap.Bad("", "x"), resultBad},
		{store.ErrOverQuota, resultNo},
		{context.Canceled, resultNo},
		{safefile.ErrTooLarge, resultNo},
		{fs.ErrNotExist, resultServer},
	} {
		if got := result(protocolError(tt.err)); got != tt.want {
			t.Errorf("%v counted as %s, want %s", tt.err, got, tt.want)
		}
	}
}
