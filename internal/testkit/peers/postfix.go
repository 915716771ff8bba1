package peers

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mox/internal/testkit"
)

const postfixMain = `compatibility_level = 3.6
myhostname = $HOSTNAME
config_directory = $DIR/conf
queue_directory = $DIR/queue
data_directory = $DIR/data
maillog_file = /dev/stdout
inet_protocols = all
mynetworks = 127.0.0.0/8
mydestination =
local_transport = error:no mail here
alias_maps =
alias_database =
virtual_mailbox_domains = $DOMAINS
virtual_mailbox_base = $DIR/mail
virtual_mailbox_maps = $BOXES
virtual_uid_maps = static:` + nobody + `
virtual_gid_maps = static:` + nobody + `
`

const postfixTLS = `smtpd_tls_security_level = may
smtpd_tls_cert_file = $DIR/conf/cert.pem
smtpd_tls_key_file = $DIR/conf/key.pem
`

const postfixMaster = `$LISTEN inet n - n - - smtpd
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

var postfixFailed = regexp.MustCompile(`(?m)^.* (fatal|panic): .*$`)

// StartPostfix starts a Postfix, which takes root. Who connects from this machine may send
// to everyone.
func StartPostfix(t testing.TB, o Options) *Server {
	t.Helper()
	testkit.NeedRoot(t, "starting postfix")
	program := testkit.Tool(t, "postfix")
	s := newServer(t, &o, "queue", "data")
	chown(t, "postfix", s.path("data"))
	boxes := "static:box/"
	if o.User != "" {
		boxes = "inline:{"
		for _, domain := range o.Domains {
			boxes += " " + o.User + "@" + domain + "=box/"
		}
		boxes += " }"
	}
	main := postfixMain
	if o.CA != nil {
		main += postfixTLS
	}
	if o.Resolver == "" {
		main += "smtpd_peername_lookup = no\n"
	}
	words := strings.NewReplacer("$HOSTNAME", o.Hostname, "$DOMAINS", strings.Join(o.Domains, " "), "$BOXES", boxes, "$LISTEN", strings.TrimPrefix(o.Listen, ":"))
	s.write(t, "conf/main.cf", words.Replace(main)+o.Config)
	s.write(t, "conf/master.cf", words.Replace(postfixMaster)+o.Services)
	args := []string{program, "-c", s.path("conf"), "start-fg"}
	cmd := exec.Command(args[0], args[1:]...)
	if o.Resolver != "" {
		cmd = testkit.Resolving(t, o.Resolver, args...)
	}
	s.Process = o.Start(t, cmd)
	t.Cleanup(func() { s.stopPostfix(t) })
	s.WaitLine(`daemon started`)
	return s
}

// stopPostfix ends a Postfix by its master process, which is in a group of its own and ends
// the others.
func (s *Server) stopPostfix(t testing.TB) {
	var master *os.Process
	pid := 0
	data, err := os.ReadFile(s.path("queue/pid/master.pid"))
	if err == nil {
		pid, err = strconv.Atoi(strings.TrimSpace(string(data)))
	}
	if err == nil {
		master, err = os.FindProcess(pid)
	}
	if err == nil {
		err = master.Signal(syscall.SIGTERM)
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("stopping postfix: %v", err)
		return
	}
	_ = s.Wait() // It says that it was terminated.
	// The others end a moment later, and may write to the queue until then.
	testkit.KillGroup(master)
	if l := postfixFailed.FindAllString(s.Output(), -1); l != nil {
		t.Errorf("postfix has failed:\n%s", strings.Join(l, "\n"))
	}
}
