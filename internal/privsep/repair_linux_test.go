package privsep

import (
	"bytes"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mox/config"
	"mox/internal/testkit"
)

// someone is a user that does not exist.
var someone = Account{Name: "12345", UID: 12345, GID: 12346}

const testConf = `DataDir: ../data
LogLevel: info
Hostname: mail.example.org
Listeners:
	local:
		IPs:
			- 127.0.0.1
			- ::1
		TLS:
			KeyCerts:
				-
					CertFile: tls/cert.pem
					KeyFile: /etc/ssl/private/key.pem
		SMTP:
			Enabled: true
		IMAPS:
			Enabled: true
		LMTP:
			Enabled: true
			Socket: ../sockets/lmtp
DNSProviders:
	desec:
		Provider: desec
		TokenFile: /etc/mox-secret/token
Postmaster:
	Account: ann
	Mailbox: Postmaster
`

const testDomains = "Domains:\n\texample.org: nil\nAccounts:\n\tann:\n\t\tDomain: example.org\n"

// newConf returns a configuration in a new directory.
func newConf(t *testing.T) (dir string, s *config.Snapshot) {
	t.Helper()
	dir = testkit.Dir(t, map[string]string{
		"config/mox.conf":     testConf,
		"config/domains.conf": testDomains,
		"config/tls/cert.pem": "cert",
		"config/dkim/key.pem": "key",
		"sockets/other":       "",
	})
	s, err := config.Load(filepath.Join(dir, "config", "mox.conf"))
	if err != nil {
		t.Fatal(err)
	}
	return dir, s
}

// is checks the owner and mode of a file.
func is(t *testing.T, path string, uid, gid int, mode uint32) {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Error(err)
	} else if int(st.Uid) != uid || int(st.Gid) != gid || st.Mode&07777 != mode {
		t.Errorf("%s: owner %d:%d and mode %04o, expected %d:%d and %04o", path, st.Uid, st.Gid, st.Mode&07777, uid, gid, mode)
	}
}

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestPermissionsArePutRight(t *testing.T) {
	t.Parallel()
	testkit.NeedRoot(t, "owners of files")
	dir, s := newConf(t)
	if err := os.Chmod(filepath.Dir(dir), 0755); err != nil {
		t.Fatal(err)
	}
	conf, data := filepath.Join(dir, "config"), filepath.Join(dir, "data")
	outside := filepath.Join(dir, "outside")
	write(t, outside, "x", 0644)
	write(t, filepath.Join(data, "accounts", "ann", "msg", "a", "1"), "x", 0644)
	write(t, filepath.Join(data, "secret"), "x", 0600)
	if err := os.Symlink(outside, filepath.Join(data, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(outside, filepath.Join(data, "hardlink")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, someone.UID, someone.GID); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	if err := prepare(s, someone, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	u, g := someone.UID, someone.GID
	is(t, dir, 0, g, 0751) // Or its owner could replace the directory of the configuration.
	is(t, conf, 0, g, 03770)
	is(t, filepath.Join(conf, "mox.conf"), 0, g, 0640)
	is(t, filepath.Join(conf, "domains.conf"), u, g, 0600)
	is(t, filepath.Join(conf, "dkim", "key.pem"), u, g, 0600)
	is(t, filepath.Join(conf, "tls", "cert.pem"), 0, 0, 0600) // Root opens it.
	is(t, data, u, g, 02750)
	is(t, filepath.Join(data, "accounts", "ann", "msg", "a"), u, g, 02750)
	is(t, filepath.Join(data, "accounts", "ann", "msg", "a", "1"), u, g, 0640)
	is(t, filepath.Join(data, "secret"), u, g, 0600)
	is(t, outside, 0, 0, 0644) // By neither of its names in the data directory.
	if !strings.Contains(log.String(), "file has other names") || strings.Contains(log.String(), "cannot") {
		t.Errorf("log: %s", &log)
	}

	// A second time nothing is changed, and messages are not looked at.
	message := filepath.Join(data, "accounts", "ann", "msg", "a", "1")
	if err := os.Chmod(message, 0644); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	if err := prepare(s, someone, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "put right") {
		t.Errorf("log: %s", &log)
	}
	is(t, message, u, g, 0644)
}

func TestPermissionsStayWhenTheConfigurationSaysSo(t *testing.T) {
	t.Parallel()
	testkit.NeedRoot(t, "owners of files")
	dir, _ := newConf(t)
	path := filepath.Join(dir, "config", "mox.conf")
	write(t, path, "NoFixPermissions: true\n"+testConf, 0644)
	s, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := prepare(s, someone, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	is(t, path, 0, 0, 0644)
	is(t, filepath.Join(dir, "data"), someone.UID, someone.GID, 0750) // It was made.
}

func TestSharedDirectoriesAreNotTaken(t *testing.T) {
	t.Parallel()
	testkit.NeedRoot(t, "owners of files")
	_, s := newConf(t)
	c := *s
	c.DataDir = "/var/tmp"
	if err := prepare(&c, someone, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "/var/tmp is not for one program alone") {
		t.Errorf("got %v", err)
	}
}
