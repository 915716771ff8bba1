package script

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/internal/testkit"
)

// toyServer speaks a protocol of lines, for scripts to talk with:
//
//	echo TEXT   the text comes back
//	count N     lines 1 to N
//	raw QUOTED  the bytes of a Go string
//	read N      reads N bytes, answers with them in upper case
//	starttls    begins TLS
//	bye         closes
type toyServer struct {
	ln  net.Listener // Nil has connections in memory.
	tls *tls.Config
}

func newToy(t *testing.T, config *tls.Config) *toyServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &toyServer{ln, config}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s
}

func (s *toyServer) dial(ctx context.Context, name string) (net.Conn, error) {
	if strings.HasPrefix(name, "no") {
		return nil, errors.New("no such server")
	}
	if s.ln == nil {
		client, server := net.Pipe()
		go s.serve(server)
		return client, nil
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", s.ln.Addr().String())
}

func (s *toyServer) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	fmt.Fprintf(c, "hello\r\n")
	br := bufio.NewReader(c)
	for {
		l, err := br.ReadString('\n')
		if err != nil {
			return
		}
		cmd, arg, _ := strings.Cut(strings.TrimSuffix(l, "\r\n"), " ")
		switch cmd {
		case "echo":
			fmt.Fprintf(c, "%s\r\n", arg)
		case "count":
			var n int
			fmt.Sscan(arg, &n)
			for i := range n {
				fmt.Fprintf(c, "%d\r\n", i+1)
			}
		case "raw":
			var s string
			fmt.Sscanf(arg, "%q", &s)
			fmt.Fprint(c, s)
		case "read":
			var n int
			fmt.Sscan(arg, &n)
			b := make([]byte, n)
			for i := range b {
				b[i], _ = br.ReadByte()
			}
			fmt.Fprint(c, strings.ToUpper(string(b)))
		case "starttls":
			fmt.Fprintf(c, "go\r\n")
			tc := tls.Server(c, s.tls)
			c, br = tc, bufio.NewReader(tc)
			fmt.Fprintf(c, "secure\r\n")
		case "bye":
			return
		default:
			fmt.Fprintf(c, "what?\r\n")
		}
	}
}

// talk runs a script that is just a talk and files.
func talk(t *testing.T, s *toyServer, text string, opts Options) error {
	t.Helper()
	sc, err := Parse("x.txt", []byte("-- talk --\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	opts.Dial = s.dial
	return sc.Run(t.Context(), opts)
}

func TestScriptsRunAgainstAServer(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	s := newToy(t, ca.ServerConfig(t, "toy.example"))
	RunDir(t, "testdata/*.txt", func(t *testing.T, sc *Script) Options {
		opts := Options{
			Dial: s.dial,
			Vars: map[string]string{"preset": "given"},
			Directives: map[string]Directive{
				"starttls": func(r *Run, args []string) error {
					return r.Upgrade(args[0], func(c net.Conn) (net.Conn, error) {
						tc := tls.Client(c, ca.ClientConfig("toy.example"))
						return tc, tc.HandshakeContext(r.Context())
					})
				},
				"set": func(r *Run, args []string) error {
					r.SetVar(args[0], args[1])
					return nil
				},
				"equal": func(r *Run, args []string) error {
					if v, ok := r.Var(args[0]); !ok || v != args[1] {
						return fmt.Errorf("%s is %q", args[0], v)
					}
					return nil
				},
			},
		}
		if v, ok := sc.Get("preset"); ok {
			opts.Vars["preset"] = v
		}
		return opts
	})
}

func TestFailuresShowTheActualLineInPlace(t *testing.T) {
	t.Parallel()
	s := newToy(t, nil)
	for _, tc := range []struct{ name, talk, want string }{
		{"another line", "a< hello\na> echo one 2\na< one $n\na> echo two 3\na< two $n\na> bye\n# end\n", `x.txt: talk line 5
  a< hello
  a> echo one 2
  a< one $n
  a> echo two 3
- a< two $n
- a< two 2
+ a< two 3
  a> bye
  # end
`},
		{"closed", "a< hello\na> bye\na< more\n", `x.txt: talk line 3: connection was closed: EOF
  a< hello
  a> bye
- a< more
`},
		{"closed in a line", "a<...\na> raw \"par\\tt\"\na> bye\na< part\n", `x.txt: talk line 4: connection was closed: EOF
  a<...
  a> raw "par\tt"
  a> bye
- a< part
+ a< hello
+ a< par\tt
`},
		{"not closed", "a< hello\na> echo x\na<!\n", `x.txt: talk line 3: expected the connection to be closed
  a< hello
  a> echo x
- a<!
+ a< x
`},
		{"bare line feed", "a< hello\na> raw \"x\\n\"\na< x\n", `x.txt: talk line 3: line does not end in CRLF
  a< hello
  a> raw "x\n"
- a< x
+ a< x\n
`},
		{"invisible difference", "a< hello\na> echo x \na< x\n", `x.txt: talk line 3
  a< hello
  a> echo x 
- a< x
+ a< (as a quoted string) "x "
`},
		{"skipping to nothing", "a<...\na> bye\na< never\n", `x.txt: talk line 3: connection was closed: EOF
  a<...
  a> bye
- a< never
+ a< hello
`},
		{"block", "a< hello\na> count 2\na<{\na< 2\na< 3\n}\n", `x.txt: talk line 4: matches none of the 2 lines of the block that have not come
  a< hello
  a> count 2
  a<{
- a< 2
+ a< 1
  a< 3
  }
`},
		{"file", "a< hello\na> count 2\na<< f\n-- f --\n1\n3\n", `x.txt: talk line 3: bytes differ from those of the file at offset 3
  a< hello
  a> count 2
- a<< f
+ a< 1
+ a< 2
`},
		{"no variable", "a> echo $absent\n", `x.txt: talk line 1: variable $absent has no value (a dollar is written $$)
- a> echo $absent
`},
		{"no directive", "@dance\n", `x.txt: talk line 1: no directive "dance"
- @dance
`},
		{"no server", "no1> x\n", `x.txt: talk line 1: opening connection no1: no such server
- no1> x
`},
		{"skip without end", "a< hello\na<...\n", `x.txt: talk line 2: a<... without a line that ends it
  a< hello
- a<...
`},
		{"bad expression", "a<~ (\n", "x.txt: talk line 1: regular expression"},
		{"many lines after", "a< x\n" + strings.Repeat("# y\n", 20), "  ... 15 more lines\n"},
		{"close of what is not open", "@close a\n", "x.txt: talk line 1: connection a is not open\n"},
	} {
		err := talk(t, s, tc.talk, Options{})
		var f *Failure
		if !errors.As(err, &f) {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		exact := strings.HasPrefix(tc.want, "x.txt") && strings.HasSuffix(tc.want, "\n") && strings.Count(tc.want, "\n") > 1
		if exact && err.Error() != tc.want || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got\n%swant\n%s", tc.name, err, tc.want)
		}
	}
}

func TestReadsHaveADeadline(t *testing.T) {
	t.Parallel()
	for last, want := range map[string]string{"a< more": "", "a<~ .*": "", "a<< f": "", "a<!": "x.txt: talk line 2: connection is still open", "a<{\na< x\na< y\n}": ""} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			err := talk(t, &toyServer{}, "a< hello\n"+last+"\n-- f --\nx\n", Options{})
			if err == nil || !strings.HasPrefix(err.Error(), want) || time.Since(start) != DefaultTimeout {
				t.Errorf("%s: %v after %v", last, err, time.Since(start))
			}
		})
	}
}

func TestWhatIsSkippedAndReadIsBounded(t *testing.T) {
	t.Parallel()
	s := newToy(t, nil)
	err := talk(t, s, fmt.Sprintf("a> count %d\na<...\na< never\n", maxSkip+10), Options{})
	if err == nil || !strings.Contains(err.Error(), "not among") {
		t.Errorf("skipping: %.200v", err)
	}
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		b := []byte(strings.Repeat("x", 1<<16))
		for {
			if _, err := server.Write(b); err != nil {
				return
			}
		}
	}()
	defer client.Close()
	if l, err := newConn(client, DefaultTimeout).readLine(); err == nil || len(l) > 2*maxLine {
		t.Errorf("line of %d bytes: %v", len(l), err)
	}
}

func TestRunWithoutDialFails(t *testing.T) {
	t.Parallel()
	sc, err := Parse("x", []byte("-- talk --\na> x\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := sc.Run(t.Context(), Options{}); err == nil {
		t.Error("no error")
	}
}

func TestDirectivesReachConnectionsAndTheScript(t *testing.T) {
	t.Parallel()
	s := newToy(t, nil)
	cause := errors.New("cause")
	err := talk(t, s, "a< hello\n@look a\n", Options{Directives: map[string]Directive{
		"look": func(r *Run, args []string) error {
			c, err := r.Conn(args[0])
			if err != nil || c.RemoteAddr().String() != s.ln.Addr().String() || r.Script().Name != "x.txt" {
				t.Errorf("%v, %v", c, err)
			}
			return cause
		},
	}})
	if !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}
