//go:build !linux

package imapserver

import "net"

// quickAck does nothing: only Linux can be told to acknowledge at once.
func quickAck(net.Conn) {}
