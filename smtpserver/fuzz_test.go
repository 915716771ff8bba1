package smtpserver

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mox/config"
	"mox/internal/deliver"
	"mox/internal/inbound"
	"mox/internal/metrics"
	"mox/smtp"
)

// replyLine matches what a server may send: RFC 5321 §4.2, with 334 for AUTH.
var replyLine = regexp.MustCompile(`^([2-5][0-9][0-9])([ -])[\t -~\x{80}-\x{10ffff}]*$`)

// countingDeliverer counts deliveries.
type countingDeliverer struct{ n atomic.Int64 }

func (c *countingDeliverer) Deliver(_ context.Context, d deliver.Delivery) (deliver.Result, error) {
	c.n.Add(1)
	return deliver.Result{}, nil
}

func FuzzServer(f *testing.F) {
	for _, seed := range scriptInputs(f) {
		f.Add(uint8(0), []byte(seed))
		f.Add(uint8(1), []byte(seed))
		f.Add(uint8(8), []byte(strings.ReplaceAll(seed, "EHLO", "LHLO")))
	}
	f.Add(uint8(4), []byte("EHLO x\r\nMAIL FROM:<> SMTPUTF8\r\nRCPT TO:<å@☺.example>\r\nDATA\r\nx\r\n.\r\n"))
	f.Add(uint8(1), []byte("EHLO x\r\n"+authGood+"\r\nMAIL FROM:<ann@example.org>\r\nRCPT TO:<x@y.example>\r\nDATA\r\n.\r\nQUIT\r\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, how uint8, input []byte) {
		fuzzConversation(t, dir, how, input)
	})
}

// fuzzConversation sends input to a server, whose kind and options are bits of how,
// and checks what it answers.
func fuzzConversation(t *testing.T, dir string, how uint8, input []byte) {
	static := testStatic(dir)
	static.Pedantic = how&2 != 0
	dynamic := testDynamic()
	// With it, the server keeps asking for a message that others have got.
	delete(dynamic.Domains["example.org"].Aliases, "off")
	snap, err := config.New(static, dynamic)
	if err != nil {
		t.Fatalf("config: %v", err)
	}
	counter := &countingDeliverer{}
	fake := newEngines()
	srv := New(Options{
		Config:     config.NewHolder(snap),
		Auth:       passwords{},
		Decide:     inbound.New(inbound.Options{}),
		Deliver:    counter,
		Submit:     fake,
		TempDir:    dir,
		Localserve: how&4 != 0,
	})
	defer srv.cancel()
	srv.cancelWait() // Hanging on purpose would take an hour.
	o := ListenerOptions{Kind: Kind(how & 1), MaxMessageSize: 10_000}
	if how&8 != 0 {
		o.Kind = LMTP
	}
	o.Limits = config.Limits{ConnectionsPerMinute: -1, OpenConnections: -1, Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	panics := metrics.PanicCount()
	output := converse(t, srv, o, input)
	if n := metrics.PanicCount(); n != panics {
		t.Fatalf("panic")
	}
	accepted := checkReplies(t, output)
	if o.Kind == Submission && len(fake.submissions()) != accepted {
		t.Errorf("%d messages accepted, %d submitted: %q", accepted, len(fake.submissions()), output)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("files left: %v, %v", left, err)
	}
	if o.Kind == LMTP {
		return // With a reply for each recipient, several for one copy.
	}
	if n := int(counter.n.Load()); o.Kind == Delivery && (n < accepted || accepted == 0 && n > 0) {
		t.Errorf("%d messages accepted, %d deliveries: %q", accepted, n, output)
	}
}

// fuzzTimeout is far more than a conversation without delays takes.
const fuzzTimeout = time.Minute

// converse sends input, then closes the connection for writing, and returns what
// the server sent.
func converse(t *testing.T, srv *Server, o ListenerOptions, input []byte) []byte {
	a, b := net.Pipe()
	output := make(chan []byte, 1)
	go func() {
		data, _ := io.ReadAll(a) // Until the server closes.
		output <- data
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		srv.ServeConn(addrConn{&halfConn{b, bytes.NewReader(input)}}, o)
	}()
	select {
	case <-ended:
	case <-time.After(fuzzTimeout):
		t.Fatalf("conversation does not end")
	}
	return <-output
}

// halfConn reads from input instead of the connection, so that a test need not
// write while it reads.
type halfConn struct {
	net.Conn
	input io.Reader
}

func (h *halfConn) Read(p []byte) (int, error) { return h.input.Read(p) }

// checkReplies checks the form of replies and returns how many messages were
// accepted.
func checkReplies(t *testing.T, output []byte) (accepted int) {
	t.Helper()
	rest := string(output)
	code := ""
	for rest != "" {
		line, after, ok := strings.Cut(rest, "\r\n")
		if !ok {
			t.Fatalf("line without CRLF: %q", rest)
		}
		rest = after
		m := replyLine.FindStringSubmatch(line)
		if m == nil || len(line)+2 > smtp.MaxReplyLine && m[1] != "334" {
			t.Fatalf("malformed reply line %q", line)
		}
		if code != "" && code != m[1] {
			t.Fatalf("code changes within a reply, at %q", line)
		}
		code = m[1]
		if m[2] == " " {
			code = ""
		}
		if strings.HasPrefix(line, "250 2.2.0 ") {
			accepted++
		}
	}
	if code != "" {
		t.Fatalf("reply without end")
	}
	return accepted
}

// scriptInputs returns what the clients of the scripts send.
func scriptInputs(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	var l []string
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("reading script: %v", err)
		}
		var b strings.Builder
		for line := range strings.Lines(string(data)) {
			_, text, ok := strings.Cut(line, "> ")
			if ok {
				b.WriteString(strings.TrimSuffix(text, "\n") + "\r\n")
			} else if _, quoted, ok := strings.Cut(line, ">= "); ok {
				if s, err := strconv.Unquote(strings.TrimSpace(quoted)); err == nil {
					b.WriteString(s)
				}
			}
		}
		l = append(l, b.String())
	}
	return l
}

// FuzzParseAUTH checks the one parser of arguments that is not that of package smtp.
func FuzzParseAUTH(f *testing.F) {
	for _, s := range []string{"PLAIN", "PLAIN =", "plain AAAA", "SCRAM-SHA-256-PLUS  AAAA", "PLAIN AAA=", " ", "PLAIN\x00"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, args string, strict bool) {
		g := grammar{kind: Submission}
		if strict {
			g.mode = smtp.Strict
		}
		req, err := parseAUTH(g, args)
		if err != nil {
			if e := syntaxError(err); e.Code != 501 {
				t.Errorf("%q: %v", args, e)
			}
			return
		}
		if req.mechanism == "" || req.mechanism != strings.ToUpper(req.mechanism) || !strings.HasPrefix(strings.ToUpper(args), req.mechanism) {
			t.Errorf("%q: mechanism %q", args, req.mechanism)
		}
		if (req.initial != nil) != strings.Contains(args, " ") {
			t.Errorf("%q: initial response %q", args, req.initial)
		}
	})
}
