package message

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"mox/internal/testkit"
)

// checkMessage checks all that must hold for any message.
func checkMessage(t testing.TB, msg string) Digest {
	t.Helper()
	d := mustDigest(t, msg)
	root := mustParse(t, msg, Limits{})
	checkTree(t, msg, root)
	if string(d.BodyStructure()) != string(AppendBodyStructure(nil, root)) || string(d.Body()) != string(AppendBody(nil, root)) {
		t.Errorf("the digest has another structure")
	}
	tree, err := d.Tree()
	if err != nil || outline(tree) != outline(root) {
		t.Errorf("tree %v", err)
	}
	for _, s := range [][]byte{d.SearchSubject(), d.SearchFrom(), d.SearchTo(), d.SearchCc(), d.BaseSubject(), d.Preview(), d.MessageID()} {
		if !utf8.Valid(s) {
			t.Errorf("not UTF-8: %q", s)
		}
	}
	if n := utf8.RuneCount(d.Preview()); n > MaxPreview {
		t.Errorf("preview of %d characters", n)
	}
	for p := range root.Walk() {
		if p.Type != "TEXT" {
			continue
		}
		text, err := io.ReadAll(p.TextReader(strings.NewReader(msg)))
		if err != nil || !utf8.Valid(text) {
			t.Errorf("text: %v", err)
		}
	}
	// Each section of the tree can be found by its path.
	var find func(p *Part, path []uint32)
	find = func(p *Part, path []uint32) {
		got, err := root.Find(path)
		if err != nil || len(path) > 0 && got.BodyStart != p.BodyStart {
			t.Errorf("no part at %v: %v", path, err)
		}
		if p.Message != nil {
			p = p.Message
		}
		for i, sub := range p.Parts {
			find(sub, append(path[:len(path):len(path)], uint32(i+1)))
		}
	}
	if len(root.Parts) > 0 {
		find(root, nil)
	}
	return d
}

func TestSharedMail(t *testing.T) {
	t.Parallel()
	dir := testkit.Shared(t, "testdata/mail")
	n := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		n++
		name, _ := filepath.Rel(dir, path)
		t.Run(name, func(t *testing.T) {
			raw := string(testkit.ReadFile(t, path))
			lf := strings.ReplaceAll(raw, "\r\n", "\n")
			a, b := checkMessage(t, raw), checkMessage(t, strings.ReplaceAll(lf, "\n", "\r\n"))
			checkMessage(t, lf)
			if string(a.Envelope()) != string(b.Envelope()) {
				t.Errorf("line ends make a difference:\n%s\n%s", a.Envelope(), b.Envelope())
			}
		})
		return nil
	})
	if err != nil || n < 70 {
		t.Errorf("%d messages, %v", n, err)
	}
}

// What is known of some of the messages.
func TestSharedMailDetails(t *testing.T) {
	t.Parallel()
	dir := testkit.Shared(t, "testdata/mail")
	for _, c := range []struct{ file, subject, from, preview, outline string }{
		{"multi_charset/japanese_shift_jis.eml", "", "", "", "TEXT/PLAIN"},
		{"multi_charset/ks_c_5601-1987.eml", "", "", "", "TEXT/PLAIN"},
		{"mime_emails/email_with_similar_boundaries.eml", "xxxxxx", "xxxxx <xxxxxx@xxxxxxxx.xxx>\n", "Test", "MULTIPART/MIXED(MULTIPART/ALTERNATIVE(TEXT/PLAIN TEXT/HTML) APPLICATION/OCTETSTREAM)"},
		{"multipart_report_emails/report_422.eml", "warning: could not send message for past 8 hours", "", "", "MULTIPART/REPORT(TEXT/PLAIN MESSAGE/DELIVERY-STATUS TEXT/RFC822-HEADERS)"},
		{"attachment_emails/attachment_message_rfc822.eml", "testing", "<foo@example.com>\n", "This is the first part.", "MULTIPART/MIXED(TEXT/PLAIN MESSAGE/RFC822[MULTIPART/MIXED(TEXT/PLAIN APPLICATION/PDF)])"},
		{"rfc2822/example04.eml", "", "pete <pete@silly.example>\n", "Testing.", "TEXT/PLAIN"},
	} {
		raw, err := os.ReadFile(filepath.Join(dir, c.file))
		if err != nil {
			t.Fatal(err)
		}
		d := mustDigest(t, string(raw))
		root, _ := d.Tree()
		for _, f := range []struct{ name, got, want string }{
			{"subject", string(d.SearchSubject()), c.subject}, {"from", string(d.SearchFrom()), c.from},
			{"preview", string(d.Preview()), c.preview}, {"structure", outline(root), c.outline},
		} {
			if f.want != "" && f.got != f.want {
				t.Errorf("%s: %s %q, want %q", c.file, f.name, f.got, f.want)
			}
		}
		if strings.Contains(string(d.SearchSubject()), "=?") || strings.Contains(string(d.Preview()), "\ufffd") {
			t.Errorf("%s: subject %q, preview %q", c.file, d.SearchSubject(), d.Preview())
		}
	}
}

// A sample of real mail, most of it spam with all that is wrong in spam.
func TestSharedSpam(t *testing.T) {
	t.Parallel()
	path := testkit.Shared(t, "testdata/spam/spamassassin.tar.xz")
	every := 7
	if testing.Short() {
		every = 100
	}
	cmd := exec.Command(testkit.Tool(t, "xz"), "-dc", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n, dated, shown := 0, 0, 0
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
		if n++; n%every != 0 {
			continue
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		d := checkMessage(t, string(raw))
		if t.Failed() {
			t.Fatalf("in %s", h.Name)
		}
		if _, ok := d.SentTime(); ok {
			dated++
		}
		if len(d.Preview()) > 0 {
			shown++
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	sample := n / every
	if n < 6000 || dated < sample*98/100 || shown < sample*95/100 {
		t.Errorf("%d messages; of %d, %d with a date, %d with a preview", n, sample, dated, shown)
	}
}
