package message

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

// trace is like what a server puts in front of a message.
const trace = "X-Reason: good\r\nDelivered-To: <a@b.example>\r\nReturn-Path: <c@d.example>\r\n" +
	"Received: from x by y;\r\n\tSat, 21 Nov 2026 12:00:00 +0000\r\nReceived: from z by x; date\r\n"

// checkPrepend compares the digest of a message with a prefix in front with one that
// was made from both.
func checkPrepend(t *testing.T, prefix, msg string) {
	t.Helper()
	got, err := Digest(mustDigest(t, msg)).Prepend([]byte(prefix), strings.NewReader(prefix+msg))
	if err != nil {
		t.Fatal(err)
	}
	if want := Digest(mustDigest(t, prefix+msg)); !bytes.Equal(got, want) {
		t.Errorf("prefix %q before %.200q: digest\n%q, want\n%q", prefix, msg, got, want)
	}
}

func TestPrependIsAsIfParsedWhole(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("Organization: "+strings.Repeat("x", 60)+"\r\n", 100)
	many := strings.Repeat("Abc: x\r\n", 20000)
	for _, msg := range []string{
		"", "\r\n", "\n", "x", "Subject: x", "Subject: x\r\n", "Subject: x\r\n\r\n", "Subject: x\n\nbody\n", " folded\r\nSubject: x\r\n\r\n", "\tfolded",
		"From a@b\r\nSubject: x\r\n\r\nbody", "--b\r\n\r\nx", "no field\r\n\r\nx", ": no name\r\n\r\n",
		"Return-Path: <>\r\nReceived: first\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\nx",
		"Subject: \u00e9\r\n\r\n", "Subject: x\r\n\r\n\u00e9",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nz\r\n--b--\r\n",
		"Content-Type: multipart/mixed; boundary=b\r\n--b\r\n--b\r\n--b--\r\n",
		"Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nz\r\n",
		"Content-Transfer-Encoding: base64\r\n\r\nYWJj\r\n",
		"Subject: x\r\n" + large + "\r\n", "Subject: x\r\n" + many + "\r\n",
		complexExample, complexMessage, digestMessage, string(typicalMessage()),
	} {
		for _, prefix := range []string{
			trace, "", "X: y\r\n", "X: y\n", "X: y\r\n\tz\r\n", "X: \u00e9\r\n", "Return-Path: <>\r\n\r\n", "no field\r\n", " folded\r\n", "X: y",
			"Subject: other\r\n", "Date: Fri, 20 Nov 2026 12:00:00 +0000\r\n", "Content-Type: text/html\r\n", "From: other@x.example\r\n", "MIME-Version: 1.0\r\n",
			"Precedence: bulk\r\nList-Id: <x.example>\r\n",
		} {
			checkPrepend(t, prefix, msg)
		}
	}
}

func TestPrependDoesNotReadAllOfTheMessage(t *testing.T) {
	t.Parallel()
	msg := string(typicalMessage())
	d := Digest(mustDigest(t, msg))
	got, err := d.Prepend([]byte(trace), strings.NewReader(trace+msg[:1]))
	if err != nil {
		t.Fatal(err)
	}
	if want := Digest(mustDigest(t, trace+msg)); !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	bad := errors.New("bad")
	if _, err := d.Prepend([]byte(trace), errorReaderAt{bad}); !errors.Is(err, bad) {
		t.Errorf("got %v, want an error of reading", err)
	}
	if _, err := d.Prepend([]byte("Subject: x\r\n"), errorReaderAt{bad}); !errors.Is(err, bad) {
		t.Errorf("got %v, want an error of reading", err)
	}
}

type errorReaderAt struct{ err error }

func (r errorReaderAt) ReadAt(b []byte, _ int64) (int, error) {
	return iotest.ErrReader(r.err).Read(b)
}

func FuzzPrepend(f *testing.F) {
	f.Add(trace, complexMessage)
	f.Add("A: b\n", " x\n\n")
	f.Add("From: a\r\n", "--\r\n")
	f.Fuzz(func(t *testing.T, prefix, msg string) {
		if len(prefix)+len(msg) > MaxDigestFields {
			return // Which fields are left out may differ.
		}
		checkPrepend(t, prefix, msg)
	})
}

func BenchmarkPrepend(b *testing.B) {
	msg := typicalMessage()
	d := Digest(mustDigest(b, string(msg)))
	whole := bytes.NewReader(append([]byte(trace), msg...))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Prepend([]byte(trace), whole); err != nil {
			b.Fatal(err)
		}
	}
}
