//go:build linux

package machine

import (
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
	"mox/internal/testkit/netns"
)

// A nameServer has the root of DNS and all zones there are below it, signed. It is a knot, which
// takes zones as files, signs them, and takes updates. Another address of its host has
// a resolver for those who do not have one of their own.
type nameServer struct {
	*netns.Host
	dir    string
	zones  map[string]string // Records, by name of the zone. NS, SOA and DS are added.
	anchor string            // Key of the root.
}

const knotConf = `server:
    listen: [ "%[1]s@53", "%[2]s@53" ]
    rundir: "%[3]s"
database:
    storage: "%[3]s/db"
log:
  - target: stdout
    any: info
key:
  - id: updates
    algorithm: hmac-sha256
    secret: ` + updateKey + `
acl:
  - id: updates
    key: updates
    action: update
policy:
  - id: ours
    manual: on
template:
  - id: default
    storage: "%[3]s/zones"
    dnssec-signing: on
    dnssec-policy: ours
    journal-content: all
    zonefile-load: difference-no-serial
    zonefile-sync: -1
    acl: updates
zone:
`

// updateKey is that for updates of zones, in base64.
const updateKey = "bW94IHRlc3RzIHVwZGF0ZSB0aGVpciB6b25lcyEhISE="

// zoneHead is the start of a zone file. What does not exist is not known for long, for it may
// exist soon.
const zoneHead = `$ORIGIN %[1]s
$TTL 5
@ SOA %[2]s %[2]s 1 3600 600 86400 1
@ NS %[2]s
%[2]s A %[3]s
%[2]s AAAA %[4]s
`

// nsName returns the name of the name server of a zone.
func nsName(zone string) string { return "ns." + strings.TrimPrefix(zone, ".") }

func startDNS(t *testing.T, h *netns.Host, zones map[string]string) *nameServer {
	t.Helper()
	d := &nameServer{Host: h, dir: testkit.PublicDir(t, "db", "zones"), zones: zones}
	var conf strings.Builder
	fmt.Fprintf(&conf, knotConf, h.IP4(), h.IP6(), d.dir)
	for name := range zones {
		fmt.Fprintf(&conf, "  - domain: %q\n    file: %q\n", name, "zone-"+name)
	}
	testkit.WriteFile(t, d.conf(), conf.String())
	for name := range zones {
		d.tool(t, "keymgr", name, "generate", "algorithm=ecdsap256sha256", "ksk=yes", "zsk=yes")
	}
	for name := range zones {
		parent := "."
		if i := strings.IndexByte(name, '.'); i+1 < len(name) {
			parent = name[i+1:]
		}
		if name == "." {
			d.anchor = d.tool(t, "keymgr", name, "dnskey")
			continue
		}
		zones[parent] += fmt.Sprintf("%s NS %s\n%[2]s A %[3]s\n%[2]s AAAA %[4]s\n%[5]s", name, nsName(name), h.IP4(), h.IP6(), d.tool(t, "keymgr", name, "ds"))
	}
	for name := range zones {
		d.write(t, name)
	}
	proc := h.Start(t, exec.Command(testkit.Tool(t, "knotd"), "-c", d.conf()))
	for range zones {
		proc.WaitLine(`loaded, serial`)
	}
	return d
}

func (d *nameServer) conf() string { return filepath.Join(d.dir, "knot.conf") }

// tool runs a program of knot with its configuration.
func (d *nameServer) tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(testkit.Tool(t, name), append([]string{"-c", d.conf()}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (d *nameServer) write(t testing.TB, zone string) {
	t.Helper()
	testkit.WriteFile(t, filepath.Join(d.dir, "zones", "zone-"+zone), fmt.Sprintf(zoneHead, zone, nsName(zone), d.IP4(), d.IP6())+d.zones[zone])
}

// add adds records to a zone, in the format of zone files.
func (d *nameServer) add(t testing.TB, zone, records string) {
	t.Helper()
	d.zones[zone] += records
	d.write(t, zone)
	d.tool(t, "knotc", "-b", "zone-reload", zone)
}

// address returns records for the addresses of a host under names, and for the way back to the
// first.
func addresses(h *netns.Host, names ...string) (forward, reverse string) {
	for _, n := range names {
		forward += fmt.Sprintf("%s A %s\n%[1]s AAAA %[3]s\n", n, h.IP4(), h.IP6())
	}
	four, six := netip.MustParseAddr(h.IP4()).As4(), netip.MustParseAddr(h.IP6()).As16()
	reverse = fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa. PTR %s\n", four[3], four[2], four[1], four[0], names[0])
	for i := len(six) - 1; i >= 0; i-- {
		reverse += fmt.Sprintf("%x.%x.", six[i]&15, six[i]>>4)
	}
	return forward, reverse + "ip6.arpa. PTR " + names[0] + "\n"
}

// resolverConf is a configuration of unbound that starts at our root.
func (d *nameServer) resolverConf() string {
	return fmt.Sprintf(`server:
	root-hints: "/etc/unbound/root.hints"
	trust-anchor: "%s"
	ede: yes
	val-log-level: 2
	unblock-lan-zones: yes
`, strings.Join(strings.Fields(d.anchor), " "))
}

func (d *nameServer) rootHints() string {
	return fmt.Sprintf(". 3600 NS ns.\nns. 3600 A %s\nns. 3600 AAAA %s\n", d.IP4(), d.IP6())
}
