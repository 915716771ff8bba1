//go:build linux

package machine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mox/internal/testkit"
)

// The Debian of the machine.
const (
	suite  = "bookworm"
	mirror = "http://deb.debian.org/debian"

	// packages are those besides the smallest system: what a machine comes with, and the
	// resolver, which cannot be installed when the machine is on its own.
	packages = "systemd,systemd-sysv,dbus,procps,iproute2,ca-certificates,unbound"
)

// debian returns a directory with a Debian as it is when just installed. It is made once, and
// kept for other runs.
func debian(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = "/var/cache"
	}
	cache = filepath.Join(cache, "mox-tests")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(suite + mirror + packages))
	dir := filepath.Join(cache, suite+"-"+hex.EncodeToString(hash[:4]))
	lock, err := os.Create(dir + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err == nil {
		return dir
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	making := dir + ".making"
	if err := os.RemoveAll(making); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(testkit.Tool(t, "debootstrap"), "--variant=minbase", "--include="+packages, suite, making, mirror)
	cmd.Env = append(os.Environ(), aptProxy()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("debootstrap: %v\n%s", err, out)
	}
	if err := os.Rename(making, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// aptProxy returns the environment for the proxy that apt uses, if any.
func aptProxy() []string {
	out, err := exec.Command("apt-config", "shell", "proxy", "Acquire::http::Proxy").Output()
	if err != nil {
		return nil
	}
	_, value, _ := strings.Cut(strings.TrimSpace(string(out)), "=")
	if value = strings.Trim(value, "'"); value == "" {
		return nil
	}
	return []string{"http_proxy=" + value}
}
