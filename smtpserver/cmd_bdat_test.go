package smtpserver

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/internal/safefile"
	"mox/smtp"
)

func TestLinesMustEndInCRLFHoweverTheyAreSplit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		data string
		err  error
		want string
	}{
		{"", nil, ""},
		{"x\r\n", nil, "x\r\n"},
		{"\r\n\r\n", nil, "\r\n\r\n"},
		{"x\r\ny", nil, "x\r\ny\r\n"},
		{"x\ny\r\n", smtp.ErrBareLF, ""},
		{"\nx\r\n", smtp.ErrBareLF, ""},
		{"x\ry\r\n", smtp.ErrBareCR, ""},
		{"x\r\r\n", smtp.ErrBareCR, ""},
		{"x\r\n\n", smtp.ErrBareLF, ""},
		{"x\r\n\r", smtp.ErrBareCR, ""},
		{"\r", smtp.ErrBareCR, ""},
		{"\n", smtp.ErrBareLF, ""},
	}
	for _, tc := range tests {
		for cut := range len(tc.data) + 1 {
			var b bytes.Buffer
			l := lines{w: &b, last: '\n'}
			for _, part := range []string{tc.data[:cut], tc.data[cut:]} {
				if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
					t.Errorf("write: %d, %v", n, err)
				}
			}
			if err := l.end(); !errors.Is(err, tc.err) || err == nil && b.String() != tc.want {
				t.Errorf("%q cut at %d: %v, %q", tc.data, cut, err, b.String())
			}
		}
	}
}

func TestParseBDAT(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args   string
		lax    chunk // Size -1 for no valid size.
		lenErr bool
		strict bool // Valid in strict mode.
	}{
		{"0", chunk{0, false}, false, true},
		{"10 LAST", chunk{10, true}, false, true},
		{"10 last", chunk{10, true}, false, true},
		{"0012", chunk{12, false}, false, true},
		{"10 ", chunk{10, false}, false, false},
		{"10  LAST", chunk{10, true}, true, false},
		{"10 LASTX", chunk{10, true}, true, false},
		{"", chunk{-1, false}, true, false},
		{"LAST", chunk{-1, false}, true, false},
		{"+1", chunk{-1, false}, true, false},
		{"0x10", chunk{0, true}, true, false},
	}
	for _, tc := range tests {
		c, err := parseBDAT(grammar{}, tc.args)
		if c.size != tc.lax.size || (err != nil) != tc.lenErr || err == nil && c != tc.lax {
			t.Errorf("%q: %v, %v", tc.args, c, err)
		}
		if _, err := parseBDAT(grammar{mode: smtp.Strict}, tc.args); (err == nil) != tc.strict {
			t.Errorf("%q, strict: %v", tc.args, err)
		}
	}
}

// begin starts a transaction.
func (c *client) begin() {
	c.t.Helper()
	c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
	c.cmd("RCPT TO:<ann@example.org>", "250 ")
}

func TestLargeMessageInChunks(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	c := dialClient(t, ts.delivery)
	c.hello()
	c.begin()
	want := bigMessage(900_000)
	rest := want
	go func() { // All replies fit in the buffers of the system.
		for n := 1; rest != ""; n = n*3 + 1 {
			part := rest[:min(n, len(rest))]
			rest = rest[len(part):]
			_, _ = fmt.Fprintf(c.nc, "BDAT %d\r\n%s", len(part), part)
		}
		_, _ = fmt.Fprintf(c.nc, "BDAT 0 LAST\r\n")
	}()
	for !strings.HasPrefix(c.want("250 2."), "250 2.2.0 ") {
	}
	if got := ts.fake.messages(); len(got) != 1 || got[0].content != want {
		t.Errorf("content differs")
	}
}

func TestConnectionThatEndsInChunkLeavesNothing(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	c := dialClient(t, ts.delivery)
	c.hello()
	c.begin()
	big := strings.Repeat("x", safefile.SpoolMemory)
	c.write("BDAT %d\r\n%s", len(big)+1, big)
	_ = c.nc.Close()
	c = dialClient(t, ts.delivery)
	c.hello()
	c.begin()
	c.write("BDAT %d\r\n%s", len(big), big)
	c.want("250 ")
	_ = c.nc.Close()
	// newTestServer checks that no files are left.
}

func TestChunkThatDoesNotComeEndsTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ts := unstartedServer(t, testSetup{})
		c := ts.pipeClient(testSetup{}, ListenerOptions{Kind: Delivery})
		c.hello()
		c.begin()
		c.write("BDAT 10\r\nx")
		start := time.Now()
		c.want("421 4.4.2 ")
		took(t, start, dataTimeout, "the end of the connection")
		c.closed()
	})
}

// A client that always sends something has no more time than others.
func TestMessageInChunksHasOneTimeLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ts := unstartedServer(t, testSetup{})
		c := ts.pipeClient(testSetup{}, ListenerOptions{Kind: Delivery})
		c.hello()
		c.begin()
		start := time.Now()
		for time.Since(start) < transferTimeout {
			c.write("BDAT 1\r\nx")
			c.want("250 ")
			time.Sleep(commandTimeout - time.Second)
		}
		c.write("BDAT 1\r\n")
		c.want("421 4.4.2 ")
	})
}

func TestChunksThatAreSkippedAreLimited(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{listener: func(l *ListenerOptions) { l.MaxMessageSize = 1000 }})
	c := dialClient(t, ts.delivery)
	c.hello()
	size := 256 << 10
	for range 4 {
		c.write("BDAT %d\r\n%s", size, strings.Repeat("x", size))
		c.want("503 ")
	}
	c.write("BDAT %d\r\n", size)
	c.want("503 ")
	c.closed()
}

func TestChunksAreLimited(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	c := dialClient(t, ts.delivery)
	c.hello()
	c.begin()
	const batch = 1000
	for range maxChunks / batch {
		c.write("%s", strings.Repeat("BDAT 0\r\n", batch))
		for range batch {
			c.want("250 ")
		}
	}
	c.cmd("BDAT 0", "554 5.5.3 ")
}

// Small messages of many clients at the same time are all that is kept in memory.
func TestSpoolsOfManyMessagesAreSmall(t *testing.T) {
	t.Parallel()
	ts := unstartedServer(t, testSetup{})
	for i := range 2 * fullSpools {
		want := safefile.SpoolMemory
		if i >= fullSpools {
			want = smallSpoolMemory
		}
		if n := ts.spoolMemory(); n != want {
			t.Fatalf("message %d: %d octets", i, n)
		}
	}
}

func TestCrowdedServerTakesLargeMessages(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	ts.receiving.Add(fullSpools)
	c := dialClient(t, ts.delivery)
	c.hello()
	want := bigMessage(300_000)
	c.begin()
	c.cmd("DATA", "354 ")
	c.cmd(stuff(want)+".", "250 ")
	c.begin()
	c.write("BDAT %d LAST\r\n%s", len(want), want)
	c.want("250 2.2.0 ")
	for _, m := range ts.fake.messages() {
		if m.content != want {
			t.Errorf("content differs")
		}
	}
	if n := ts.receiving.Load(); n != fullSpools {
		t.Errorf("%d messages are being received", n)
	}
}

func FuzzParseBDAT(f *testing.F) {
	for _, s := range []string{"10", "0 LAST", "99999999999999999999", "1 LAST ", "x", "1 FIRST"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, args string, strict bool) {
		g := grammar{}
		if strict {
			g.mode = smtp.Strict
		}
		c, err := parseBDAT(g, args)
		if err != nil && syntaxError(err).Code != smtp.C501BadParameters {
			t.Errorf("%q: %v", args, err)
		}
		if err == nil && (c.size < 0 || args[0] < '0' || args[0] > '9') {
			t.Errorf("%q: %v", args, c)
		}
	})
}
