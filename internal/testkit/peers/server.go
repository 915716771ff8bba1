package peers

import (
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// nobody is the user and group id of who owns mail, and of exim4. It is in no file of the
// system.
const nobody = "64999"

// Options are for servers that speak SMTP: [StartPostfix] and [NewExim]. In what is
// configuration, $DIR is the directory of the server.
type Options struct {
	Hostname string

	// Listen is the address with port on which it takes mail. ":25" is on all addresses,
	// empty is a free port of 127.0.0.1.
	Listen string

	// CA and Cert are for STARTTLS, which is not offered without. They are in $DIR/conf too:
	// ca.pem, cert.pem and key.pem.
	CA   *testkit.CA
	Cert tls.Certificate

	Domains []string // Mail for them comes to its end here, see [Server.Messages].
	User    string   // The only localpart that they have. Empty: they have all.

	// Resolver is the IP address of the resolver that it asks. Without one, it should be
	// configured to look up nothing.
	Resolver string

	// Start starts it, such as in a network namespace. Nil is [testkit.Start].
	Start func(testing.TB, *exec.Cmd) *testkit.Process

	Config     string // Added to main.cf of Postfix, or to the first part and the ACLs of exim4.
	Services   string // Added to master.cf of Postfix.
	Routers    string // Of exim4, after that for Domains.
	Transports string // Of exim4, beside that for Domains.
}

// A Server is a mail server that speaks SMTP.
type Server struct {
	*testkit.Process // Nil before it is started.

	Addr string // With port.
	Dir  string
}

// newServer makes the files that all have.
func newServer(t testing.TB, o *Options, dirs ...string) *Server {
	t.Helper()
	if o.Listen == "" {
		o.Listen = net.JoinHostPort("127.0.0.1", testkit.FreePort(t))
	}
	if o.Start == nil {
		o.Start = testkit.Start
	}
	s := &Server{Addr: o.Listen, Dir: testkit.PublicDir(t, append(dirs, "conf", "mail")...)}
	chown(t, nobody, s.path("mail"))
	if o.CA != nil {
		o.CA.WritePEM(t, s.path("conf"), o.Cert)
	}
	return s
}

func (s *Server) path(name string) string { return filepath.Join(s.Dir, name) }

// write writes a file of configuration.
func (s *Server) write(t testing.TB, name, text string) {
	t.Helper()
	testkit.WriteFile(t, s.path(name), strings.ReplaceAll(text, "$DIR", s.Dir))
}

// Log returns what it has logged up to now.
func (s *Server) Log() string {
	log, _ := os.ReadFile(s.path("log/main")) // Exim's, not there before the first line.
	if s.Process == nil {
		return string(log)
	}
	return s.Output() + string(log)
}

// Messages returns the messages that have come to their end here.
func (s *Server) Messages(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob(s.path("mail/box/new/*"))
	if err != nil {
		t.Fatal(err)
	}
	var l []string
	for _, path := range paths {
		l = append(l, string(testkit.ReadFile(t, path)))
	}
	return l
}

func chown(t testing.TB, owner string, paths ...string) {
	t.Helper()
	if out, err := exec.Command("chown", append([]string{"-R", owner}, paths...)...).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v\n%s", err, out)
	}
}
