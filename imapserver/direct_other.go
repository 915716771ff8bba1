//go:build !linux || race

package imapserver

import "net"

// direct returns nc. The race detector learns from announced system calls in which order
// things happen.
func direct(nc net.Conn) net.Conn { return nc }

// announce does nothing, as all system calls are announced.
func announce() {}
