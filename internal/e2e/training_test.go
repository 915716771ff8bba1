package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/config"
	"mox/imap"
	"mox/imapclient"
	"mox/internal/testkit"
	"mox/internal/training"
	"mox/junk"
	"mox/mlog"
	"mox/store"
)

// Rounds of TestTrainingOutlivesCrashes.
const (
	trainingRounds     = 5
	trainingRoundsLong = 40
	trainingMessages   = 120
)

// TestTrainingOutlivesCrashes kills the server with SIGKILL while a user keeps changing
// what is junk and the filter learns, and sometimes while that is made anew. In the end,
// the filter has counted each message that is judged exactly once, and no other.
func TestTrainingOutlivesCrashes(t *testing.T) {
	t.Parallel()
	rounds := trainingRounds
	if soak() {
		rounds = trainingRoundsLong
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(testkit.DataDir(t), "mox")
	initOnly(t, dir)
	path := filepath.Join(dir, "domains.conf")
	text := string(testkit.ReadFile(t, path))
	changed := strings.Replace(text, "\t\tDestinations:\n", "\t\tJunkFilter:\n\t\t\tThreshold: 0.9\n\t\tDestinations:\n", 1)
	if changed == text {
		t.Fatalf("no Destinations in %s", text)
	}
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range rounds {
		s := localserve(t, options{dir: dir, dying: true})
		c := s.inbox()
		if i == 0 {
			addTrainingMessages(t, c)
		}
		judgeUntilKilled(s, c, rnd)
		if out := s.proc.Output(); strings.Contains(out, "panic") || strings.Contains(out, "cannot be used") {
			t.Fatalf("round %d:\n%s", i, out)
		}
		s.verify()
	}
	checkTraining(t, dir)
}

func addTrainingMessages(t *testing.T, c *imapclient.Client) {
	t.Helper()
	for i := range trainingMessages {
		data := fmt.Sprintf("From: <a%d@example.net>\r\nSubject: test\r\n\r\nwords of message w%d w%d\r\n", i, i, i%10)
		if _, _, err := c.Append(testContext(t), "INBOX", imapclient.Message{Data: strings.NewReader(data), Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
	}
}

// judgeUntilKilled changes flags until the server is killed, at some moment in the first
// batches of lessons.
func judgeUntilKilled(s *server, c *imapclient.Client, rnd *rand.Rand) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	killed := make(chan struct{})
	wait := time.Duration(900+rnd.IntN(1200)) * time.Millisecond
	retrain := rnd.IntN(2) == 0
	go func() {
		defer close(killed)
		time.Sleep(wait)
		if retrain {
			// Nobody waits for its end, which is that of the server.
			cmd := exec.Command(testkit.Mox(s.t), "-config", filepath.Join(s.dir, "mox.conf"), "retrain")
			if cmd.Start() == nil {
				time.Sleep(wait / 60)
				defer func() { _ = cmd.Wait() }()
			}
		}
		s.proc.Kill()
	}()
	for {
		first := rnd.IntN(trainingMessages) + 1
		set := numbers(s.t, fmt.Sprintf("%d:%d", first, min(trainingMessages, first+rnd.IntN(10))))
		flags := [][]string{{"$Junk"}, {"$NotJunk"}, {}, {"$Junk", "$NotJunk"}}[rnd.IntN(4)]
		if _, _, err := c.Store(ctx, imapclient.Seq, set, imapclient.StoreSet, flags, imapclient.StoreOptions{Silent: true}); err != nil {
			break
		}
	}
	<-killed
}

// checkTraining has the filter learn what is left, and compares it with the messages.
func checkTraining(t *testing.T, dir string) {
	t.Helper()
	ctx, log := testContext(t), mlog.Discard()
	snapshot, err := config.Load(filepath.Join(dir, "mox.conf"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(ctx, store.Options{Dir: snapshot.DataDir, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	acc, err := st.Account(ctx, "mox")
	if err != nil {
		t.Fatal(err)
	}
	defer acc.Release()
	left, err := acc.Lessons(ctx, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	tr := training.New(training.Options{Config: config.NewHolder(snapshot), Store: st, Dir: snapshot.DataDir, Log: log})
	if err := tr.Flush(ctx, "mox"); err != nil {
		t.Fatal(err)
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	mb, _ := acc.Tree().ByName("Inbox")
	ix, err := acc.Index(ctx, mb.ID)
	if err != nil {
		t.Fatal(err)
	}
	ham, spam := 0, 0
	for i := range ix.Len() {
		switch ix.Flags(i) & (imap.FlagJunk | imap.FlagNotJunk) {
		case imap.FlagNotJunk:
			ham++
		case imap.FlagJunk:
			spam++
		}
	}
	f, err := junk.Open(ctx, filepath.Join(snapshot.DataDir, "accounts/mox", training.FileName), junk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if s := f.Stats(); s.Ham != ham || s.Spam != spam {
		t.Errorf("filter has counted %d not junk and %d junk, expected %d and %d", s.Ham, s.Spam, ham, spam)
	}
	if f.Last() != acc.LastLesson() {
		t.Errorf("filter has taken row %d of %d", f.Last(), acc.LastLesson())
	}
	t.Logf("%d rows in all, %d of them left at the end; %d not junk, %d junk", acc.LastLesson(), len(left), ham, spam)
}
