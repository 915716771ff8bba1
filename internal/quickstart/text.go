package quickstart

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"mox/config"
	"mox/internal/admin"
)

// result says what was written, and what to do next. The password is shown, but not kept.
func (q *quickstart) result(s *config.Snapshot, password string) error {
	o := &q.out
	o.heading("Files")
	o.printf("%s\n    configuration and keys\n%s\n    mail, and all else that the server keeps\n", q.configDir(), q.dataDir())
	o.heading("Account")
	o.printf("Address   %s\nAccount   %s\nPassword  ", q.addr, q.account())
	o.show(password)
	o.printf("\n\n")
	o.paragraph("The password is shown only here. Change it with: %s setaccountpassword %s", q.opts.Program, q.account())
	d, _ := s.Domain(q.addr.Domain)
	o.printf("Mail programs log in with the address and the password:\n\n")
	for _, c := range s.ClientServices(d) {
		how := "TLS from the start"
		if c.STARTTLS {
			how = "STARTTLS"
		}
		o.printf("%-10s  %s port %d, %s\n", clientNames[c.Protocol], c.Host, c.Port, how)
	}
	if err := q.records(s); err != nil {
		return err
	}
	q.next()
	return nil
}

var clientNames = map[config.ClientProtocol]string{config.ClientIMAP: "Reading", config.ClientSubmission: "Sending"}

// records prints what to publish in DNS.
func (q *quickstart) records(s *config.Snapshot) error {
	q.out.heading("DNS")
	q.out.paragraph("Add these records where the domain has its DNS. They are as in a zone file; \"%s config dnsrecords %s\" prints them again.", q.opts.Program, q.addr.Domain)
	if len(q.net.host) == 0 {
		q.out.write(q.hostRecords())
	}
	l, err := admin.DNSRecords(s, q.addr.Domain, admin.RecordOptions{Signed: q.net.signed})
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := admin.WriteZone(&b, l); err != nil {
		return err
	}
	q.out.write(b.String())
	return nil
}

// hostRecords returns the records with the addresses of the machine.
func (q *quickstart) hostRecords() string {
	public := q.net.public()
	if len(public) == 0 {
		return fmt.Sprintf("; The public address of this machine, which is not known.\n; %s. A ...\n\n", q.net.hostname.ASCII)
	}
	b := "; This machine.\n"
	for _, ip := range public {
		typ := "AAAA"
		if ip.Is4() {
			typ = "A"
		}
		b += fmt.Sprintf("%-40s %s %s\n", q.net.hostname.ASCII+".", typ, ip)
	}
	return b + "\n"
}

// next says what to do.
func (q *quickstart) next() {
	o, p := &q.out, q.opts.Program
	o.heading("Next")
	step := 0
	add := func(format string, args ...any) {
		step++
		o.write(wrap(fmt.Sprintf("%2d. ", step), fmt.Sprintf(format, args...)))
	}
	commands := func(lines ...string) { o.write("\n\t" + strings.Join(lines, "\n\t") + "\n\n") }
	add("Look through what the checks have found above, and publish the records.")
	add("Let connections to ports %s in, if there is a firewall.", numbers(q.usedPorts()))
	if q.opts.ExistingWebserver {
		d := q.addr.Domain.ASCII
		names := slices.Compact([]string{q.net.hostname.ASCII, admin.ClientDomain(q.addr.Domain).ASCII})
		add("The certificate in %s is a placeholder that nobody trusts. Let your web server, or what gets its certificates, get one for %s, and copy it and its key over %s and %s whenever it is renewed. They are read again by themselves.", certName, strings.Join(names, " and "), certName, keyName)
		add("Let your web server forward requests for autoconfig.%s and mta-sts.%s, with HTTPS and a certificate for them, to port %d of this machine, with the address of the client in X-Forwarded-For.", d, d, forwardedPort)
	}
	switch {
	case q.opts.Docker:
		add("Start the server:")
		commands("docker compose up -d")
	default:
		add("Start the server, now and whenever the machine starts:")
		commands(p+" config printservice >/etc/systemd/system/mox.service", "systemctl daemon-reload", "systemctl enable --now mox", "journalctl -f -u mox")
		o.write("    or, to look at it first, in the foreground:\n")
		commands(p + " serve")
	}
	add("See whether all is well, when the records are there and the server runs:")
	commands(p+" config dnscheck "+q.addr.Domain.Name(), p+" config check")
	add("See \"%s help\" for more commands, and the comments in %s for what was configured. Set LogLevel there to info when you have seen enough.", p, config.StaticName)
}

func numbers(l []uint16) string {
	var s []string
	for _, n := range l {
		s = append(s, fmt.Sprint(n))
	}
	return strings.Join(s, ", ")
}

// pretend says what would be written.
func (q *quickstart) pretend() error {
	o := &q.out
	static, dynamic := q.static(nil), q.dynamic(nil)
	static.TLS.CA = nil // Its file is not there.
	s, err := config.New(static, dynamic)
	if err != nil {
		return err
	}
	o.heading("Files")
	o.paragraph("Nothing was written, because of the flag -dryrun. Otherwise there would now be directories %s with the configuration and keys, and %s for mail, with an account %q that has a password. The server would listen at %s.", filepath.Base(q.configDir()), dataName, q.account(), join(q.net.listen))
	if err := q.records(s); err != nil {
		return err
	}
	o.printf("\n%s", wrap("", "More records are for keys, which are made with the files."))
	return nil
}
