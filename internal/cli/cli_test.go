package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mox/config"
	"mox/internal/testkit"
	"mox/mlog"
	"mox/queue/queuedb"
)

// result is what a command has done.
type result struct {
	code     int
	out, err string
}

// mox runs a command with text on its standard input.
func mox(t *testing.T, in string, args ...string) result {
	t.Helper()
	var out, errw bytes.Buffer
	code := run(t.Context(), append([]string{"mox"}, args...), strings.NewReader(in), &out, &errw)
	return result{code, out.String(), errw.String()}
}

// want checks a result. Texts need to be contained only; an empty one means that
// there was no output.
func (r result) want(t *testing.T, code int, out, errText string) {
	t.Helper()
	if r.code != code {
		t.Errorf("got exit code %d, expected %d", r.code, code)
	}
	check := func(name, got, want string) {
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, expected %q", name, got, want)
		}
	}
	check("output", r.out, out)
	check("errors", r.err, errText)
}

func TestWithoutCommandUsageIsPrinted(t *testing.T) {
	t.Parallel()
	r := mox(t, "")
	r.want(t, 2, "", "usage: mox [flags] command ...")
	for _, c := range listed() {
		if !strings.Contains(r.err, "\n  "+c.words+" ") {
			t.Errorf("no %q in usage", c.words)
		}
	}
	for _, f := range []string{"-config file", "-dns list", "-loglevel level", "-pedantic"} {
		if !strings.Contains(r.err, "\n  "+f+"\n") {
			t.Errorf("no flag %q in usage", f)
		}
	}
	mox(t, "", "-help").want(t, 0, "usage: mox [flags] command ...", "")
	mox(t, "", "help").want(t, 0, "usage: mox [flags] command ...", "")
}

func TestEveryCommandHasHelp(t *testing.T) {
	t.Parallel()
	summary := regexp.MustCompile(`^[A-Z][^\n]{10,90}\.\n(\n|$)`)
	for _, c := range commands() {
		if !summary.MatchString(c.help) {
			t.Errorf("%s: help does not start with a line that sums it up", c.words)
		}
		r := mox(t, "", append([]string{"help"}, strings.Fields(c.words)...)...)
		r.want(t, 0, "usage: mox "+c.words, "")
		if again := mox(t, "", append(strings.Fields(c.words), "-h")...); again != r {
			t.Errorf("%s: flag -h prints other than help", c.words)
		}
	}
}

func TestHelpListsCommandsThatStartWithWords(t *testing.T) {
	t.Parallel()
	want := "mox config test\nmox config check [-quiet] [-skipdial]\nmox config describe-static\nmox config describe-domains\n"
	mox(t, "", "help", "config").want(t, 0, want, "")
	mox(t, "", "config").want(t, 2, "", want)
	mox(t, "", "config", "nosuch").want(t, 2, "", want)
	mox(t, "", "nosuch").want(t, 2, "", `there is no command "nosuch"`)
	mox(t, "", "help", "nosuch").want(t, 1, "", `there is no command "nosuch"`)
}

func TestWrongCommandLinesExitWithTwo(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"-nosuch"}, "flag provided but not defined: -nosuch"},
		{[]string{"-loglevel", "loud", "version"}, `unknown log level "loud"`},
		{[]string{"-dns", "127.0.0.1:53,dns.example", "version"}, `"dns.example" is not an IP address with a port`},
		{[]string{"version", "-x"}, "usage: mox version"},
		{[]string{"version", "x"}, `unexpected argument "x"`},
		{[]string{"stop", "x"}, `unexpected argument "x"`},
		{[]string{"status", "x"}, `unexpected argument "x"`},
		{[]string{"setaccountpassword"}, "usage: mox setaccountpassword account"},
		{[]string{"deliver", "a", "b"}, "usage: mox deliver address"},
		{[]string{"loglevels", "a", "b", "c"}, "usage: mox loglevels [level [package]]"},
		{[]string{"verifydata", "a", "b"}, "usage: mox verifydata [-fix] [-skip-size-check] [datadir]"},
		{[]string{"message", "parse", "a", "b"}, "usage: mox message parse"},
		{[]string{"config", "test", "x"}, `unexpected argument "x"`},
		{[]string{"localserve", "x"}, `unexpected argument "x"`},
		{[]string{"localserve", "-ports", "65000"}, "ports can be moved by 0 to"},
		{[]string{"localserve", "-ip", "here", "-dir", filepath.Join(t.TempDir(), "x")}, `"here" is not an IP address`},
	} {
		mox(t, "", tc.args...).want(t, 2, "", tc.want)
	}
}

func TestVersionIsPrinted(t *testing.T) {
	t.Parallel()
	r := mox(t, "", "version")
	if r.code != 0 || !regexp.MustCompile(`^mox \S+, go1\.\S+, \w+/\w+\n$`).MatchString(r.out) {
		t.Errorf("got %+v", r)
	}
}

func TestConfigTestPrintsAllErrors(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	mox(t, "", "localserve", "-initonly", "-dir", dir).want(t, 0, "made "+dir, "")
	path := filepath.Join(dir, "mox.conf")
	mox(t, "", "-config", path, "config", "test").want(t, 0, "config OK\n", "")

	// A directory is made once.
	mox(t, "", "localserve", "-initonly", "-dir", dir).want(t, 1, "", "exists already")
	mox(t, "", "localserve", "-ip", "127.0.0.1", "-dir", dir).want(t, 1, "", "flag -ip is for making a new directory")

	data := testkit.ReadFile(t, path)
	data = bytes.Replace(data, []byte("LogLevel: traceauth"), []byte("LogLevel: loud"), 1)
	data = bytes.Replace(data, []byte("- 127.0.0.1\n"), []byte("- here\n"), 1)
	if err := os.WriteFile(path, data, 0600); err != nil {
		t.Fatal(err)
	}
	r := mox(t, "", "-config", path, "config", "test")
	r.want(t, 1, "", "LogLevel: unknown log level")
	lines := strings.Split(strings.TrimSuffix(r.err, "\n"), "\n")
	location := regexp.MustCompile(`^` + regexp.QuoteMeta(path) + `:[0-9]+: [A-Z]`)
	if len(lines) != 2 || !location.MatchString(lines[0]) || !location.MatchString(lines[1]) {
		t.Errorf("got %q", lines)
	}
	// Flags override what is in the file.
	if r := mox(t, "", "-config", path, "-loglevel", "info", "config", "test"); strings.Contains(r.err, "LogLevel") {
		t.Errorf("got %q", r.err)
	}

	data = bytes.Replace(data, []byte("- here\n"), []byte("- 127.0.0.1\n"), 1)
	data = bytes.Replace(data, []byte("LogLevel: loud"), []byte("LogLevel: info"), 1)
	if err := os.WriteFile(path, data, 0600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "localhost.key")); err != nil {
		t.Fatal(err)
	}
	mox(t, "", "-config", path, "config", "test").want(t, 1, "", "Listeners.local.TLS.KeyCerts[0]: open ")
}

func TestConfigIsFoundByEnvironment(t *testing.T) {
	t.Setenv(config.PathEnv, filepath.Join(t.TempDir(), "none.conf"))
	mox(t, "", "config", "test").want(t, 1, "", "none.conf: no such file or directory (use the -config flag")
	mox(t, "", "status").want(t, 1, "", "none.conf: no such file or directory")
}

func TestConfigIsDescribed(t *testing.T) {
	t.Parallel()
	mox(t, "", "config", "describe-static").want(t, 0, "\nListeners:\n\tx:\n", "")
	mox(t, "", "config", "describe-domains").want(t, 0, "\nAccounts:\n\tx:\n", "")
}

const testMessage = "From: \"A, B\" <a@example.org>\r\n" +
	"To: =?utf-8?q?J=C3=BCrgen?= <j@example.org>, team:x@example.org;\r\n" +
	"Subject: =?utf-8?b?w6Q=?=\r\n" +
	"Date: Fri, 20 Nov 2026 10:00:00 +0100\r\n" +
	"Message-ID: <1@example.org>\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n" +
	"\r\n" +
	"--b\r\n\r\nhello\r\n" +
	"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntext\r\n" +
	"--b--\r\n"

func TestMessageParsePrintsStructure(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "message.eml")
	if err := os.WriteFile(path, []byte(testMessage), 0600); err != nil {
		t.Fatal(err)
	}
	r := mox(t, "", "message", "parse", path)
	if again := mox(t, testMessage, "message", "parse"); again != r {
		t.Errorf("from standard input: got %+v, expected %+v", again, r)
	}
	var p parsedMessage
	if err := json.Unmarshal([]byte(r.out), &p); r.code != 0 || err != nil {
		t.Fatalf("got %+v, %v", r, err)
	}
	if p.Size != int64(len(testMessage)) || p.Subject != "ä" || p.MessageID != "1@example.org" || p.Date.Unix() != 1795165200 {
		t.Errorf("got %+v", p)
	}
	if got := strings.Join(p.To, "|"); got != "Jürgen <j@example.org>|team:|x@example.org|;" {
		t.Errorf("got to %q", got)
	}
	s := p.Structure
	if s.Type != "multipart/mixed" || len(s.Parts) != 2 || s.Params["boundary"] != "b" {
		t.Fatalf("got structure %+v", s)
	}
	if s.Parts[0].Section != "1" || s.Parts[0].Type != "text/plain" || testMessage[s.Parts[0].BodyStart:s.Parts[0].BodyEnd] != "hello" {
		t.Errorf("got first part %+v", s.Parts[0])
	}
	if m := s.Parts[1].Message; s.Parts[1].Type != "message/rfc822" || m == nil || m.Section != "2" || m.Type != "text/plain" {
		t.Errorf("got second part %+v", s.Parts[1])
	}
}

func TestMessageParseTellsWhetherSMTPUTF8IsNeeded(t *testing.T) {
	t.Parallel()
	mox(t, testMessage, "message", "parse", "-smtputf8").want(t, 0, "false\n", "")
	mox(t, "Subject: ä\r\n\r\n", "message", "parse", "-smtputf8").want(t, 0, "true\n", "")
	mox(t, "", "message", "parse", filepath.Join(t.TempDir(), "none")).want(t, 1, "", "no such file")
	mox(t, "", "message", "parse", t.TempDir()).want(t, 1, "", "is not a file")
}

func TestCommandsNeedARunningServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	mox(t, "", "localserve", "-initonly", "-dir", dir).want(t, 0, "made ", "")
	path := filepath.Join(dir, "mox.conf")
	for _, args := range [][]string{{"stop"}, {"status"}, {"loglevels"}, {"deliver", "mox@localhost"}, {"setaccountpassword", "mox"}} {
		mox(t, "some password\n", append([]string{"-config", path}, args...)...).want(t, 1, "", "mox is not running")
	}
	mox(t, "\n", "-config", path, "setaccountpassword", "mox").want(t, 1, "", "there is no password")
}

func TestVerifyDataAndCompactWorkOnDataWithoutServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	mox(t, "", "localserve", "-initonly", "-dir", dir).want(t, 0, "made ", "")
	path := filepath.Join(dir, "mox.conf")
	mox(t, "", "-config", path, "verifydata").want(t, 0, "1 accounts, 0 messages, 0 bytes checked\n", "")
	mox(t, "", "verifydata", filepath.Join(dir, "data")).want(t, 0, "1 accounts, 0 messages", "")
	mox(t, "", "verifydata", filepath.Join(dir, "none")).want(t, 1, "", "there is no data directory")
	mox(t, "", "verifydata", path).want(t, 1, "", "is not a directory")
	mox(t, "", "-config", path, "compact").want(t, 0, "accounts/mox/index.db: ", "")
	mox(t, "", "-config", path, "compact", "mox").want(t, 0, "accounts/mox/index.db: ", "")
	mox(t, "", "-config", path, "compact", "nobody").want(t, 1, "", `there is no account "nobody"`)

	// A message file that nothing knows of.
	stray := filepath.Join(dir, "data", "accounts", "mox", "msg", "a", "1")
	if err := os.MkdirAll(filepath.Dir(stray), 0700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stray, []byte("x"), 0600); err != nil {
		t.Fatal(err)
	}
	mox(t, "", "-config", path, "verifydata").want(t, 1, "account mox: ", "use -fix to correct those that can be")
	mox(t, "", "-config", path, "verifydata", "-fix").want(t, 1, "(fixed)", "all of them were fixed")
	mox(t, "", "-config", path, "verifydata").want(t, 0, "checked", "")
}

func TestVerifyDataAndCompactHandleTheQueue(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	mox(t, "", "localserve", "-initonly", "-dir", dir).want(t, 0, "made ", "")
	path := filepath.Join(dir, "mox.conf")
	data := filepath.Join(dir, "data")
	q, err := queuedb.Open(t.Context(), queuedb.Options{Dir: data, Log: mlog.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	mox(t, "", "-config", path, "verifydata").want(t, 0, "checked", "")
	mox(t, "", "-config", path, "compact").want(t, 0, "queue/index.db: ", "")
	if r := mox(t, "", "-config", path, "compact", "mox"); strings.Contains(r.out, "queue") {
		t.Errorf("compacting an account: got %q", r.out)
	}
	q, err = queuedb.Open(t.Context(), queuedb.Options{Dir: data, Log: mlog.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	stray := filepath.Join(data, "queue", "msg", "a", "1")
	if err := os.MkdirAll(filepath.Dir(stray), 0700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stray, []byte("x"), 0600); err != nil {
		t.Fatal(err)
	}
	mox(t, "", "-config", path, "verifydata").want(t, 1, "queue: file ", "use -fix")
	mox(t, "", "-config", path, "verifydata", "-fix").want(t, 1, "(fixed)", "all of them were fixed")
	mox(t, "", "-config", path, "verifydata").want(t, 0, "checked", "")
	if err := os.WriteFile(filepath.Join(data, "queue", "index.db"), []byte("x"), 0600); err != nil {
		t.Fatal(err)
	}
	mox(t, "", "-config", path, "verifydata").want(t, 1, "queue: database file", "1 problems")
}

func TestIMAPServeNeedsAnAddressAndAServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	mox(t, "", "localserve", "-initonly", "-dir", dir).want(t, 0, "made "+dir, "")
	conf := filepath.Join(dir, "mox.conf")
	mox(t, "", "-config", conf, "admin", "imapserve").want(t, 2, "", "usage: mox admin imapserve [-fd0] preauthaddress")
	mox(t, "", "-config", conf, "admin", "imapserve", "mox@localhost").want(t, 1, "", "mox is not running")
	mox(t, "", "-config", conf, "admin", "imapserve", "-fd0", "mox@localhost").want(t, 1, "", "standard input cannot be written to")
}
