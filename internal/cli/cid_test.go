package cli

import (
	"os"
	"path/filepath"
	"testing"

	"mox/internal/testkit"
	"mox/mlog"
)

func TestCidPrintsTheIDOfTheLog(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t, map[string]string{"mox.conf": "DataDir: data\nLogLevel: info\nHostname: mx.example.org\nListeners:\n\tpublic:\n\t\tIPs:\n\t\t\t- 127.0.0.1\nPostmaster:\n\tAccount: ann\n\tMailbox: Inbox\n"})
	conf := filepath.Join(dir, "mox.conf")
	key := mlog.NewCidKey()
	cipher, err := mlog.NewCidCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	id := cipher.Encode(0x18f3c2a1b07)
	mox(t, "", "-config", conf, "cid", id).want(t, 1, "", "receivedid.key")

	if err := os.MkdirAll(filepath.Join(dir, "data"), 0700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "receivedid.key"), key, 0600); err != nil {
		t.Fatal(err)
	}
	mox(t, "", "-config", conf, "cid", id).want(t, 0, "18f3c2a1b07\n", "")
	mox(t, "", "-config", conf, "cid", "(id "+id+")", "--", cipher.Encode(1)).want(t, 1, "18f3c2a1b07\n", "--")
	mox(t, "", "-config", conf, "cid", "(id "+id+")", cipher.Encode(1)).want(t, 0, "18f3c2a1b07\n1\n", "")
	other, err := mlog.NewCidCipher(mlog.NewCidKey())
	if err != nil {
		t.Fatal(err)
	}
	mox(t, "", "-config", conf, "cid", other.Encode(1)).want(t, 1, "", "not an id that this server gave out")
	mox(t, "", "-config", conf, "cid").want(t, 2, "", "usage")
}
