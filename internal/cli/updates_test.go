package cli

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/config"
	"mox/internal/testkit"
)

func TestChangelogsAreSignedServedAndChecked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := mox(t, "", "updates", "genkey").out
	pub := strings.TrimSpace(mox(t, key, "updates", "pubkey").out)
	keyFile, logFile := filepath.Join(dir, "key"), filepath.Join(dir, "changelog.json")
	if err := os.WriteFile(keyFile, []byte(key), 0600); err != nil {
		t.Fatal(err)
	}
	add := func(text string) result { return mox(t, text, "updates", "addsigned", keyFile, logFile) }
	add("Version: v0.0.1\n\nFirst & <best>.\n").want(t, 0, "", "")
	add("Version: v0.0.2\nPrevious: v0.0.1\n\nSecond.\n").want(t, 0, "", "")
	add("Version: v0.0.4\nPrevious: v0.0.3\n\nFourth.\n").want(t, 1, "", "v0.0.2 is where v0.0.3 should be")
	add("no version").want(t, 1, "", "changelog is wrong")
	data, err := os.ReadFile(logFile)
	if err != nil {
		t.Fatal(err)
	}
	mox(t, string(data), "updates", "verify", pub).want(t, 0, "", "")
	mox(t, strings.Replace(string(data), "Second", "Other", 1), "updates", "verify", pub).want(t, 1, "", "not signed with the key")
	mox(t, "", "updates", "verify", "x").want(t, 1, "", "public key")
	mox(t, "x", "updates", "pubkey").want(t, 1, "", "private key")

	srv := httptest.NewTLSServer(updatesHandler(logFile))
	defer srv.Close()
	r := httptest.NewRequest("GET", "/?from=v0.0.1", nil)
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	updatesHandler(logFile).ServeHTTP(w, r)
	if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, "Second.") || strings.Contains(body, "First") {
		t.Errorf("page: %d %q", w.Code, body)
	}

	dns := testkit.NewDNS(t, testkit.DNSOptions{Zone: "_updates.mox.example. TXT \"v=UPDATES0; l=v0.0.2\"\n"})
	conf := testkit.Dir(t, map[string]string{
		"ca.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})),
		"mox.conf": fmt.Sprintf("DataDir: data\nLogLevel: info\nHostname: mx.example.org\nDNSResolver:\n\t- %s\nTLS:\n\tCA:\n\t\tCertFiles:\n\t\t\t- ca.pem\n"+
			"UpdateSource:\n\tDomain: mox.example\n\tChangelogURL: %s\n\tPublicKey: %s\n"+
			"Listeners:\n\tpublic:\n\t\tIPs:\n\t\t\t- 127.0.0.1\nPostmaster:\n\tAccount: ann\n\tMailbox: Inbox\n", dns.Addr, srv.URL, pub),
		"domains.conf": "Domains:\n\texample.org: nil\nAccounts:\n\tann:\n\t\tDomain: example.org\n",
	})
	path := filepath.Join(conf, "mox.conf")
	mox(t, "", "-config", path, "checkupdate").want(t, 0, "latest: v0.0.2\n", "")
	s, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for current, want := range map[string]string{"v0.0.1": "Second.", "v0.0.2": "no newer version", "v0.0.3": "no newer version", "abc": "not a release"} {
		var out bytes.Buffer
		e := &env{out: &out, err: &out}
		if err := e.apply(globals{config: path}); err != nil {
			t.Fatal(err)
		}
		if err := checkUpdate(t.Context(), e, s, current); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v, %q", current, err, &out)
		}
	}
	mox(t, "", "-config", filepath.Join(conf, "none.conf"), "checkupdate").want(t, 1, "", "none.conf")
}
