package imapserver

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	kflate "github.com/klauspost/compress/flate"

	"mox/imapclient"
	"mox/internal/script"
)

// deflated is the client side of COMPRESS, with the compressor of the standard library,
// which flushes with an empty stored block, as most do.
type deflated struct {
	net.Conn
	r io.Reader
	w *flate.Writer
}

func newDeflated(nc net.Conn) (*deflated, error) {
	w, err := flate.NewWriter(nc, flate.BestCompression)
	return &deflated{nc, flate.NewReader(nc), w}, err
}

func (d *deflated) Read(p []byte) (int, error) { return d.r.Read(p) }

func (d *deflated) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	return n, errors.Join(err, d.w.Flush())
}

// deflate is for "name+ deflate".
func (ts *testServer) deflate(r *script.Run, args []string) error {
	return r.Upgrade(args[0], func(nc net.Conn) (net.Conn, error) { return newDeflated(nc) })
}

// compressed returns a connection that is logged in and compressed, as it is below the
// compression.
func (ts *testServer) compressed() net.Conn {
	ts.t.Helper()
	nc, err := ts.dial(context.Background(), "imap")
	if err != nil {
		ts.t.Fatalf("dial: %v", err)
	}
	ts.t.Cleanup(func() { nc.Close() })
	if err := converse(nc, "z COMPRESS DEFLATE"); err != nil {
		ts.t.Fatalf("compress: %v", err)
	}
	if err := nc.SetDeadline(time.Now().Add(testTimeout)); err != nil {
		ts.t.Fatal(err)
	}
	return nc
}

// readUntil reads lines until one begins with a prefix.
func readUntil(t *testing.T, br *bufio.Reader, prefix string) string {
	t.Helper()
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			t.Fatalf("waiting for %q: %v", prefix, err)
		}
		if strings.HasPrefix(line, prefix) {
			return line
		}
	}
}

// RFC 4978 §4: a client may flush with Z_PARTIAL_FLUSH, after which the last block is
// followed by an empty block with static codes, and not aligned. It is followed by bits of
// the next block in the same octet. All of a command is there, and must be answered.
func TestACommandIsAnsweredAfterAPartialFlush(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	nc := ts.compressed()
	br := bufio.NewReader(flate.NewReader(nc))
	var bits bitWriter
	for i := range 20 {
		bits.static(fmt.Sprintf("p%d NOOP\r\n", i))
		bits.static("")
		if _, err := nc.Write(bits.take()); err != nil {
			t.Fatal(err)
		}
		readUntil(t, br, fmt.Sprintf("p%d OK", i))
	}
}

// bitWriter writes DEFLATE blocks with static Huffman codes. RFC 1951 §3.2.6
type bitWriter struct {
	b    []byte
	acc  uint32
	bits uint
}

func (w *bitWriter) put(v uint32, n uint) {
	w.acc |= v << w.bits
	for w.bits += n; w.bits >= 8; w.bits -= 8 {
		w.b = append(w.b, byte(w.acc))
		w.acc >>= 8
	}
}

// code puts a Huffman code, most significant bit first.
func (w *bitWriter) code(v uint32, n uint) {
	for n > 0 {
		n--
		w.put(v>>n&1, 1)
	}
}

// static writes a block that is not the last.
func (w *bitWriter) static(s string) {
	w.put(0b010, 3) // Not final, static codes.
	for i := range len(s) {
		w.code(0x30+uint32(s[i]), 8) // Octets up to 143.
	}
	w.code(0, 7) // End of block.
}

// take returns the octets that are complete.
func (w *bitWriter) take() []byte {
	b := bytes.Clone(w.b)
	w.b = w.b[:0]
	return b
}

func TestWhatIsInflatedCountsForTheLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ input, want string }{
		"a line that does not end": {"b1 NOOP " + strings.Repeat("x", 20<<20), "* BYE"},
		"a literal of a refused command": {
			fmt.Sprintf("b1 APPEND missing {%d+}\r\n%s\r\n", 20<<20, strings.Repeat("x", 20<<20)), "* BYE [TOOBIG]"},
		"a literal that is a string": {
			fmt.Sprintf("b1 SELECT {%d+}\r\n%s\r\nb2 NOOP\r\n", 200<<10, strings.Repeat("x", 200<<10)), "b1 BAD [TOOBIG]"},
		"a message beyond the limit": {
			fmt.Sprintf("b1 APPEND Inbox {%d+}\r\n%s\r\n", 20<<20, strings.Repeat("x", 20<<20)), "* BYE [TOOBIG]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer // Made first, as it may take longer than a connection waits.
			w, _ := flate.NewWriter(&b, flate.BestCompression)
			if _, err := io.Copy(w, strings.NewReader(c.input)); err != nil || w.Flush() != nil {
				t.Fatal(err)
			}
			if b.Len() > 300<<10 {
				t.Fatalf("the bomb is large: %d octets", b.Len())
			}
			ts := newTestServer(t, testSetup{listener: func(l *ListenerOptions) { l.MaxMessageSize = 1 << 20 }})
			nc := ts.compressed()
			// The server may have closed the connection before it has read all.
			go func() { _, _ = nc.Write(b.Bytes()) }()
			readUntil(t, bufio.NewReader(flate.NewReader(nc)), c.want)
		})
	}
}

func TestDamagedCompressedDataEndsTheConnection(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	nc := ts.compressed()
	if _, err := nc.Write(bytes.Repeat([]byte{0xff}, 1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, nc); err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("connection is not closed: %v", err)
	}
}

// A client that reads slowly gets all, and what it has read makes sense at each moment.
func TestAClientThatReadsSlowlyGetsAll(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	body := make([]byte, 0, 400<<10)
	rnd := rand.New(rand.NewPCG(1, 2))
	for len(body) < cap(body)-80 {
		for range 60 {
			body = append(body, byte('a'+rnd.IntN(26)))
		}
		body = append(body, "\r\n"...)
	}
	msg := "Subject: large\r\n\r\n" + string(body)
	ts.deliver("mjl", "Inbox", msg)
	nc := ts.compressed()
	d, err := newDeflated(nc)
	if err != nil {
		t.Fatal(err)
	}
	d.r = flate.NewReader(slowReader{nc})
	if _, err := io.WriteString(d, "s1 SELECT Inbox\r\ns2 FETCH 1 BODY.PEEK[]\r\ns3 LOGOUT\r\n"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(d)
	if err != nil {
		t.Fatalf("compressed data does not end in order: %v", err)
	}
	if !strings.Contains(string(got), msg) || !strings.Contains(string(got), "s3 OK") {
		t.Fatal("message or end is missing")
	}
}

// slowReader reads a few octets at a time.
type slowReader struct{ r io.Reader }

func (s slowReader) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return s.r.Read(p[:min(len(p), 2000)])
}

// Whatever is written in whatever pieces comes out, and refers to no more than is kept.
func FuzzDeflater(f *testing.F) {
	f.Add([]byte("* OK done\r\n"), uint16(3))
	f.Add(bytes.Repeat([]byte("* 1 FETCH (FLAGS (\\Seen))\r\n"), 2000), uint16(700))
	f.Add(bytes.Repeat([]byte{0, 1, 2}, 20000), uint16(deflateHistory))
	f.Fuzz(func(t *testing.T, data []byte, piece uint16) {
		var d deflater
		var b bytes.Buffer
		for rest := data; len(rest) > 0; {
			n := min(len(rest), int(piece)+1)
			if err := d.deflate(&b, rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
			if len(d.history) > deflateHistory {
				t.Fatalf("keeps %d octets", len(d.history))
			}
		}
		if err := kflate.StatelessDeflate(&b, nil, true, nil); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(flate.NewReader(&b))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d octets come out as %d: %v", len(data), len(got), err)
		}
	})
}

func TestTheClientCompressesAndGoesBack(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	nc, err := ts.dial(context.Background(), "raw")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	c, err := imapclient.New(ctx, nc, imapclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, user := range []string{testUser, otherUser} {
		if _, err := c.Login(ctx, user, testPassword); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Unauthenticate(ctx); err != nil || c.State() != imapclient.StateNotAuthenticated {
			t.Fatalf("unauthenticate: %v", err)
		}
	}
	if _, err := c.Login(ctx, testUser, testPassword); err != nil {
		t.Fatal(err)
	}
	if err := c.Compress(ctx); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, _, err := c.Append(ctx, "Inbox", imapclient.StringMessage("Subject: x\r\n\r\n"+strings.Repeat("text\r\n", 9000))); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Compress(ctx); err == nil || !strings.Contains(err.Error(), "deflate is active") {
		t.Fatalf("second compress: %v", err)
	}
	if err := c.Logout(ctx); err != nil {
		t.Fatal(err)
	}
}
