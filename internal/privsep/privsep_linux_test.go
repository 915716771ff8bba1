package privsep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"

	"mox/config"
)

// confineEnv makes the test binary confine itself to the configuration it names, and try
// things.
const confineEnv = "MOX_TEST_CONFINE"

func TestMain(m *testing.M) {
	if path := os.Getenv(confineEnv); path != "" {
		os.Exit(confined(path))
	}
	os.Exit(m.Run())
}

// confined prints what works in a confined process.
func confined(path string) int {
	s, err := config.Load(path)
	if err == nil {
		err = Confine(s, slog.New(slog.NewTextHandler(os.Stdout, nil)))
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	dir := filepath.Dir(filepath.Dir(path))
	try := func(what string, err error) {
		if errors.Is(err, os.ErrPermission) {
			err = errors.New("denied")
		}
		fmt.Printf("%s: %v\n", what, err)
	}
	read := func(path string) error { _, err := os.ReadFile(path); return err }
	try("data", os.WriteFile(filepath.Join(s.DataDir, "x"), nil, 0600))
	try("move", errors.Join(os.Mkdir(filepath.Join(s.DataDir, "d"), 0700), os.Rename(filepath.Join(s.DataDir, "x"), filepath.Join(s.DataDir, "d", "x"))))
	try("config", os.WriteFile(filepath.Join(dir, "config", "x"), nil, 0600))
	try("resolv.conf", read("/etc/hosts"))
	try("self", read("/proc/self/status"))
	try("write to etc", os.WriteFile("/etc/mox-test", nil, 0600))
	try("other", read(filepath.Join(dir, "other", "x")))
	try("write to other", os.WriteFile(filepath.Join(dir, "other", "y"), nil, 0600))
	try("null", os.WriteFile(os.DevNull, []byte("x"), 0600))
	try("run", exec.Command("/bin/true").Run())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		err = l.Close()
	}
	try("listen", err)
	return 0
}

func TestConfinedProcessReachesOnlyWhatItNeeds(t *testing.T) {
	t.Parallel()
	if abi, err := llsys.LandlockGetABIVersion(); err != nil || abi < 2 {
		t.Skipf("the kernel has no Landlock that is of use: version %d, %v", abi, err)
	}
	dir, s := newConf(t)
	write(t, filepath.Join(dir, "other", "x"), "x", 0666)
	if err := os.MkdirAll(s.DataDir, 0700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), confineEnv+"="+s.Path)
	b, err := cmd.CombinedOutput()
	out := string(b)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"confined to own files", "\ndata: <nil>\n", "\nmove: <nil>\n", "\nconfig: <nil>\n", "\nresolv.conf: <nil>\n", "\nself: <nil>\n", "\nwrite to etc: denied\n",
		"\nother: denied\n", "\nwrite to other: denied\n", "\nnull: <nil>\n", "\nrun: denied\n", "\nlisten: <nil>\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// pair returns both ends of a connection between parent and child.
func pair(t *testing.T) (parent *net.UnixConn, child *Child) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns []*net.UnixConn
	for _, fd := range fds {
		f := os.NewFile(uintptr(fd), "")
		nc, err := net.FileConn(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		conns = append(conns, nc.(*net.UnixConn))
	}
	return conns[0], &Child{conn: conns[1], sockets: map[Socket]*os.File{}, files: map[string]*os.File{}, own: map[string]bool{}}
}

func TestDescriptorsAreReceivedInAsManyMessagesAsItTakes(t *testing.T) {
	t.Parallel()
	parent, child := pair(t)
	dir := t.TempDir()
	l, err := Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	f, err := l.(*net.TCPListener).File()
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	list := []descriptor{{socket: Socket{"tcp", addr}, file: f}}
	const n = 2*maxDescriptors + 5
	open := func(i int, text string) descriptor {
		path := filepath.Join(dir, fmt.Sprint(i))
		write(t, path, text, 0600)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return descriptor{path: fmt.Sprintf("/file/%d", i), file: f}
	}
	for i := range n {
		list = append(list, open(i, fmt.Sprint("text ", i)))
	}
	send := func(list []descriptor, sig syscall.Signal) {
		t.Helper()
		if err := send(parent, list, sig); err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			if err := d.file.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	send(list, 0)
	if sig, err := child.receive(); err != nil || sig != 0 {
		t.Fatalf("got signal %d, %v", sig, err)
	}
	for i := range n {
		path := fmt.Sprintf("/file/%d", i)
		for range 2 { // Each time from its beginning.
			if data, err := child.ReadFile(path); err != nil || string(data) != fmt.Sprint("text ", i) {
				t.Errorf("%s: got %q, %v", path, data, err)
			}
		}
	}
	nl, err := child.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nl.Close()
	if nl.Addr().String() != addr {
		t.Errorf("listens on %s instead of %s", nl.Addr(), addr)
	}
	if other, err := child.Listen(t.Context(), "tcp", addr); err == nil {
		t.Errorf("got socket twice: %v", other)
	}
	if _, err := child.ReadFile("/file/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("file that was not passed: got %v", err)
	}

	// New files take the place of old ones, and signals come in order.
	send([]descriptor{open(3, "new")}, syscall.SIGHUP)
	send(nil, syscall.SIGTERM)
	if err := parent.Close(); err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 3)
	if err := child.Serve(signals); !errors.Is(err, io.EOF) {
		t.Errorf("end of parent: got %v", err)
	}
	if a, b := <-signals, <-signals; a != syscall.SIGHUP || b != syscall.SIGTERM {
		t.Errorf("got signals %v, %v", a, b)
	}
	for path, want := range map[string]string{"/file/3": "new", "/file/4": "text 4"} {
		if data, err := child.ReadFile(path); err != nil || string(data) != want {
			t.Errorf("%s: got %q, %v", path, data, err)
		}
	}
}

func TestFilesOfTheUserAreReadDirectly(t *testing.T) {
	t.Parallel()
	_, child := pair(t)
	dir, s := newConf(t)
	cert, key := filepath.Join(dir, "config", "tls", "cert.pem"), "/etc/ssl/private/key.pem"
	old := func() *os.File {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	child.files[cert], child.files[key] = old(), old()
	child.UseOwn(s)
	if data, err := child.ReadFile(cert); err != nil || len(data) > 0 {
		t.Errorf("certificate whose key cannot be read: got %q, %v", data, err)
	}
	s.Listeners[0].TLS.KeyCerts[0].KeyFile = cert
	child.UseOwn(s)
	if data, err := child.ReadFile(cert); err != nil || string(data) != "cert" {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestRootOpensWhatTheConfigurationNames(t *testing.T) {
	t.Parallel()
	dir, s := newConf(t)
	var paths []string
	for _, f := range keyFiles(s, someone) {
		paths = append(paths, f.path)
	}
	if want := []string{filepath.Join(dir, "config", "tls", "cert.pem"), "/etc/ssl/private/key.pem", "/etc/mox-secret/token"}; !slices.Equal(paths, want) {
		t.Errorf("files are %q, expected %q", paths, want)
	}
	lmtp := filepath.Join(dir, "sockets", "lmtp")
	want := []Socket{{"unix", lmtp}, {"tcp", "127.0.0.1:25"}, {"tcp", "[::1]:25"}, {"tcp", "127.0.0.1:993"}, {"tcp", "[::1]:993"}}
	if got := Sockets(s, someone); !slices.Equal(got, want) {
		t.Errorf("sockets are %v, expected %v", got, want)
	}
	// Where the user can write, it makes the socket itself.
	if err := os.Chmod(filepath.Dir(lmtp), 0777); err != nil {
		t.Fatal(err)
	}
	if got := Sockets(s, someone); !slices.Equal(got, want[1:]) {
		t.Errorf("sockets are %v, expected %v", got, want[1:])
	}
}

func TestFilesOfOthersCannotBeHadThroughDomainsConf(t *testing.T) {
	t.Parallel()
	dir, s := newConf(t)
	conf := filepath.Join(dir, "config")
	secret := filepath.Join(dir, "secret")
	write(t, secret, "secret", 0600)
	for name, err := range map[string]error{
		"hardlink": os.Link(secret, filepath.Join(conf, "hardlink")),
		"symlink":  os.Symlink(secret, filepath.Join(conf, "symlink")),
		"dirlink":  os.Symlink(dir, filepath.Join(conf, "dirlink")),
		"fifo":     syscall.Mkfifo(filepath.Join(conf, "fifo"), 0600),
	} {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, path := range []string{secret, filepath.Join(conf, "hardlink"), filepath.Join(conf, "symlink"), filepath.Join(conf, "dirlink", "secret"), filepath.Join(conf, "fifo"), filepath.Join(conf, "dkim")} {
		if f, err := openBeneath(configDir(s), path); err == nil {
			t.Errorf("%s was opened: %v", path, f.Name())
		}
	}
	f, err := openBeneath(configDir(s), filepath.Join(conf, "dkim", "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestLookupAccount(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		want Account
		err  string
	}{
		{"12345", Account{"12345", 12345, 12345}, ""},
		{"root", Account{"root", 0, 0}, ""},
		{"no such user", Account{}, `there is no user "no such user"`},
		{"-1", Account{}, "there is no user"},
		{"4294967296", Account{}, "there is no user"},
	} {
		got, err := LookupAccount(tc.name)
		if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: got %v, %v", tc.name, got, err)
		}
	}
}

func TestWatchdogIsNotToldOfAServerThatIsNotWell(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "3000")
	n := NewNotifier(slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	checks := 0
	n.Watch(ctx, func(context.Context) error {
		if checks++; checks == 3 {
			cancel()
		}
		if checks >= 2 {
			return errors.New("not well")
		}
		return nil
	})
	n.Ready("line\nline")
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"WATCHDOG=1", "READY=1\nSTATUS=line line"} {
		buf := make([]byte, 1000)
		k, err := conn.Read(buf)
		if err != nil || string(buf[:k]) != want {
			t.Errorf("got %q, %v, expected %q", buf[:k], err, want)
		}
	}
}
