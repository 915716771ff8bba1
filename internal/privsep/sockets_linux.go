package privsep

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"mox/config"
)

// A Socket is where a service listens.
type Socket struct {
	Network, Address string // "tcp" or "unix".
}

// Sockets returns the sockets that root binds for a configuration: all of TCP, and unix
// sockets in directories that the user cannot write to.
func Sockets(s *config.Snapshot, a Account) []Socket {
	var sockets []Socket
	add := func(network, address string) {
		if sock := (Socket{network, address}); !slices.Contains(sockets, sock) {
			sockets = append(sockets, sock)
		}
	}
	for _, l := range s.Listeners {
		if l.LMTP != "" && !writable(filepath.Dir(l.LMTP), a) {
			add("unix", l.LMTP)
		}
		for _, service := range l.Services() {
			for _, ip := range l.IPs {
				add("tcp", net.JoinHostPort(ip.String(), strconv.Itoa(service.Port)))
			}
		}
	}
	return sockets
}

// writable reports whether a user can write to a directory, as far as permissions tell.
// One that does not exist is made by nobody.
func writable(dir string, a Account) bool {
	info, err := os.Stat(dir)
	return err == nil && permitted(info, a, 2)
}

// permitted reports whether the mode of a file gives a user a permission: 4 to read, 2
// to write.
func permitted(info fs.FileInfo, a Account, bit fs.FileMode) bool {
	mode := info.Mode().Perm()
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case ok && int(st.Uid) == a.UID:
		mode >>= 6
	case ok && int(st.Gid) == a.GID:
		mode >>= 3
	}
	return mode&bit != 0
}
