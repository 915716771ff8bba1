package dns

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// message returns an answer to a CNAME question with one record.
func message(t testing.TB, edit func(*dnsmessage.Message)) []byte {
	t.Helper()
	name := dnsmessage.MustNewName("a.example.")
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{Response: true, AuthenticData: true},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeCNAME, Class: dnsmessage.ClassINET}},
		Answers: []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("A.example."), Type: dnsmessage.TypeCNAME, Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("b.example.")},
		}},
	}
	if edit != nil {
		edit(&m)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnswersAreAuthenticOnlyIfAllAre(t *testing.T) {
	t.Parallel()
	verified := message(t, nil)
	plain := message(t, func(m *dnsmessage.Message) { m.AuthenticData = false })
	query := message(t, func(m *dnsmessage.Message) { m.Response = false })
	truncated := message(t, func(m *dnsmessage.Message) { m.Truncated, m.AuthenticData = true, false })
	servfail := message(t, func(m *dnsmessage.Message) { m.RCode, m.AuthenticData = dnsmessage.RCodeServerFailure, false })
	other := message(t, func(m *dnsmessage.Message) { m.Questions[0].Type, m.AuthenticData = dnsmessage.TypeA, false })
	for _, tc := range []struct {
		name  string
		trust bool
		msgs  [][]byte
		want  bool
	}{
		{"nothing", true, nil, false},
		{"one", true, [][]byte{verified}, true},
		{"untrusted server", false, [][]byte{verified}, false},
		{"one of two", true, [][]byte{verified, plain}, false},
		{"after a failure", true, [][]byte{servfail, verified}, true},
		{"after a truncated one", true, [][]byte{truncated, verified}, true},
		{"a failure alone", true, [][]byte{servfail}, false},
		{"our own question", true, [][]byte{query}, false},
		{"another type", true, [][]byte{other, verified}, true},
		{"garbage", true, [][]byte{{0, 1, 0x80, 0x20}}, false},
	} {
		e := &exchanges{servers: []string{"a", "b"}, only: dnsmessage.TypeCNAME, trust: tc.trust}
		for _, m := range tc.msgs {
			e.answer(m, 0, true)
		}
		if e.authentic() != tc.want {
			t.Errorf("%s: authentic is %v", tc.name, e.authentic())
		}
	}
	e := &exchanges{}
	e.answer(verified, 0, true)
	if e.target() != "b.example." {
		t.Errorf("alias: %q", e.target())
	}
	e = &exchanges{}
	e.answer(message(t, func(m *dnsmessage.Message) { m.Answers[0].Header.Name = dnsmessage.MustNewName("c.example.") }), 0, true)
	if e.target() != "" {
		t.Errorf("alias of another name: %q", e.target())
	}
}

func TestTrustInSystemServersIsThatOfAdns(t *testing.T) {
	t.Parallel()
	// adns sets the AD bit in questions to servers that it trusts.
	for _, trust := range []bool{true, false} {
		q := message(t, func(m *dnsmessage.Message) { m.Response, m.AuthenticData = false, trust })
		e := &exchanges{trust: !trust}
		if string(e.query(q, 0)) != string(q) {
			t.Error("question to a system server was changed")
		}
		e.answer(message(t, nil), 0, true)
		if e.authentic() != trust {
			t.Errorf("authentic is %v with trust %v", e.authentic(), trust)
		}
	}
	// For servers of ours we set it, not in the caller's buffer.
	q := message(t, func(m *dnsmessage.Message) { m.Response, m.AuthenticData = false, false })
	orig := string(q)
	e := &exchanges{servers: []string{"a"}, trust: true}
	if got := e.query(q, 0); got[flagsOffset]&flagAD == 0 || string(q) != orig {
		t.Error("question to our server has no AD bit, or the buffer was changed")
	}
	if got := e.query([]byte{0, 1}, 0); len(got) != 2 {
		t.Error("short question")
	}
}

func TestStreamsAreReadInAnyPieces(t *testing.T) {
	t.Parallel()
	msg := message(t, nil)
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
	for size := 1; size <= len(framed); size++ {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			for b := framed; len(b) > 0; {
				n, err := server.Write(b[:min(size, len(b))])
				if err != nil {
					return
				}
				b = b[n:]
			}
		}()
		e := &exchanges{servers: []string{"a"}, trust: true}
		got, err := io.ReadAll(&streamConn{Conn: client, e: e})
		if err != nil || string(got) != string(framed) || !e.authentic() || e.answers != 1 || e.target() != "b.example." {
			t.Fatalf("pieces of %d bytes: %v, %d answers, alias %q", size, err, e.answers, e.target())
		}
		client.Close()
	}
	// A connection that breaks before the end makes us ask the next server.
	client, server := net.Pipe()
	server.Close()
	e := &exchanges{servers: []string{"a", "b"}, trust: true}
	if _, err := (&streamConn{Conn: client, e: e}).Read(make([]byte, 10)); !errors.Is(err, io.EOF) || e.cur != 1 {
		t.Errorf("broken connection: %v, server %d", err, e.cur)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(message(f, nil))
	f.Add(message(f, func(m *dnsmessage.Message) { m.Answers = nil }))
	f.Add(message(f, func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeNameError }))
	f.Add([]byte{0, 1, 0x80, 0x20, 0, 1})
	f.Fuzz(func(t *testing.T, msg []byte) {
		e := &exchanges{servers: []string{"a"}, trust: true}
		e.answer(msg, 0, true)
		if e.authentic() && (len(msg) < 12 || msg[2]&0x80 == 0 || msg[3]&flagAD == 0) {
			t.Fatalf("authentic: %x", msg)
		}
		if len(e.target()) > MaxNameLen+2 {
			t.Fatalf("alias of %d bytes", len(e.target()))
		}
	})
}
