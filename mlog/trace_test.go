package mlog_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"mox/mlog"
)

func TestTranscriptsHideCredentialsAndData(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		level slog.Level
		want  []string // For command, credentials, message data.
	}{
		{mlog.LevelDebug, nil},
		{mlog.LevelTrace, []string{
			`l=trace m="RC: a1 NOOP\r\n" pkg=test size=9`,
			`l=trace m="RC: ***" pkg=test size=6`,
			`l=trace m="RC: ..." pkg=test size=4`}},
		{mlog.LevelTraceauth, []string{
			`l=trace m="RC: a1 NOOP\r\n" pkg=test size=9`,
			`l=traceauth m="RC: s3cret" pkg=test size=6`,
			`l=trace m="RC: ..." pkg=test size=4`}},
		{mlog.LevelTracedata, []string{
			`l=trace m="RC: a1 NOOP\r\n" pkg=test size=9`,
			`l=traceauth m="RC: s3cret" pkg=test size=6`,
			`l=tracedata m="RC: mail" pkg=test size=4`}},
	} {
		log, buf := newLog(mlog.Options{Levels: mlog.NewLevels(tc.level)})
		mlog.Trace(t.Context(), log, mlog.LevelTrace, "RC: ", []byte("a1 NOOP\r\n"))
		mlog.Trace(t.Context(), log, mlog.LevelTraceauth, "RC: ", []byte("s3cret"))
		mlog.Trace(t.Context(), log, mlog.LevelTracedata, "RC: ", []byte("mail"))
		if got, want := buf.String(), strings.Join(append(tc.want, ""), "\n"); got != want {
			t.Errorf("at %s got\n%swant\n%s", mlog.LevelName(tc.level), got, want)
		}
	}
}

func TestTracerFollowsTheKindOfData(t *testing.T) {
	t.Parallel()
	log, buf := newLog(mlog.Options{Levels: mlog.NewLevels(mlog.LevelTrace)})
	ctx := mlog.WithCid(t.Context(), 1)
	r := mlog.NewTracer(ctx, log, "RC: ")
	w := mlog.NewTracer(ctx, log, "LS: ")
	in := r.Reader(strings.NewReader("EHLO x\r\ns3cret"))
	var out bytes.Buffer
	tw := w.Writer(&out)
	if _, err := io.ReadFull(in, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(tw, "250 OK\r\n"); err != nil {
		t.Fatal(err)
	}
	restore := r.SetLevel(mlog.LevelTraceauth)
	if _, err := io.ReadFull(in, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	restore()
	if _, err := in.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	want := `l=trace m="RC: EHLO x\r\n" pkg=test cid=1 size=8
l=trace m="LS: 250 OK\r\n" pkg=test cid=1 size=8
l=trace m="RC: ***" pkg=test cid=1 size=6
`
	if buf.String() != want || out.String() != "250 OK\r\n" {
		t.Errorf("got\n%swant\n%s", buf, want)
	}
	if restore(); strings.Contains(buf.String(), "s3cret") {
		t.Error("credentials are in the log")
	}
}

func TestLongTranscriptsAreCut(t *testing.T) {
	t.Parallel()
	log, buf := newLog(mlog.Options{Levels: mlog.NewLevels(mlog.LevelTracedata)})
	mlog.Trace(t.Context(), log, mlog.LevelTracedata, "", bytes.Repeat([]byte("x"), 1<<20))
	if buf.Len() > 20_000 || !strings.HasSuffix(buf.String(), "...\" pkg=test size=1048576\n") {
		t.Errorf("line of %d bytes", buf.Len())
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	s := mlog.Secret("s3cret")
	type login struct {
		User string
		Pass mlog.Secret
		List []mlog.Secret
		Map  map[string]mlog.Secret
	}
	l := login{"mjl", s, []mlog.Secret{s}, map[string]mlog.Secret{"k": s}}
	log, buf := newLog(mlog.Options{})
	log.Info("m", "pass", s, "login", l, "ptr", &l, "nested", []any{l, &s, []login{l}}, "err", fmt.Errorf("bad %s %v %q %x %+v", s, s, s, s, l))
	buf.WriteString(fmt.Sprintf("%s %v %+v %#v %q %x %d %v %#v", s, s, s, s, s, s, s, l, l))
	buf.WriteString(fmt.Sprint(s, l))
	slog.New(slog.NewJSONHandler(buf, nil)).Info("m", "pass", s)
	slog.New(slog.NewTextHandler(buf, nil)).Info("m", "pass", s, "login", l)
	hex := fmt.Sprintf("%x", "s3cret")
	if out := buf.String(); strings.Contains(out, "s3cret") || strings.Contains(out, hex) || !strings.Contains(out, "pass=***") {
		t.Errorf("got %s", out)
	}
	if string(s) != "s3cret" {
		t.Error("the text is lost")
	}
}

func TestCidsAreCountedAndCarried(t *testing.T) {
	t.Parallel()
	src := mlog.NewCidSource(1000)
	var wg sync.WaitGroup
	var seen sync.Map
	for range 100 {
		wg.Go(func() {
			if _, dup := seen.LoadOrStore(src.Next(), true); dup {
				t.Error("id was given out twice")
			}
		})
	}
	wg.Wait()
	if n := src.Next(); n != 1101 {
		t.Errorf("next is %d", n)
	}
	var zero mlog.CidSource
	if zero.Next() != 1 {
		t.Error("zero value does not start at 1")
	}
	ctx := mlog.WithCid(t.Context(), 7)
	if mlog.Cid(ctx) != 7 || mlog.Cid(t.Context()) != 0 {
		t.Error("id of a context")
	}
}

func TestEncryptedCidsAreForTheOperator(t *testing.T) {
	t.Parallel()
	key := mlog.NewCidKey()
	c, err := mlog.NewCidCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	same, err := mlog.NewCidCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	other, err := mlog.NewCidCipher(mlog.NewCidKey())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, cid := range []int64{0, 1, 2, 255, 1 << 40, 1<<63 - 1, -1} {
		s := c.Encode(cid)
		if raw, err := base64.RawURLEncoding.DecodeString(s); err != nil || len(raw) != 16 || seen[s] {
			t.Errorf("%d is %q: %v", cid, s, err)
		}
		seen[s] = true
		if got, err := same.Decode(s); err != nil || got != cid {
			t.Errorf("%q decodes to %d, %v, want %d", s, got, err, cid)
		}
		if _, err := other.Decode(s); !errors.Is(err, mlog.ErrCid) {
			t.Errorf("with another key: %v", err)
		}
	}
	s := c.Encode(1)
	for _, bad := range []string{"", "x", s[1:], s + "A", s + "==", strings.ToLower(s) + "!", "\n" + s, base64.RawURLEncoding.EncodeToString(make([]byte, 16))} {
		if _, err := c.Decode(bad); !errors.Is(err, mlog.ErrCid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, n := range []int{0, 8, 15, 17, 32} {
		if _, err := mlog.NewCidCipher(make([]byte, n)); err == nil {
			t.Errorf("key of %d bytes", n)
		}
	}
}

func TestCidKeyOfSixteenBytesIsEnough(t *testing.T) {
	t.Parallel()
	key := mlog.NewCidKey()[:mlog.CidKeySize]
	c, err := mlog.NewCidCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Decode(c.Encode(42)); err != nil || got != 42 {
		t.Errorf("got %d, %v", got, err)
	}
}

func FuzzCidDecode(f *testing.F) {
	c, err := mlog.NewCidCipher([]byte("0123456789abcdefprefix12"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.Encode(1))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		cid, err := c.Decode(s)
		if err == nil && c.Encode(cid) != s {
			t.Fatalf("%q decodes to %d, which encodes to %q", s, cid, c.Encode(cid))
		}
	})
}
