package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"mox/internal/admin"
	"mox/internal/ctl"
)

// dkimPoll is how often it is asked whether records of new keys are in DNS.
const dkimPoll = 30 * time.Second

var cmdConfigDKIMRotate = command{
	words: "config dkim rotate",
	args:  "domain",
	help: `Change to new keys for DKIM, step by step.

The first time, it makes as many new keys as there are, of the same kinds, and prints
their records; where the domain has a DNSProvider, they are written. As soon as all of them
are in DNS, the new keys sign, and a week later the old ones are removed from
domains.conf, their files are moved to a directory "old" beside them, and their records
are removed where there is a DNSProvider. The server goes on with that by itself, every 15
minutes and after restarts. This command does so at once, and prints where it stands; it
can be given as often as you like. With -wait, it comes to its end when the new keys
sign. The server must be running.

	mox config dkim rotate -wait example.org
`,
	setup: func(fs *flag.FlagSet) runFunc {
		wait := fs.Bool("wait", false, "wait until the new keys sign")
		return func(ctx context.Context, e *env, args []string) (rerr error) {
			if len(args) != 1 {
				return usageError("")
			}
			c, err := e.server(ctx)
			if err != nil {
				return err
			}
			defer func() { rerr = errors.Join(rerr, c.Close()) }()
			st, err := doDKIM(c, "dkimrotate", args[0])
			if err != nil {
				return err
			}
			if err := st.print(e, true); err != nil {
				return err
			}
			for *wait && st.state == admin.DKIMWaiting {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(dkimPoll):
				}
				if st, err = doDKIM(c, "dkimrotate", args[0]); err != nil {
					return err
				}
				if st.state != admin.DKIMWaiting {
					return st.print(e, false)
				}
			}
			return nil
		}
	},
}

var cmdConfigDKIMStatus = command{
	words: "config dkim status",
	args:  "domain",
	help: `Print the keys for DKIM of a domain, and whether they are in DNS.

A line for each key has its selector, its kind, what it is for (signs, new, old, or spare),
and whether its record is published, missing, or what is wrong with it, with tabs in
between. A last line says how a change of keys stands. The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error {
		st, err := doDKIM(c, "dkimstatus", args[0])
		if err != nil {
			return err
		}
		return st.print(e, false)
	}),
}

// dkimStatus is what the server says about keys.
type dkimStatus struct {
	state, retire string
	keys          [][]string // Selector, kind, use, whether it is in DNS, name and text of the record.
}

func doDKIM(c *ctl.Client, cmd, domain string) (st dkimStatus, err error) {
	if err := c.Do(cmd, domain); err != nil {
		return st, err
	}
	var b bytes.Buffer
	if err := (&env{out: &b}).printLines(c); err != nil {
		return st, err
	}
	for i, line := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		f := strings.Split(line, "\t")
		switch {
		case i == 0 && len(f) == 2:
			st.state, st.retire = f[0], f[1]
		case i > 0 && len(f) == 6:
			st.keys = append(st.keys, f)
		default:
			return st, fmt.Errorf("answer of server: %q", line)
		}
	}
	return st, nil
}

// print prints keys, the records that are missing if asked for, and what is next.
func (st dkimStatus) print(e *env, zone bool) error {
	missing := admin.Records{Comment: "Keys that signatures of messages are checked with."}
	var old []string
	for _, k := range st.keys {
		if _, err := fmt.Fprintln(e.out, strings.Join(k[:4], "\t")); err != nil {
			return err
		}
		if k[2] == "new" && k[3] != "published" {
			missing.Records = append(missing.Records, admin.Record{Name: k[4], Type: "TXT", Data: k[5]})
		}
		if k[2] == "old" {
			old = append(old, k[4])
		}
	}
	if zone && len(missing.Records) > 0 {
		if err := admin.WriteZone(e.out, []admin.Records{missing}); err != nil {
			return err
		}
	}
	next := "no change of keys has been begun"
	switch st.state {
	case admin.DKIMWaiting:
		next = fmt.Sprintf("the new keys will sign when all of their records are in DNS; %d are not found yet", len(missing.Records))
	case admin.DKIMSigning:
		next = fmt.Sprintf("the new keys sign; keep the records of the old ones until %s: %s", st.retire, strings.Join(old, ", "))
	}
	_, err := fmt.Fprintln(e.out, next)
	return err
}
