package config

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestFilesOfAConfigurationAreFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	static := "DataDir: data\nLogLevel: info\nHostname: mx.example.org\nListeners:\n\tpublic:\n\t\tIPs:\n\t\t\t- 192.0.2.1\n\t\tTLS:\n\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: a.crt\n\t\t\t\t\tKeyFile: /etc/a.key\n\t\t\tHostPrivateKeyFiles:\n\t\t\t\t- hostkeys/h.pem\nPostmaster:\n\tAccount: a\n\tMailbox: Inbox\n"
	dynamic := "Domains:\n\texample.org:\n\t\tDKIM:\n\t\t\tSelectors:\n\t\t\t\ts:\n\t\t\t\t\tPrivateKeyFile: dkim/s.pem\nAccounts:\n\ta:\n\t\tDomain: example.org\n\t\tDestinations:\n\t\t\ta@example.org: nil\n"
	path := filepath.Join(dir, "mox.conf")
	for name, text := range map[string]string{path: static, filepath.Join(dir, DynamicName): dynamic} {
		if err := os.WriteFile(name, []byte(text), 0600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Files(path)
	want := []string{"/etc/a.key", filepath.Join(dir, "a.crt"), filepath.Join(dir, "dkim/s.pem"), filepath.Join(dir, "hostkeys/h.pem")}
	slices.Sort(want)
	if err != nil || !slices.Equal(l, want) {
		t.Errorf("got %q, %v; expected %q", l, err, want)
	}
}
