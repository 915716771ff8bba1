package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"mox/internal/testkit"
)

func TestSendersReputationAndRetrain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	mox(t, "", "localserve", "-initonly", "-dir", dir).want(t, 0, "made "+dir, "")
	path := filepath.Join(dir, "domains.conf")
	data := testkit.ReadFile(t, path)
	data = bytes.Replace(data, []byte("\t\tDestinations:\n"), []byte("\t\tJunkFilter:\n\t\t\tThreshold: 0.9\n\t\tDestinations:\n"), 1)
	if err := os.WriteFile(path, data, 0600); err != nil {
		t.Fatal(err)
	}
	p, _ := localserve(t, dir)
	run := func(args ...string) result {
		t.Helper()
		return mox(t, "", append([]string{"-config", filepath.Join(dir, "mox.conf")}, args...)...)
	}
	run("senders", "list", "mox").want(t, 0, "", "")
	run("senders", "allow", "mox", "Ann@Example.org").want(t, 0, "allow\tann@example.org\n", "")
	run("senders", "block", "mox", "@Example.ORG").want(t, 0, "block\t@example.org\n", "")
	run("senders", "block", "mox", "example.org").want(t, 1, "", "for all addresses at a domain write @example.org")
	run("senders", "block", "mox").want(t, 2, "", "usage: mox senders block account address|@domain")
	run("senders", "list", "mox").want(t, 0, "block\t@example.org\t20", "")
	run("senders", "list", "mox").want(t, 0, "\nallow\tann@example.org\t20", "")
	run("senders", "list", "nobody").want(t, 1, "", `no account "nobody"`)

	run("reputation", "mox", "ann@example.org").want(t, 0, "the user has allowed ann@example.org, on 20", "")
	run("reputation", "mox", "bob@sub.example.org").want(t, 0, "the user has blocked @example.org, on 20", "")
	run("reputation", "-mailbox", "Archive", "mox", "bob@example.net").want(t, 0, "bob@example.net to Archive of account mox\nthe user has neither allowed nor blocked it\n", "")
	run("reputation", "mox").want(t, 2, "", "usage: mox reputation [-mailbox name] account address")
	run("reputation", "mox", "bob").want(t, 1, "", "parse address")

	run("senders", "rm", "mox", "@example.org").want(t, 0, "", "")
	run("senders", "rm", "mox", "@example.org").want(t, 1, "", "neither allows nor blocks")

	run("retrain").want(t, 0, "mox: 0 lessons, 0 not junk and 0 junk, 0 words\n", "")
	run("retrain", "mox").want(t, 0, "mox: 0 lessons", "")
	run("retrain", "nobody").want(t, 1, "", `no account "nobody"`)
	run("search", "rebuild").want(t, 0, "mox: 0 messages", "")
	run("search", "rebuild", "nobody").want(t, 1, "", `no account "nobody"`)
	run("search", "rebuild", "a", "b").want(t, 2, "", "usage: mox search rebuild [account]")
	run("retrain", "a", "b").want(t, 2, "", "usage: mox retrain [account]")
	_ = p.Stop()
	run("retrain").want(t, 1, "", "not running")

	data1 := filepath.Join(dir, "data")
	mox(t, "", "verifydata", data1).want(t, 0, "1 accounts", "")
	if err := os.WriteFile(filepath.Join(data1, "accounts/mox/junkfilter.db"), []byte("x"), 0600); err != nil {
		t.Fatal(err)
	}
	mox(t, "", "verifydata", data1).want(t, 1, "junk filter: account mox: junk filter file is damaged", "1 problems found")
}
