package testkit

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mox/internal/safefile"
)

// A Postfix is a running Postfix, apart from one that the system may have.
type Postfix struct {
	*Process

	Port string // On 127.0.0.1, where it speaks SMTP with STARTTLS.
}

// StartPostfix starts a Postfix that greets and speaks TLS with a certificate, and
// accepts no mail. It takes root and an installed Postfix.
func StartPostfix(t testing.TB, hostname string, ca *CA, cert tls.Certificate) *Postfix {
	t.Helper()
	NeedRoot(t, "starting postfix")
	postfix := Tool(t, "postfix")
	// Its unprivileged user must reach the queue, which in t.TempDir() it cannot.
	dir, err := os.MkdirTemp("", "mox-postfix-")
	if err != nil {
		t.Fatalf("creating directory: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing directory of postfix: %v", err)
		}
	})
	for path, mode := range map[string]os.FileMode{dir: 0755, dir + "/conf": 0755, dir + "/queue": 0755, dir + "/data": 0755} {
		if err := os.MkdirAll(path, mode); err != nil {
			t.Fatalf("creating directory: %v", err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatalf("setting mode of directory: %v", err)
		}
	}
	if out, err := exec.Command("chown", "postfix", dir+"/data").CombinedOutput(); err != nil {
		t.Fatalf("chown: %v: %s", err, out)
	}
	certFile, keyFile := ca.WritePEM(t, filepath.Join(dir, "conf"), cert)
	p := &Postfix{Port: FreePort(t)}
	main := fmt.Sprintf(`
compatibility_level = 3.6
myhostname = %s
config_directory = %s/conf
queue_directory = %s/queue
data_directory = %s/data
maillog_file = /dev/stdout
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
local_transport = error:no mail here
alias_maps =
alias_database =
smtpd_peername_lookup = no
smtpd_tls_security_level = may
smtpd_tls_cert_file = %s
smtpd_tls_key_file = %s
smtpd_tls_loglevel = 1
`, hostname, dir, dir, dir, certFile, keyFile)
	master := strings.NewReplacer("PORT", p.Port).Replace(`
127.0.0.1:PORT inet n - n - - smtpd
postlog   unix-dgram n - n - 1 postlogd
anvil     unix - - n - 1 anvil
rewrite   unix - - n - - trivial-rewrite
tlsmgr    unix - - n 1000? 1 tlsmgr
proxymap  unix - - n - - proxymap
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
pickup    unix n - n 60 1 pickup
bounce    unix - - n - 0 bounce
error     unix - - n - - error
`)
	for name, text := range map[string]string{"main.cf": main, "master.cf": master} {
		if err := safefile.WriteFile(filepath.Join(dir, "conf", name), []byte(text), 0644); err != nil {
			t.Fatalf("writing configuration of postfix: %v", err)
		}
	}
	p.Process = Start(t, exec.Command(postfix, "-c", dir+"/conf", "start-fg"))
	t.Cleanup(func() { StopPostfix(t, p.Process, filepath.Join(dir, "queue")) })
	p.WaitLine(`daemon started`)
	return p
}

// StopPostfix ends a Postfix that [Start] has started with start-fg, by its queue directory.
// Its master process is in a group of its own and ends the others.
func StopPostfix(t testing.TB, p *Process, queue string) {
	data, err := os.ReadFile(filepath.Join(queue, "pid", "master.pid"))
	if err != nil {
		t.Errorf("finding the master process of postfix: %v", err)
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Errorf("finding the master process of postfix: %v", err)
		return
	}
	master, err := os.FindProcess(pid)
	if err == nil {
		err = master.Signal(syscall.SIGTERM)
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("stopping postfix: %v", err)
		return
	}
	_ = p.Wait() // It says that it was terminated.
	// The others end a moment later, and may write to the queue until then.
	killAll(master)
}
