package testkit

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// Mounted returns a command for a program that sees a file or directory in the place of
// another, which exists. It takes root and Linux.
func Mounted(t testing.TB, path, place string, args ...string) *exec.Cmd {
	t.Helper()
	NeedRoot(t, "giving a program another "+place)
	const script = `mount --bind "$0" "$1" && shift && exec "$@"`
	return exec.Command(Tool(t, "unshare"), append([]string{"--mount", "sh", "-c", script, path, place}, args...)...)
}

// Resolving returns a command for a program that reads resolv.conf, and asks a resolver at
// an IP address then, on port 53. It takes root and Linux.
func Resolving(t testing.TB, ip string, args ...string) *exec.Cmd {
	t.Helper()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	WriteFile(t, path, "nameserver "+ip+"\noptions edns0 trust-ad\n")
	return Mounted(t, path, "/etc/resolv.conf", args...)
}
