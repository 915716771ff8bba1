package peers

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// dovecotConfig is for Dovecot 2.3, as one user.
const dovecotConfig = `base_dir = $DIR/run
state_dir = $DIR/state
log_path = $DIR/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
default_internal_user = $USER
default_internal_group = $GROUP
default_login_user = $USER
mail_location = sdbox:~/mail
mail_fsync = never
passdb {
  driver = static
  args = password=$PASSWORD
}
userdb {
  driver = static
  args = uid=$USER gid=$GROUP home=$DIR/home
}
service anvil {
  chroot =
}
service imap-login {
  chroot =
  inet_listener imap {
    port = $PORT
  }
  inet_listener imaps {
    port = $TLSPORT
  }
}
`

var dovecotFailed = regexp.MustCompile(`(?m)^.* (Fatal|Panic): .*$`)

// DovecotOptions are for [StartDovecot].
type DovecotOptions struct {
	Password     string      // Of all users there can be, who have the same mail.
	Capabilities string      // What it announces to who has logged in. Empty: all it has.
	CA           *testkit.CA // For TLS, and STARTTLS, as localhost. Neither is offered without.
	Config       string      // Added to its configuration.
}

// A Dovecot is a server for IMAP.
type Dovecot struct {
	*testkit.Process

	Port    string // On 127.0.0.1.
	TLSPort string // For immediate TLS.
	Dir     string // With ca.pem, for TLS.
}

// StartDovecot starts a Dovecot without mail, as nobody if we are root.
func StartDovecot(t testing.TB, o DovecotOptions) *Dovecot {
	t.Helper()
	args := []string{testkit.Tool(t, "dovecot")}
	u, err := user.Current()
	check(t, err)
	root := u.Uid == "0"
	if root {
		u, err = user.Lookup("nobody")
		check(t, err)
		args = append([]string{testkit.Tool(t, "setpriv"), "--reuid=" + u.Uid, "--regid=" + u.Gid, "--clear-groups"}, args...)
	}
	g, err := user.LookupGroupId(u.Gid)
	check(t, err)
	d := &Dovecot{Port: testkit.FreePort(t), TLSPort: "0", Dir: testkit.PublicDir(t)}
	text := dovecotConfig
	if o.CA != nil {
		d.TLSPort = testkit.FreePort(t)
		certFile, keyFile := o.CA.WritePEM(t, d.Dir, o.CA.Issue(t, testkit.ECDSA, "localhost"))
		text += "ssl = yes\nssl_cert = <" + certFile + "\nssl_key = <" + keyFile + "\n"
	}
	if o.Capabilities != "" {
		text += "protocol imap {\n  imap_capability = " + o.Capabilities + "\n}\n"
	}
	conf, log := filepath.Join(d.Dir, "dovecot.conf"), filepath.Join(d.Dir, "log")
	testkit.WriteFile(t, conf, strings.NewReplacer("$DIR", d.Dir, "$USER", u.Username, "$GROUP", g.Name, "$PASSWORD", o.Password, "$PORT", d.Port, "$TLSPORT", d.TLSPort).Replace(text)+o.Config)
	if root {
		chown(t, u.Uid+":"+u.Gid, d.Dir)
	}
	d.Process = testkit.Start(t, exec.Command(args[0], append(args[1:], "-F", "-c", conf)...))
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Errorf("dovecot: %v", err)
		}
		text, _ := os.ReadFile(log) // Not there if it did not come to that.
		if l := dovecotFailed.FindAll(text, -1); l != nil {
			t.Errorf("dovecot has failed:\n%s", bytes.Join(l, []byte("\n")))
		}
		if t.Failed() {
			t.Logf("log of dovecot:\n%s", text)
		}
	})
	d.WaitPort(net.JoinHostPort("127.0.0.1", d.Port))
	return d
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
