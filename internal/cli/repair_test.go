package cli

import (
	"path/filepath"
	"testing"
)

func TestRepairCommandsWorkWithAndWithoutServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	mox(t, "", "localserve", "-initonly", "-dir", dir).want(t, 0, "made "+dir, "")
	p, _ := localserve(t, dir)
	run := func(args ...string) result {
		t.Helper()
		return mox(t, "", append([]string{"-config", filepath.Join(dir, "mox.conf")}, args...)...)
	}
	all := func() {
		t.Helper()
		run("fixmsgsize").want(t, 0, "mox: 0 messages parsed with another result, sizes of 0 messages corrected\n", "")
		run("reparse", "mox").want(t, 0, "mox: 0 messages parsed", "")
		run("ensureparsed", "-all", "mox").want(t, 0, "mox: 0 messages parsed", "")
		run("recalculatemailboxcounts", "mox").want(t, 0, "mox: counts of 0 mailboxes corrected\n", "")
		run("fixuidmeta", "mox").want(t, 0, "mox: uidnext of 0 mailboxes corrected\n", "")
		run("reassignuids", "mox", "inbox").want(t, 0, "mox: uids of 1 mailboxes reassigned\n", "")
		run("bumpuidvalidity", "mox", "Archive").want(t, 0, "mox: 1 mailboxes have a new uidvalidity\n", "")
		run("reassignthreads").want(t, 0, "mox: 0 threads, 0 messages are in another one", "")
		run("reassignthreads", "a", "b").want(t, 2, "", "usage: mox reassignthreads [account]")
		run("fixuidmeta").want(t, 2, "", "usage: mox fixuidmeta account")
	}
	all()
	run("reparse", "nobody").want(t, 1, "", `no account "nobody"`)
	run("bumpuidvalidity", "mox", "Nothing").want(t, 1, "mox: error: ", "1 of 1 accounts could not be repaired")
	_ = p.Stop()
	all()
	run("reparse", "nobody").want(t, 1, "", "nobody")
	mox(t, "", "verifydata", filepath.Join(dir, "data")).want(t, 0, "1 accounts", "")
}
