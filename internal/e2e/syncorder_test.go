package e2e

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"mox/imapclient"
	"mox/internal/testkit"
	"mox/smtp"
	"mox/smtpclient"
)

// straceText is how much of what is written strace shows. Marks and answers are in it.
const straceText = 200

// A syscall is a line of strace, or two if others were between its begin and its end.
type call struct {
	name       string
	args       string // As strace writes them.
	path       string // Of the file descriptor, or the name that is the first argument.
	begin, end int    // Numbers of lines. The order is that in which things happened.
	failed     bool
}

var (
	straceLine   = regexp.MustCompile(`^(\d+) +(.*)$`)
	straceCall   = regexp.MustCompile(`^(\w+)\((.*)\) += (-?\d+|\?)`)
	straceResume = regexp.MustCompile(`^<\.\.\. \w+ resumed>(.*)$`)
	straceFD     = regexp.MustCompile(`^\d+<([^>]*)>`)
	straceLink   = regexp.MustCompile(`, AT_FDCWD<[^>]*>, "([^"]*)", 0$`)
	straceOffset = regexp.MustCompile(`, (\d+)$`)
	straceName   = regexp.MustCompile(`^(?:AT_FDCWD<[^>]*>, )?"([^"]*)"`)
)

// parseStrace parses the output of strace -f -y.
func parseStrace(t testing.TB, text string) []call {
	t.Helper()
	var l []call
	type started struct {
		text  string
		begin int
	}
	pending := map[string]started{} // By thread.
	for i, line := range strings.Split(text, "\n") {
		m := straceLine.FindStringSubmatch(line)
		if m == nil || strings.HasPrefix(m[2], "---") || strings.HasPrefix(m[2], "+++") {
			continue
		}
		thread, text, begin := m[1], m[2], i
		if head, ok := strings.CutSuffix(text, " <unfinished ...>"); ok {
			pending[thread] = started{head, i}
			continue
		}
		if m := straceResume.FindStringSubmatch(text); m != nil {
			text, begin = pending[thread].text+m[1], pending[thread].begin
		}
		m = straceCall.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("line %d of strace: %s", i+1, line)
		}
		c := call{name: m[1], args: m[2], begin: begin, end: i, failed: strings.HasPrefix(m[3], "-")}
		for _, re := range []*regexp.Regexp{straceFD, straceName} {
			if m := re.FindStringSubmatch(c.args); m != nil {
				c.path = m[1]
			}
		}
		l = append(l, c)
	}
	return l
}

// An acknowledged is a message that the server has taken.
type acknowledged struct {
	mark   string // In its first line.
	answer string // In the answer to it, and in no other on other connections.
	before int    // Answers on the connection that are the same.
	alone  bool   // Nothing else was written meanwhile, but its file may have been made before.
}

// TestSyncOrder looks at the system calls of the server with strace: that a message, the
// name of its file and its records are on stable storage before it is acknowledged, in
// the order that docs/storage.md tells.
func TestSyncOrder(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux for strace")
	}
	strace, trace := testkit.Tool(t, "strace"), filepath.Join(t.TempDir(), "trace")
	s := localserve(t, options{loglevel: "error", dying: true, wrap: []string{
		strace, "-f", "-y", "-qq", "-s", strconv.Itoa(straceText), "-e", "signal=none", "-o", trace,
		"-e", "trace=openat,mkdirat,linkat,write,writev,pwrite64,sendto,copy_file_range,sendfile,fsync,fdatasync",
	}})
	var delivered []acknowledged
	ic := s.inbox()
	for i := range 5 {
		delivered = append(delivered,
			s.markedDelivery(fmt.Sprintf("delivered-%d.", i), true),
			s.markedAppend(ic, fmt.Sprintf("appended-%d.", i), true))
	}
	delivered = append(delivered, s.markedDelivery("large.", true), s.markedAppend(ic, "large-appended.", true))
	delivered = append(delivered, s.markedTogether()...)
	submitted := []acknowledged{s.markedSubmission("submitted."), s.markedSubmission("large-submitted.")}
	s.waitSubject("submitted", len(submitted))

	if out, code := mox(t, "-config", filepath.Join(s.dir, "mox.conf"), "stop"); code != 0 {
		t.Fatalf("mox stop: exit code %d\n%s", code, out)
	}
	_ = s.proc.Wait() // strace ends with its code.
	s.verify()

	calls := parseStrace(t, string(testkit.ReadFile(t, trace)))
	data := filepath.Join(s.dir, "data")
	for _, a := range delivered {
		checkSyncOrder(t, calls, filepath.Join(data, "accounts", "mox"), a)
	}
	for _, a := range submitted {
		checkSyncOrder(t, calls, filepath.Join(data, "queue"), a)
	}
	checkNewDirectories(t, calls, filepath.Join(data, "accounts", "mox", "msg"), filepath.Join(data, "queue", "msg"))
}

// marked returns a message with a mark. One that is large is not kept in memory.
func marked(mark string) string {
	body := "hello\r\n"
	if strings.HasPrefix(mark, "large") {
		body = strings.Repeat(body, 100_000)
	}
	return "Subject: " + mark + "\r\nFrom: <" + user + ">\r\nDate: Sat, 21 Nov 2026 01:34:35 +0000\r\nMessage-Id: <" + mark + "id@localhost>\r\n\r\n" + body
}

// markedDelivery delivers a message over a new connection.
func (s *server) markedDelivery(mark string, alone bool) acknowledged {
	return s.markedSMTP(s.smtpClient(), "sender@remote.example", mark, alone)
}

// markedSubmission submits a message.
func (s *server) markedSubmission(mark string) acknowledged {
	s.t.Helper()
	return s.markedSMTP(s.submitClient(), user, mark, false)
}

// markedSMTP sends a message, and returns the text of the reply.
func (s *server) markedSMTP(c *smtpclient.Client, sender, mark string, alone bool) acknowledged {
	s.t.Helper()
	reply, err := sendFrom(testContext(s.t), c, sender, user, marked(mark))
	if err != nil {
		s.t.Errorf("sending %s: %v", mark, err)
		return acknowledged{}
	}
	return acknowledged{mark, `"` + reply.Lines[len(reply.Lines)-1] + `\r\n"`, 0, alone}
}

// sendFrom sends a message, and returns the reply to it, or the first error.
func sendFrom(ctx context.Context, c *smtpclient.Client, sender, recipient, message string) (smtpclient.Reply, error) {
	from, err := smtp.ParseReversePath("<"+sender+">", smtp.Strict)
	if err != nil {
		return smtpclient.Reply{}, err
	}
	to, err := smtp.ParseForwardPath("<"+recipient+">", smtp.Strict)
	if err != nil {
		return smtpclient.Reply{}, err
	}
	results, err := c.Deliver(ctx, smtpclient.Envelope{
		Mail:       smtp.MailCommand{ReversePath: from},
		Recipients: []smtp.RcptCommand{{ForwardPath: to}},
		Open:       func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(message)), nil },
	})
	if err == nil && results[0].Err != nil {
		err = results[0].Err
	}
	if err != nil {
		return smtpclient.Reply{}, err
	}
	return results[0].Reply, nil
}

// markedAppend appends a message.
func (s *server) markedAppend(c *imapclient.Client, mark string, alone bool) acknowledged {
	s.t.Helper()
	a, _, err := c.Append(testContext(s.t), "INBOX", imapclient.StringMessage(marked(mark)))
	if err != nil {
		s.t.Errorf("appending %s: %v", mark, err)
		return acknowledged{}
	}
	return acknowledged{mark, fmt.Sprintf(" OK [APPENDUID %d %s]", a.UIDValidity, a.UIDs), 0, alone}
}

// markedTogether sends messages over several connections at the same time, so that
// their commits are shared.
func (s *server) markedTogether() []acknowledged {
	const connections, each = 6, 3
	var g errgroup.Group
	l := make([]acknowledged, connections*each)
	for i := range connections {
		sc, ic := s.smtpClient(), s.inbox()
		g.Go(func() error {
			for j := range each {
				mark := fmt.Sprintf("together-%d-%d.", i, j)
				if i%3 == 0 {
					l[i*each+j] = s.markedAppend(ic, mark, false)
				} else {
					l[i*each+j] = s.markedSMTP(sc, "sender@remote.example", mark, false)
					l[i*each+j].before = j // The text is the session's.
				}
			}
			return nil
		})
	}
	_ = g.Wait() // Failures are told to the test.
	return l
}

// checkSyncOrder checks the calls for a message whose file and index.db are in dir.
func checkSyncOrder(t *testing.T, calls []call, dir string, a acknowledged) {
	t.Helper()
	before := a.before
	answer := slices.IndexFunc(calls, func(c call) bool {
		if c.name != "write" || !strings.HasPrefix(c.path, "socket:") || !strings.Contains(c.args, a.answer) {
			return false
		}
		before--
		return before < 0
	})
	if answer < 0 {
		t.Errorf("%s: no answer %s in trace", a.mark, a.answer)
		return
	}
	acked := calls[answer].begin
	name, written, created, ok := findFile(calls, dir, a.mark)
	if !ok {
		t.Errorf("%s: file was not written, or not made, in %s", a.mark, dir)
		return
	}
	contains := func(c call) bool { return name[c.path] }
	file := findSync(calls, "fsync", contains, written, acked)
	directory := findSync(calls, "fsync", func(c call) bool { return c.path == filepath.Dir(pathIn(name, dir)) }, created, acked)
	if file == 0 || directory == 0 {
		t.Errorf("%s: before the answer in line %d there is no fsync of its file after line %d (%v), or none of its directory after line %d (%v)",
			a.mark, acked+1, written+1, file != 0, created+1, directory != 0)
		return
	}
	synced := max(file, directory)
	index := filepath.Join(dir, "index.db")
	if !committed(calls, index, synced, acked) {
		t.Errorf("%s: between the last sync of file and directory in line %d and the answer in line %d there is no commit: data pages, fdatasync, meta page, fdatasync", a.mark, synced+1, acked+1)
	}
	if a.alone {
		for _, c := range calls {
			if c.path == index && c.name == "pwrite64" && c.end > written && c.begin < synced {
				t.Errorf("%s: line %d writes to the database before file and directory are synced in line %d", a.mark, c.begin+1, synced+1)
			}
		}
	}
}

// findFile finds the file of a message. It returns its names, of which one may be in the
// directory for what is being received, the line of the last write to it, and of when it
// got its name in dir.
func findFile(calls []call, dir, mark string) (names map[string]bool, written, created int, ok bool) {
	names = map[string]bool{}
	for _, c := range calls {
		switch {
		case c.failed:
		case len(names) == 0 && c.name == "write" && strings.HasPrefix(c.path, "/") && strings.Contains(c.args, `"Subject: `+mark):
			names[c.path] = true
			written = c.end
		case !names[c.path]:
		case c.name == "write" || c.name == "writev" || c.name == "pwrite64" || c.name == "copy_file_range" || c.name == "sendfile":
			written = c.end
		case c.name == "linkat":
			if m := straceLink.FindStringSubmatch(c.args); m != nil {
				names[m[1]] = true
				created = c.end
			}
		}
	}
	path := pathIn(names, dir)
	for _, c := range calls {
		if c.name == "openat" && !c.failed && c.path == path && strings.Contains(c.args, "O_CREAT|O_EXCL") {
			created = c.end
		}
	}
	return names, written, created, path != "" && created > 0
}

// pathIn returns the name that is below dir.
func pathIn(names map[string]bool, dir string) string {
	for path := range names {
		if strings.HasPrefix(path, dir+"/") {
			return path
		}
	}
	return ""
}

// findSync returns the line in which the first sync ended of those that began after a
// line and ended before another, or 0.
func findSync(calls []call, name string, match func(call) bool, after, before int) int {
	end := 0
	for _, c := range calls {
		if c.name == name && !c.failed && match(c) && c.begin > after && c.end < before && (end == 0 || c.end < end) {
			end = c.end
		}
	}
	return end
}

// bboltMeta is the offset of the second of the two meta pages of a database, which are
// written alternately. Data is beyond it.
const bboltMeta = 4096

// committed reports whether there is a commit of a database between two lines: data
// pages, fdatasync, meta page, fdatasync.
func committed(calls []call, path string, after, before int) bool {
	step := 0
	for _, c := range calls {
		if c.path != path || c.failed || c.begin <= after || c.end >= before {
			continue
		}
		meta := false
		if m := straceOffset.FindStringSubmatch(c.args); c.name == "pwrite64" && m != nil {
			off, err := strconv.ParseInt(m[1], 10, 64)
			meta = err == nil && off <= bboltMeta
		}
		switch sync := c.name == "fdatasync"; {
		case c.name == "pwrite64" && !meta:
			step = 1
		case step == 1 && sync, step == 2 && meta, step == 3 && sync:
			step++
		default:
			step = 0 // One that began before the line.
		}
		if step == 4 {
			return true
		}
	}
	return false
}

// checkNewDirectories checks that directories for messages are made durable in the
// directories they are in, before there is anything in them.
func checkNewDirectories(t *testing.T, calls []call, parents ...string) {
	t.Helper()
	for _, parent := range parents {
		made := slices.IndexFunc(calls, func(c call) bool {
			return c.name == "mkdirat" && !c.failed && filepath.Dir(c.path) == parent
		})
		if made < 0 {
			t.Errorf("no directory was made in %s", parent)
			continue
		}
		first := slices.IndexFunc(calls, func(c call) bool {
			m := straceLink.FindStringSubmatch(c.args)
			return !c.failed && (c.name == "openat" && strings.Contains(c.args, "O_CREAT") && filepath.Dir(c.path) == calls[made].path ||
				c.name == "linkat" && m != nil && filepath.Dir(m[1]) == calls[made].path)
		})
		if first < 0 || findSync(calls, "fsync", func(c call) bool { return c.path == parent }, calls[made].end, calls[first].begin) == 0 {
			t.Errorf("%s is not synced before there is a file in the new %s", parent, calls[made].path)
		}
	}
}
