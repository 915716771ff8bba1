//go:build !linux || race

package imapserver

import "net"

// direct returns nc. The race detector learns from announced system calls in which order
// things happen.
func direct(nc net.Conn) (_ net.Conn, wait func(bool)) { return nc, func(bool) {} }

// announce does nothing, as all system calls are announced.
func announce() {}
