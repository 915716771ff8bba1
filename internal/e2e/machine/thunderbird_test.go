//go:build linux

package machine

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// A thunderbird is a running Thunderbird with a new profile, which is as for who has just
// installed it.
type thunderbird struct {
	*marionette
}

// thunderbirdPrefs keep it from asking what is not about mail.
const thunderbirdPrefs = `user_pref("marionette.port", 2828);
user_pref("datareporting.policy.dataSubmissionPolicyBypassNotification", true);
user_pref("mail.rights.version", 1);
user_pref("mailnews.start_page.enabled", false);
user_pref("mail.shell.checkDefaultClient", false);
`

func (w *world) startThunderbird(t *testing.T) *thunderbird {
	t.Helper()
	dir := testkit.PublicDir(t, "profile", "etc", "etc/policies")
	ca := filepath.Join(dir, "ca.pem")
	testkit.WriteFile(t, ca, w.authority.trusted[:strings.Index(w.authority.trusted, "-----END")]+"-----END CERTIFICATE-----\n")
	policies, err := json.Marshal(map[string]any{"policies": map[string]any{
		"Certificates": map[string]any{"Install": []string{ca}}, "DisableAppUpdate": true, "DisableTelemetry": true,
	}})
	if err != nil {
		t.Fatal(err)
	}
	testkit.WriteFile(t, filepath.Join(dir, "etc", "policies", "policies.json"), string(policies))
	testkit.WriteFile(t, filepath.Join(dir, "profile", "user.js"), thunderbirdPrefs)
	const script = `mount --bind "$1/etc" /etc/thunderbird && exec "$2" --headless --marionette --remote-allow-system-access --no-remote --profile "$1/profile"`
	cmd := w.outside(t, "sh", "-c", script, "thunderbird", dir, testkit.Tool(t, "thunderbird"))
	cmd.Env = append(os.Environ(), "HOME="+dir)
	proc := w.client.Start(t, cmd)
	proc.WaitLine("Listening on port 2828")
	var conn net.Conn
	poll(t, "thunderbird listens", func() bool {
		conn, err = w.client.Dial(t, "127.0.0.1:2828")
		return err == nil
	})
	t.Cleanup(func() { _ = conn.Close() })
	return &thunderbird{newMarionette(t, conn)}
}

// hub is the start of scripts about the dialog for accounts: it has functions to find what is
// in it, wherever, to fill it in as a user does, and to see which step is shown.
const hub = `
const w = Services.wm.getMostRecentWindow("mail:3pane");
const hub = w?.document.querySelector("account-hub-container")?.modal;
const find = (root, selector) => {
	const e = root.querySelector(selector);
	if (e) return e;
	for (const c of root.querySelectorAll("*")) {
		const e = c.shadowRoot && find(c.shadowRoot, selector);
		if (e) return e;
	}
	return null;
};
const fill = (id, text) => {
	const e = find(hub, "#" + id);
	e.focus();
	e.value = text;
	for (const type of ["input", "change"]) e.dispatchEvent(new w.Event(type, {bubbles: true}));
};
const step = () => hub?.open ? [...hub.querySelectorAll(".account-hub-step")].filter(e => !e.hidden).map(e => e.localName).join() : "";
const forward = () => find(hub, "#forward").click();
`

// waitStep waits until the dialog shows a step.
func (b *thunderbird) waitStep(t testing.TB, step string) {
	t.Helper()
	got := ""
	defer func() {
		if t.Failed() {
			keep(t, "thunderbird-stuck.png", b.picture(t))
			t.Logf("it shows %s: %s", got, b.script(t, hub+`return hub?.textContent.replace(/\s+/g, " ")`))
		}
	}()
	poll(t, "thunderbird shows "+step, func() bool {
		got = b.script(t, hub+"return step()")
		return got == `"`+step+`"`
	})
}

// testThunderbird lets a new user of Thunderbird enter name, address and password, and nothing
// else, and looks at the inbox.
func (w *world) testThunderbird(t *testing.T) {
	const subject = "For Thunderbird"
	w.peer.send(t, withDANE, address, subject)
	w.arrived(t, subject)
	b := w.startThunderbird(t)
	b.waitStep(t, "email-auto-form")
	b.script(t, hub+`fill("realName", "You"); fill("email", args[0]); forward()`, address)
	b.waitStep(t, "email-config-found")
	keep(t, "thunderbird-found.png", b.picture(t))
	b.script(t, hub+`forward()`)
	b.waitStep(t, "email-password-form")
	b.script(t, hub+`fill("password", args[0]); forward()`, w.machine.password)
	b.waitStep(t, "email-added-success")
	b.script(t, hub+`forward()`)
	b.waitStep(t, "")

	const inbox = hub + `
const {MailServices} = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const server = MailServices.accounts.accounts.find(a => a.incomingServer.type == "imap").incomingServer;
const outgoing = MailServices.outgoingServer.defaultServer;
const inbox = server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
const pane = w.document.getElementById("tabmail").currentAbout3Pane;
if (!inbox) return "no inbox";
if (pane.gFolder != inbox) { pane.displayFolder(inbox.URI); return "not shown"; }
const row = [...inbox.messages].findIndex(h => h.subject == args[0]);
if (row < 0) { inbox.updateFolder(w.msgWindow); return "no message"; }
if (pane.threadTree.selectedIndex < 0) { pane.threadTree.selectedIndex = 0; return "not selected"; }
const body = pane.messageBrowser.contentDocument.getElementById("messagepane").contentDocument?.body?.textContent;
if (!body) return "no body";
return [server.serverURI, server.port, server.socketType, server.username, outgoing.serverURI?.spec, body].join(" ");
`
	got := ""
	want := regexp.MustCompile(regexp.QuoteMeta(`"imap://you%40example.org@`+hostname+` 993 3 you@example.org smtp://you%40example.org@`+hostname) + `.*Good morning\.`)
	defer func() {
		if t.Failed() {
			t.Logf("the inbox: %s", got)
			keep(t, "thunderbird-stuck.png", b.picture(t))
		}
	}()
	poll(t, "thunderbird shows the message", func() bool {
		got = b.script(t, inbox, subject)
		return want.MatchString(got)
	})
	keep(t, "thunderbird-inbox.png", b.picture(t))
	log := w.machine.log(t)
	if !strings.Contains(log, "handler=autoconfig") {
		t.Errorf("settings were not asked for:\n%s", log)
	}
}

// keep leaves a file for people to look at, in the directory in MOX_ARTIFACTS.
func keep(t testing.TB, name string, data []byte) {
	t.Helper()
	dir := os.Getenv("MOX_ARTIFACTS")
	if dir == "" {
		dir = t.ArtifactDir()
	}
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("written: %s", path)
}
