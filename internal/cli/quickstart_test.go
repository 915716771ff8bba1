package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
)

func TestQuickstartWritesWhatCanBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0755); err != nil { // So that the user of the server gets there.
		t.Fatal(err)
	}
	conf := "-config=" + filepath.Join(dir, "config", "mox.conf")
	server := dnsServer(t, "com NS ns.example\nmx.example.org A 192.0.2.1\n")
	args := []string{conf, server, "quickstart", "-skipdial", "-hostname", "mx.example.org"}
	dry := mox(t, "", append(args, "-dryrun", "you@example.org", "4711")...)
	dry.want(t, 0, "Nothing was written", "")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Fatalf("files are %v, %v", entries, err)
	}
	r := mox(t, "", append(args, "you@example.org", "4711")...)
	r.want(t, 0, "Address   you@example.org\n", "")
	mox(t, "", conf, "config", "test").want(t, 0, "config OK\n", "")
	if records := mox(t, "", conf, server, "config", "dnsrecords", "example.org"); !strings.Contains(r.out, records.out) {
		t.Errorf("printed first:\n%s\nand then:\n%s", r.out, records.out)
	}
	text := string(testkit.ReadFile(t, filepath.Join(dir, "config", "mox.conf")))
	if !strings.Contains(text, "\nUser: 4711\n") || !strings.Contains(text, "DNSResolver:\n\t- 127.0.0.1:") {
		t.Errorf("mox.conf is:\n%s", text)
	}
	mox(t, "", append(args, "you@example.org", "4711")...).want(t, 1, "", "nothing is overwritten")
	mox(t, "", "quickstart").want(t, 2, "", "usage: mox quickstart")
	mox(t, "", "quickstart", "-proxy", "x", "you@example.org").want(t, 2, "", "flag -proxy")
	if r := mox(t, "", conf, server, "config", "check", "-skipdial", "-quiet"); strings.Contains(r.out, "ok ") || !strings.Contains(r.out, "warning CERT       there is no certificate for mx.example.org from letsencrypt yet") {
		t.Errorf("got %+v", r)
	}
}
