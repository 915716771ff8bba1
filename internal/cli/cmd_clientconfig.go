package cli

import (
	"context"
	"flag"
	"fmt"
	"text/tabwriter"

	"mox/config"
	"mox/dns"
)

var cmdClientConfig = command{
	words: "clientconfig",
	args:  "domain",
	help: `Print what to enter in a mail program for an address in a domain.

There is a line for each way to read and to send mail, the better ones first, with
protocol, host, port, kind of TLS, and the listener in mox.conf. Most programs find out by
themselves, from DNS and from AutoconfigHTTPS of a listener.
`,
	setup: func(*flag.FlagSet) runFunc { return runClientConfig },
}

func runClientConfig(_ context.Context, e *env, args []string) error {
	if len(args) != 1 {
		return usageError("")
	}
	name, err := dns.ParseDomain(args[0])
	if err != nil {
		return fmt.Errorf("domain: %w", err)
	}
	s, err := config.Load(e.configPath, e.overrides...)
	if err != nil {
		return err
	}
	d, ok := s.Domain(name)
	if !ok {
		return fmt.Errorf("domain %s is not in domains.conf", name)
	}
	services := s.ClientServices(d)
	if len(services) == 0 {
		return fmt.Errorf("no listener has services with TLS for mail programs: IMAPS and Submissions in mox.conf")
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "protocol\thost\tport\ttls\tlistener\tnote")
	for _, c := range services {
		protocol, tls, note := "IMAP", "from the start", ""
		if c.Protocol == config.ClientSubmission {
			protocol = "SMTP"
		}
		switch {
		case c.STARTTLS:
			tls, note = "STARTTLS", "only for programs without TLS from the start"
		case c.HTTPS:
			note = "for programs that ask for it in the TLS handshake (ALPN)"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", protocol, c.Host, c.Port, tls, c.Listener, note)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprint(e.out, `
User name: the whole address. Password: that of the account, or better an app password of
"mox config apppassword add" for each program.

If the program lets you choose, use SCRAM-SHA-256-PLUS, which shows the password to nobody
and notices when someone is between program and server, or SCRAM-SHA-256. A normal
password is safe only with TLS and a certificate that is checked. CRAM-MD5 is for devices
that know nothing better.
`)
	return err
}
