package imapclient

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mox/imap"
)

// deafConn is a connection to a server that has sent all it ever will.
type deafConn struct {
	io.Reader
}

func (deafConn) Write(p []byte) (int, error)      { return len(p), nil }
func (deafConn) Close() error                     { return nil }
func (deafConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (deafConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (deafConn) SetDeadline(time.Time) error      { return nil }
func (deafConn) SetReadDeadline(time.Time) error  { return nil }
func (deafConn) SetWriteDeadline(time.Time) error { return nil }

func FuzzResponses(f *testing.F) {
	for _, s := range []string{
		"* CAPABILITY IMAP4rev2 AUTH=PLAIN\r\n* ENABLED IMAP4rev2\r\nc1 OK done\r\n",
		"* 12 FETCH (FLAGS (\\Seen) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 4286 UID 7 MODSEQ (5) BODY[HEADER.FIELDS (a)]<0> {2}\r\nhi)\r\n",
		"* 1 FETCH (ENVELOPE (\"x\" NIL ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL NIL NIL NIL) BODYSTRUCTURE ((\"TEXT\" \"PLAIN\" (\"a\" \"b\") NIL NIL \"7BIT\" 1 2 NIL (\"inline\" NIL) (\"en\" \"de\") NIL 5)(\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 5 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) (\"IMAGE\" \"PNG\" NIL NIL NIL \"BASE64\" 3) 1) \"MIXED\" NIL NIL NIL NIL))\r\n",
		"* 1 UIDFETCH (BINARY[1] ~{3}\r\n\x00\x01\x02 BINARY.SIZE[1] 3 PREVIEW NIL EMAILID (M1) THREADID NIL SAVEDATE NIL)\r\n",
		"* LIST (\\HasChildren) \"/\" \"a&-b\" (CHILDINFO (\"SUBSCRIBED\") OLDNAME (x) X (1:* (y)))\r\n",
		"* STATUS a (MESSAGES 1 MAILBOXID (F1))\r\n* SEARCH 1 2 (MODSEQ 5)\r\n* ESEARCH (TAG \"c1\") UID ALL 1:5 PARTIAL (-1:-5 NIL)\r\n",
		"* THREAD (2)(3 6 (4 23)(44 7 96))((8)(9))\r\n* SORT 5 3 (MODSEQ 4)\r\n* ESEARCH (TAG \"c1\") UID REMOVEFROM (2 9,7) ADDTO (0 1:3)\r\n",
		"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n* QUOTA \"\" (STORAGE 1 2)\r\n* QUOTAROOT a \"\"\r\n* ID (\"a\" NIL)\r\n* METADATA \"\" (/a ~{1}\r\n\x00)\r\n* VANISHED (EARLIER) 1:5\r\n",
		"* OK [COPYUID 1 2:3 4:5] x\r\n* NO [INPROGRESS (\"a\" 1 2)] y\r\n* BYE [METADATA MAXSIZE 5] z\r\n+ go\r\n",
		"* FOO {3}\r\nabc\r\nc1 OK [READ-ONLY] done\r\n",
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, input []byte, lenient bool) {
		src := io.MultiReader(strings.NewReader("* OK hi\r\n"), strings.NewReader(string(input)), strings.NewReader("\r\nc1 OK done\r\n"))
		opts := Options{Lenient: lenient, MaxLine: 10000, MaxLiteral: 1000}
		c, err := New(ctxbg, deafConn{src}, opts)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Noop(ctxbg)
		for _, u := range resp.Untagged {
			if fmt.Sprintf("%+v", u) == "" {
				t.Fatalf("%T has no text", u)
			}
		}
		if err != nil {
			return
		}
		if resp.Status.Type != "OK" {
			t.Fatalf("success with %+v", resp.Status)
		}
		// The same response, read without parsing.
		src = io.MultiReader(strings.NewReader("* OK hi\r\n"), strings.NewReader(string(input)), strings.NewReader("\r\nc1 OK done\r\n"))
		if c, err = New(ctxbg, deafConn{src}, opts); err != nil {
			t.Fatal(err)
		}
		if _, err = c.FetchRaw(ctxbg, "NOOP", RawHandler{}); err != nil && !lenient {
			t.Fatalf("what is parsed cannot be read raw: %v", err)
		}
	})
}

// benchmarkConn returns what makes connections that answer commands with a line for each
// message.
func benchmarkConn(messages int, line func(seq int) string) func(commands int) net.Conn {
	var b strings.Builder
	for seq := 1; seq <= messages; seq++ {
		b.WriteString(line(seq))
	}
	body := b.String()
	return func(commands int) net.Conn {
		readers := []io.Reader{strings.NewReader("* OK hi\r\n")}
		for n := 1; n <= commands; n++ {
			readers = append(readers, strings.NewReader(body), strings.NewReader(fmt.Sprintf("c%d OK done\r\n", n)))
		}
		return deafConn{io.MultiReader(readers...)}
	}
}

func flagsLine(seq int) string {
	return fmt.Sprintf("* %d FETCH (UID %d FLAGS (\\Seen foo) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 4286 MODSEQ (12121231000))\r\n", seq, seq+1000)
}

func BenchmarkFetchFlags(b *testing.B) {
	const messages = 20000
	conn := benchmarkConn(messages, flagsLine)
	b.ReportAllocs()
	for b.Loop() {
		c, err := New(context.Background(), conn(1), Options{})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		_, _, err = c.Fetch(ctxbg, Seq, imap.NumSet{Ranges: []imap.NumRange{{First: 1}}}, imap.FetchMacro("FAST"), FetchOptions{
			Each: func(*FetchData) error { n++; return nil },
		})
		if err != nil || n != messages {
			b.Fatalf("%d messages, %v", n, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/messages, "ns/message")
}

func BenchmarkFetchRaw(b *testing.B) {
	const messages = 20000
	for name, line := range map[string]func(int) string{
		"flags": flagsLine,
		"bodies": func(seq int) string {
			return fmt.Sprintf("* %d FETCH (UID %d BODY[] {4000}\r\n%s)\r\n", seq, seq, strings.Repeat("x", 4000))
		},
	} {
		b.Run(name, func(b *testing.B) {
			conn := benchmarkConn(messages, line)
			b.ReportAllocs()
			for b.Loop() {
				c, err := New(context.Background(), conn(1), Options{})
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				_, err = c.FetchRaw(ctxbg, "FETCH 1:* FAST", RawHandler{Line: func([]byte) error { n++; return nil }})
				if err != nil || n < messages {
					b.Fatalf("%d lines, %v", n, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/messages, "ns/message")
		})
	}
}
