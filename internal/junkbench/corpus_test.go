// Package junkbench measures package junk on a corpus of mail, beside bogofilter.
package junkbench

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/internal/testkit"
	"mox/junk"
	"mox/message"
)

// A mail is a message of the corpus.
type mail struct {
	name   string
	data   []byte // Without the mbox From line.
	spam   bool
	at     time.Time
	source string // Who is behind it: the list it came over, else the address in From.
	tokens *junk.Tokens
}

// A corpus is what is measured on: messages without repeats, by time.
type corpus struct {
	mails           []mail
	hamAll, spamAll int // Before repeats were removed.
	ham, spam       int
	noDate          int
}

// readCorpus reads the corpus. A message is a repeat if its body, without all white
// space, is that of one before it in the order of names; the first stays. Messages are
// in the order of the date in the first Received field, else of Date.
func readCorpus(t testing.TB) corpus {
	t.Helper()
	file := testkit.Shared(t, "testdata/spam/spamassassin.tar.xz")
	c := corpus{mails: readTar(t, file)}
	slices.SortFunc(c.mails, func(a, b mail) int { return strings.Compare(a.name, b.name) })
	seen := map[[32]byte]bool{}
	c.mails = slices.DeleteFunc(c.mails, func(m mail) bool {
		count(m.spam, &c.hamAll, &c.spamAll)
		k := bodyKey(m.data)
		if seen[k] {
			return true
		}
		seen[k] = true
		count(m.spam, &c.ham, &c.spam)
		return false
	})
	for i := range c.mails {
		m := &c.mails[i]
		r := bytes.NewReader(m.data)
		root, err := message.Parse(r, r.Size(), message.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if m.tokens, err = junk.Read(r, r.Size(), root); err != nil {
			t.Fatal(err)
		}
		h := message.ParseHeader(m.data, message.Limits{})
		var ok bool
		if m.at, ok = mailTime(h); !ok {
			c.noDate++
		}
		m.source = source(h)
	}
	slices.SortStableFunc(c.mails, func(a, b mail) int { return a.at.Compare(b.at) })
	return c
}

func count(spam bool, ham, junk *int) {
	if spam {
		*junk++
	} else {
		*ham++
	}
}

// readTar reads the messages of an archive.
func readTar(t testing.TB, file string) []mail {
	t.Helper()
	cmd := exec.Command(testkit.Tool(t, "xz"), "-dc", file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var l []mail
	for tr := tar.NewReader(out); ; {
		hd, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if hd.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(data, []byte("From ")) {
			_, data, _ = bytes.Cut(data, []byte("\n"))
		}
		dir := path.Base(path.Dir(hd.Name))
		l = append(l, mail{name: dir + "/" + path.Base(hd.Name), data: data, spam: strings.HasPrefix(dir, "spam")})
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return l
}

// bodyKey returns what repeats are found by.
func bodyKey(data []byte) [32]byte {
	var body []byte
	if i := bytes.Index(data, []byte("\n\n")); i >= 0 {
		body = data[i:]
	}
	if i := bytes.Index(data, []byte("\r\n\r\n")); i >= 0 && len(data)-i > len(body) {
		body = data[i:]
	}
	return sha256.Sum256(bytes.Join(bytes.Fields(body), nil))
}

// mailTime returns the date in the first Received field, else that of Date.
func mailTime(h message.Header) (time.Time, bool) {
	if v := h.Value("Received"); v != "" {
		if at, ok := message.ParseDate(v[strings.LastIndexByte(v, ';')+1:]); ok {
			return at, true
		}
	}
	return message.ParseDate(h.Value("Date"))
}

// source returns who is behind a message.
func source(h message.Header) string {
	for _, name := range []string{"List-Id", "List-Post", "Mailing-List", "X-Mailing-List", "X-Beenthere"} {
		if v := h.Value(name); v != "" {
			return "list " + strings.ToLower(v)
		}
	}
	if l := h.Addresses("From"); len(l) > 0 {
		return strings.ToLower(l[0].AddrSpec())
	}
	return ""
}
