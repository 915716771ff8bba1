package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/internal/safefile"
	"mox/internal/testkit"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/smtp"
)

// Messages and kills of TestQueueIsKilled.
const (
	queueKillMessages     = 600
	queueKills            = 6
	queueKillMessagesLong = 5000
	queueKillsLong        = 40
)

// queueWorkers is how many messages are sent at a time.
const queueWorkers = 20

// A killed is what is known of messages that a server sends while it is killed again
// and again.
type killed struct {
	t   *testing.T
	dir string

	mu     sync.Mutex     // Guards what follows.
	taken  map[string]int // How often the sink has said 250, by Message-ID.
	epoch  int            // Messages that were taken since the server was started.
	when   int            // The epoch is over when so many were taken.
	over   chan struct{}  // Closed then.
	lately map[string]bool
}

// TestQueueIsKilled kills a server at random moments while it sends messages to
// another. Each message arrives. One can arrive twice only if a kill fell between the
// reply of the other server and its record: that is known from the database as the
// kill has left it.
//
// The server goes on by itself after a kill. What was being sent then is tried again
// minutes later, for which an operator does not wait here.
func TestQueueIsKilled(t *testing.T) {
	t.Parallel()
	messages, kills := queueKillMessages, queueKills
	if soak() {
		messages, kills = queueKillMessagesLong, queueKillsLong
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	k := &killed{t: t, taken: map[string]int{}, lately: map[string]bool{}, over: make(chan struct{})}
	sink := testkit.NewSink(t, k.took)
	conf := k.configure(sink)
	k.fill(messages)

	possible := map[string]bool{} // Messages that may arrive twice.
	caught, begin := 0, time.Now()
	dueNow := messages
	for i := range kills {
		k.next(1 + rnd.IntN(min(dueNow, 2*dueNow/(kills-i))))
		p := startQueue(t, conf)
		k.wait("messages before a kill")
		time.Sleep(time.Duration(rnd.IntN(3000)) * time.Microsecond)
		p.Kill()
		sink.Wait() // For what it has sent.
		left := k.left()
		n := k.judge(left, messages)
		caught += len(n)
		for _, id := range n {
			possible[id] = true
		}
		if len(n) > queueWorkers {
			t.Errorf("kill %d: %d messages were taken and have no record of it, more than are sent at a time", i, len(n))
		}
		if t.Failed() {
			t.FailNow()
		}
		if dueNow = due(left); dueNow < 2*kills {
			break // One at a time would follow.
		}
	}
	k.finish(conf, messages, possible, caught, begin)
}

// finish has all that is left sent, and compares.
func (k *killed) finish(conf string, messages int, possible map[string]bool, caught int, begin time.Time) {
	t := k.t
	t.Helper()
	left := k.left()
	dueNow := due(left)
	k.next(dueNow)
	p := startQueue(t, conf)
	p.WaitLine(`ready to serve`)
	if dueNow > 0 {
		k.wait("messages that were not being sent when the server was killed")
	}
	k.next(len(left) - dueNow)
	out, code := mox(t, "-config", conf, "queue", "schedule", "-now", "0s")
	if code != 0 {
		t.Fatalf("queue schedule: %s", out)
	}
	if len(left) > dueNow {
		k.wait("messages that were being sent when the server was killed")
	}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		out, code := mox(t, "-config", conf, "queue", "list")
		if code != 0 {
			t.Fatalf("queue list: %s", out)
		}
		if !strings.Contains(out, "@") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("left in the queue:\n%s", out)
		}
	}
	_ = p.Stop() // It says that it was interrupted.
	if out, code := mox(t, "verifydata", filepath.Join(k.dir, "data")); code != 0 {
		t.Errorf("mox verifydata: exit code %d\n%s", code, out)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	doubles := 0
	for id, n := range k.taken {
		if n > 1 {
			doubles++
		}
		if n > 1 && !possible[id] {
			t.Errorf("%s arrived %d times, and no kill fell between reply and record", id, n)
		}
	}
	if len(k.taken) != messages {
		t.Errorf("%d of %d messages arrived", len(k.taken), messages)
	}
	t.Logf("%d messages in %v: at the kills, %d had been taken and not been recorded; %d arrived more than once",
		messages, time.Since(begin).Round(time.Millisecond), caught, doubles)
}

// took is called by the sink.
func (k *killed) took(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.taken[id]++
	k.lately[id] = true
	if k.epoch++; k.epoch == k.when {
		close(k.over)
	}
}

// next begins an epoch.
func (k *killed) next(when int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.epoch, k.when, k.over = 0, when, make(chan struct{})
	clear(k.lately)
}

func (k *killed) wait(what string) {
	k.t.Helper()
	select {
	case <-k.over:
	case <-time.After(patience):
		k.mu.Lock()
		defer k.mu.Unlock()
		k.t.Fatalf("%s: %d of %d were sent", what, k.epoch, k.when)
	}
}

// judge compares the queue after a kill with what the sink has taken, and returns what
// it has taken since the start without the queue having a record of that. What is gone
// from the queue must have been taken.
func (k *killed) judge(left []queuedb.Message, messages int) (unrecorded []string) {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range left {
		if id := messageID(m); k.lately[id] {
			unrecorded = append(unrecorded, id)
		}
	}
	queued := map[string]bool{}
	for _, m := range left {
		queued[messageID(m)] = true
	}
	for i := range messages {
		if id := numbered(i); !queued[id] && k.taken[id] == 0 {
			k.t.Errorf("%s is not in the queue, and has not arrived", id)
		}
	}
	return unrecorded
}

// due returns how many messages are to be sent without waiting.
func due(l []queuedb.Message) (n int) {
	for _, m := range l {
		if m.NextAttempt.Before(time.Now()) {
			n++
		}
	}
	return n
}

func numbered(i int) string { return fmt.Sprintf("<%d@sender.example>", i) }

// messageID returns that of a message, whose recipient has the same number.
func messageID(m queuedb.Message) string { return "<" + m.RecipientLocalpart + "@sender.example>" }

// configure writes the configuration of a server that sends all to a sink, and returns
// its path.
func (k *killed) configure(sink *testkit.Sink) string {
	k.t.Helper()
	dns := testkit.NewDNS(k.t, testkit.DNSOptions{Zone: "sink.example A 127.0.0.1\n"})
	_, port, err := net.SplitHostPort(sink.Addr)
	if err != nil {
		k.t.Fatal(err)
	}
	k.dir = testkit.DataDir(k.t)
	conf := filepath.Join(k.dir, "config", "mox.conf")
	for path, text := range map[string]string{
		conf: fmt.Sprintf(`DataDir: ../data
LogLevel: info
User: root
Hostname: mail.sender.example
DNSResolver:
	- %s
QueueConcurrency: %d
Listeners:
	local:
		IPs:
			- 127.0.0.1
Postmaster:
	Account: ann
	Mailbox: Postmaster
Transports:
	sink:
		SMTP:
			Host: sink.example
			Port: %s
			NoSTARTTLS: true
`, dns.Addr, queueWorkers, port),
		filepath.Join(k.dir, "config", "domains.conf"): `Domains:
	sender.example: nil
Accounts:
	ann:
		Domain: sender.example
		Destinations:
			ann@sender.example: nil
Routes:
	-
		Transport: sink
`,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			k.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			k.t.Fatal(err)
		}
	}
	return conf
}

// startQueue starts the server.
func startQueue(t *testing.T, conf string) *testkit.Process {
	t.Helper()
	return testkit.Start(t, exec.Command(testkit.Mox(t), "-config", conf, "serve"))
}

// fill queues messages to ten domains, as from several users at a time.
func (k *killed) fill(messages int) {
	k.t.Helper()
	data := filepath.Join(k.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		k.t.Fatal(err)
	}
	db, err := queuedb.Open(context.Background(), queuedb.Options{Dir: data, Log: mlog.Discard(), AccountMessages: -1, JumpFloor: -1})
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			k.t.Error(err)
		}
	}()
	var wg sync.WaitGroup
	const users = 16
	for u := range users {
		wg.Go(func() {
			for i := u; i < messages; i += users {
				if err := enqueueNumbered(db, data, i); err != nil {
					k.t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func enqueueNumbered(db *queuedb.DB, dir string, i int) error {
	spool := safefile.NewSpool(safefile.SpoolOptions{Dir: dir})
	defer spool.Close()
	text := fmt.Sprintf("From: <ann@sender.example>\r\nMessage-ID: %s\r\nSubject: test\r\n\r\n%s\r\n", numbered(i), strings.Repeat("test ", 100))
	if _, err := spool.Write([]byte(text)); err != nil {
		return err
	}
	from, err := smtp.ParseMailbox("ann@sender.example", smtp.Strict)
	if err != nil {
		return err
	}
	to, err := smtp.ParseMailbox(fmt.Sprintf("%d@domain%d.example", i, i%10), smtp.Strict)
	if err != nil {
		return err
	}
	_, err = db.Enqueue(context.Background(), queuedb.Submission{
		Account: "ann", Spool: spool, Base: queuedb.Base{MessageID: numbered(i)},
		Recipients: []queuedb.Recipient{{Sender: from, To: to}},
	})
	return err
}

// left returns the messages in the queue of a server that is dead. It reads a copy, so
// that it is the server that repairs what the kill has left.
func (k *killed) left() []queuedb.Message {
	k.t.Helper()
	dir := k.t.TempDir()
	text := testkit.ReadFile(k.t, filepath.Join(k.dir, "data", "queue", "index.db"))
	if err := os.Mkdir(filepath.Join(dir, "queue"), 0o700); err != nil {
		k.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "queue", "index.db"), text, 0o600); err != nil {
		k.t.Fatal(err)
	}
	db, err := queuedb.Open(context.Background(), queuedb.Options{Dir: dir, Log: mlog.Discard()})
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			k.t.Error(err)
		}
	}()
	l, err := db.List(context.Background(), queuedb.Filter{}, queuedb.Page{})
	if err != nil {
		k.t.Fatal(err)
	}
	return l
}
