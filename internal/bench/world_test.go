package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mox/internal/testkit"
)

const (
	sourceConns = 20   // Connections of smtp-source.
	sourceSize  = 4096 // Of its messages, in octets.
)

// A worldRound has what became of the messages of one round: with mox into a new
// mailbox and a large one, and with Postfix and Dovecot.
type worldRound struct {
	mox, big, peer delivered
}

// delivered says how fast messages have come into a mailbox.
type delivered struct {
	rate float64 // Messages a second, until the last is in the mailbox.
	cpu  float64 // Seconds of all processes of the server, for a message.
}

// BenchmarkWorld has Postfix's smtp-source deliver messages: to mox, as from any server
// in the world but for limits and delays, and to a Postfix that delivers to Dovecot. Not
// one may be lost.
//
// mox does all that it does with mail of strangers. DNS is a server in this process, so
// that what it computes counts for neither side.
func BenchmarkWorld(b *testing.B) {
	source := testkit.Tool(b, "smtp-source")
	f := theForm()
	dns := testkit.NewDNS(b, testkit.DNSOptions{Zone: `
sender.example MX 10 mx.sender.example
mx.sender.example A 127.0.0.1
sender.example TXT "v=spf1 ip4:127.0.0.0/8 -all"
mx.sender.example TXT "v=spf1 a -all"
_dmarc.sender.example TXT "v=DMARC1; p=reject"
1.0.0.127.in-addr.arpa PTR mx.sender.example
`})
	bigDir := filled(b, f.big)
	setWorld(b, bigDir, dns.Addr)
	big := start(b, bigDir)
	var peer *postfix
	d := startPeerDovecot(b)
	if d != nil {
		peer = startPostfix(b, d)
	}
	var rounds []worldRound
	for range f.worlds {
		var r worldRound
		dir := filepath.Join(scratch(b, "world"), "mox")
		initDir(b, dir)
		setWorld(b, dir, dns.Addr)
		s := start(b, dir)
		r.mox = deliverMox(b, source, s, f.world)
		s.stop(b)
		if peer != nil {
			r.peer = deliverPeer(b, source, peer, d, f.world)
		}
		r.big = deliverMox(b, source, big, f.world)
		rounds = append(rounds, r)
	}
	big.stop(b)
	if n := len(dns.Queries()); n == 0 {
		b.Error("mox has asked nothing of the DNS server")
	}
	reportWorld(b, f, rounds, d, peer)
}

// setWorld makes a directory of localserve one of a server that mail comes to from
// strangers, with all checks.
func setWorld(t testing.TB, dir, resolver string) {
	t.Helper()
	for name, change := range map[string][2]string{
		"mox.conf": {"Pedantic: true\n", "Pedantic: false\nDNSResolver:\n\t- " + resolver + "\n"},
		// For trying out, localserve does not judge content.
		"domains.conf": {"\t\tRejectsMailbox: Rejects\n", "\t\tRejectsMailbox: Rejects\n\t\tJunkFilter:\n\t\t\tThreshold: 0.95\n"},
	} {
		path := filepath.Join(dir, name)
		text := string(testkit.ReadFile(t, path))
		if !strings.Contains(text, change[0]) {
			t.Fatalf("no %q in %s", change[0], path)
		}
		check(t, os.WriteFile(path, []byte(strings.Replace(text, change[0], change[1], 1)), 0o600))
	}
}

// runSource sends n messages. It ends with an error when one is refused.
func runSource(t testing.TB, program, addr string, n int) {
	t.Helper()
	cmd := exec.Command(program, "-d", "-s", strconv.Itoa(sourceConns), "-m", strconv.Itoa(n), "-l", strconv.Itoa(sourceSize),
		"-M", "mx.sender.example", "-f", "someone@sender.example", "-t", address, addr)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("smtp-source: %v\n%s", err, out)
	}
}

// deliverMox delivers n messages to mox. They are in the mailbox when that is said.
func deliverMox(b *testing.B, source string, s *server, n int) delivered {
	b.Helper()
	before, cpu := inboxCount(b, s.addrs["imap"]), s.cpu(b)
	begin := time.Now()
	runSource(b, source, s.addrs["smtp"], n)
	d := delivered{rate: float64(n) / time.Since(begin).Seconds(), cpu: (s.cpu(b) - cpu) / float64(n)}
	if got := inboxCount(b, s.addrs["imap"]) - before; got != n {
		b.Errorf("%d messages of %d came into the mailbox", got, n)
	}
	return d
}

// deliverPeer delivers n messages to Postfix, and waits until it has given the last to
// Dovecot.
func deliverPeer(b *testing.B, source string, p *postfix, d *dovecot, n int) delivered {
	b.Helper()
	before, cpu := inboxCount(b, d.addr), treeCPU(b, p.master, d.pid)
	begin := time.Now()
	runSource(b, source, p.addr, n)
	p.drained(b)
	r := delivered{rate: float64(n) / time.Since(begin).Seconds(), cpu: (treeCPU(b, p.master, d.pid) - cpu) / float64(n)}
	if got := inboxCount(b, d.addr) - before; got != n {
		b.Errorf("Dovecot: %d messages of %d came into the mailbox", got, n)
	}
	return r
}

var statusMessages = regexp.MustCompile(`(?i)STATUS "?INBOX"? \(MESSAGES (\d+)\)`)

// inboxCount returns how many messages a mailbox has.
func inboxCount(t testing.TB, addr string) int {
	t.Helper()
	c := dialIMAP(t, addr)
	defer c.nc.Close()
	n := -1
	_, err := c.run("STATUS INBOX (MESSAGES)\r\n", func(line []byte) {
		if m := statusMessages.FindSubmatch(line); m != nil {
			n, _ = strconv.Atoi(string(m[1])) // It has digits only.
		}
	})
	check(t, err)
	if n < 0 {
		t.Fatal("no number of messages in the answer to STATUS")
	}
	return n
}

// startPeerDovecot starts a Dovecot with LMTP, if that is installed.
func startPeerDovecot(t testing.TB) *dovecot {
	t.Helper()
	if _, err := os.Stat("/usr/lib/dovecot/lmtp"); err != nil {
		t.Log("Dovecot's LMTP is not installed, so there are no figures of it (Debian package: dovecot-lmtpd)")
		return nil
	}
	return startDovecotWith(t, []string{"dovecot.conf", "dovecot-lmtp.conf"})
}

func reportWorld(b *testing.B, f form, rounds []worldRound, d *dovecot, peer *postfix) {
	tb := theReport.table(fmt.Sprintf("%d messages of %d octets from smtp-source over %d connections, messages a second until the last is in the mailbox,\n"+
		"and CPU of all processes of the server in ms for a message: mox into a new mailbox, Postfix and Dovecot (sdbox), and\n"+
		"mox into a mailbox of %d. SPF, DMARC, reverse names, reputation and the junk filter are on in mox.", f.world, sourceSize, sourceConns, f.big),
		"round", "mox", "CPU ms", "Postfix+Dovecot", "CPU ms", "mox of theirs", "CPU of theirs", "into big", "CPU ms", "of new")
	columns := make([][]float64, len(tb.columns)-1)
	for i, r := range rounds {
		values := []float64{r.mox.rate, r.mox.cpu * 1000, r.peer.rate, r.peer.cpu * 1000, 0, 0, r.big.rate, r.big.cpu * 1000, r.big.rate / r.mox.rate}
		if peer != nil {
			values[4], values[5] = r.mox.rate/r.peer.rate, r.mox.cpu/r.peer.cpu
		}
		row := []any{fmt.Sprint(i + 1)}
		for j, v := range values {
			columns[j] = append(columns[j], v)
			row = append(row, v)
		}
		tb.row(row...)
	}
	var m []float64
	row := []any{"median"}
	for _, c := range columns {
		m = append(m, median(c))
		row = append(row, median(c))
	}
	tb.row(row...)
	line(b, "mox", metric{"msg/s", m[0]}, metric{"cpu-ms/msg", m[1]})
	line(b, "mox/big", metric{"msg/s", m[6]}, metric{"cpu-ms/msg", m[7]}, metric{"of-new", m[8]})
	if peer == nil {
		tb.note("Postfix or Dovecot is missing, so there are no figures of them.")
		return
	}
	line(b, "postfix+dovecot", metric{"msg/s", m[2]}, metric{"cpu-ms/msg", m[3]}, metric{"mox-of-theirs", m[4]})
	tb.note("No message was lost. Both sync before they answer, Postfix to its queue, and Dovecot to the mailbox.")
	tb.note("%s.", peer.note)
	tb.note("%s.", d.note)
	for _, name := range []string{"postfix/main.cf", "postfix/master.cf", "dovecot.conf", "dovecot-lmtp.conf"} {
		tb.note("testdata/%s:\n%s", name, settings(testkit.ReadFile(b, filepath.Join("testdata", name))))
	}
}

// settings returns a configuration without comments and empty lines, indented.
func settings(text []byte) string {
	var b bytes.Buffer
	for line := range bytes.Lines(text) {
		if s := bytes.TrimSpace(line); len(s) > 0 && s[0] != '#' {
			b.WriteString("    ")
			b.Write(line)
		}
	}
	return b.String()
}
