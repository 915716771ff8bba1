package transport

import (
	"fmt"
	"strings"
	"testing"

	"mox/internal/testkit"
	"mox/smtp"
)

// TestEachPointOfATransaction has a server that fails at one point, in one way, on a
// new connection or one that was used before. Whatever happens, the message was
// delivered exactly if the result says so, except where all of it was sent and
// nothing came back; and it fails for good only if the server says so.
func TestEachPointOfATransaction(t *testing.T) {
	t.Parallel()
	points := []string{"", "EHLO", "MAIL", "RCPT", "DATA", ".", "QUIT"}
	replies := []string{"close", "421 4.3.2 x", "quit 421 4.3.2 x", "450 4.2.0 x", "451 4.3.0 x", "452 4.3.1 x", "quit 451 4.3.0 x", "500 5.5.1 x", "501 5.5.4 x", "503 5.5.1 x", "521 5.3.2 x",
		"550 5.1.1 x", "551 5.1.6 x", "552 5.2.2 x", "553 5.1.3 x", "554 5.7.1 x", "555 5.5.4 x", "quit 554 5.7.1 x", "250 ok", "354 x", "220 x", "99 x", "garbage", "250-x\r\n251 y"}
	for _, ext := range []string{"PIPELINING", "SIZE", "CHUNKING"} {
		for _, reused := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reused %v", ext, reused), func(t *testing.T) {
				t.Parallel()
				for _, point := range points {
					if reused && (point == "" || point == "EHLO") {
						continue
					}
					for _, reply := range replies {
						checkPoint(t, ext, reused, point, reply)
					}
				}
			})
		}
	}
}

func checkPoint(t *testing.T, ext string, reused bool, point, reply string) {
	t.Helper()
	what := fmt.Sprintf("%s, %q at %q, reused %v", ext, reply, point, reused)
	first := 0
	if reused {
		first = 1
	}
	w, mx := pooled(t, serverSetup{ext: []string{ext}, hook: func(s *session, c string) string {
		// MAIL counts itself only after it was answered.
		if n := s.mails; s.n == 1 && (n == first && (c == "" || strings.HasPrefix(c, "EHLO") || strings.HasPrefix(c, "MAIL")) || n == first+1 && !strings.HasPrefix(c, "MAIL")) &&
			(c == point || point != "" && strings.HasPrefix(c, point)) {
			return reply
		}
		return ""
	}}, PoolOptions{})
	want := 0
	if reused {
		w.want("250", w.delivery("warmup@one.example"))
		want++
	}
	r := w.direct.Deliver(t.Context(), w.delivery("a@one.example"))[0]
	settled := len(mx.got()) - want // How often the server has taken it.
	permanent := smtp.AsError(r.Err) != nil && smtp.AsError(r.Err).Permanent()
	switch {
	case r.Err == nil && settled != 1:
		t.Errorf("%s: delivered, and the server has it %d times", what, settled)
	case r.Err != nil && settled != 0 && !r.Unanswered:
		t.Errorf("%s: the server has it, and the result is %v", what, r.Err)
	case permanent && !strings.Contains(reply, "5"):
		t.Errorf("%s: failed for good: %v", what, r.Err)
	case r.Unanswered && (point != "." || reply[0] == '4' || reply[0] == '5' || strings.HasPrefix(reply, "quit")):
		t.Errorf("%s: unanswered: %v", what, r.Err)
	case point == "QUIT" && r.Err != nil:
		t.Errorf("%s: what QUIT does matters: %v", what, r.Err)
	case point == "." && strings.HasPrefix(reply, "55") && !permanent:
		t.Errorf("%s: refused for good, and the result is %v", what, r.Err)
	}
}

func TestNamesOfHostsAreASCII(t *testing.T) {
	t.Parallel()
	mx := serve(t, serverSetup{})
	w := newWorld(t, testkit.DNSOptions{Zone: fmt.Sprintf("xn--mx-wka.example A %[1]s\nxn--74h.example MX 10 xn--mx-wka.example\n", mx.ip)}, nil)
	r := w.want("250", w.delivery("a@☺.example"))
	if r.Host != "xn--mx-wka.example" || r.Remote != r.Host {
		t.Errorf("host %q, remote %q", r.Host, r.Remote)
	}
}
