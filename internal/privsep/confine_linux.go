package privsep

import (
	"fmt"
	"log/slog"
	"os"
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
