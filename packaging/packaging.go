package packaging

import _ "embed"

// Service is the unit for systemd, with the paths of an installation by package.
//
//go:embed mox.service
var Service string

// Paths in [Service].
const (
	ServiceProgram   = "/usr/local/bin/mox"
	ServiceConfig    = "/etc/mox/mox.conf"
	ServiceWritePath = "/etc/mox /var/lib/mox"
)

// ServiceNetlink is in [Service] for listeners that do not say which addresses are theirs.
const ServiceNetlink = " AF_NETLINK"
