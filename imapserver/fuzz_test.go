package imapserver

import (
	"bytes"
	"compress/flate"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mox/internal/metrics"
	"mox/internal/safefile"
	"mox/mlog"
	"mox/store"
)

// fuzzWords are what bytes from 0x80 on stand for in fuzzed input, so that mutations make
// commands.
var fuzzWords = append([]string{
	"a LOGIN mjl@mox.example test1234\r\n", "b SELECT Inbox\r\n", "c EXAMINE Inbox\r\n", "\r\n", " 1:* ", " * ", " $ ",
	"UID ", "(", ")", "FLAGS", "FLAGS.SILENT", "+FLAGS", "-FLAGS", `(\Seen)`, `(\Deleted \Flagged word)`, "ENVELOPE", "BODYSTRUCTURE", "BODY[]",
	"BODY.PEEK[HEADER.FIELDS (From Subject)]", "BODY[1.MIME]", "BODY[2.1]<3.5>", "BINARY[1]", "BINARY.SIZE[1]", "RFC822.TEXT", "INTERNALDATE",
	"RETURN (SAVE MIN MAX COUNT ALL)", "RETURN (STATUS (MESSAGES SIZE) SUBSCRIBED)", "(SUBSCRIBED RECURSIVEMATCH SPECIAL-USE)", "OR ", "NOT ",
	"SUBJECT x", "TEXT hello", "BODY hello", "SINCE 1-Feb-2020", "SENTON 1-Feb-2020", "UNSEEN", "KEYWORD word", "HEADER x-y z", "LARGER 10",
	"{5+}\r\nhello", "{5}\r\nhello", "~{5+}\r\nhello", `""`, `"%"`, `"*"`, "Inbox", "new/box", "DONE\r\n", "CHARSET UTF-8 ", "UTF8=ACCEPT", "IMAP4rev2",
	"(MESSAGES UIDNEXT UNSEEN SIZE MAILBOXID)", "(USE (\\Archive))", `" 1-Feb-2020 10:11:12 +0130"`, "UTF8 (~{5+}\r\nhello)", "d ",
	"a ENABLE QRESYNC\r\n", "a ENABLE UIDONLY\r\n", " (CHANGEDSINCE 3 VANISHED)", " (PARTIAL -1:-2)", "(UNCHANGEDSINCE 3) ", "MODSEQ 3", " (QRESYNC (1 1 1:9 (1:2 1:2)))",
	"RETURN (PARTIAL 1:2)", "(DEPTH infinity MAXSIZE 3)", "NOTIFY SET ", "(selected (MessageNew (UID) MessageExpunge FlagChange))", "(subtree Inbox (MailboxName SubscriptionChange))", "(/private/comment hello)", "RETURN (METADATA (/private/comment))",
}, commandNames()...)

func commandNames() []string {
	var l []string
	for _, c := range commandTable() {
		l = append(l, "e "+c.name+" ")
	}
	return l
}

// fuzzConn is a connection whose client has said everything already.
type fuzzConn struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *fuzzConn) Read(p []byte) (int, error)     { return c.in.Read(p) }
func (c *fuzzConn) Write(p []byte) (int, error)    { return c.out.Write(p) }
func (*fuzzConn) Close() error                     { return nil }
func (*fuzzConn) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (*fuzzConn) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (*fuzzConn) SetDeadline(time.Time) error      { return nil }
func (*fuzzConn) SetReadDeadline(time.Time) error  { return nil }
func (*fuzzConn) SetWriteDeadline(time.Time) error { return nil }

// scriptInputs returns what clients say in the conversation scripts.
func scriptInputs(f testing.TB) [][]byte {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no scripts: %v", err)
	}
	said := regexp.MustCompile(`(?m)^(?:raw|imap|rev2|other)\w*> (.*)$`)
	var inputs [][]byte
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		var in []byte
		for _, m := range said.FindAllSubmatch(data, -1) {
			in = append(append(in, m[1]...), "\r\n"...)
		}
		inputs = append(inputs, in)
	}
	return inputs
}

// FuzzServer sends whole conversations to a server, and checks that nothing panics, that
// what comes back is a sequence of responses, and that each command is answered at most
// once.
func FuzzServer(f *testing.F) {
	for _, in := range scriptInputs(f) {
		f.Add(append([]byte{0x80, 0x81}, in...))
	}
	f.Add([]byte{0x80, 0x81, 0x90, 0x83})
	dir := f.TempDir()
	st, err := store.Open(context.Background(), store.Options{
		Dir: dir, Log: mlog.Discard(), FS: noSync{safefile.OS}, Quota: func(string) int64 { return 1 << 20 },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { st.Close() })
	fill(f, st, 20)
	server := New(Options{Store: st, Auth: &fakeAuth{}, Log: mlog.Discard(), Delay: func(time.Duration) {}})
	f.Fuzz(func(t *testing.T, data []byte) {
		var in []byte
		for _, b := range data {
			if b >= 0x80 && int(b-0x80) < len(fuzzWords) {
				in = append(in, fuzzWords[b-0x80]...)
			} else {
				in = append(in, b)
			}
		}
		conn := &fuzzConn{in: bytes.NewReader(in)}
		panics := metrics.PanicCount()
		server.ServeConn(context.Background(), conn, ListenerOptions{AllowPlaintextLogin: true, MaxMessageSize: 1000})
		if metrics.PanicCount() != panics {
			t.Fatalf("panic for %q", in)
		}
		checkResponses(t, conn.out.Bytes())
	})
}

// responseStart is how a response begins. RFC 9051 §9, production response
var responseStart = regexp.MustCompile(`^(\* |\+ |[!#$&',\-./0-9:;<=>?@A-Z\[\]^_` + "`" + `a-z|}~]+ (OK|NO|BAD) )`)

// checkResponses checks that out is whole responses, with literals as they say.
func checkResponses(t *testing.T, out []byte) {
	t.Helper()
	literal := regexp.MustCompile(`~?\{([0-9]+)\}$`)
	r := bytes.NewReader(out)
	for r.Len() > 0 {
		start := true
		for {
			line, ok := readCRLF(r)
			if !ok {
				t.Fatalf("output does not end in a line: %q", tail(out))
			}
			if start && !responseStart.MatchString(line) {
				t.Fatalf("no response: %q", line)
			}
			if start && strings.HasSuffix(line, " OK deflate active") {
				rest, err := io.ReadAll(flate.NewReader(r))
				if err != nil {
					t.Fatalf("compressed data: %v", err)
				}
				r = bytes.NewReader(rest)
			}
			start = false
			m := literal.FindStringSubmatch(line)
			if m == nil || strings.HasPrefix(line, "* OK") || strings.HasPrefix(line, "* BYE") {
				break
			}
			n, err := strconv.ParseInt(m[1], 10, 64)
			if err != nil || n > int64(r.Len()) {
				t.Fatalf("literal of %s octets, %d are left", m[1], r.Len())
			}
			if _, err := r.Seek(n, io.SeekCurrent); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func readCRLF(r *bytes.Reader) (string, bool) {
	var line []byte
	for {
		b, err := r.ReadByte()
		if err != nil {
			return "", false
		}
		if line = append(line, b); bytes.HasSuffix(line, []byte("\r\n")) {
			return string(line[:len(line)-2]), true
		}
	}
}

func tail(b []byte) []byte { return b[max(0, len(b)-200):] }
