package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/imapclient"
	"mox/internal/testkit"
)

// dovecotConfig is the configuration of a Dovecot 2.3 that needs no services of the system,
// with directory, user, group, and port.
const dovecotConfig = `
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
default_internal_user = %[2]s
default_internal_group = %[3]s
default_login_user = %[2]s
mail_location = sdbox:~/mail
mail_fsync = never
passdb {
  driver = static
  args = password=` + password + `
}
userdb {
  driver = static
  args = uid=%[2]s gid=%[3]s home=%[1]s/home
}
service anvil {
  chroot =
}
service imap-login {
  chroot =
  inet_listener imap {
    port = %[4]s
  }
  inet_listener imaps {
    port = 0
  }
}
`

// dovecot starts a Dovecot with an empty inbox, and returns a client that has selected it.
func dovecot(t testing.TB) *imapclient.Client {
	t.Helper()
	c, _ := startDovecot(t, "", func(string) {})
	return c
}

// startDovecot is dovecot with more configuration, in which $DIR is a directory that
// prepare can write files to. Its data is where other users can be.
func startDovecot(t testing.TB, extra string, prepare func(dir string)) (c *imapclient.Client, port string) {
	t.Helper()
	path := testkit.Tool(t, "dovecot")
	u, err := osuser.Current()
	check(t, err)
	var drop []string
	if u.Uid == "0" {
		u, err = osuser.Lookup("nobody")
		check(t, err)
		drop = []string{testkit.Tool(t, "setpriv"), "--reuid=" + u.Uid, "--regid=" + u.Gid, "--clear-groups"}
	}
	g, err := osuser.LookupGroupId(u.Gid)
	check(t, err)
	dir, err := os.MkdirTemp("", "mox-e2e-dovecot-")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	prepare(dir)
	port = testkit.FreePort(t)
	conf := filepath.Join(dir, "dovecot.conf")
	text := fmt.Sprintf(dovecotConfig, dir, u.Username, g.Name, port) + strings.ReplaceAll(extra, "$DIR", dir)
	check(t, os.WriteFile(conf, []byte(text), 0o644))
	if len(drop) > 0 {
		check(t, os.Chmod(dir, 0o755))
		out, err := exec.Command("chown", "-R", u.Uid+":"+u.Gid, dir).CombinedOutput()
		if err != nil {
			t.Fatalf("chown: %v\n%s", err, out)
		}
	}
	args := append(drop, path, "-F", "-c", conf)
	p := testkit.Start(t, exec.Command(args[0], args[1:]...))
	t.Cleanup(func() { _ = p.Stop() }) // Before the directory goes.
	var nc net.Conn
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if nc, err = net.Dial("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			break
		} else if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(dir, "log")) // It is only for the message.
			t.Fatalf("dovecot: %v\n%s", err, log)
		}
	}
	ctx := testContext(t)
	c, err = imapclient.New(ctx, nc, imapclient.Options{})
	check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = c.Login(ctx, user, password)
	check(t, err)
	_, err = c.Select(ctx, "INBOX", imapclient.SelectOptions{})
	check(t, err)
	return c, port
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
