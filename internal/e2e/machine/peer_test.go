//go:build linux

package machine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mox/internal/testkit"
	"mox/internal/testkit/netns"
)

// owner is the user id of mail at the peer. It is in no file of the system, so nobody's.
const owner = "64999"

// Senders at the peer, by what Postfix verifies the other server with.
const (
	withDANE = "friend@example.net"
	withSTS  = "sts@example.net"
)

// A peer is a host with a Postfix. It sends mail of one sender with DANE, and of another
// with MTA-STS, and in neither case without.
type peer struct {
	*netns.Host
	w    *world
	dir  string
	proc *testkit.Process
}

func (w *world) startPeer(t *testing.T, h *netns.Host) *peer {
	t.Helper()
	p := &peer{Host: h, w: w, dir: publicDir(t, "conf", "queue", "data", "mail", "sts")}
	for dir, user := range map[string]string{"data": "postfix", "mail": owner} {
		if out, err := exec.Command("chown", user, filepath.Join(p.dir, dir)).CombinedOutput(); err != nil {
			t.Fatalf("chown: %v\n%s", err, out)
		}
	}
	cert := w.authority.ca.Issue(t, testkit.ECDSA, peerName)
	hash := sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)
	w.dns.add(t, "example.net.", fmt.Sprintf(`example.net. MX 10 %[1]s.
example.net. TXT "v=spf1 mx -all"
%[1]s. TXT "v=spf1 a -all"
_25._tcp.%[1]s. TLSA 3 1 1 %s
`, peerName, hex.EncodeToString(hash[:])))
	conf := filepath.Join(p.dir, "conf")
	w.authority.ca.WritePEM(t, conf, cert)
	writeFile(t, filepath.Join(conf, "ca.pem"), w.authority.trusted)
	writeFile(t, filepath.Join(conf, "boxes"), "/@example\\.net$/ box/\n")
	writeFile(t, filepath.Join(conf, "transports"), "/^"+regexp.QuoteMeta(withSTS)+"$/ sts:\n")
	writeFile(t, filepath.Join(conf, "main.cf"), fmt.Sprintf(postfixMain, p.dir, peerName, owner))
	writeFile(t, filepath.Join(conf, "master.cf"), postfixMaster)
	writeFile(t, filepath.Join(conf, "sts.yml"), "host: 127.0.0.1\nport: 8461\ncache:\n  type: internal\ndefault_zone:\n  strict_testing: false\n  timeout: 20\n")
	sts := w.outside(t, testkit.Tool(t, "mta-sts-daemon"), "-c", filepath.Join(conf, "sts.yml"), "-v", "debug")
	sts.Env = append(os.Environ(), "SSL_CERT_FILE="+filepath.Join(conf, "ca.pem"))
	h.Start(t, sts).WaitLine("Server started")
	p.proc = h.Start(t, w.outside(t, testkit.Tool(t, "postfix"), "-c", conf, "start-fg"))
	t.Cleanup(func() { testkit.StopPostfix(t, p.proc, filepath.Join(p.dir, "queue")) })
	p.proc.WaitLine(`daemon started`)
	return p
}

const postfixMain = `compatibility_level = 3.6
myhostname = %[2]s
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
virtual_mailbox_domains = example.net
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = regexp:%[1]s/conf/boxes
virtual_uid_maps = static:%[3]s
virtual_gid_maps = static:%[3]s
smtpd_tls_security_level = may
smtpd_tls_cert_file = %[1]s/conf/cert.pem
smtpd_tls_key_file = %[1]s/conf/key.pem
smtpd_tls_received_header = yes
sender_dependent_default_transport_maps = regexp:%[1]s/conf/transports
smtp_tls_security_level = dane-only
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
scache    unix - - n - 1 scache
smtp      unix - - n - - smtp
sts       unix - - n - - smtp
  -o syslog_name=postfix-sts
  -o smtp_tls_security_level=may
  -o smtp_dns_support_level=enabled
  -o smtp_tls_policy_maps=socketmap:inet:127.0.0.1:8461:postfix
`

// send sends a message from the host of the peer itself.
func (p *peer) send(t testing.TB, from, to, subject string) {
	t.Helper()
	nc, err := p.Dial(t, "127.0.0.1:25")
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.NewClient(nc, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := transaction(c, from, to, subject); err != nil {
		t.Fatalf("message was not accepted: %v", err)
	}
}

// arrived waits for a message with a text in it.
func (p *peer) arrived(t testing.TB, text string) (found string) {
	t.Helper()
	poll(t, "message with "+text, func() bool {
		paths, err := filepath.Glob(filepath.Join(p.dir, "mail", "box", "new", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if msg := string(testkit.ReadFile(t, path)); strings.Contains(msg, text) {
				found = msg
			}
		}
		return found != ""
	})
	return found
}
