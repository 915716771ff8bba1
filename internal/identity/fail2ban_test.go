package identity

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/internal/authdb"
	"mox/internal/testkit"
	"mox/mlog"
	"mox/sasl"
)

// fail2banConfig returns a configuration directory of fail2ban with our files in it.
func fail2banConfig(t *testing.T) string {
	t.Helper()
	const installed, ours = "/etc/fail2ban", "../../packaging/fail2ban"
	dir := t.TempDir()
	for to, from := range map[string]string{
		"fail2ban.conf": installed, "filter.d/common.conf": installed, "filter.d/mox.conf": ours, "jail.d/mox.conf": ours,
	} {
		data, err := os.ReadFile(filepath.Join(from, to))
		tcheck(t, err)
		tcheck(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, to)), 0755))
		tcheck(t, os.WriteFile(filepath.Join(dir, to), data, 0644))
	}
	tcheck(t, os.Mkdir(filepath.Join(dir, "action.d"), 0755))
	return dir
}

// fail2ban returns the addresses in lines of a log that the filter we ship finds.
func fail2ban(t *testing.T, lines string) []string {
	t.Helper()
	tool := testkit.Tool(t, "fail2ban-regex")
	dir := fail2banConfig(t)
	log := filepath.Join(dir, "log")
	tcheck(t, os.WriteFile(log, []byte(lines), 0644))
	cmd := exec.CommandContext(t.Context(), tool, "-c", dir, "-o", "ip", log, filepath.Join(dir, "filter.d", "mox.conf"))
	var errw bytes.Buffer
	cmd.Stderr = &errw
	out, err := cmd.Output()
	if err != nil && (len(out) > 0 || errw.Len() > 0) { // Nothing found is an error without output.
		t.Fatalf("fail2ban-regex: %v: %s%s", err, out, errw.String())
	}
	return strings.Fields(string(out))
}

// The filter for fail2ban finds those attempts that the limits count, and no others.
func TestFilterForFail2banFindsWhatTheLimitsCount(t *testing.T) {
	t.Parallel()
	testkit.Tool(t, "fail2ban-regex")
	e := testEnv(t)
	var log bytes.Buffer
	e.c.log = mlog.New("identity", mlog.NewHandler(&log, mlog.Options{}))
	printer := addApp(t, e, "ann", "printer", authdb.ScopeSMTP)
	n := 0
	attempt := func() Attempt {
		n++
		a := Attempt{Protocol: "imap", Mechanism: "LOGIN", RemoteIP: netip.MustParseAddr(fmt.Sprintf("10.%d.0.1", n)), Cid: int64(n % 2)}
		if n%3 == 0 {
			a.RemoteIP = netip.MustParseAddr(fmt.Sprintf("2001:%d::1", n))
		}
		return a
	}
	login := func(ctx context.Context, user, pass string) func(a Attempt) {
		return func(a Attempt) { _, _ = e.c.Password(ctx, a, user, pass) }
	}
	exchange := func(client func() sasl.Client) func(a Attempt) {
		return func(a Attempt) { _, _ = exchangeWith(t, e, a, client()) }
	}
	mechanism := func(user, pass, name string) func(a Attempt) {
		return exchange(func() sasl.Client { return clients(user, pass)[name] })
	}
	cancelled, cancel := context.WithCancel(ctxbg)
	cancel()
	proxy := sasl.Credentials{Identity: sasl.Identity{Authentication: "ann@example.org", Authorization: "cram@example.org"}, Password: password}
	const pose = `x" l=info m="login attempt" pkg=identity result=badpassword remote=198.51.100.1 protocol=imap `
	tests := []struct {
		name  string
		fn    func(a Attempt)
		found bool
	}{
		{"wrong password", login(ctxbg, "ann@example.org", "wrong password"), true},
		{"unknown user", login(ctxbg, "bob@example.org", password), true},
		{"user name that poses as a line", login(ctxbg, pose, password), true},
		{"user name with a line end", login(ctxbg, "x\n"+pose, password), true},
		{"wrong proof", mechanism("ann@example.org", "wrong password", sasl.SCRAMSHA256), true},
		{"app password out of scope", login(ctxbg, "ann@example.org", printer), true},
		{"as another user", exchange(func() sasl.Client { return sasl.NewPlainClient(proxy) }), true},
		{"no certificate", exchange(func() sasl.Client { return sasl.NewExternalClient("ann@example.org") }), true},
		{"CRAM-MD5, not opted in", mechanism("ann@example.org", password, sasl.CRAMMD5), true},
		{"right password", login(ctxbg, "ann@example.org", password), false},
		{"no secret", mechanism("nopass@example.org", password, sasl.SCRAMSHA256), false},
		{"disabled", login(ctxbg, "disabled@example.org", password), false},
		{"cancelled", login(cancelled, "ann@example.org", password), false},
		{"aborted", func(a Attempt) {
			x, err := e.c.Begin(ctxbg, a, sasl.Plain)
			tcheck(t, err)
			x.Close()
		}, false},
		{"unknown mechanism", func(a Attempt) { _, _ = e.c.Begin(ctxbg, a, "GSSAPI") }, false},
	}
	var want []string
	for _, tc := range tests {
		a := attempt()
		tc.fn(a)
		if tc.found {
			want = append(want, a.RemoteIP.String())
		}
		// Networks around it are not shared. The limits say the same: nine more attempts, of ten that are free.
		for range 9 {
			e.c.limiter.Add(a.RemoteIP, time.Now(), 1)
		}
		if e.c.Allowed(a.RemoteIP) == tc.found {
			t.Errorf("%s: counted against the limit: %v", tc.name, !tc.found)
		}
	}
	var lines, syslog strings.Builder
	stamp := time.Now().Format("2006-01-02 15:04:05")
	for line := range strings.Lines(log.String()) {
		fmt.Fprintf(&lines, "%s %s", stamp, line)
		fmt.Fprintf(&syslog, "%s mx.example.org mox[123]: %s", stamp, line)
	}
	for name, text := range map[string]string{"with time": lines.String(), "of syslog": syslog.String()} {
		if got := fail2ban(t, text); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("lines %s: got %v, expected %v\n%s", name, got, want, text)
		}
	}
	// In a line of something else that quotes one of ours, nothing is found.
	other := stamp + ` mx.example.org mox[123]: l=info m="unknown command" pkg=smtpserver line="` + pose + "\"\n"
	if got := fail2ban(t, other); len(got) > 0 {
		t.Errorf("found %v in %s", got, other)
	}
}

func TestJailForFail2banIsValid(t *testing.T) {
	t.Parallel()
	testkit.Tool(t, "fail2ban-regex")
	dir := fail2banConfig(t)
	out, err := exec.CommandContext(t.Context(), testkit.Tool(t, "fail2ban-client"), "-c", dir, "-d").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("'mox', 'addfailregex'")) && !bytes.Contains(out, []byte("'multi-set', 'mox', 'addfailregex'")) ||
		!bytes.Contains(out, []byte("'addjournalmatch', '_SYSTEMD_UNIT=mox.service'")) {
		t.Errorf("fail2ban-client: %v: %s", err, out)
	}
}
