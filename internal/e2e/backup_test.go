package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"mox/dns"
	"mox/imapclient"
	"mox/internal/testkit"
	"mox/sasl"
	"mox/smtp"
	"mox/smtpclient"
)

// run runs the program with the configuration of the server, and wants an exit code.
func (s *server) run(want int, args ...string) string {
	s.t.Helper()
	out, code := mox(s.t, append([]string{"-config", filepath.Join(s.dir, "mox.conf")}, args...)...)
	if code != want {
		s.t.Fatalf("mox %s: exit code %d, not %d\n%s", strings.Join(args, " "), code, want, out)
	}
	return out
}

// A backupLoad delivers messages, of which every second one is expunged at once, sets
// flags, and submits messages that stay in the queue.
type backupLoad struct {
	stop chan struct{}
	wg   sync.WaitGroup

	mu     sync.Mutex // Guards what follows.
	kept   []string   // Ids of messages that were acknowledged and stay.
	queued []string   // Ids of messages that were acknowledged and are in the queue.
}

func startBackupLoad(s *server) *backupLoad {
	s.t.Helper()
	s.run(0, "queue", "holdrules", "add")
	l := &backupLoad{stop: make(chan struct{})}
	ctx := testContext(s.t)
	deliverer, submitter, reader := s.smtpClient(), submissionClient(s), s.inbox()
	rnd := rand.New(rand.NewPCG(1, 2))
	l.loop(func(i int) bool {
		id := fmt.Sprintf("kept-%d", i)
		if send(ctx, deliverer, user, crashMessage(rnd, id)) != nil {
			return false
		}
		l.done(&l.kept, id)
		return send(ctx, deliverer, user, crashMessage(rnd, fmt.Sprintf("gone-%d", i))) == nil
	})
	l.loop(func(i int) bool {
		id := fmt.Sprintf("queued-%d", i)
		if submit(ctx, submitter, crashMessage(rand.New(rand.NewPCG(3, uint64(i))), id)) != nil {
			return false
		}
		l.done(&l.queued, id)
		return true
	})
	l.loop(func(i int) bool {
		for _, line := range []string{
			`UID SEARCH RETURN (SAVE) HEADER Message-ID "gone-"`, `UID STORE $ +FLAGS.SILENT (\Deleted)`, "EXPUNGE",
			fmt.Sprintf(`UID STORE 1:* +FLAGS.SILENT (k%d)`, i%5),
		} {
			if _, err := reader.Cmd(ctx, "%s", line); err != nil {
				return false
			}
		}
		return true
	})
	return l
}

func (l *backupLoad) loop(step func(i int) bool) {
	l.wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-l.stop:
				return
			default:
				if !step(i) {
					return
				}
			}
		}
	})
}

func (l *backupLoad) done(list *[]string, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*list = append(*list, id)
}

// acknowledged returns what is to be in a backup that begins now, when there is more than
// before.
func (l *backupLoad) acknowledged(t *testing.T, kept, queued int) (k, q []string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		l.mu.Lock()
		k, q = slices.Clone(l.kept), slices.Clone(l.queued)
		l.mu.Unlock()
		if len(k) >= kept+20 && len(q) >= queued+20 {
			return k, q
		}
	}
	t.Fatalf("%d messages were kept and %d queued: the load has stopped", len(k), len(q))
	return nil, nil
}

// submissionClient returns an SMTP client that has logged in.
func submissionClient(s *server) *smtpclient.Client {
	s.t.Helper()
	c, err := smtpclient.New(testContext(s.t), s.dial("submissions"), smtpclient.Options{
		Hostname: dns.IPDomain{Domain: dns.Domain{ASCII: "client.example"}},
		TLS:      smtpclient.TLSOptions{Mode: smtpclient.TLSImmediate},
		Auth: func(_ []string, cs *tls.ConnectionState) (sasl.Client, error) {
			l := []string{sasl.SCRAMSHA256}
			return sasl.Choose(sasl.ChooseOptions{Offered: l, Mechanisms: l, TLS: cs,
				Credentials: sasl.Credentials{Identity: sasl.Identity{Authentication: user}, Password: password}})
		},
	})
	if err != nil {
		s.t.Fatalf("submission client: %v", err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// submit queues a message.
func submit(ctx context.Context, c *smtpclient.Client, message string) error {
	message = strings.Replace(message, "From: <sender@remote.example>", "From: <"+user+">", 1)
	from, err := smtp.ParseReversePath("<"+user+">", smtp.Strict)
	if err != nil {
		return err
	}
	rcpt, err := smtp.ParseForwardPath("<other@remote.example>", smtp.Strict)
	if err != nil {
		return err
	}
	results, err := c.Deliver(ctx, smtpclient.Envelope{
		Mail:       smtp.MailCommand{ReversePath: from, Body: smtp.Body8BitMIME},
		Recipients: []smtp.RcptCommand{{ForwardPath: rcpt}},
		Open:       func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(message)), nil },
	})
	if err == nil && results[0].Err != nil {
		err = results[0].Err
	}
	return err
}

var backupName = regexp.MustCompile(`(?m)^backup (\S+): 1 accounts, (\d+) files, \d+ bytes; new: (\d+) files`)

// backup makes a backup and returns its name.
func (s *server) backup(args ...string) string {
	s.t.Helper()
	out := s.run(0, append([]string{"backup"}, args...)...)
	m := backupName.FindStringSubmatch(out)
	if m == nil {
		s.t.Fatalf("unexpected output of backup:\n%s", out)
	}
	s.t.Logf("%s", out)
	return m[1]
}

// checkRestored restores a backup, and checks that it is in order, and has messages and
// queued ones. It returns the directory for localserve.
func (s *server) checkRestored(kept, queued []string, location, name string, flags ...string) string {
	s.t.Helper()
	tmp := testkit.DataDir(s.t)
	verify := append([]string{"backup", "verify", "-backup", name}, flags...)
	s.run(0, append(verify, location)...)
	conf, data := filepath.Join(tmp, "conf"), filepath.Join(tmp, "data")
	restore := append([]string{"restore", "-backup", name}, flags...)
	s.run(0, append(restore, location, data, conf)...)
	s.run(0, "verifydata", data)
	list := append([]string{"restore", "list", "-backup", name}, flags...)
	out := s.run(0, append(list, location, "mox")...)
	for _, id := range kept {
		if !strings.Contains(out, id+"@crash") {
			s.t.Errorf("message %s was acknowledged before backup %s began, and is not in it", id, name)
		}
	}
	if err := os.Rename(data, filepath.Join(conf, "data")); err != nil {
		s.t.Fatal(err)
	}
	r := localserve(s.t, options{dir: conf})
	out = r.run(0, "queue", "list")
	if n := strings.Count(out, "other@remote.example"); n < len(queued) {
		s.t.Errorf("%d messages in the restored queue, %d were acknowledged before backup %s began\n%.2000s", n, len(queued), name, out)
	}
	if held := strings.Count(r.run(0, "queue", "list", "-hold", "false"), "other@remote.example"); held != 0 {
		s.t.Errorf("%d messages in the restored queue are not on hold", held)
	}
	r.stop()
	return conf
}

// What was acknowledged before a backup began is in it, though the server goes on
// delivering, changing, expunging and queueing; also in one that builds on another.
func TestBackupUnderLoadRestores(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{edit: tolerant})
	dst := filepath.Join(testkit.DataDir(t), "backups")
	load := startBackupLoad(s)
	kept, queued := load.acknowledged(t, 0, 0)
	first := s.backup(dst)
	kept2, queued2 := load.acknowledged(t, len(kept), len(queued))
	second := s.backup(dst)
	close(load.stop)
	load.wg.Wait()
	s.checkRestored(kept, queued, dst, first)
	conf := s.checkRestored(kept2, queued2, dst, second)
	s.run(0, "verifydata", filepath.Join(dst, second))
	s.run(1, "restore", dst, filepath.Join(conf, "data"))
	shared := 0
	old, err := filepath.Glob(filepath.Join(dst, first, "data/accounts/mox/msg/a/*"))
	if err != nil || len(old) == 0 {
		t.Fatalf("no messages in first backup: %v", err)
	}
	for _, file := range old {
		a, aerr := os.Stat(file)
		b, berr := os.Stat(filepath.Join(dst, second, "data/accounts/mox/msg/a", filepath.Base(file)))
		if aerr == nil && berr == nil && os.SameFile(a, b) {
			shared++
		}
	}
	if shared < len(kept) {
		t.Errorf("the second backup shares %d files with the first, of %d messages that stayed", shared, len(kept))
	}
	s.run(0, "backup", "prune", "-last", "1", dst)
	s.run(0, "backup", "verify", dst)
	if out := s.run(0, "backup", "list", dst); strings.Contains(out, first) || !strings.Contains(out, second) {
		t.Errorf("after prune: %s", out)
	}
}

// A message that was expunged comes back to the running server with its flags, once.
func TestSingleMessageComesBack(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{edit: tolerant})
	c := s.smtpClient()
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, id := range []string{"one", "two"} {
		deliver(t, c, user, crashMessage(rnd, id))
	}
	inbox := s.inbox()
	ctx := testContext(t)
	cmd := func(line string) {
		t.Helper()
		if _, err := inbox.Cmd(ctx, "%s", line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	cmd(`STORE 1 FLAGS (\Seen \Flagged work)`)
	dst := filepath.Join(testkit.DataDir(t), "backups")
	s.backup(dst)
	cmd(`STORE 1:* +FLAGS.SILENT (\Deleted)`)
	cmd("EXPUNGE")
	if out := s.run(0, "restore", "messages", "-messageid", "one@crash", dst, "mox"); !strings.Contains(out, "1 messages restored, 0 were there already") {
		t.Errorf("restoring: %s", out)
	}
	// The session with the inbox is told of new mailboxes too.
	list, _, err := s.imap(user, password).List(ctx, "", []string{"Restored/*"}, imapclient.ListOptions{})
	if err != nil || len(list) != 1 || !regexp.MustCompile(`^Restored/\d{4}-\d\d-\d\d$`).MatchString(list[0].Mailbox) {
		t.Fatalf("mailboxes: %v, %v", list, err)
	}
	box := list[0].Mailbox // Of the day, which may end now.
	if out := s.run(0, "restore", "messages", "-messageid", "one@crash", "-into", box, dst, "mox"); !strings.Contains(out, "0 messages restored, 1 were there already") {
		t.Errorf("restoring again: %s", out)
	}
	s.run(0, "restore", "messages", "-original", "-subject", "CRASH", dst, "mox")
	cmd("NOOP")
	for mailbox, want := range map[string]int{box: 1, "INBOX": 2} {
		m, err := inbox.Select(ctx, mailbox, imapclient.SelectOptions{})
		if err != nil || int(m.Exists) != want {
			t.Errorf("mailbox %s has %v messages, not %d; error %v", mailbox, m, want, err)
		}
	}
	if out := s.run(0, "restore", "account", "-as", "again", dst, "mox"); !strings.Contains(out, "account again restored") {
		t.Errorf("restoring account: %s", out)
	}
	s.run(0, "config", "account", "add", "again", "again@localhost")
	if out := s.run(1, "restore", "account", dst, "mox"); !strings.Contains(out, "already") {
		t.Errorf("restoring an account that exists: %s", out)
	}
	again := s.imap("again@localhost", password)
	if m, err := again.Select(ctx, "INBOX", imapclient.SelectOptions{}); err != nil || m.Exists != 2 {
		t.Errorf("inbox of the restored account: %v, %v", m, err)
	}
}

// A backup that is killed at any moment is no backup, and the next one is.
func TestBackupThatIsKilledIsNotComplete(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{edit: tolerant})
	c := s.smtpClient()
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		deliver(t, c, user, crashMessage(rnd, fmt.Sprintf("kept-%d", i)))
	}
	key, recipient := ageKey(t)
	for _, flags := range [][]string{nil, {"-recipient", recipient}} {
		dst := filepath.Join(testkit.DataDir(t), "backups")
		args := append(append([]string{"-config", filepath.Join(s.dir, "mox.conf"), "backup"}, flags...), dst)
		for i := range 6 {
			cmd := exec.Command(testkit.Mox(t), args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(5+15*i) * time.Millisecond) // The moment is to be any.
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		name := s.backup(args[3:]...)
		verify := []string{"backup", "verify", "-backup", name}
		if len(flags) > 0 {
			verify = append(verify, "-identity", key)
		}
		s.run(0, append(verify, dst)...)
		if out := s.run(0, "backup", "list", dst); strings.Contains(out, "interrupted") {
			t.Errorf("what was interrupted is still there after a backup:\n%s", out)
		}
	}
}

// ageKey makes a key for age, and returns its file and the public key.
func ageKey(t *testing.T) (file, recipient string) {
	t.Helper()
	k, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(file, []byte(k.String()+"\n"), 0600); err != nil {
		t.Fatal(err)
	}
	return file, k.Recipient().String()
}

// What is encrypted cannot be read without the key, and has nothing of the messages.
func TestEncryptedBackupRestores(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{edit: tolerant})
	dst := filepath.Join(testkit.DataDir(t), "backups")
	key, recipient := ageKey(t)
	load := startBackupLoad(s)
	kept, queued := load.acknowledged(t, 0, 0)
	s.backup("-recipient", recipient, dst)
	kept, queued = load.acknowledged(t, len(kept), len(queued))
	name := s.backup("-recipient", recipient, dst)
	close(load.stop)
	load.wg.Wait()
	s.run(1, "backup", "verify", dst)
	s.run(1, "backup", dst) // Not without a recipient.
	s.checkRestored(kept, queued, dst, name, "-identity", key)
	err := filepath.WalkDir(dst, func(file string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if data := testkit.ReadFile(t, file); strings.Contains(string(data), "@crash") {
			t.Errorf("%s has a Message-ID that can be read", file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Storage that speaks the protocol of S3, and checks signatures, takes backups.
func TestBackupInObjectStorageRestores(t *testing.T) {
	gateway := testkit.StartS3(t)
	t.Setenv("AWS_ACCESS_KEY_ID", gateway.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", gateway.SecretKey)
	s := localserve(t, options{edit: tolerant})
	dst := "s3:" + gateway.URL + "/" + gateway.Bucket + "/mail"
	load := startBackupLoad(s)
	kept, queued := load.acknowledged(t, 0, 0)
	s.backup(dst)
	kept, queued = load.acknowledged(t, len(kept), len(queued))
	name := s.backup(dst)
	close(load.stop)
	load.wg.Wait()
	s.checkRestored(kept, queued, dst, name)
	s.run(0, "backup", "prune", "-last", "1", dst)
	s.run(0, "backup", "verify", dst)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	if out := s.run(1, "backup", dst); !strings.Contains(out, "signature") {
		t.Errorf("with another key: %s", out)
	}
}
