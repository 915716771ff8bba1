package selfcheck

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/admin"
	"mox/internal/testkit"
)

// world is a check in a directory of its own.
type world struct {
	Check
	dir string
	ca  *testkit.CA
	srv *httptest.Server // An authority.
}

const dynamicText = `Domains:
	example.org: nil
Accounts:
	ann:
		Domain: example.org
		Destinations:
			ann@example.org: nil
`

// newWorld returns a check of a server with a certificate from a file, at a free port,
// and an authority whose clock is that of the test.
func newWorld(t *testing.T, edit func(text string) string) *world {
	t.Helper()
	w := &world{ca: testkit.NewCA(t)}
	w.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/directory" {
			rw.WriteHeader(http.StatusNotFound)
		}
	}))
	w.srv.TLS = w.ca.ServerConfig(t, "127.0.0.1")
	w.srv.StartTLS()
	t.Cleanup(w.srv.Close)
	w.dir = t.TempDir()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`DataDir: data
LogLevel: info
Hostname: mail.example.org
User: 4711
MinimumFreeSpace: 1
ACME:
	test:
		DirectoryURL: %s/directory
		ContactEmail: ann@example.org
Listeners:
	public:
		IPs:
			- 127.0.0.1
		TLS:
			KeyCerts:
				-
					CertFile: cert.pem
					KeyFile: key.pem
		SMTP:
			Enabled: true
			Port: %d
Postmaster:
	Account: ann
	Mailbox: Postmaster
`, w.srv.URL, port)
	if edit != nil {
		text = edit(text)
	}
	w.write(t, "mox.conf", text)
	w.write(t, "domains.conf", dynamicText)
	w.certificate(t, "mail.example.org")
	if err := os.Mkdir(filepath.Join(w.dir, "data"), 0750); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.dir, 0750); err != nil {
		t.Fatal(err)
	}
	server := testkit.NewDNS(t, testkit.DNSOptions{Zone: "com NS ns.example\n", Authentic: true})
	log := slog.New(slog.DiscardHandler)
	resolver, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{server.Addr}, TrustAD: true, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s, err := config.Load(filepath.Join(w.dir, "mox.conf"))
	if err != nil {
		t.Fatal(err)
	}
	w.Check = Check{Config: s, Resolver: resolver, Log: log, Roots: w.ca.Pool(), Now: time.Now}
	return w
}

func (w *world) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0640); err != nil {
		t.Fatal(err)
	}
}

// certificate makes the certificate of the server.
func (w *world) certificate(t *testing.T, name string) {
	t.Helper()
	cert, key := w.ca.WritePEM(t, w.dir, w.ca.Issue(t, testkit.ECDSA, name))
	for from, to := range map[string]string{cert: "cert.pem", key: "key.pem"} {
		w.write(t, to, string(testkit.ReadFile(t, from)))
	}
}

// bad returns what is not ok. The clock of the machine, and how fast its disk is, are what
// they are.
func (w *world) bad(t *testing.T) []string {
	t.Helper()
	var l []string
	for _, f := range w.Run(t.Context()) {
		if f.Severity != admin.OK && !strings.Contains(f.Text, "(NTP)") && !strings.Contains(f.Text, "is slow or busy") {
			l = append(l, fmt.Sprintf("%s %s: %s", f.Severity, f.Check, f.Text))
		}
	}
	return l
}

const unsigned = "warning DKIM: no keys sign mail of example.org"

func TestFitMachineHasNoFindings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if got := w.bad(t); len(got) != 1 || !strings.HasPrefix(got[0], unsigned) {
		t.Errorf("got %q", got)
	}
	var checks []string
	for _, f := range w.findings {
		checks = append(checks, f.Check)
	}
	if got := strings.Join(slices.Compact(checks), " "); got != "CONFIG USER FILES DISK CLOCK ACME CLOCK DNS PORTS CERT DKIM" {
		t.Errorf("checks are %s", got)
	}
	if entries, err := os.ReadDir(filepath.Join(w.dir, "data")); err != nil || len(entries) > 0 {
		t.Errorf("data directory: %v, %v", entries, err)
	}
}

func TestWhatIsWrongIsFound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		config func(string) string
		change func(t *testing.T, w *world)
		want   []string // Besides that nothing is signed.
	}{
		"files that are missing": {
			change: func(t *testing.T, w *world) {
				if err := os.Remove(filepath.Join(w.dir, "key.pem")); err != nil {
					t.Fatal(err)
				}
			},
			want: []string{"error CONFIG: "},
		},
		"the user is root": {
			config: func(s string) string { return strings.Replace(s, "4711", "0", 1) },
			want:   []string{"warning USER: the server runs as root"},
		},
		"others read": {
			change: func(t *testing.T, w *world) {
				for path, mode := range map[string]os.FileMode{".": 0755, "key.pem": 0644} {
					if err := os.Chmod(filepath.Join(w.dir, path), mode); err != nil {
						t.Fatal(err)
					}
				}
			},
			want: []string{"error FILES: other users of this machine can read "},
		},
		"little space": {
			config: func(s string) string {
				return strings.Replace(s, "MinimumFreeSpace: 1", "MinimumFreeSpace: 9000000000000000", 1)
			},
			want: []string{"error DISK: "},
		},
		"the clock is wrong": {
			change: func(_ *testing.T, w *world) { w.Now = func() time.Time { return time.Now().Add(time.Hour) } },
			want:   []string{"error CLOCK: the clock is wrong by "},
		},
		"the clock differs": {
			change: func(_ *testing.T, w *world) { w.Now = func() time.Time { return time.Now().Add(-time.Minute) } },
			want:   []string{"warning CLOCK: the clock differs by "},
		},
		"authority is not there": {
			change: func(_ *testing.T, w *world) { w.srv.Close() },
			want:   []string{"error ACME: the authority test cannot be reached"},
		},
		"no authority at the url": {
			config: func(s string) string { return strings.Replace(s, "/directory", "/dir", 1) },
			want:   []string{"error ACME: the authority test answers with status 404"},
		},
		"dns fails": {
			change: func(t *testing.T, w *world) {
				server := testkit.NewDNS(t, testkit.DNSOptions{Faults: map[string]testkit.DNSFault{"com": testkit.DNSServFail}})
				r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{server.Addr}})
				if err != nil {
					t.Fatal(err)
				}
				w.Resolver = r
			},
			want: []string{"error DNS: lookups fail"},
		},
		"dns does not verify": {
			change: func(t *testing.T, w *world) {
				r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{testkit.NewDNS(t, testkit.DNSOptions{}).Addr}})
				if err != nil {
					t.Fatal(err)
				}
				w.Resolver = r
			},
			want: []string{"warning DNS: the resolver does not verify"},
		},
		"port in use by others": {
			change: listenAll,
			want:   []string{"error PORTS: in use by another program"},
		},
		"the server does not listen": {
			change: func(_ *testing.T, w *world) { w.Running = true },
			want:   []string{"error PORTS: the server is running, but does not listen at"},
		},
		"the server listens": {
			change: func(t *testing.T, w *world) { listenAll(t, w); w.Running = true },
		},
		"certificate has expired": {
			change: func(_ *testing.T, w *world) {
				w.NoDial = true
				w.Now = func() time.Time { return time.Now().AddDate(20, 0, 0) }
			},
			want: []string{"error CERT: the certificate "},
		},
		"certificate of another name": {
			change: func(t *testing.T, w *world) { w.certificate(t, "other.example.org") },
			want:   []string{"warning CERT: no certificate of listener public is for its name mail.example.org"},
		},
		"no certificate yet": {
			config: func(s string) string {
				i, j := strings.Index(s, "\t\t\tKeyCerts"), strings.Index(s, "\t\tSMTP:")
				return strings.Replace(s[:i]+"\t\t\tACME: test\n"+s[j:], "\t\tContactEmail", "\t\tPort: 45443\n\t\tContactEmail", 1)
			},
			want: []string{"warning CERT: there is no certificate for mail.example.org from test yet"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.config)
			if tc.change != nil {
				tc.change(t, w)
			}
			got := slices.DeleteFunc(w.bad(t), func(s string) bool { return strings.HasPrefix(s, unsigned) })
			for i := range max(len(got), len(tc.want)) {
				if i >= len(got) || i >= len(tc.want) || !strings.HasPrefix(got[i], tc.want[i]) {
					t.Fatalf("got %q, expected %q", got, tc.want)
				}
			}
		})
	}
}

// listenAll listens where the server would.
func listenAll(t *testing.T, w *world) {
	for _, l := range w.Config.Listeners {
		for _, s := range l.Services() {
			ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = ln.Close() })
		}
	}
}
