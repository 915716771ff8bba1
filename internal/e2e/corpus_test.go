package e2e

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"mox/imap"
	"mox/imapclient"
	"mox/internal/testkit"
)

// corpusBareCR is how many messages of the spam corpus have a bare CR.
const corpusBareCR = 8

// A letter is a message of a corpus.
type letter struct {
	name string
	data []byte // With CRLF.
}

var (
	lineEnd = regexp.MustCompile(`\r?\n`)
	bareCR  = regexp.MustCompile(`\r(?:[^\n]|$)`)
)

// newLetter makes a letter from a file: without the first line of an mbox, with CRLF,
// and with one at its end.
func newLetter(name string, data []byte) letter {
	if bytes.HasPrefix(data, []byte("From ")) {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	data = lineEnd.ReplaceAll(data, []byte("\r\n"))
	if !bytes.HasSuffix(data, []byte("\r\n")) {
		data = append(data, "\r\n"...)
	}
	return letter{name, data}
}

// readMail reads the letters of testdata/mail.
func readMail(t *testing.T) []letter {
	t.Helper()
	dir := testkit.Shared(t, "testdata/mail")
	var l []letter
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		l = append(l, newLetter(strings.TrimPrefix(path, dir), data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// readSpam reads the letters of the spam corpus.
func readSpam(t *testing.T) []letter {
	t.Helper()
	cmd := exec.Command(testkit.Tool(t, "xz"), "-dc", testkit.Shared(t, "testdata/spam/spamassassin.tar.xz"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var l []letter
	for r := tar.NewReader(out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		l = append(l, newLetter(h.Name, data))
	}
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(l, func(a, b letter) int { return strings.Compare(a.name, b.name) })
	return l
}

// TestCorpus delivers real mail over SMTP and reads it back over IMAP: byte for byte
// after the trace header, with an envelope and a body structure, and parts that have
// the sizes that the structure tells. What has a bare CR is refused.
func TestCorpus(t *testing.T) {
	t.Parallel()
	good, bad := readMail(t), []letter(nil)
	for _, l := range readSpam(t) {
		if bareCR.Match(l.data) {
			bad = append(bad, l)
		} else {
			good = append(good, l)
		}
	}
	if len(bad) != corpusBareCR {
		t.Errorf("%d messages have a bare CR, expected %d", len(bad), corpusBareCR)
	}
	s := localserve(t, options{loglevel: "error", edit: tolerant})
	s.deliverLetters(good)
	t.Logf("delivered %d messages", len(good))
	s.refuseLetters(bad)
	s.checkLetters(good)
}

// deliverLetters delivers letters over several connections. The n-th is for
// mox+nx@localhost: three digits at the end would ask for a failure.
func (s *server) deliverLetters(letters []letter) {
	s.t.Helper()
	const connections = 8
	var next atomic.Int64
	g, ctx := errgroup.WithContext(testContext(s.t))
	for range connections {
		c := s.smtpClient()
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(letters) {
					return nil
				}
				if err := send(ctx, c, fmt.Sprintf("mox+%dx@localhost", i), string(letters[i].data)); err != nil {
					return fmt.Errorf("%s: %w", letters[i].name, err)
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		s.t.Fatal(err)
	}
}

// refuseLetters sends letters as they are, which our own client does not do, and wants
// them to be refused for good, with the connection still usable.
func (s *server) refuseLetters(letters []letter) {
	s.t.Helper()
	nc := s.dial("smtp")
	defer func() { _ = nc.Close() }()
	tc := textproto.NewReader(bufio.NewReader(nc))
	reply := func(what string, want int) {
		s.t.Helper()
		if _, _, err := tc.ReadResponse(want); err != nil {
			s.t.Fatalf("reply to %s: %v", what, err)
		}
	}
	write := func(data string) {
		s.t.Helper()
		if _, err := io.WriteString(nc, data); err != nil {
			s.t.Fatal(err)
		}
	}
	reply("connection", 220)
	write("EHLO client.example\r\n")
	reply("EHLO", 250)
	for _, l := range letters {
		write("MAIL FROM:<sender@remote.example>\r\n")
		reply("MAIL", 250)
		write("RCPT TO:<refused@localhost>\r\n")
		reply("RCPT", 250)
		write("DATA\r\n")
		reply("DATA", 354)
		write(strings.ReplaceAll("\r\n"+string(l.data), "\r\n.", "\r\n..")[2:] + ".\r\n")
		reply(l.name, 500)
	}
	write("QUIT\r\n")
	reply("QUIT", 221)
}

var deliveredTo = regexp.MustCompile(`(?m)^Delivered-To: mox\+(\d+)x@localhost\r$`)

// checkLetters reads what was delivered, and nothing else, from the inbox.
func (s *server) checkLetters(letters []letter) {
	s.t.Helper()
	ctx := testContext(s.t)
	c, parts := s.inbox(), s.inbox()
	seen := make([]bool, len(letters))
	items := []imap.FetchItem{{Attr: imap.FetchUID}, {Attr: imap.FetchRFC822Size}, {Attr: imap.FetchEnvelope}, {Attr: imap.FetchBodyStructure}, {Attr: imap.FetchBodySection, Peek: true}}
	_, _, err := c.Fetch(ctx, imapclient.Seq, numbers(s.t, "1:*"), items, imapclient.FetchOptions{Each: func(m *imapclient.FetchData) error {
		data := m.Sections[0].Data
		match := deliveredTo.FindSubmatch(data)
		if match == nil {
			return fmt.Errorf("message %d has no Delivered-To:\n%s", m.UID, data)
		}
		i, err := strconv.Atoi(string(match[1]))
		if err != nil || i >= len(letters) || seen[i] {
			return fmt.Errorf("message %d came twice or was not sent: %s", m.UID, match[0])
		}
		seen[i] = true
		if err := checkLetter(m, letters[i]); err != nil {
			s.t.Errorf("%s: %v", letters[i].name, err)
		}
		if err := checkParts(ctx, parts, m); err != nil {
			s.t.Errorf("%s: %v", letters[i].name, err)
		}
		return nil
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	for i, ok := range seen {
		if !ok {
			s.t.Errorf("%s is missing", letters[i].name)
		}
	}
}

// traceFields are what the server puts before a message.
var traceFields = []string{"X-Mox-Reason", "Delivered-To", "Return-Path", "Authentication-Results", "Received-SPF", "Received"}

// checkLetter compares a message with the letter that it was.
func checkLetter(m *imapclient.FetchData, l letter) error {
	data := m.Sections[0].Data
	trace, ok := bytes.CutSuffix(data, l.data)
	if !ok {
		return fmt.Errorf("has changed")
	}
	if int64(len(data)) != m.Size {
		return fmt.Errorf("has %d octets and RFC822.SIZE %d", len(data), m.Size)
	}
	if m.Envelope == nil || m.BodyStructure == nil {
		return fmt.Errorf("no envelope or no body structure")
	}
	for i, line := range strings.SplitAfter(string(trace), "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		if line != "" && line[0] != ' ' && line[0] != '\t' && !slices.Contains(traceFields, name) || i == 0 && line == "" {
			return fmt.Errorf("unknown line before the message: %q", line)
		}
	}
	return nil
}

// checkParts fetches all parts of a message that its structure tells, and compares their
// sizes and numbers of lines.
func checkParts(ctx context.Context, c *imapclient.Client, m *imapclient.FetchData) error {
	var items []imap.FetchItem
	var leaves []*imap.BodyStructure
	var walk func(b *imap.BodyStructure, path []uint32, message bool)
	walk = func(b *imap.BodyStructure, path []uint32, message bool) {
		if b.IsMultipart() {
			for i := range b.Parts {
				walk(&b.Parts[i], append(slices.Clone(path), uint32(i+1)), false)
			}
			return
		}
		if message {
			path = append(slices.Clone(path), 1) // The body of a message is its part 1.
		}
		items = append(items, imap.FetchItem{Attr: imap.FetchBodySection, Peek: true, Section: imap.Section{Part: path}})
		leaves = append(leaves, b)
		if b.Body != nil {
			walk(b.Body, path, true)
		}
	}
	walk(m.BodyStructure, nil, true)
	l, _, err := c.Fetch(ctx, imapclient.UID, imap.NewRanges(m.UID).NumSet(), items, imapclient.FetchOptions{})
	if err != nil {
		return fmt.Errorf("fetch %d parts: %w", len(items), err)
	}
	if len(l) != 1 || len(l[0].Sections) != len(items) {
		return fmt.Errorf("%d responses for %d parts", len(l), len(items))
	}
	for i, sec := range l[0].Sections {
		b := leaves[i]
		switch {
		case sec.NIL || int64(len(sec.Data)) != b.Octets:
			return fmt.Errorf("part %v has %d octets (NIL: %v), and %d in the body structure", sec.Section.Part, len(sec.Data), sec.NIL, b.Octets)
		case (b.IsText() || b.IsMessage()) && int64(bytes.Count(sec.Data, []byte("\n"))) != b.Lines:
			return fmt.Errorf("part %v has %d lines, and %d in the body structure", sec.Section.Part, bytes.Count(sec.Data, []byte("\n")), b.Lines)
		}
	}
	return nil
}
