//go:build !linux

package imapserver

import "net"

// hungUp knows nothing: that a client is gone is noticed when something is written to it.
func hungUp(net.Conn) (sent, gone bool) { return false, false }
