package ctl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/internal/metrics"
	"mox/internal/testkit"
	"mox/mlog"
)

// upper answers with its parameters in upper case.
func upper(_ context.Context, c *Conn) error {
	s, err := c.ReadLine()
	if err != nil {
		return err
	}
	if s == "" {
		return errors.New("nothing to do")
	}
	if err := c.WriteOK(); err != nil {
		return err
	}
	return c.WriteLine(strings.ToUpper(s))
}

// echo sends a stream back, in reverse chunks of its own size.
func echo(_ context.Context, c *Conn) error {
	if err := c.WriteOK(); err != nil {
		return err
	}
	data, err := io.ReadAll(c.StreamReader())
	if err != nil {
		return err
	}
	if err := c.WriteOK(); err != nil {
		return err
	}
	w := c.StreamWriter()
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Close()
}

// full takes some of a stream and fails.
func full(_ context.Context, c *Conn) error {
	if err := c.WriteOK(); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.StreamReader(), make([]byte, 10)); err != nil {
		return err
	}
	return errors.New("disk is full")
}

// short fails in the middle of its output.
func short(_ context.Context, c *Conn) error {
	if err := c.WriteOK(); err != nil {
		return err
	}
	if _, err := io.WriteString(c.StreamWriter(), "some"); err != nil {
		return err
	}
	return errors.New("lost\nthe rest")
}

func wait(ctx context.Context, c *Conn) error {
	<-ctx.Done()
	return ctx.Err()
}

// take speaks another protocol: lines are sent back as they are.
func take(_ context.Context, c *Conn) error {
	if err := c.WriteOK(); err != nil {
		return err
	}
	nc, err := c.Take()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(nc, "hello\n"); err != nil {
		return err
	}
	_, err = io.Copy(nc, nc)
	return err
}

var testHandlers = map[string]Handler{"take": take, "upper": upper, "echo": echo, "full": full, "short": short, "wait": wait,
	"panic": func(context.Context, *Conn) error { panic("test") }}

// serve starts a server in a new directory and returns that.
func serve(t *testing.T) (string, *Server) {
	t.Helper()
	dir := t.TempDir()
	l, err := Listen(dir)
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	s := New(Options{Log: slog.New(slog.DiscardHandler), Cids: mlog.NewCidSource(0), Handlers: testHandlers})
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("close listener: %v", err)
		}
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, SocketName)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("socket after close: got error %v, expected that it does not exist", err)
		}
	})
	return dir, s
}

func dial(t *testing.T, dir string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestCommandsRunOneAfterAnother(t *testing.T) {
	t.Parallel()
	dir, _ := serve(t)
	c := dial(t, dir)
	for range 2 {
		if err := c.Do("upper", "abc"); err != nil {
			t.Fatalf("do: %v", err)
		}
		if line, err := c.ReadLine(); err != nil || line != "ABC" {
			t.Fatalf("got %q, %v", line, err)
		}
		var rerr RemoteError
		if err := c.Do("upper", ""); !errors.As(err, &rerr) || rerr != "nothing to do" {
			t.Fatalf("got error %v", err)
		}
	}
}

func TestStreamsKeepTheirOctets(t *testing.T) {
	t.Parallel()
	dir, _ := serve(t)
	c := dial(t, dir)
	for _, size := range []int{0, 1, MaxChunk - 1, MaxChunk, MaxChunk + 1, 3*MaxChunk + 7} {
		data := bytes.Repeat([]byte("0\r\nok\n"), size/6+1)[:size]
		if err := c.Do("echo"); err != nil {
			t.Fatalf("%d: do: %v", size, err)
		}
		w := c.StreamWriter()
		if n, err := w.Write(data); n != size || err != nil {
			t.Fatalf("%d: write: %d, %v", size, n, err)
		}
		if err := w.Close(); err != nil {
			t.Fatalf("%d: close: %v", size, err)
		}
		if err := c.ReadOK(); err != nil {
			t.Fatalf("%d: ok: %v", size, err)
		}
		got, err := io.ReadAll(c.StreamReader())
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d: got %d octets, %v", size, len(got), err)
		}
	}
}

func TestErrorWithinStreamReachesTheClient(t *testing.T) {
	t.Parallel()
	dir, _ := serve(t)
	var rerr RemoteError

	c := dial(t, dir)
	if err := c.Do("full"); err != nil {
		t.Fatal(err)
	}
	_, err := c.StreamWriter().Write(make([]byte, 2*MaxChunk))
	if !errors.As(err, &rerr) || rerr != "disk is full" {
		t.Errorf("writing: got error %v", err)
	}
	if err := c.WaitClosed(); err != nil {
		t.Errorf("connection was not closed: %v", err)
	}

	c = dial(t, dir)
	if err := c.Do("short"); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(c.StreamReader())
	if string(data) != "some" || !errors.As(err, &rerr) || rerr != "lost the rest" {
		t.Errorf("reading: got %q, error %v", data, err)
	}
}

func TestUnknownCommandIsAnsweredAndEndsConnection(t *testing.T) {
	t.Parallel()
	dir, _ := serve(t)
	c := dial(t, dir)
	var rerr RemoteError
	if err := c.Do("nosuch", "upper", "x"); !errors.As(err, &rerr) || !strings.Contains(string(rerr), `unknown command "nosuch"`) {
		t.Fatalf("got error %v", err)
	}
	if err := c.WaitClosed(); err != nil {
		t.Fatalf("connection was not closed: %v", err)
	}
}

func TestPanicEndsOneConnectionAndIsCounted(t *testing.T) {
	dir, _ := serve(t)
	before := metrics.PanicCount()
	c := dial(t, dir)
	if err := c.Do("panic"); !errors.Is(err, io.EOF) {
		t.Fatalf("got error %v", err)
	}
	if n := metrics.PanicCount() - before; n != 1 {
		t.Errorf("counted %d panics", n)
	}
	if err := dial(t, dir).Do("upper", "x"); err != nil {
		t.Errorf("next connection: %v", err)
	}
}

func TestLinesAreLimited(t *testing.T) {
	t.Parallel()
	dir, _ := serve(t)
	c := dial(t, dir)
	if err := c.Do("upper", "a\nb"); err == nil {
		t.Errorf("parameter with line end was sent")
	}
	if err := c.Do("upper", strings.Repeat("x", MaxLine+1)); err == nil {
		t.Errorf("long parameter was sent")
	}
	// What a client of another kind may do.
	nc, err := net.Dial("unix", filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_, _ = fmt.Fprintf(nc, "upper\n%s", strings.Repeat("x", 2*MaxLine)) // It may be refused before its end.
	got, err := io.ReadAll(nc)
	if want := fmt.Sprintf("ctlv0\nline longer than %d octets\n", MaxLine); string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestChunksAreLimited(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	for line, want := range map[string]string{
		fmt.Sprint(MaxChunk + 1): "chunk of 1048577 octets, more than 1048576",
		"no such account":        "no such account",
		"-1":                     "-1",
	} {
		go fmt.Fprintln(client, line)
		_, err := newConn(server).StreamReader().Read(make([]byte, 1))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v", line, err)
		}
	}
}

func TestDialSaysThatNoServerRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("without socket: got error %v", err)
	}
	// A server that was killed leaves its socket behind.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, SocketName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("with old socket: got error %v", err)
	}
	nl, err := Listen(dir)
	if err != nil {
		t.Fatalf("listening in place of old socket: %v", err)
	}
	if err := nl.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSocketIsForOwnerAndGroup(t *testing.T) {
	t.Parallel()
	dir, _ := serve(t)
	info, err := os.Stat(filepath.Join(dir, SocketName))
	if err != nil || info.Mode().Perm() != 0660 {
		t.Fatalf("got mode %v, error %v", info.Mode(), err)
	}
}

func TestLongPathsOfDataDirectoriesWork(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		testkit.Missing(t, "no names for open files: %v", err)
	}
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 150))
	if err := os.Mkdir(dir, 0700); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(dir)
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	s := New(Options{Log: slog.New(slog.DiscardHandler), Cids: mlog.NewCidSource(0), Handlers: testHandlers})
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	if err := dial(t, dir).Do("upper", "x"); err != nil {
		t.Errorf("do: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	s.Close()
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
}

func TestClientCanWaitForTheEndOfTheServer(t *testing.T) {
	t.Parallel()
	dir, s := serve(t)
	c := dial(t, dir)
	if err := c.Send("wait"); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- c.WaitClosed() }()
	select {
	case err := <-closed:
		t.Fatalf("connection closed early: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
	s.Close()
	// The command may have had the time to say why it ended.
	var rerr RemoteError
	if err := <-closed; err != nil && !errors.As(err, &rerr) {
		t.Fatalf("got error %v", err)
	}
}

func TestContextOfClientEndsItsConnection(t *testing.T) {
	t.Parallel()
	dir, _ := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	c, err := Dial(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	if err := c.Do("wait"); err == nil {
		t.Fatal("command ran after context ended")
	}
}

func TestTakenConnectionIsForAnotherProtocol(t *testing.T) {
	t.Parallel()
	dir, _ := serve(t)
	c := dial(t, dir)
	if err := c.Do("take"); err != nil {
		t.Fatal(err)
	}
	nc, err := c.Take()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(nc, "upper\nabc\n"); err != nil {
		t.Fatal(err)
	}
	if err := nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(nc); err != nil || string(got) != "hello\nupper\nabc\n" {
		t.Errorf("got %q, %v", got, err)
	}
}
