package cli

import (
	"os"
	"path/filepath"
	"testing"

	"mox/internal/testkit"
	"mox/mlog"
	"mox/queue/queuedb"
)

func TestMadeTestDataIsInOrderAndHasAllKindsOfDatabases(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	mox(t, "", "gentestdata", dir).want(t, 0, "", "")
	mox(t, "", "verifydata", dir).want(t, 0, "3 accounts, 3 messages, ", "")
	for _, name := range []string{
		"accounts/test0/index.db", "accounts/test1/index.db", "accounts/test2/index.db", "accounts/test2/junkfilter.db", "queue/index.db",
		"dmarcrpt.db", "dmarceval.db", "tlsrpt.db", "tlsrptresult.db", "mtasts.db", "auth.db", "trace.db", "hostkeys/mox.example.p256.pem", "moxversion",
	} {
		if info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name))); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	conf := filepath.Join(t.TempDir(), "mox.conf")
	static := "DataDir: " + dir + "\nLogLevel: info\nHostname: mox.example\nListeners:\n\tlocal:\n\t\tIPs:\n\t\t\t- 127.0.0.1\nPostmaster:\n\tAccount: test0\n\tMailbox: Inbox\n"
	if err := os.WriteFile(conf, []byte(static), 0600); err != nil {
		t.Fatal(err)
	}
	mox(t, "", "-config", conf, "compact").want(t, 0, "accounts/test2/junkfilter.db: ", "")
	mox(t, "", "verifydata", dir).want(t, 0, "3 accounts, 3 messages, ", "")
	q, err := queuedb.Open(t.Context(), queuedb.Options{Dir: dir, Log: mlog.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if l, err := q.List(t.Context(), queuedb.Filter{}, queuedb.Page{}); err != nil || len(l) != 1 || !l[0].Hold {
		t.Errorf("queue: %v, %v", l, err)
	}
	mox(t, "", "gentestdata", dir).want(t, 1, "", "is not empty")
	mox(t, "", "gentestdata").want(t, 2, "", "usage: mox gentestdata dir")

	again := filepath.Join(t.TempDir(), "data")
	mox(t, "", "gentestdata", again).want(t, 0, "", "")
	for _, name := range []string{"hostkeys/mox.example.p256.pem", "accounts/test1/msg/a/1025", "accounts/test2/msg/a/1025", "accounts/test2/msg/a/1026", "queue/msg/a/1"} {
		if string(testkit.ReadFile(t, filepath.Join(dir, name))) != string(testkit.ReadFile(t, filepath.Join(again, name))) {
			t.Errorf("%s is not the same the next time", name)
		}
	}
}
