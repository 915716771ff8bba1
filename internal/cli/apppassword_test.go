package cli

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestAppPasswordsAreAddedListedAndRemoved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	p, _ := localserve(t, dir)
	conf := filepath.Join(dir, "mox.conf")
	app := func(args ...string) result {
		t.Helper()
		return mox(t, "", append([]string{"-config", conf, "config", "apppassword"}, args...)...)
	}
	app("list").want(t, 0, "", "")
	r := app("add", "mox", "my phone")
	if password := regexp.MustCompile(`^[a-z2-9]{4}(-[a-z2-9]{4}){4}\n$`); r.code != 0 || !password.MatchString(r.out) {
		t.Fatalf("add: %+v", r)
	}
	app("add", "mox", "my phone").want(t, 1, "", "account has an app password of this name")
	app("add", "-scope", "pop3", "mox", "x").want(t, 1, "", "not a list of smtp, imap and web")
	app("add", "-scope", "web,smtp", "mox", "browser").want(t, 0, "-", "")
	app("add", "mox@localhost", "x").want(t, 1, "", "the name of an account is not an email address")
	app("add", "mox", "").want(t, 1, "", "name of app password")
	app("add", "mox").want(t, 2, "", "usage")
	list := regexp.MustCompile(`^mox\tmy phone\tsmtp,imap\t20\S+Z\t-\t-\t-\nmox\tbrowser\tsmtp,web\t20\S+Z\t-\t-\t-\n$`)
	for _, args := range [][]string{{"list"}, {"list", "mox"}} {
		if r := app(args...); r.code != 0 || !list.MatchString(r.out) {
			t.Errorf("%v: %+v", args, r)
		}
	}
	app("list", "other").want(t, 1, "", `no account "other"`)
	app("rm", "mox", "my phone").want(t, 0, "", "")
	app("rm", "mox", "my phone").want(t, 1, "", "no such app password")
	if r := app("list"); strings.Contains(r.out, "phone") || !strings.Contains(r.out, "browser") {
		t.Errorf("list after removal: %+v", r)
	}
	attempts := func(args ...string) result {
		t.Helper()
		return mox(t, "", append([]string{"-config", conf, "loginattempts"}, args...)...)
	}
	attempts().want(t, 0, "", "")
	attempts("-n", "0").want(t, 1, "", "number of attempts")
	attempts("x").want(t, 2, "", "usage")
	_ = p.Stop()
	mox(t, "", "verifydata", filepath.Join(dir, "data")).want(t, 0, "1 accounts", "")
}
