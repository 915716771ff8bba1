package junk

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// priorLines returns the lines of a prior.
func priorLines(t *testing.T, data []byte) []string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func TestDefaultPriorIsSmallAndDoesNotTellWhereItIsFrom(t *testing.T) {
	t.Parallel()
	p, err := DefaultPrior()
	if err != nil {
		t.Fatal(err)
	}
	if p.Words() < 5000 || len(priorFile) > 300_000 {
		t.Errorf("%d words in %d bytes", p.Words(), len(priorFile))
	}
	for i, line := range priorLines(t, priorFile)[2:] {
		var ham, spam int
		if _, err := fmt.Sscanf(line, "%d %d", &ham, &spam); err != nil || ham+spam < 3 {
			t.Errorf("line %d, %q: fewer than 3 messages, or no counts", i, line)
		}
		_, text, _ := strings.Cut(line[strings.IndexByte(line, ' ')+1:], " ")
		if strings.HasPrefix(text, "from:") && !strings.HasPrefix(text, "from:.") || strings.HasPrefix(text, "reply-to:") || strings.HasPrefix(text, "name:") {
			t.Errorf("line %d, %q: about a sender", i, line)
		}
		for _, s := range []string{"netnoteinc", "jmason", "spamassassin", "slashnull", "zawodny", "zzzz", "yyyy", "linux.ie", "xent", "delivered-to", "list-id", "received:"} {
			if strings.Contains(text, s) {
				t.Errorf("line %d, %q: tells about the corpus", i, line)
			}
		}
	}
}

func TestPriorIsUsefulAtOnceAndFades(t *testing.T) {
	t.Parallel()
	p, err := DefaultPrior()
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, Options{Prior: p})
	spam := read(t, "From: <deals@offers.example>\nSubject: MAKE MONEY FAST!\n\n"+
		"Dear friend, this is not spam. You are receiving this email because you opted in. To be removed from our mailing list please reply with remove in the subject line. "+
		"100% free! Order now, click here, no obligation, risk free, money back guarantee. Earn extra income working from home, call toll free.\n")
	ham := read(t, "From: Ann Smith <ann@example.edu>\nSubject: Re: compiling the kernel module\nIn-Reply-To: <x@example.org>\nReferences: <x@example.org>\nUser-Agent: Mutt/1.4\n\n"+
		"Bob wrote:\n> it seems the default install fails\n\nYeah, I'm not sure that's a bug. I think the perl script in /usr/lib is broken, did you try the cvs version?\n")
	if v := classify(t, f, spam); !v.Junk || !v.Significant {
		t.Errorf("junk: got %+v", v)
	}
	if v := classify(t, f, ham); v.Junk || !v.Significant || v.Probability > 0.1 {
		t.Errorf("ham: got %+v", v)
	}
	last := f.Stats().Prior
	if last != 1 {
		t.Errorf("the prior counts %v at first", last)
	}
	for range 4 {
		trainSome(t, f, 25)
		now := f.Stats().Prior
		if now >= last {
			t.Errorf("the prior counts %v, after %v", now, last)
		}
		last = now
	}
	f.st.Ham, f.st.Spam = 5000, 5000
	if s := f.Stats(); s.Prior != 0 {
		t.Errorf("the prior never goes: %+v", s)
	}
}

func TestPriorHasWordsOfSeveralSendersOnly(t *testing.T) {
	t.Parallel()
	b := NewPriorBuilder(PriorOptions{MaxWords: 100, Senders: 3, Skip: func(s string) bool { return s == "secret" || strings.HasPrefix(s, "from:") }})
	for i := range 6 {
		sender := fmt.Sprintf("s%d@example.org", i)
		b.Add(read(t, text("cheap pills secret thing")), sender, true)
		b.Add(read(t, text("single sender")), "same@example.org", true)
		b.Add(read(t, text("red roses")), sender, false)
	}
	var buf bytes.Buffer
	n, err := b.WriteTo(&buf)
	if err != nil || n != int64(buf.Len()) {
		t.Fatalf("wrote %d of %d: %v", n, buf.Len(), err)
	}
	lines := priorLines(t, buf.Bytes())
	if lines[0] != priorMagic || lines[1] != "6 12" {
		t.Errorf("begins with %q", lines[:2])
	}
	all := strings.Join(lines, "\n") + "\n"
	for s, want := range map[string]bool{"0 6 pills\n": true, "6 0 roses\n": true, "0 6 cheap\tpills\n": true, "secret": false, "single": false, "from:": false} {
		if strings.Contains(all, s) != want {
			t.Errorf("%q: want %v in %q", s, want, all)
		}
	}
	p, err := ReadPrior(&buf)
	if err != nil {
		t.Fatal(err)
	}
	one, two := hashText([]byte("cheap")), hashText([]byte("pills"))
	if p.words[one] != (priorWord{0, 6}) || p.words[hashPair(one, two)] != (priorWord{0, 6}) || p.ham != 6 || p.spam != 12 {
		t.Errorf("got %+v", p)
	}
}

func TestBrokenPriorsAreRefused(t *testing.T) {
	t.Parallel()
	pack := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	good := pack(priorMagic + "\n1 2\n3 4 word\n")
	if p, err := ReadPrior(strings.NewReader(good)); err != nil || p.Words() != 1 {
		t.Errorf("got %v, %v", p, err)
	}
	for _, s := range []string{"", "x", good[:len(good)-4], pack(""), pack("other\n1 2\n"), pack(priorMagic), pack(priorMagic + "\nx\n"), pack(priorMagic + "\n1 2\n3 word\n"),
		pack(priorMagic + "\n1 2\n99999 1 word\n"), pack(priorMagic + "\n1 2\n1 1 " + strings.Repeat("x", 1<<20))} {
		if _, err := ReadPrior(strings.NewReader(s)); !errors.Is(err, ErrPrior) {
			t.Errorf("got %v", err)
		}
	}
}
