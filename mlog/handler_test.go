package mlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/slogtest"
	"time"

	"mox/mlog"
)

// newLog returns a logger for package "test" and what it writes.
func newLog(opts mlog.Options) (*slog.Logger, *bytes.Buffer) {
	var buf bytes.Buffer
	return mlog.New("test", mlog.NewHandler(&buf, opts)), &buf
}

// domain is a type that knows how it looks in a log.
type domain struct{ ascii, unicode string }

func (d domain) LogValue() slog.Value { return slog.StringValue(d.unicode + "/" + d.ascii) }

type stringer struct{ s string }

func (s *stringer) String() string { return s.s }

type inner struct {
	A int
	B string
}

type outer struct {
	Name   string
	Inner  inner
	Ptr    *inner
	List   []inner
	Zero   int
	hidden string
	inner  // Embedded and not exported: its fields are not either, to reflection by name.
}

func TestLinesAreLogfmt(t *testing.T) {
	t.Parallel()
	tm := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	var nilStringer *stringer
	for _, tc := range []struct {
		msg   string
		attrs []slog.Attr
		want  string
	}{
		{"hello", nil, `m="hello" pkg=test`},
		{`say "hi"` + "\n", nil, `m="say \"hi\"\n" pkg=test`},
		{"m", []slog.Attr{slog.Int("n", 5), slog.Bool("b", true), slog.Uint64("u", 1<<63)}, `n=5 b=true u=9223372036854775808`},
		{"m", []slog.Attr{slog.Float64("f", 1.5), slog.Duration("d", 1500*time.Millisecond), slog.Time("t", tm)}, `f=1.5 d=1.5s t=2026-01-02T03:04:05.0000006Z`},
		{"m", []slog.Attr{slog.Time("t", time.Time{})}, `t=-`},
		{"m", []slog.Attr{mlog.Err(errors.New("went wrong")), slog.Int("n", 1)}, `m="m" err="went wrong" pkg=test n=1`},
		{"m", []slog.Attr{mlog.Err(nil)}, `m="m" pkg=test`},
		{"m", []slog.Attr{slog.Any("other", errors.New("x y"))}, `pkg=test other="x y"`},

		// Values in quotes: space, quote, backslash, equals sign, control, non-ASCII.
		{"m", []slog.Attr{slog.String("s", "plain-._/:;@")}, `s=plain-._/:;@`},
		{"m", []slog.Attr{slog.String("s", "")}, `s=""`},
		{"m", []slog.Attr{slog.String("s", "a b")}, `s="a b"`},
		{"m", []slog.Attr{slog.String("s", `a"b`)}, `s="a\"b"`},
		{"m", []slog.Attr{slog.String("s", `a\b`)}, `s="a\\b"`},
		{"m", []slog.Attr{slog.String("s", "a=b")}, `s="a=b"`},
		{"m", []slog.Attr{slog.String("s", "a\nl=error")}, `s="a\nl=error"`},
		{"m", []slog.Attr{slog.String("s", "a\x7f\x1b[1m")}, `s="a\x7f\x1b[1m"`},
		{"m", []slog.Attr{slog.String("s", "é")}, `s="é"`},
		{"m", []slog.Attr{slog.String("s", "\xff")}, `s="\xff"`},
		{"m", []slog.Attr{slog.String("s", "a\u202eb\u2028")}, `s="a\u202eb\u2028"`}, // Not printable.
		{"m", []slog.Attr{slog.String("a b=\"", "x")}, `a_b__=x`},
		{"m", []slog.Attr{slog.String("", "x")}, `_=x`},

		{"m", []slog.Attr{slog.Any("b", []byte{0xfb, 0xff, 1})}, `b=-_8B`},
		{"m", []slog.Attr{slog.Any("d", domain{"xn--9ca.example", "é.example"})}, `d="é.example/xn--9ca.example"`},
		{"m", []slog.Attr{slog.Any("l", []domain{{"a", "b"}, {"c", "d"}})}, `l="[b/a; d/c]"`},
		{"m", []slog.Attr{slog.Any("ip", net.IPv4(10, 0, 0, 1))}, `ip=10.0.0.1`},
		{"m", []slog.Attr{mlog.IP("ip", netip.MustParseAddr("2001:db8::1")), mlog.IP("none", netip.Addr{})}, `pkg=test ip=2001:db8::1`},
		{"m", []slog.Attr{slog.Any("l", []string{"a", "b c"})}, `l="[a; b c]"`},
		{"m", []slog.Attr{slog.Any("m", map[string]int{"b": 2, "a": 1})}, `m="[a:1; b:2]"`},
		{"m", []slog.Attr{slog.Any("p", (*inner)(nil)), slog.Any("n", nil)}, `p=(nil) n=""`},
		{"m", []slog.Attr{slog.Any("s", nilStringer)}, `s="(invalid value)"`},
		{"m", []slog.Attr{slog.Any("f", func() {})}, `f=func()`},
		{"m", []slog.Attr{slog.Any("o", outer{Name: "x y", Inner: inner{A: 1}, Ptr: &inner{B: "b"}, List: []inner{{2, "c d"}}, hidden: "h"})},
			`o.name="x y" o.inner.a=1 o.ptr.b=b o.list="[(a=2 b=\"c d\")]"`},
		{"m", []slog.Attr{slog.Group("g", slog.Int("a", 1), slog.Group("h", slog.Int("b", 2)))}, `g.a=1 g.h.b=2`},
	} {
		log, buf := newLog(mlog.Options{})
		log.LogAttrs(t.Context(), slog.LevelInfo, tc.msg, tc.attrs...)
		got := buf.String()
		if !strings.HasPrefix(got, "l=info m=") || !strings.HasSuffix(got, tc.want+"\n") {
			t.Errorf("got  %s     want ... %s", got, tc.want)
		}
	}
}

// again returns itself as its value.
type again struct{}

func (a again) LogValue() slog.Value { return slog.AnyValue(a) }

// marshaler has a text, or fails to have one.
type marshaler struct{ err error }

func (m marshaler) MarshalText() ([]byte, error) { return []byte("text"), m.err }

func TestValuesInsideOthersSayHowTheyLook(t *testing.T) {
	t.Parallel()
	tm := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var nilErr *os.PathError
	for _, tc := range []struct {
		value any
		want  string
	}{
		{[]any{tm, time.Second, []byte{1}, nil, 5, 'x'}, `"[2026-01-02T03:04:05Z; 1s; AQ; ; 5; 120]"`},
		{[]error{io.EOF, nil}, `"[EOF; ]"`},
		{[]any{nilErr, (*stringer)(nil), &stringer{"s"}}, `"[(invalid value); (invalid value); s]"`},
		{[]any{marshaler{}, marshaler{io.EOF}}, `"[text; (invalid value)]"`},
		{marshaler{}, `text`},
		{map[string]any{"d": domain{"a", "b"}, "l": []int{1}}, `"[d:b/a; l:[1]]"`},
		{[2]string{"a", "b"}, `"[a; b]"`},
		{[3]byte{1, 2, 3}, `"[1; 2; 3]"`},
		{[]any{func() {}, make(chan int), 1 + 2i}, `"[func(); chan int; (1+2i)]"`},
		{&outer{Name: "n"}, `v.name=n`},
		{[]*inner{{A: 1}, nil}, `"[(a=1); (nil)]"`},
		{struct{ D domain }{domain{"a", "b"}}, `v.d=b/a`},
		{struct{ T time.Time }{tm}, `v.t=2026-01-02T03:04:05Z`},
	} {
		log, buf := newLog(mlog.Options{})
		log.Info("m", "v", tc.value)
		want := tc.want
		if !strings.HasPrefix(want, "v.") {
			want = "v=" + want
		}
		if got := buf.String(); !strings.HasSuffix(got, " pkg=test "+want+"\n") {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	log, buf := newLog(mlog.Options{})
	log.Info("m", "v", again{}, "l", []again{{}}) // Ends.
	if !strings.HasPrefix(buf.String(), `l=info m="m" pkg=test v=`) {
		t.Errorf("got %s", buf)
	}
}

func TestDiscardLogsNothing(t *testing.T) {
	t.Parallel()
	if mlog.Discard().Enabled(t.Context(), mlog.LevelPrint) {
		t.Error("enabled")
	}
}

func TestLongAndDeepValuesAreCut(t *testing.T) {
	t.Parallel()
	type node struct {
		Next any
		L    []any
	}
	loop := &node{}
	loop.Next = loop
	loop.L = []any{loop}
	log, buf := newLog(mlog.Options{})
	log.Info("m", "loop", loop, "long", strings.Repeat("x", 1<<20), "many", make([]int, 10_000), "err", errors.New(strings.Repeat("y", 1<<20)))
	if buf.Len() > 100_000 || !strings.Contains(buf.String(), "...") {
		t.Errorf("line of %d bytes", buf.Len())
	}
}

func TestLoggersCarryPackagesCidAndGroups(t *testing.T) {
	t.Parallel()
	log, buf := newLog(mlog.Options{})
	log = mlog.WithCidLogger(log, 0x1f2).With("account", "mjl")
	sub := mlog.New("store", log.Handler()).WithGroup("db").With("file", "x")
	sub.Info("opened", "pkg", "not a package in a group")
	want := `l=info m="opened" pkg=test pkg=store cid=1f2 account=mjl db.file=x db.pkg="not a package in a group"` + "\n"
	if got := buf.String(); got != want {
		t.Errorf("got  %s     want %s", got, want)
	}
	buf.Reset()
	// The id of the context counts if the logger has none, and the last one of several.
	ctx := mlog.WithCid(t.Context(), 255)
	mlog.New("x", mlog.NewHandler(buf, mlog.Options{})).InfoContext(ctx, "a")
	log.InfoContext(ctx, "b")
	log.Info("c", mlog.CidAttr(3))
	for i, want := range []string{`m="a" pkg=x cid=ff`, `m="b" pkg=test cid=1f2 account=mjl`, `m="c" pkg=test cid=3 account=mjl`} {
		if got := strings.Split(buf.String(), "\n")[i]; got != "l=info "+want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestLoggerDerivedFromAnotherDoesNotChangeIt(t *testing.T) {
	t.Parallel()
	log, buf := newLog(mlog.Options{})
	base := log.With("a", 1)
	base.With("b", 2)
	mlog.New("other", base.Handler())
	base.WithGroup("g")
	base.With("c", 3).Info("m")
	base.Info("m")
	if want := "l=info m=\"m\" pkg=test a=1 c=3\nl=info m=\"m\" pkg=test a=1\n"; buf.String() != want {
		t.Errorf("got %s, want %s", buf, want)
	}
}

func TestLevelsArePerPackageAndChangeWhileRunning(t *testing.T) {
	t.Parallel()
	levels := mlog.NewLevels(mlog.LevelInfo)
	var buf bytes.Buffer
	h := mlog.NewHandler(&buf, mlog.Options{Levels: levels})
	smtp, imap := mlog.New("smtp", h), mlog.New("imap", h)
	both := mlog.New("store", imap.Handler())
	logged := func() string {
		buf.Reset()
		smtp.Debug("s")
		imap.Debug("i")
		both.Debug("b")
		var l []string
		for line := range strings.Lines(buf.String()) {
			l = append(l, strings.SplitN(line, `"`, 3)[1])
		}
		return strings.Join(l, " ")
	}
	check := func(want string) {
		t.Helper()
		if got := logged(); got != want {
			t.Errorf("logged %q, want %q", got, want)
		}
	}
	check("")
	levels.Set("imap", mlog.LevelDebug)
	check("i b")
	levels.Set("store", mlog.LevelError) // The last package of a logger with a level of its own decides.
	check("i")
	levels.Unset("imap")
	check("")
	levels.Set("", mlog.LevelTrace)
	check("s i")
	levels.SetAll(mlog.LevelInfo, map[string]slog.Level{"smtp": mlog.LevelDebug})
	check("s")
	def, pkgs := levels.All()
	pkgs["imap"] = mlog.LevelDebug
	if def != mlog.LevelInfo {
		t.Errorf("default level %v", def)
	}
	check("s") // All returns a copy.
}

func TestFatalAndPrintAreAlwaysLogged(t *testing.T) {
	t.Parallel()
	log, buf := newLog(mlog.Options{Levels: mlog.NewLevels(mlog.LevelPrint + 100)})
	log.Error("not logged")
	mlog.Print(log, "printed", slog.Int("n", 1))
	mlog.Fatal(log, "cannot go on", io.EOF, slog.Int("n", 2))
	want := "l=print m=\"printed\" pkg=test n=1\nl=fatal m=\"cannot go on\" err=EOF pkg=test n=2\n"
	if buf.String() != want {
		t.Errorf("got %s, want %s", buf, want)
	}
}

func TestLevelNamesParse(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"tracedata", "traceauth", "trace", "debug", "info", "warn", "error", "fatal", "print"} {
		l, err := mlog.ParseLevel(name)
		if err != nil || mlog.LevelName(l) != name {
			t.Errorf("%s: %v, %s, %v", name, l, mlog.LevelName(l), err)
		}
	}
	if _, err := mlog.ParseLevel("INFO"); err == nil {
		t.Error("INFO parses")
	}
	for l, want := range map[slog.Level]string{-100: "tracedata", -9: "traceauth", 1: "info", 7: "warn", 9: "error", 1000: "print"} {
		if got := mlog.LevelName(l); got != want {
			t.Errorf("level %d is %s, want %s", l, got, want)
		}
	}
}

func TestCLILinesAreForPeople(t *testing.T) {
	t.Parallel()
	log, buf := newLog(mlog.Options{CLI: true})
	log.Error("opening account", mlog.Err(errors.New("no such file")), slog.String("account", "mjl x"), slog.Int("n", 1))
	log.Info("done")
	mlog.Print(log, "version 1")
	mlog.WithCidLogger(log, 255).Warn("odd\x1b[2J\nline", "k", "a\tb", "u", "é\u2028")
	want := "error: opening account: no such file; account: mjl x; n: 1\n" +
		"done\n" +
		"version 1\n" +
		`warn: odd\x1b[2J\nline; cid: ff; k: a\tb; u: é\u2028` + "\n"
	if buf.String() != want {
		t.Errorf("got\n%swant\n%s", buf, want)
	}
}

func TestHookSeesEachLine(t *testing.T) {
	t.Parallel()
	var seen []string
	log, _ := newLog(mlog.Options{Hook: func(level slog.Level, pkg string) {
		seen = append(seen, mlog.LevelName(level)+" "+pkg)
	}})
	log.Debug("not logged")
	log.Warn("w")
	mlog.New("store", log.Handler()).Error("e")
	if got := strings.Join(seen, ", "); got != "warn test, error store" {
		t.Errorf("got %s", got)
	}
}

func TestErrorsOfPeersAreNotAllErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want slog.Level
	}{
		{io.EOF, mlog.LevelDebug},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), mlog.LevelDebug},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, mlog.LevelDebug},
		{net.ErrClosed, mlog.LevelDebug},
		{context.DeadlineExceeded, mlog.LevelInfo},
		{context.Canceled, mlog.LevelInfo},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, mlog.LevelInfo},
		{errors.New("disk"), mlog.LevelError},
	} {
		if got := mlog.ErrLevel(tc.err); got != tc.want {
			t.Errorf("%v is %v, want %v", tc.err, got, tc.want)
		}
	}
	log, buf := newLog(mlog.Options{})
	mlog.Errx(t.Context(), log, "reading", io.EOF)
	mlog.Errx(t.Context(), log, "storing", errors.New("disk"), slog.Int("n", 1))
	if want := "l=error m=\"storing\" err=disk pkg=test n=1\n"; buf.String() != want {
		t.Errorf("got %s, want %s", buf, want)
	}
}

func TestConcurrentLinesAreNotMixed(t *testing.T) {
	t.Parallel()
	log, buf := newLog(mlog.Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			l := log.With("i", i)
			for range 100 {
				l.Info("m", "s", "x")
			}
		})
	}
	wg.Wait()
	n := 0
	for line := range strings.Lines(buf.String()) {
		n++
		if !strings.HasPrefix(line, `l=info m="m" pkg=test i=`) || !strings.HasSuffix(line, " s=x\n") {
			t.Fatalf("line %q", line)
		}
	}
	if n != 800 {
		t.Errorf("%d lines", n)
	}
}

// The handler keeps the rules of slog for attributes and groups. What it does not
// have is the time, which the collector of the log adds.
func TestHandlerKeepsRulesOfSlog(t *testing.T) {
	var buf bytes.Buffer
	slogtest.Run(t, func(t *testing.T) slog.Handler {
		if strings.Contains(t.Name(), "zero-time") || strings.Contains(t.Name(), "built-ins") {
			t.Skip("lines have no time")
		}
		buf.Reset()
		return mlog.NewHandler(&buf, mlog.Options{})
	}, func(t *testing.T) map[string]any {
		return parseLine(t, buf.String())
	})
}

// parseLine parses a line as far as slogtest makes them.
func parseLine(t *testing.T, line string) map[string]any {
	t.Helper()
	m := map[string]any{slog.TimeKey: time.Now()}
	for _, pair := range strings.Fields(line) {
		k, v, ok := strings.Cut(pair, "=")
		if !ok {
			t.Fatalf("line %q", line)
		}
		switch k {
		case "l":
			k = slog.LevelKey
		case "m":
			k = slog.MessageKey
		}
		at := m
		path := strings.Split(k, ".")
		for _, g := range path[:len(path)-1] {
			if at[g] == nil {
				at[g] = map[string]any{}
			}
			at = at[g].(map[string]any)
		}
		at[path[len(path)-1]] = strings.Trim(v, `"`)
	}
	return m
}

func BenchmarkInfo(b *testing.B) {
	log := mlog.WithCidLogger(mlog.New("smtpserver", mlog.NewHandler(io.Discard, mlog.Options{})), 12345)
	b.ReportAllocs()
	for b.Loop() {
		log.Info("delivered message", slog.Int("size", 1234), slog.String("mailbox", "Inbox"), slog.Any("from", domain{"a", "b"}))
	}
}

func BenchmarkDebugNotLogged(b *testing.B) {
	log := mlog.New("smtpserver", mlog.NewHandler(io.Discard, mlog.Options{}))
	b.ReportAllocs()
	for b.Loop() {
		log.Debug("m", slog.Int("size", 1234))
	}
}
