package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"mox/dane"
)

// connectTimeout is how long commands take to get a connection that is ready, with
// lookups in DNS.
const connectTimeout = time.Minute

var cmdDANEDial = command{
	words: "dane dial",
	args:  "host:port",
	help: `Connect with TLS to a host that is verified by its TLSA records.

The protocol is one that starts with TLS, as on ports 443, 465 and 993. Once connected,
standard input is sent, and what is received is printed. It is an error if there are no
TLSA records that are verified with DNSSEC, or if the server does not match them.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		usages := fs.String("usages", "pkix-ta,pkix-ee,dane-ta,dane-ee", "use TLSA records with these usages only, as a `list` separated by commas")
		return func(ctx context.Context, e *env, args []string) error {
			return runDANEDial(ctx, e, args, *usages)
		}
	},
}

func runDANEDial(ctx context.Context, e *env, args []string, usages string) error {
	if len(args) != 1 {
		return usageError("")
	}
	opts := dane.DialOptions{}
	for _, s := range strings.Split(usages, ",") {
		n, err := tlsaParam("usage", s, "pkix-ta", "pkix-ee", "dane-ta", "dane-ee")
		if err != nil {
			return err
		}
		opts.Usages = append(opts.Usages, dane.AllUsages()[n])
	}
	r, err := e.resolver()
	if err != nil {
		return err
	}
	cctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, record, err := dane.Dial(cctx, e.log, r, "tcp", args[0], opts)
	if errors.Is(err, dane.ErrNoRecords) {
		return fmt.Errorf("%w (the resolver must verify dnssec and be trusted; flag -dns names another)", err)
	} else if err != nil {
		return err
	}
	cs := conn.ConnectionState()
	fmt.Fprintf(e.err, "connected to %s, verified by tlsa record %s\n%s\n", conn.RemoteAddr(), record, describeTLS(cs))
	return connectStdio(e, conn, false)
}

// describeTLS returns what was negotiated, in one line.
func describeTLS(cs tls.ConnectionState) string {
	s := fmt.Sprintf("%s, %s, key exchange %s", tls.VersionName(cs.Version), tls.CipherSuiteName(cs.CipherSuite), cs.CurveID)
	if cs.CurveID == 0 {
		s = strings.TrimSuffix(s, cs.CurveID.String()) + "without curve"
	}
	if cs.NegotiatedProtocol != "" {
		s += ", protocol " + printableText(cs.NegotiatedProtocol)
	}
	if cs.DidResume {
		s += ", resumed"
	}
	return s
}
