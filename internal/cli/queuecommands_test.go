package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/config"
	"mox/internal/safefile"
	"mox/internal/testkit"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/smtp"
)

// fillQueue queues messages on hold in a data directory without server.
func fillQueue(t *testing.T, data string, rcpts ...string) []queuedb.Message {
	t.Helper()
	db, err := queuedb.Open(t.Context(), queuedb.Options{Dir: data, Log: mlog.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	var l []queuedb.Message
	for i, r := range rcpts {
		to, err := smtp.ParseMailbox(r, smtp.Strict)
		if err != nil {
			t.Fatal(err)
		}
		from, err := smtp.ParseMailbox("mox@localhost", smtp.Strict)
		if err != nil {
			t.Fatal(err)
		}
		spool := safefile.NewSpool(safefile.SpoolOptions{Dir: t.TempDir()})
		if _, err := fmt.Fprintf(spool, "Subject: number %d\r\n\r\n", i); err != nil {
			t.Fatal(err)
		}
		m, err := db.Enqueue(t.Context(), queuedb.Submission{
			Account: "mox", Spool: spool, Hold: true,
			Recipients: []queuedb.Recipient{{Sender: from, To: to}},
		})
		if err := spool.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		l = append(l, m...)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return l
}

// queueServer starts a server that keeps history, with messages on hold, and returns
// what runs commands of the queue.
func queueServer(t *testing.T, rcpts ...string) (func(args ...string) result, []queuedb.Message) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mox")
	mox(t, "", "localserve", "-initonly", "-dir", dir).want(t, 0, "made ", "")
	path := filepath.Join(dir, "mox.conf")
	conf, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	static, dynamic := conf.Static, conf.Dynamic
	account := dynamic.Accounts["mox"]
	account.KeepRetiredMessagePeriod = time.Hour
	dynamic.Accounts["mox"] = account
	static.Transports = map[string]config.TransportFields{"relay": {Fail: &config.FailTransportFields{SMTPCode: 451}}}
	for _, name := range []string{"mox.conf", "domains.conf"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := config.Create(dir, static, dynamic); err != nil {
		t.Fatal(err)
	}
	l := fillQueue(t, filepath.Join(dir, "data"), rcpts...)
	localserve(t, dir)
	return func(args ...string) result {
		t.Helper()
		return mox(t, "", append([]string{"-config", path, "queue"}, args...)...)
	}, l
}

// eventually runs a command until its output has a text.
func eventually(t *testing.T, want string, run func() result) {
	t.Helper()
	for end := time.Now().Add(testkit.ProcessTimeout); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if r := run(); strings.Contains(r.out, want) {
			return
		}
	}
	t.Fatalf("never printed %q, but %+v", want, run())
}

func TestQueueCommands(t *testing.T) {
	t.Parallel()
	queue, l := queueServer(t, "a@one.example", "b@two.example", "c451@two.example", "d550@three.example", "e@xn--tst-qla.example")
	id := func(i int) string { return fmt.Sprint(l[i].ID) }
	lines := func(n int, args ...string) string {
		t.Helper()
		r := queue(append([]string{"list"}, args...)...)
		if got := strings.Count(r.out, "\n") - 1; r.code != 0 || got != n {
			t.Errorf("list %q: got %d messages, want %d: %+v", args, got, n, r)
		}
		return r.out
	}
	out := lines(5)
	for _, want := range []string{"ID ", "<a@one.example>", "<mox@localhost>", "on hold: queued on hold"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if strings.Index(out, "a@one") < strings.Index(out, "d550@") || strings.Index(lines(5, "-asc"), "a@one") > strings.Index(lines(5, "-asc", "-sort", "nextattempt"), "d550@") {
		t.Errorf("order: %s", out)
	}
	lines(2, "-n", "2")
	lines(2, "-to", "@two.example")
	lines(1, "-to", "@täst.example")
	lines(1, "-to", "b@", "-ids", id(0)+","+id(1), "-hold", "true")
	lines(0, "-account", "other")
	lines(0, "-submitted", "<-1h")
	lines(5, "-submitted", ">-1h", "-nextattempt", "<1h", "-transport", "", "-from", "MOX@")
	lines(0, "-transport", "relay")
	queue("list", "-hold", "x").want(t, 1, "", "-hold: \"x\" is neither true nor false")
	queue("list", "-submitted", "1h").want(t, 1, "", "is not < or > followed by a duration")
	queue("list", "-sort", "x").want(t, 1, "", "neither queued nor nextattempt")
	queue("list", "-ids", "x").want(t, 2, "", "is not a number")
	queue("list", "-n", "-1").want(t, 2, "", "negative")
	queue("list", "x").want(t, 2, "", "usage")

	queue("dump", id(1)).want(t, 0, "Subject: number 1\r\n", "")
	queue("dump", "999").want(t, 1, "", "no such message")
	queue("transport", "-ids", id(1), "nothing").want(t, 1, "", "there is no transport")
	queue("transport", "-ids", id(1), "relay").want(t, 0, "1 messages changed", "")
	lines(1, "-transport", "relay")
	queue("requiretls", "-ids", id(1), "yes").want(t, 0, "1 messages", "")
	queue("requiretls", "maybe").want(t, 2, "", "neither yes, no nor default")
	if out := lines(1, "-ids", id(1)); !strings.Contains(out, "requires tls") {
		t.Errorf("list: %s", out)
	}
	queue("requiretls", "-ids", id(1), "default").want(t, 0, "1 messages", "")
	queue("schedule", "-ids", id(1), "48h").want(t, 0, "1 messages", "")
	lines(1, "-nextattempt", ">24h")
	queue("schedule", "-ids", id(1), "-now", "0s").want(t, 0, "1 messages", "")
	lines(0, "-nextattempt", ">24h")
	queue("schedule", "x").want(t, 2, "", "invalid duration")

	// Two of them leave the queue by themselves, the others fail or wait.
	queue("unhold").want(t, 0, "5 messages changed", "")
	eventually(t, "451", func() result { return queue("list", "-to", "c451@") })
	eventually(t, "delivery is disabled by the configuration", func() result { return queue("list", "-ids", id(1)) })
	eventually(t, "failure", func() result { return queue("retired", "list", "-to", "d550@") })
	eventually(t, "success", func() result { return queue("retired", "list", "-result", "success", "-to", "a@one") })
	queue("retired", "list", "-lastactivity", "<-1h").want(t, 0, "LASTACTIVITY", "")
	queue("retired", "list", "-result", "x").want(t, 1, "", "neither success nor failure")
	r := queue("retired", "print", id(0))
	var v queuedb.Retired
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || !v.Success || v.Message.Results[0].Transport != "local" {
		t.Errorf("retired: %+v, %v", r, err)
	}
	queue("retired", "print", "999").want(t, 1, "", "no such message")
	queue("hold", "-ids", id(1)).want(t, 0, "1 messages changed", "")
	eventually(t, "on hold: put on hold by hand", func() result { return queue("list", "-hold", "true") })
	queue("drop", "-ids", id(1)).want(t, 0, "1 messages", "")
	queue("fail", "-n", "10").want(t, 0, "1 messages", "")
	eventually(t, "canceled by the administrator", func() result { return queue("retired", "list", "-to", "c451@") })
}

func TestHoldRuleAndSuppressionCommands(t *testing.T) {
	t.Parallel()
	queue, _ := queueServer(t, "a@one.example")
	queue("holdrules", "add", "-account", "mox", "-recipientdom", "täst.example").want(t, 0, "rule 1 added, 0 messages", "")
	queue("holdrules", "add", "-senderdom", ".").want(t, 1, "", "parse domain")
	queue("holdrules", "list").want(t, 0, "xn--tst-qla.example", "")
	queue("holdrules", "remove", "1").want(t, 0, "", "")
	queue("holdrules", "remove", "1").want(t, 1, "", "there is no hold rule 1")
	queue("holdrules", "remove", "x").want(t, 1, "", "is not an id")

	queue("suppress", "lookup", "A@one.example").want(t, 0, "not suppressed", "")
	queue("suppress", "add", "nobody", "a@one.example").want(t, 1, "", "there is no account")
	queue("suppress", "add", "mox", "a").want(t, 1, "", "parse address")
	queue("suppress", "add", "mox", "A@one.example").want(t, 0, "", "")
	queue("suppress", "add", "mox", "a@one.example").want(t, 1, "", "suppressed already")
	queue("suppress", "list").want(t, 0, "a@one.example", "")
	queue("suppress", "list", "-account", "mox").want(t, 0, "added by the administrator", "")
	queue("suppress", "lookup", "-account", "mox", "a@one.example").want(t, 0, "added by the administrator", "")
	queue("unhold").want(t, 0, "1 messages changed", "")
	eventually(t, "suppression list", func() result { return queue("retired", "list") })
	queue("suppress", "remove", "mox", "a@one.example").want(t, 0, "", "")
	queue("suppress", "remove", "mox", "a@one.example").want(t, 1, "", "is not on the suppression list")
}
