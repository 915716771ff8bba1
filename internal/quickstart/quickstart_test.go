package quickstart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/testkit"
)

// fakeMachine is a machine that reaches nothing.
type fakeMachine struct {
	hostname  string
	addresses []string
	taken     []string // Sockets in use by others.
	denied    bool     // Only root may listen.
	dial      func(netip.AddrPort) (net.Conn, error)
	root      bool
	users     map[string]int
	listening map[netip.AddrPort]*pipeListener
}

func (m *fakeMachine) Hostname() (string, error) { return m.hostname, nil }

func (m *fakeMachine) Addresses() ([]netip.Addr, error) {
	l := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"), netip.MustParseAddr("fe80::1")}
	for _, s := range m.addresses {
		l = append(l, netip.MustParseAddr(s))
	}
	return l, nil
}

func (m *fakeMachine) Dial(_ context.Context, addr netip.AddrPort) (net.Conn, error) {
	if m.dial != nil {
		return m.dial(addr)
	}
	a, b := net.Pipe()
	_ = b.Close()
	return a, nil
}

func (m *fakeMachine) Listen(_ context.Context, addr netip.AddrPort) (net.Listener, error) {
	switch {
	case m.denied:
		return nil, os.NewSyscallError("bind", syscall.EACCES)
	case slices.Contains(m.taken, addr.String()):
		return nil, os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	if m.listening == nil {
		m.listening = map[netip.AddrPort]*pipeListener{}
	}
	m.listening[addr] = l
	return l, nil
}

func (m *fakeMachine) Root() bool { return m.root }

func (m *fakeMachine) UserID(name string) (uid, gid int, err error) {
	if id, ok := m.users[name]; ok {
		return id, id, nil
	}
	return 0, 0, errors.New("unknown user " + name)
}

// pipeListener is a listener without sockets.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.closed)
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// connect returns a connection to a listener.
func (l *pipeListener) connect() net.Conn {
	a, b := net.Pipe()
	l.conns <- b
	return a
}

// goodZone is DNS of a machine that is ready.
const goodZone = `com NS ns.example
mx.example.org A 198.51.100.1
mx.example.org AAAA 2001:db8::1
1.100.51.198.in-addr.arpa PTR mx.example.org
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR mx.example.org
gmail.com MX 10 mx.far.example
mx.far.example A 203.0.113.1
mx.far.example AAAA 2001:db8:ffff::1
`

func goodMachine() *fakeMachine {
	return &fakeMachine{hostname: "mx.example.org", addresses: []string{"198.51.100.1", "2001:db8::1"}, users: map[string]int{"mox": 65534}}
}

var testNow = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// world is what a run is in.
type world struct {
	dir  string
	opts Options
	out  *bytes.Buffer
}

// newWorld returns options for a run in a new directory.
func newWorld(t *testing.T, m *fakeMachine, zone string) *world {
	t.Helper()
	server := testkit.NewDNS(t, testkit.DNSOptions{Zone: zone, Authentic: true})
	log := slog.New(slog.DiscardHandler)
	resolver, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{server.Addr}, TrustAD: true, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	out := &bytes.Buffer{}
	return &world{dir, Options{
		Address:    "ann@example.org",
		ConfigPath: filepath.Join(dir, "config", "mox.conf"),
		Resolver:   resolver,
		Machine:    m,
		Out:        out,
		Log:        log,
		Now:        func() time.Time { return testNow },
	}, out}
}

func (w *world) run(t *testing.T) string {
	t.Helper()
	if err := Run(t.Context(), w.opts); err != nil {
		t.Fatalf("got error %v after:\n%s", err, w.out)
	}
	return w.out.String()
}

// files returns the paths of all files, below the directory, that match a pattern.
func (w *world) files(t *testing.T) []string {
	t.Helper()
	var l []string
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			rel, rerr := filepath.Rel(w.dir, path)
			l = append(l, rel)
			err = errors.Join(err, rerr)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var secrets = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`[a-z0-9]{4}(-[a-z0-9]{4}){4}`), "PASSWORD"},
	{regexp.MustCompile(`(?s)\(\n\t"v=DKIM1;[^)]*"`), `( "KEY"`},
	{regexp.MustCompile(`k=ed25519;p=[A-Za-z0-9+/=]*`), "k=ed25519;p=KEY"},
	{regexp.MustCompile(`TLSA 3 1 1 [0-9a-f]{64}`), "TLSA 3 1 1 HASH"},
}

// anonymous returns a text without what differs from run to run.
func (w *world) anonymous(s string) []byte {
	s = strings.ReplaceAll(s, w.dir, "DIR")
	for _, sec := range secrets {
		s = sec.re.ReplaceAllString(s, sec.to)
	}
	return []byte(s)
}

func TestRunsLookAsTheyShould(t *testing.T) {
	t.Parallel()
	noReply := func(netip.AddrPort) (net.Conn, error) { return nil, errors.New("connection timed out") }
	for name, tc := range map[string]struct {
		machine func(m *fakeMachine)
		options func(o *Options)
		zone    string
	}{
		"plain": {},
		"nat": {
			machine: func(m *fakeMachine) { m.addresses = []string{"10.0.0.5", "2001:db8::1"}; m.dial = noReply },
		},
		"empty": { // A machine about which nothing is known yet.
			machine: func(m *fakeMachine) {
				m.hostname, m.addresses, m.taken = "debian", []string{"203.0.113.7"}, []string{"203.0.113.7:25"}
			},
			zone: "example.org MX 10 old.example\nexample.org TXT \"v=spf1 mx -all\"\n7.113.0.203.sbl.spamhaus.org A 127.0.0.2\n7.113.0.203.sbl.spamhaus.org TXT \"see https://sbl.example\"\n",
		},
		"webserver": {options: func(o *Options) { o.ExistingWebserver = true; o.SkipDial = true; o.User = "4711" }},
		"proxy": {
			machine: func(m *fakeMachine) { m.addresses = []string{"10.0.0.5"} },
			options: func(o *Options) { o.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.9/32")} },
		},
		"dryrun": {options: func(o *Options) { o.DryRun = true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := goodMachine()
			if tc.machine != nil {
				tc.machine(m)
			}
			zone := goodZone
			if tc.zone != "" {
				zone = tc.zone
			}
			w := newWorld(t, m, zone)
			if tc.options != nil {
				tc.options(&w.opts)
			}
			out := w.run(t)
			testkit.Golden(t, filepath.Join("testdata", name+".txt"), w.anonymous(out))
			if w.opts.DryRun {
				if l := w.files(t); len(l) != 0 {
					t.Errorf("files were written: %q", l)
				}
				return
			}
			if name == "plain" {
				for _, file := range []string{"mox.conf", "domains.conf"} {
					testkit.Golden(t, filepath.Join("testdata", file), testkit.ReadFile(t, filepath.Join(w.dir, "config", file)))
				}
			}
			s, err := config.Load(w.opts.ConfigPath)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.CheckFiles(); err != nil {
				t.Error(err)
			}
			log := string(testkit.ReadFile(t, filepath.Join(w.dir, "quickstart.log")))
			if secrets[0].re.MatchString(log) || !strings.Contains(log, "Next\n----") {
				t.Errorf("log is:\n%s", log)
			}
		})
	}
}

func TestOnlyTheServerCanReadWhatIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, goodMachine(), goodZone)
	w.run(t)
	for _, name := range w.files(t) {
		info, err := os.Stat(filepath.Join(w.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		want := fs.FileMode(0640)
		if strings.HasPrefix(name, "config/hostkeys/") || name == "quickstart.log" {
			want = 0600
		}
		if got := info.Mode().Perm(); got&^want != 0 {
			t.Errorf("%s has mode %s", name, got)
		}
	}
	for _, dir := range []string{"config", "config/dkim", "data", "data/accounts/ann"} {
		info, err := os.Stat(filepath.Join(w.dir, dir))
		want := fs.FileMode(0750)
		if dir == "config" {
			want = 0770
		}
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v", dir, info.Mode(), err)
		}
	}
}

func TestFilesBelongToTheUserOfTheServer(t *testing.T) {
	t.Parallel()
	testkit.NeedRoot(t, "giving files to another user")
	m := goodMachine()
	m.root = true
	w := newWorld(t, m, goodZone)
	// Nobody else gets to where the directories of tests are.
	err := Run(t.Context(), w.opts)
	if err == nil || !strings.Contains(err.Error(), "cannot get through directory "+filepath.Dir(w.dir)) || len(w.files(t)) > 0 {
		t.Errorf("in a directory of root alone: got error %v, files %q", err, w.files(t))
	}
	// A home directory is that of the user, at first.
	if err := errors.Join(os.Chmod(filepath.Dir(w.dir), 0755), os.Chmod(w.dir, 0700), os.Chown(w.dir, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	w.run(t)
	if info, err := os.Stat(w.dir); err != nil || info.Mode().Perm() != 0751 || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("directory has not become root's: %v, %v", info, err)
	}
	for _, name := range w.files(t) {
		info, err := os.Stat(filepath.Join(w.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		want := "65534 65534"
		switch name {
		case "quickstart.log":
			want = "0 0"
		case "config/mox.conf":
			want = "0 65534"
		}
		st := info.Sys().(*syscall.Stat_t)
		if got := fmt.Sprint(st.Uid, st.Gid); got != want {
			t.Errorf("%s belongs to %s", name, got)
		}
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"config/mox.conf", "config/other", "data/x"} {
		w := newWorld(t, goodMachine(), goodZone)
		path := filepath.Join(w.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("mine"), 0600); err != nil {
			t.Fatal(err)
		}
		err := Run(t.Context(), w.opts)
		if err == nil || !strings.Contains(err.Error(), "nothing is overwritten") || w.out.Len() > 0 {
			t.Errorf("%s: got error %v, output %q", name, err, w.out)
		}
		if l := w.files(t); !slices.Equal(l, []string{name}) || string(testkit.ReadFile(t, path)) != "mine" {
			t.Errorf("%s: files are %q", name, l)
		}
	}
}

func TestDirectoriesThatAreThereAndEmptyAreUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, goodMachine(), goodZone)
	for _, dir := range []string{"config", "data/lost+found"} {
		if err := os.MkdirAll(filepath.Join(w.dir, dir), 0755); err != nil {
			t.Fatal(err)
		}
	}
	w.run(t)
	if l := w.files(t); !slices.Contains(l, "config/mox.conf") {
		t.Errorf("files are %q", l)
	}
}

// cancelWriter cancels a run when a text is written.
type cancelWriter struct {
	text   string
	cancel func()
}

func (w cancelWriter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.text) {
		w.cancel()
	}
	return len(p), nil
}

func TestAfterAFailureNothingStays(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(t *testing.T, w *world) context.Context{
		"no such file with authorities": func(t *testing.T, w *world) context.Context {
			w.opts.CAFile = filepath.Join(w.dir, "none")
			return t.Context()
		},
		"malformed authorities": func(t *testing.T, w *world) context.Context {
			w.opts.CAFile = filepath.Join(testkit.Dir(t, map[string]string{"ca": "x"}), "ca")
			return t.Context()
		},
		"the name of the account is not possible": func(t *testing.T, w *world) context.Context {
			w.opts.Address = "ann+x@example.org"
			return t.Context()
		},
		"interrupted at the end": func(t *testing.T, w *world) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			w.opts.Out = cancelWriter{text: "Next", cancel: cancel}
			return ctx
		},
		"interrupted before writing": func(t *testing.T, w *world) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			w.opts.Out = cancelWriter{text: "BLOCKLIST", cancel: cancel}
			return ctx
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, goodMachine(), goodZone)
			if err := os.Mkdir(filepath.Join(w.dir, "data"), 0700); err != nil {
				t.Fatal(err)
			}
			if err := Run(fail(t, w), w.opts); err == nil {
				t.Error("got no error")
			}
			if l := w.files(t); len(l) != 0 {
				t.Errorf("files are %q", l)
			}
			if _, err := os.Stat(filepath.Join(w.dir, "config")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("directory config: %v", err)
			}
			if entries, err := os.ReadDir(filepath.Join(w.dir, "data")); err != nil || len(entries) > 0 {
				t.Errorf("directory data: %v, %v", entries, err)
			}
		})
	}
}

func TestWhatCannotWorkIsSaidBeforeAnythingElse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(w *world, m *fakeMachine)
		want   string
	}{
		"no address":     {func(w *world, _ *fakeMachine) { w.opts.Address = "example.org" }, `address "example.org"`},
		"no user":        {func(w *world, m *fakeMachine) { m.root = true; w.opts.User = "nobody2" }, "unknown user nobody2"},
		"other name":     {func(w *world, _ *fakeMachine) { w.opts.ConfigPath = "x/y.conf" }, "must be mox.conf"},
		"hostname":       {func(w *world, _ *fakeMachine) { w.opts.Hostname = "a b" }, `hostname "a b"`},
		"dns is not on":  {func(w *world, _ *fakeMachine) { w.opts.Resolver = failingDNS(t, "com") }, "DNS does not work"},
		"host not known": {func(w *world, _ *fakeMachine) { w.opts.Resolver = failingDNS(t, "mx.example.org") }, "looking up the addresses of mx.example.org"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := goodMachine()
			w := newWorld(t, m, goodZone)
			tc.change(w, m)
			if err := Run(t.Context(), w.opts); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v", err)
			}
			if l := w.files(t); len(l) != 0 {
				t.Errorf("files are %q", l)
			}
		})
	}
}

// failingDNS returns a resolver whose server fails for a name.
func failingDNS(t *testing.T, name string) dns.Resolver {
	t.Helper()
	server := testkit.NewDNS(t, testkit.DNSOptions{Zone: goodZone, Authentic: true, Faults: map[string]testkit.DNSFault{name: testkit.DNSServFail}})
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{server.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
