//go:build linux

package internet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
	"mox/internal/testkit/netns"
	"mox/smtpclient"
)

// uid is that of who owns the mail on hosts with other servers, and of exim4. It is in no
// file of the system, so nobody's.
const uid = "64999"

// A peer is a host with a mail server that is not mox. Mail for user@ its domain is in
// files below a directory, and programs on the host may send to everyone.
type peer struct {
	*netns.Host
	domain string
	dir    string
	proc   *testkit.Process
	log    func() string
}

func (p *peer) domainName() string { return p.domain }

func (p *peer) address() string { return "user@" + p.domain }

// send sends a message from the host itself.
func (p *peer) send(t testing.TB, m mail) string {
	t.Helper()
	nc, err := p.Dial(t, "127.0.0.1:25")
	if err != nil {
		t.Fatal(err)
	}
	return m.deliver(t, nc, smtpclient.Options{TLS: smtpclient.TLSOptions{Mode: smtpclient.TLSSkip}}, p.address())
}

// arrived waits for the message with a text in it and returns it. There must be one.
func (p *peer) arrived(t testing.TB, text string) string {
	t.Helper()
	var found []string
	poll(t, "message with "+text+" at "+p.domain, func() bool {
		paths, err := filepath.Glob(filepath.Join(p.dir, "mail", "box", "new", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if msg := string(testkit.ReadFile(t, path)); strings.Contains(msg, text) {
				found = append(found, msg)
			}
		}
		return len(found) > 0
	})
	if len(found) > 1 {
		t.Errorf("%d messages with %s", len(found), text)
	}
	return found[0]
}

// waitLog waits until texts are in the log, in this order.
func (p *peer) waitLog(t testing.TB, wants ...string) {
	t.Helper()
	missing := ""
	poll(t, fmt.Sprintf("%q in the log of %s", wants, p.domain), func() bool {
		missing = firstMissing(p.log(), wants)
		return missing == ""
	})
}

func chown(t testing.TB, owner string, paths ...string) {
	t.Helper()
	if out, err := exec.Command("chown", append([]string{"-R", owner}, paths...)...).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v\n%s", err, out)
	}
}

// startPostfix starts a Postfix that verifies with DANE. It offers STARTTLS with a
// certificate of the authority. Mail for relay@ its domain goes on to an address that
// does not exist.
func (w *world) startPostfix(t *testing.T) *peer {
	t.Helper()
	p := &peer{Host: w.cable.Host(t, numberPostfix), domain: "postfix.example", dir: publicDir(t, "conf", "queue", "data", "mail")}
	chown(t, "postfix", filepath.Join(p.dir, "data"))
	chown(t, uid, filepath.Join(p.dir, "mail"))
	cert := w.certificate(t, "mx."+p.domain)
	w.publish(t, tlsa("mx."+p.domain, cert))
	w.ca.WritePEM(t, filepath.Join(p.dir, "conf"), *cert)
	conf := func(name, text string) { writeFile(t, filepath.Join(p.dir, "conf", name), text) }
	conf("boxes", "/^user@/ box/\n")
	conf("aliases", "/^relay@/ "+postmasterNobody+"@beta.example\n")
	conf("main.cf", fmt.Sprintf(postfixMain, p.dir, p.domain, uid))
	conf("master.cf", postfixMaster)
	p.proc = p.Start(t, command(t, map[string]string{"resolv.conf": writeResolv(t, p.dir)}, testkit.Tool(t, "postfix"), "-c", p.dir+"/conf", "start-fg"))
	p.log = p.proc.Output
	t.Cleanup(func() { testkit.StopPostfix(t, p.proc, filepath.Join(p.dir, "queue")) })
	p.proc.WaitLine(`daemon started`)
	return p
}

const postfixMain = `compatibility_level = 3.6
myhostname = mx.%[2]s
config_directory = %[1]s/conf
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = /dev/stdout
inet_interfaces = all
inet_protocols = all
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
alias_database =
virtual_mailbox_domains = %[2]s
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = regexp:%[1]s/conf/boxes
virtual_alias_maps = regexp:%[1]s/conf/aliases
virtual_uid_maps = static:%[3]s
virtual_gid_maps = static:%[3]s
smtpd_tls_security_level = may
smtpd_tls_cert_file = %[1]s/conf/cert.pem
smtpd_tls_key_file = %[1]s/conf/key.pem
smtp_tls_security_level = dane
smtp_dns_support_level = dnssec
smtp_tls_CAfile = %[1]s/conf/ca.pem
smtp_tls_loglevel = 1
`

const postfixMaster = `25 inet n - n - - smtpd
postlog   unix-dgram n - n - 1 postlogd
anvil     unix - - n - 1 anvil
rewrite   unix - - n - - trivial-rewrite
tlsmgr    unix - - n 1000? 1 tlsmgr
proxymap  unix - - n - - proxymap
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
pickup    unix n - n 60 1 pickup
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
error     unix - - n - - error
virtual   unix - n n - - virtual
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
scache    unix - - n - 1 scache
`

// startExim starts an exim4 that verifies with DANE. It takes mail for user@greylist.example
// too, but only once there is a file "open" in its directory; it answers 451 before.
func (w *world) startExim(t *testing.T) *peer {
	t.Helper()
	p := &peer{Host: w.cable.Host(t, numberExim), domain: "exim.example", dir: publicDir(t, "spool", "log", "mail", "etc", "etc/exim4")}
	user := map[string]string{"passwd": "Debian-exim:x:" + uid + ":" + uid + "::/nonexistent:/bin/false\n", "group": "Debian-exim:x:" + uid + ":\n"}
	for _, name := range []string{"passwd", "group", "nsswitch.conf", "hosts", "services"} {
		data, err := os.ReadFile("/etc/" + name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(p.dir, "etc", name), string(data)+user[name])
	}
	cert := w.certificate(t, "mx."+p.domain)
	w.publish(t, tlsa("mx."+p.domain, cert))
	w.ca.WritePEM(t, filepath.Join(p.dir, "etc", "exim4"), *cert)
	chown(t, uid+":"+uid, filepath.Join(p.dir, "spool"), filepath.Join(p.dir, "log"), filepath.Join(p.dir, "mail"), filepath.Join(p.dir, "etc", "exim4", "cert.pem"),
		filepath.Join(p.dir, "etc", "exim4", "key.pem"), filepath.Join(p.dir, "etc", "exim4", "ca.pem"))
	writeResolv(t, filepath.Join(p.dir, "etc"))
	exim := testkit.Tool(t, "exim4")
	writeFile(t, filepath.Join(p.dir, "etc", "exim4", "exim4.conf"), fmt.Sprintf(eximConf, p.dir, p.domain, exim))
	p.proc = p.Start(t, command(t, map[string]string{"": filepath.Join(p.dir, "etc")}, exim, "-bdf", "-q1m"))
	p.log = func() string {
		data, _ := os.ReadFile(filepath.Join(p.dir, "log", "main")) // Not there before the first line.
		return string(data)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of exim4:\n%s", p.log())
		}
	})
	poll(t, "exim4 listens", func() bool {
		nc, err := p.Dial(t, "127.0.0.1:25")
		if err == nil {
			_ = nc.Close()
		}
		return err == nil
	})
	return p
}

const eximConf = `primary_hostname = mx.%[2]s
exim_path = %[3]s
spool_directory = %[1]s/spool
log_file_path = %[1]s/log/%%s
log_selector = +tls_peerdn
keep_environment =
domainlist locals = %[2]s : greylist.example
tls_advertise_hosts = *
tls_certificate = /etc/exim4/cert.pem
tls_privatekey = /etc/exim4/key.pem
dsn_advertise_hosts = *
dns_dnssec_ok = 1
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
begin acl
rcpt:
  accept hosts = 127.0.0.1
  require domains = +locals
  require verify = recipient
  defer domains = greylist.example
    condition = ${if exists{%[1]s/open}{no}{yes}}
    message = come back later
  accept
begin routers
mine:
  driver = accept
  domains = +locals
  local_parts = user
  transport = box
others:
  driver = dnslookup
  domains = ! +locals
  dnssec_request_domains = *
  transport = remote
  no_more
begin transports
box:
  driver = appendfile
  directory = %[1]s/mail/box
  maildir_format
  user = Debian-exim
  group = Debian-exim
  delivery_date_add
  envelope_to_add
remote:
  driver = smtp
  hosts_try_dane = *
  dnssec_request_domains = *
  tls_verify_certificates = /etc/exim4/ca.pem
begin retry
* * F,1h,1m
`
