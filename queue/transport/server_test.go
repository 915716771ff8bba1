package transport

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mox/internal/metrics"
	"mox/smtp"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if n := metrics.PanicCount(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d panics were recovered\n", n)
		code = 1
	}
	os.Exit(code)
}

// A server is an SMTP server on loopback that takes everything, apart from what hook
// says.
type server struct {
	ip    netip.Addr
	port  int
	setup serverSetup
	l     net.Listener
	wg    sync.WaitGroup

	mu       sync.Mutex // Guards what follows.
	conns    int        // Connections so far.
	open     map[net.Conn]bool
	max      int // Most connections at a time.
	messages []received
	commands []string
}

type serverSetup struct {
	ip   string      // Empty is a new loopback address.
	port int         // Zero is testPort.
	tls  *tls.Config // Nil offers no TLS.
	ext  []string    // Extensions.
	user string      // Name and password for AUTH PLAIN, with "\x00" between them.

	immediate bool

	// hook, if not nil, returns the reply to a command, "" for the usual one, "close" to
	// hang up, and "quit " and a reply to do so after it. The command "." is the end of
	// the content, "" is the greeting.
	hook func(s *session, command string) string
}

// A session is one connection to a server.
type session struct {
	n     int // From 1.
	tls   bool
	mails int
	rcpts int // In the transaction.
}

// received is a message as a server has got it.
type received struct {
	mail    string
	rcpts   []string
	content string
	tls     bool
	conn    int
	remote  netip.Addr
	sni     string
}

// lastIP counts loopback addresses that are given to servers.
var lastIP atomic.Uint32

// testPort is a port that most servers of a run share, on addresses of their own. Its
// socket stays open, so that no other program is given the port on all addresses.
var testPort = sync.OnceValue(func() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return l.Addr().(*net.TCPAddr).Port
})

func newIP() string {
	n := lastIP.Add(1)
	return fmt.Sprintf("127.77.%d.%d", n/250, n%250+1)
}

// serve starts a server that ends with the test.
func serve(t testing.TB, setup serverSetup) *server {
	t.Helper()
	if setup.ip == "" {
		setup.ip = newIP()
	}
	if setup.port == 0 {
		setup.port = testPort()
	}
	l, err := net.Listen("tcp", net.JoinHostPort(setup.ip, strconv.Itoa(setup.port)))
	if err != nil {
		t.Fatal(err)
	}
	s := &server{ip: netip.MustParseAddr(setup.ip), port: setup.port, setup: setup, l: l, open: map[net.Conn]bool{}}
	s.wg.Go(s.accept)
	t.Cleanup(func() {
		s.hangUp(true)
		s.wg.Wait()
	})
	return s
}

func (s *server) accept() {
	for {
		nc, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns++
		n := s.conns
		s.open[nc] = true
		s.max = max(s.max, len(s.open))
		s.mu.Unlock()
		s.wg.Go(func() {
			defer nc.Close()
			defer s.ended(nc)
			s.talk(nc, &session{n: n})
		})
	}
}

// ended says that a connection does not count any more.
func (s *server) ended(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, nc)
}

// hangUp closes all connections, and the socket if it is the end.
func (s *server) hangUp(end bool) {
	if end {
		s.l.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for nc := range s.open {
		nc.Close()
	}
}

func (s *server) talk(nc net.Conn, ss *session) {
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	remote := netip.MustParseAddrPort(nc.RemoteAddr().String()).Addr().Unmap()
	var conn io.ReadWriter = nc
	sni := ""
	secure := func() bool {
		tc := tls.Server(nc, s.setup.tls)
		if err := tc.Handshake(); err != nil {
			return false
		}
		conn, ss.tls, sni = tc, true, tc.ConnectionState().ServerName
		return true
	}
	if s.setup.immediate && !secure() {
		return
	}
	br := bufio.NewReader(conn)
	var m received
	// answer writes the reply of the hook or the usual one, and reports whether the
	// command was taken. Keep is called before the reply is written, if it is.
	var keep func()
	answer := func(command, usual string) (taken, goOn bool) {
		reply := ""
		if s.setup.hook != nil {
			reply = s.setup.hook(ss, command)
		}
		if reply == "close" {
			if keep != nil {
				keep()
			}
			return true, false
		}
		if reply == "" {
			reply = usual
		}
		reply, quit := strings.CutPrefix(reply, "quit ")
		if keep != nil && reply[0] == '2' {
			keep()
		}
		_, err := io.WriteString(conn, reply+"\r\n")
		return reply[0] == '2' || reply[0] == '3' && command == "DATA", err == nil && !quit
	}
	if _, ok := answer("", "220 "+s.name()+" ESMTP"); !ok {
		return
	}
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.note(line)
		verb, _, _ := strings.Cut(line, " ")
		verb, _, _ = strings.Cut(verb, ":")
		taken, ok := false, false
		switch verb {
		case "EHLO":
			ext := append([]string{s.name()}, s.setup.ext...)
			if s.setup.tls != nil && !ss.tls {
				ext = append(ext, "STARTTLS")
			}
			_, ok = answer(line, "250-"+strings.Join(ext, "\r\n250-")+"\r\n250 HELP")
		case "STARTTLS":
			usual := "220 go"
			if s.setup.tls == nil || ss.tls {
				usual = "502 5.5.1 not offered"
			}
			if taken, ok = answer(line, usual); taken && ok {
				if ok = secure(); ok {
					br = bufio.NewReader(conn)
				}
			}
		case "AUTH":
			_, ok = answer(line, s.auth(line))
		case "MAIL":
			if taken, ok = answer(line, "250 2.1.0 ok"); taken {
				ss.mails++
				ss.rcpts = 0
				m = received{mail: line, tls: ss.tls, conn: ss.n, remote: remote, sni: sni}
			}
		case "RCPT":
			if taken, ok = answer(line, "250 2.1.5 ok"); taken {
				ss.rcpts++
				m.rcpts = append(m.rcpts, line)
			}
		case "DATA":
			usual := "354 go"
			if len(m.rcpts) == 0 {
				usual = "503 5.5.1 no recipients"
			}
			if taken, ok = answer(line, usual); !taken || !ok {
				break
			}
			content, err := io.ReadAll(smtp.NewDataReader(br, 1<<30))
			if err != nil {
				return
			}
			m.content = string(content)
			keep = func() { s.keep(m) }
			_, ok = answer(".", "250 2.0.0 taken")
			keep = nil
			m = received{}
		case "BDAT":
			f := strings.Fields(line)
			n, err := strconv.Atoi(f[1])
			if err != nil {
				return
			}
			data := make([]byte, n)
			if _, err := io.ReadFull(br, data); err != nil {
				return
			}
			m.content += string(data)
			if f[len(f)-1] != "LAST" {
				_, ok = answer(line, "250 2.0.0 got it")
				break
			}
			keep = func() { s.keep(m) }
			_, ok = answer(".", "250 2.0.0 taken")
			keep = nil
			m = received{}
		case "RSET":
			m = received{}
			_, ok = answer(line, "250 2.0.0 ok")
		case "QUIT":
			s.ended(nc) // The client may open another one when it has read the reply.
			answer(line, "221 2.0.0 bye")
			return
		default:
			_, ok = answer(line, "500 5.5.1 what?")
		}
		if !ok {
			return
		}
	}
}

// keep takes a message, before the server says so.
func (s *server) keep(m received) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
}

func (s *server) auth(line string) string {
	f := strings.Fields(line)
	if len(f) == 3 && f[1] == "PLAIN" {
		if b, err := base64.StdEncoding.DecodeString(f[2]); err == nil && string(b) == "\x00"+s.setup.user {
			return "235 2.7.0 welcome"
		}
		return "535 5.7.8 wrong password"
	}
	return "504 5.5.4 mechanism"
}

func (s *server) name() string {
	return "greets-" + strings.ReplaceAll(s.ip.String(), ":", "-") + ".example"
}

func (s *server) note(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = append(s.commands, line)
}

// got returns the messages so far.
func (s *server) got() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// connections returns how many connections there were, and the most at a time.
func (s *server) connections() (n, max int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns, s.max
}

// countCommands returns how many commands there were that start with prefix.
func (s *server) countCommands(prefix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.commands {
		if strings.HasPrefix(c, prefix) {
			n++
		}
	}
	return n
}
