package peers

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"mox/internal/testkit"
)

const eximConfig = `primary_hostname = $HOSTNAME
exim_path = $EXIM
spool_directory = $DIR/spool
log_file_path = $DIR/log/%s
pid_file_path = $DIR/spool/pid
keep_environment =
dsn_advertise_hosts = *
domainlist locals = $DOMAINS
$CONFIG
begin routers
box:
  driver = accept
  domains = +locals
  $USER
  transport = box
$ROUTERS
begin transports
box:
  driver = appendfile
  directory = $DIR/mail/box
  maildir_format
  user = ` + nobody + `
  group = ` + nobody + `
  delivery_date_add
  envelope_to_add
$TRANSPORTS
begin retry
* * F,1h,1m
`

const eximTLS = `tls_advertise_hosts = *
tls_certificate = $DIR/conf/cert.pem
tls_privatekey = $DIR/conf/key.pem
`

// An Exim is an exim4, which is a server after [Exim.Serve].
type Exim struct {
	*Server

	program string
	opts    Options
}

// NewExim makes an exim4, which takes root. It runs where /etc has its user and
// configuration, so that the system needs neither.
func NewExim(t testing.TB, o Options) *Exim {
	t.Helper()
	testkit.NeedRoot(t, "giving exim4 its user and configuration")
	program := testkit.Tool(t, "exim4")
	e := &Exim{newServer(t, &o, "spool", "log", "etc", "etc/exim4"), program, o}
	chown(t, nobody+":"+nobody, e.path("spool"), e.path("log"), e.path("mail"), e.path("conf"))
	account := map[string]string{"passwd": "Debian-exim:x:" + nobody + ":" + nobody + "::/nonexistent:/bin/false\n", "group": "Debian-exim:x:" + nobody + ":\n"}
	for _, name := range []string{"passwd", "group", "nsswitch.conf", "hosts", "services"} {
		data, err := os.ReadFile("/etc/" + name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		testkit.WriteFile(t, e.path("etc/"+name), string(data)+account[name])
	}
	testkit.WriteFile(t, e.path("etc/resolv.conf"), "")
	more, user := "", ""
	if host, port, _ := net.SplitHostPort(o.Listen); host != "" {
		more = "local_interfaces = <; [" + host + "]:" + port + "\n"
	}
	if o.CA != nil {
		more += eximTLS
	}
	if o.User != "" {
		user = "local_parts = " + o.User
	}
	e.write(t, "etc/exim4/exim4.conf", strings.NewReplacer("$HOSTNAME", o.Hostname, "$EXIM", program, "$DOMAINS", strings.Join(o.Domains, " : "), "$USER", user,
		"$CONFIG", more+o.Config, "$ROUTERS", o.Routers, "$TRANSPORTS", o.Transports).Replace(eximConfig))
	return e
}

// Command returns a command of it.
func (e *Exim) Command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	args = append([]string{e.program}, args...)
	if e.opts.Resolver != "" {
		args = testkit.Resolving(t, e.opts.Resolver, args...).Args
	}
	return testkit.Mounted(t, e.path("etc"), "/etc", args...)
}

// Serve starts it as a server.
func (e *Exim) Serve(t testing.TB) *Server {
	t.Helper()
	e.Process = e.opts.Start(t, e.Command(t, "-bdf", "-q1m"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of exim4:\n%s", e.Log())
		}
	})
	for end := time.Now().Add(testkit.ProcessTimeout); !strings.Contains(e.Log(), " daemon started"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("exim4 does not start")
		}
	}
	return e.Server
}
