package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// junkDirs makes directories with n messages each about gardens and about pills.
func junkDirs(t *testing.T, n int) (ham, spam string) {
	t.Helper()
	dir := t.TempDir()
	ham, spam = filepath.Join(dir, "ham", "cur"), filepath.Join(dir, "spam")
	for _, d := range []string{ham, spam} {
		if err := os.MkdirAll(d, 0700); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		date := fmt.Sprintf("Date: Mon, %d Mar 2026 10:00:00 +0000\r\n", i%28+1)
		for path, msg := range map[string]string{
			filepath.Join(ham, fmt.Sprint(i)):  "From: ann@example.org\r\nSubject: roses\r\n" + date + "\r\nThe garden needs water, and the roses bloom.\r\n",
			filepath.Join(spam, fmt.Sprint(i)): "From: shop@example.com\r\nSubject: cheap pills\r\n" + date + "\r\nBuy cheap pills now, best offer from our store.\r\n",
		} {
			if err := os.WriteFile(path, []byte(msg), 0600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return filepath.Dir(ham), spam
}

// junkRun runs a command and returns its exit code and what it printed.
func junkRun(args ...string) (code int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	code = Main(append([]string{"mox"}, args...), strings.NewReader(""), &out, &errOut)
	return code, out.String(), errOut.String()
}

func TestJunkCommandsTrainTestAndCheck(t *testing.T) {
	t.Parallel()
	ham, spam := junkDirs(t, 20)
	db := "-db=" + filepath.Join(t.TempDir(), "x.db")
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"junk", "test", db, ham, spam}, 1, ""},
		{[]string{"junk", "train", db, "-noprior", ham, spam}, 0, "trained with 40 messages; the filter knows 20 ham, 20 junk"},
		{[]string{"junk", "test", db, "-noprior", ham, spam}, 0, "ham: 0 of 20 taken for junk (0.00%); junk: 20 of 20 found (100.00%)"},
		{[]string{"junk", "test", db, "-noprior", spam, ham}, 0, "ham taken for junk: probability 0.9"},
		{[]string{"junk", "check", db, "-noprior", filepath.Join(spam, "3")}, 0, "junk\nprobability: 0.9"},
		{[]string{"junk", "check", db, "-noprior", filepath.Join(spam, "3")}, 0, "pills (20 junk, 0 ham)"},
		{[]string{"junk", "check", db, "-noprior", filepath.Join(ham, "cur", "3")}, 0, "ham\nprobability: 0.0"},
		{[]string{"junk", "check", filepath.Join(ham, "nosuch")}, 1, ""},
		{[]string{"junk", "check"}, 2, ""},
		{[]string{"junk", "train", ham}, 2, ""},
		{[]string{"junk", "test"}, 2, ""},
		{[]string{"junk", "train", db, "-maxpower=0.7", ham, spam}, 1, ""},
		{[]string{"junk", "train", db, ham, "/nosuch"}, 1, ""},
	} {
		code, out, errOut := junkRun(tc.args...)
		if code != tc.code || !strings.Contains(out, tc.want) {
			t.Errorf("%v: exit code %d, want %d; printed %q, want %q; errors %q", tc.args, code, tc.code, out, tc.want, errOut)
		}
	}
}

func TestJunkCheckWithoutAFilterUsesThePrior(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "msg")
	msg := "From: x@example.com\r\nSubject: MAKE MONEY!\r\n\r\nDear friend, to be removed from our mailing list, reply with remove in the subject line.\r\n" +
		"Order now, click here, risk free, earn extra income working from home, call toll free.\r\n"
	if err := os.WriteFile(file, []byte(msg), 0600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := junkRun("junk", "check", "-db="+filepath.Join(dir, "none"), file)
	if code != 0 || !strings.Contains(out, "significant: true") {
		t.Errorf("exit code %d, printed %q, errors %q", code, out, errOut)
	}
}

func TestJunkAnalyzeAndPlayUseATemporaryFilter(t *testing.T) {
	t.Parallel()
	ham, spam := junkDirs(t, 40)
	code, out, errOut := junkRun("junk", "analyze", "-noprior", ham, spam)
	if code != 0 || !strings.Contains(out, "trained with 40 messages\nham: 0 of ") || !strings.Contains(out, "     0 ham lost (0.00%)") || !strings.Contains(out, "junk found (100.00%)") {
		t.Errorf("analyze: exit code %d, printed %q, errors %q", code, out, errOut)
	}
	if code, _, _ := junkRun("junk", "analyze", "-trainratio=1", ham, spam); code != 2 {
		t.Errorf("analyze with all for training: exit code %d", code)
	}
	code, out, errOut = junkRun("junk", "play", "-noprior", ham, spam)
	if code != 0 || !strings.Contains(out, "junk taken for ham: ") || !strings.Contains(out, "of 40 found") || !strings.Contains(out, "learned from ") {
		t.Errorf("play: exit code %d, printed %q, errors %q", code, out, errOut)
	}
	code, out, errOut = junkRun("junk", "play", "-all", "-noprior", ham, spam)
	if code != 0 || !strings.Contains(out, "learned from 40 ham and 40 junk") {
		t.Errorf("play -all: exit code %d, printed %q, errors %q", code, out, errOut)
	}
	for _, cmd := range []string{"analyze", "play"} {
		if code, _, _ := junkRun("junk", cmd, ham); code != 2 {
			t.Errorf("%s with one directory: exit code %d", cmd, code)
		}
	}
}
