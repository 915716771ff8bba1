package privsep

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/landlock-lsm/go-landlock/landlock"
	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"

	"mox/config"
)

// Rights to what is below a path. Nobody may run programs.
const (
	readRights  = llsys.AccessFSReadFile | llsys.AccessFSReadDir
	writeRights = readRights | llsys.AccessFSWriteFile | llsys.AccessFSTruncate | llsys.AccessFSRemoveDir | llsys.AccessFSRemoveFile |
		llsys.AccessFSMakeDir | llsys.AccessFSMakeReg | llsys.AccessFSMakeSock | llsys.AccessFSMakeSym | llsys.AccessFSRefer
	deviceRights = llsys.AccessFSReadFile | llsys.AccessFSWriteFile
)

// Confine keeps this process to the files in [Paths], as far as the kernel can do that
// (Landlock). It cannot be undone. Sockets are not restricted.
func Confine(s *config.Snapshot, log *slog.Logger) error {
	abi, err := llsys.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		log.Warn("files are not confined, the kernel has no Landlock", "err", err)
		return nil
	}
	read, write := Paths(s)
	rules := []landlock.Rule{
		landlock.PathAccess(readRights, dirs(read)...).IgnoreIfMissing(),
		landlock.PathAccess(llsys.AccessFSReadFile, files(read)...).IgnoreIfMissing(),
		landlock.PathAccess(writeRights, dirs(write)...).IgnoreIfMissing(),
		landlock.PathAccess(deviceRights, "/dev/null").IgnoreIfMissing(),
	}
	// Later versions restrict unix sockets, which are looked up and reached by others'
	// configuration: that of name services, and of systemd.
	if err := landlock.V8.BestEffort().RestrictPaths(rules...); err != nil {
		return fmt.Errorf("confine to own files: %w", err)
	}
	if abi == 1 {
		log.Warn("files are not confined, the kernel's Landlock is too old", "abi", abi)
		return nil
	}
	log.Info("confined to own files", "landlock", abi, "write", write, "read", len(read))
	return nil
}

// systemPaths are what any program reads: names and resolvers, certificates of
// authorities, time zones, and what is known of itself and its limits. Files in /etc are
// replaced while the server runs, which is why it is all of it.
var systemPaths = []string{
	"/etc", "/usr/share/zoneinfo", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/pki", "/usr/lib/ssl", "/var/lib/ca-certificates",
	"/proc/self", "/proc/stat", "/proc/meminfo", "/proc/sys/net", "/proc/sys/kernel", "/sys/fs/cgroup", "/sys/devices/system/cpu", "/dev/urandom",
}

// Paths returns the files and directories that a server needs with a configuration, to
// read, and to read and write. Links in them are followed.
func Paths(s *config.Snapshot) (read, write []string) {
	read = slices.Clone(systemPaths)
	// A link, to where a resolver of the system, or a network manager, replaces the file.
	read = append(read, linkDir("/etc/resolv.conf")...)
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "ZONEINFO"} {
		if path := os.Getenv(name); path != "" {
			read = append(read, filepath.SplitList(path)...)
		}
	}
	for _, group := range KeyFiles(s) {
		for _, path := range group {
			read = append(read, filepath.Dir(path))
			read = append(read, linkDir(path)...)
		}
	}
	for _, path := range dkimFiles(s) {
		read = append(read, filepath.Dir(path))
		read = append(read, linkDir(path)...)
	}
	if s.Authorities != nil {
		read = append(read, s.Authorities.CertFiles...)
	}
	for _, h := range s.WebHandlers {
		if h.Static != nil {
			if dir, err := filepath.Abs(h.Static.Root); err == nil {
				read = append(read, dir)
			}
		}
	}
	write = []string{s.DataDir, configDir(s)}
	for _, path := range hostKeyFiles(s) {
		write = append(write, filepath.Dir(path)) // For rollovers.
	}
	for _, l := range s.Listeners {
		if l.LMTP != "" {
			write = append(write, filepath.Dir(l.LMTP))
		}
	}
	return unique(read), unique(write)
}

// linkDir returns the directory that a link leads into.
func linkDir(path string) []string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || real == path {
		return nil
	}
	return []string{filepath.Dir(real)}
}

func unique(paths []string) []string {
	set := map[string]bool{}
	for _, p := range paths {
		set[p] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// dirs returns those of paths that are directories, and files the others.
func dirs(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return !isDir(p) })
}

func files(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), isDir)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
