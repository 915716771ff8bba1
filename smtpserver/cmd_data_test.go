package smtpserver

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mox/internal/safefile"
	"mox/internal/testkit"
	"mox/smtp"
)

// message of about n octets, with dots at the start of lines.
func bigMessage(n int) string {
	var b strings.Builder
	b.WriteString("Subject: big\r\n\r\n")
	r := rand.New(rand.NewPCG(1, 2))
	for b.Len() < n {
		b.WriteString(strings.Repeat(".", r.IntN(3)))
		b.WriteString(strings.Repeat("x", r.IntN(200)))
		b.WriteString("\r\n")
	}
	return b.String()
}

// stuff does dot stuffing.
func stuff(s string) string {
	s = strings.ReplaceAll(s, "\r\n.", "\r\n..")
	if strings.HasPrefix(s, ".") {
		s = "." + s
	}
	return s
}

func TestMessagesOfAllSizesArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	c := dialClient(t, ts.delivery)
	c.hello()
	var want []string
	for _, n := range []int{0, 100, commandBuffer, dataBuffer - 1, dataBuffer, safefile.SpoolMemory - 10, safefile.SpoolMemory + 10, 1<<20 - 300} {
		m := bigMessage(n)
		want = append(want, m)
		// The next command comes with the message.
		c.write("MAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n")
		for _, code := range []string{"250 ", "250 ", "354 "} {
			c.want(code)
		}
		c.write("%s.\r\nNOOP\r\n", stuff(m))
		c.want("250 2.2.0 ")
		c.want("250 2.0.0 ")
	}
	for i, m := range ts.fake.messages() {
		if m.content != want[i] {
			t.Errorf("message %d of %d octets differs, has %d", i, len(want[i]), len(m.content))
		}
	}
}

// The data is read to its end also when it cannot be kept, and the reply is one
// that lets the client come again.
func TestDiskTroubleIsATemporaryErrorAfterTheData(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err   error
		op    testkit.Op
		reply string
	}{
		{syscall.ENOSPC, testkit.OpWrite, "452 4.3.1 "},
		{syscall.EIO, testkit.OpWrite, "451 4.3.0 "},
		{syscall.EMFILE, testkit.OpCreate, "451 4.3.0 "},
	}
	for _, tc := range tests {
		t.Run(fmt.Sprintf("%v of %v", tc.err, tc.op), func(t *testing.T) {
			t.Parallel()
			faults := testkit.NewFaults(safefile.OS)
			faults.FailFrom(1, tc.err, tc.op)
			ts := newTestServer(t, testSetup{options: func(o *Options) { o.FS = faults }})
			c := dialClient(t, ts.delivery)
			c.hello()
			m := stuff(bigMessage(2 * safefile.SpoolMemory))
			c.message("a@elsewhere.example", []string{"ann@example.org"}, m, tc.reply)
			c.message("a@elsewhere.example", []string{"ann@example.org"}, "small", "250 ")
			faults.Clear()
			c.message("a@elsewhere.example", []string{"ann@example.org"}, m, "250 ")
			if n := len(ts.fake.messages()); n != 2 {
				t.Errorf("%d messages delivered", n)
			}
		})
	}
}

func TestLowDiskSpaceRefusesMailEarly(t *testing.T) {
	t.Parallel()
	floor := safefile.NewFloor(safefile.FloorOptions{Min: 1000, FreeSpace: func(string) (int64, error) { return 1500, nil }})
	ts := newTestServer(t, testSetup{options: func(o *Options) { o.Floor = floor }})
	c := dialClient(t, ts.delivery)
	c.hello()
	c.cmd("MAIL FROM:<a@elsewhere.example> SIZE=501", "452 4.3.1 ")
	c.cmd("MAIL FROM:<a@elsewhere.example> SIZE=500", "250 ")
}

// A client that goes on for ever after the limit is cut off.
func TestEndlessMessageIsCutOff(t *testing.T) {
	t.Parallel()
	setup := testSetup{listener: func(l *ListenerOptions) { l.MaxMessageSize = 1000 }}
	ts := newTestServer(t, setup)
	c := dialClient(t, ts.delivery)
	c.hello()
	c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
	c.cmd("RCPT TO:<ann@example.org>", "250 ")
	c.cmd("DATA", "354 ")
	done := make(chan struct{})
	go func() {
		defer close(done)
		line := bytes.Repeat([]byte("x"), 64<<10)
		for {
			if _, err := c.nc.Write(line); err != nil {
				return
			}
		}
	}()
	c.want("552 5.3.4 ")
	<-done
}

// Messages of other programs, from the shared test data.
func TestSharedMessagesArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	dir := testkit.Shared(t, "testdata/mail")
	ts := newTestServer(t, testSetup{listener: func(l *ListenerOptions) { l.MaxMessageSize = 10 << 20 }})
	c := dialClient(t, ts.delivery)
	c.hello()
	want := map[[sha256.Size]byte]bool{}
	refused := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		m := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n", "\r\n")
		if !strings.HasSuffix(m, "\r\n") {
			m += "\r\n"
		}
		c.cmd("MAIL FROM:<a@elsewhere.example> BODY=8BITMIME SMTPUTF8", "250 ")
		c.cmd("RCPT TO:<ann@example.org>", "250 ")
		c.cmd("DATA", "354 ")
		c.write("%s.\r\n", stuff(m))
		if strings.Contains(strings.ReplaceAll(m, "\r\n", ""), "\r") {
			c.want("500 5.5.2 ")
			refused++
			return nil
		}
		c.want("250 2.2.0 ")
		want[sha256.Sum256([]byte(m))] = true
		return nil
	})
	if err != nil {
		t.Fatalf("reading messages: %v", err)
	}
	for _, m := range ts.fake.messages() {
		if !want[sha256.Sum256([]byte(m.content))] {
			t.Errorf("message differs from what was sent: %.200q", m.content)
		}
	}
	t.Logf("%d messages delivered, %d with bare CR refused", len(want), refused)
}

func TestDeliveredIsBounded(t *testing.T) {
	t.Parallel()
	d := newDelivered()
	now := incoming{}.time
	for i := range maxDelivered + 100 {
		d.add(deliveryKey{byte(i), byte(i >> 8), byte(i >> 16)}, now)
	}
	if len(d.until) != maxDelivered || len(d.order) != maxDelivered {
		t.Errorf("%d entries, %d in order", len(d.until), len(d.order))
	}
	if _, ok := d.until[deliveryKey{}]; ok {
		t.Errorf("oldest entry is still there")
	}
}

func TestDeliveredExpires(t *testing.T) {
	bubble(t, testSetup{}, func(t *testing.T, ts *testServer) {
		ts.fake.fail["bob@example.org"] = smtp.Errorf(451, smtp.Se30SystemOther, "later")
		both := []string{"ann@example.org", "bob@example.org"}
		send := func(prefix string) {
			c := ts.pipeClient(testSetup{}, ListenerOptions{})
			c.hello()
			c.message("a@elsewhere.example", both, "x", prefix)
			c.cmd("QUIT", "221 ")
		}
		count := func() (n int) {
			for _, m := range ts.fake.messages() {
				if m.rcpt == both[0] {
					n++
				}
			}
			return n
		}
		send("451-")
		send("451-")
		if n := count(); n != 1 {
			t.Errorf("%d copies", n)
		}
		time.Sleep(deliveredFor)
		send("451-")
		if n := count(); n != 2 {
			t.Errorf("%d copies after a long time", n)
		}
	})
}

// Recipients are delivered to at the same time, but not all of them.
func TestDeliveriesAreParallelAndBounded(t *testing.T) {
	var mu sync.Mutex
	var now, most int
	gate := &gatedDeliverer{enter: func() {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(time.Minute)
		mu.Lock()
		now--
		mu.Unlock()
	}}
	setup := testSetup{options: func(o *Options) { o.Deliver = gate }}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{})
		c.hello()
		var rcpts []string
		for i := range 2 * maxParallelDeliveries {
			rcpts = append(rcpts, fmt.Sprintf("ann+%d@example.org", i))
		}
		c.message("a@elsewhere.example", rcpts, "x", "250 ")
		if most != maxParallelDeliveries {
			t.Errorf("%d deliveries at a time", most)
		}
	})
}
