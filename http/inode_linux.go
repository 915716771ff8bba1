package http

import (
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// inode returns what tells a file from others, and one state of it from others, beyond what
// can be set: tools that copy files often give all the same modification time.
func inode(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d %d %d.%d", st.Dev, st.Ino, st.Ctim.Sec, st.Ctim.Nsec)
}

// changed returns when a file was changed last, or put in its place.
func changed(info fs.FileInfo) time.Time {
	t := info.ModTime()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if c := time.Unix(st.Ctim.Unix()); c.After(t) {
			return c
		}
	}
	return t
}
