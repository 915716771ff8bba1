package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"mox/config"
	"mox/internal/certs"
)

var cmdConfigEnsureHostKeys = command{
	words: "config ensureacmehostprivatekeys",
	help: `Make private keys for hostnames whose certificates come from ACME.

Listeners with ACME that have no HostPrivateKeyFiles get two keys, ECDSA and RSA, in the
directory hostkeys next to mox.conf. Files that are there already are left alone. What to
write into mox.conf, and the TLSA records to publish, are printed. With them in place
other servers can verify this one with DANE, also after certificates are renewed.
`,
	setup: func(*flag.FlagSet) runFunc { return runEnsureHostKeys },
}

var cmdConfigTLSARecords = command{
	words: "config tlsarecords",
	help: `Print the TLSA records for the private keys of hostnames.

They are for DNS, for DANE with SMTP, and only of use in a zone with DNSSEC. During the
rollover of a key there is one more: publish all of them, and remove others.
`,
	setup: func(*flag.FlagSet) runFunc { return runTLSARecords },
}

var cmdConfigRollHostKey = command{
	words: "config rollhostkey",
	args:  "file",
	help: `Begin to replace a private key of a hostname.

The new key is written next to the old one, and the TLSA records to publish are printed.
After two days, and when it finds the record of the new key in DNS, the server uses the
new key and gets a certificate for it. After two more days it says in its log that the
old record can be removed. It looks by itself: nothing has to be restarted.

	mox config rollhostkey config/hostkeys/mail.example.org.p256.pem
`,
	setup: func(*flag.FlagSet) runFunc { return runRollHostKey },
}

func runEnsureHostKeys(_ context.Context, e *env, args []string) error {
	if err := noArgs(args); err != nil {
		return err
	}
	s, err := config.Load(e.configPath, e.overrides...)
	if err != nil {
		return err
	}
	dir := filepath.Join(filepath.Dir(e.configPath), "hostkeys")
	found := false
	for _, l := range s.Listeners {
		if l.TLS == nil || l.TLS.ACME == "" || len(l.TLS.HostKeyFiles) > 0 {
			continue
		}
		found = true
		paths, err := certs.NewHostKeys(dir, l.Hostname)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(e.out, "# For mox.conf, at TLS of listener %s:\nHostPrivateKeyFiles:\n", l.Name); err != nil {
			return err
		}
		for _, path := range paths {
			if _, err := fmt.Fprintf(e.out, "\t- hostkeys/%s\n", filepath.Base(path)); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(e.out, "; For DNS, if the zone has DNSSEC:"); err != nil {
			return err
		}
		if err := printTLSA(e.out, l.Hostname.ASCII, paths); err != nil {
			return err
		}
	}
	if !found {
		_, err := fmt.Fprintln(e.out, "no listener with ACME is without HostPrivateKeyFiles")
		return err
	}
	return nil
}

// printTLSA prints the records for keys in files, as in a zone file.
func printTLSA(w io.Writer, host string, paths []string) error {
	records, err := certs.Records(paths)
	if err != nil {
		return err
	}
	for _, r := range records {
		if _, err := fmt.Fprintf(w, "_25._tcp.%s. TLSA %s\n", host, r.Record()); err != nil {
			return err
		}
	}
	return nil
}

func runTLSARecords(_ context.Context, e *env, args []string) error {
	if err := noArgs(args); err != nil {
		return err
	}
	s, err := config.Load(e.configPath, e.overrides...)
	if err != nil {
		return err
	}
	seen := map[string]bool{} // Hosts with listeners that differ in what is of no interest here.
	for _, l := range s.Listeners {
		if l.TLS == nil || len(l.TLS.HostKeyFiles) == 0 || seen[l.Hostname.ASCII] {
			continue
		}
		seen[l.Hostname.ASCII] = true
		if err := printTLSA(e.out, l.Hostname.ASCII, l.TLS.HostKeyFiles); err != nil {
			return err
		}
	}
	if len(seen) == 0 {
		return errors.New("no listener has HostPrivateKeyFiles, make keys with: mox config ensureacmehostprivatekeys")
	}
	return nil
}

func runRollHostKey(ctx context.Context, e *env, args []string) error {
	if len(args) != 1 {
		return usageError("one file is needed")
	}
	s, err := config.Load(e.configPath, e.overrides...)
	if err != nil {
		return err
	}
	if !isHostKey(s, args[0]) {
		return fmt.Errorf("%s is not one of HostPrivateKeyFiles of a listener", args[0])
	}
	_, notBefore, err := certs.StartRollover(args[0], time.Now())
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(e.out, "The new key is used from %s on, if its record is in DNS then. Publish all of these now:\n", notBefore.Format(time.RFC3339)); err != nil {
		return err
	}
	return runTLSARecords(ctx, e, nil)
}

// isHostKey reports whether a file is that of a key of a hostname.
func isHostKey(s *config.Snapshot, path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	for _, l := range s.Listeners {
		if l.TLS == nil {
			continue
		}
		for _, p := range l.TLS.HostKeyFiles {
			if other, err := os.Stat(p); err == nil && os.SameFile(info, other) {
				return true
			}
		}
	}
	return false
}
