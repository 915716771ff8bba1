package bench

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A readCommand is a command that is measured on a mailbox.
type readCommand struct {
	name string
	text string
	undo string // Sent every second time instead, if not empty.

	// times is how often it is measured, if it makes the mailbox or the database another
	// one. Zero is until the time for a benchmark is up.
	times int

	// reference is what Dovecot needs on a machine of this class, on 20,000 messages that
	// were read before. Zero is unknown.
	reference time.Duration

	// verify returns whether an answer about n messages is complete.
	verify func(a *tally, n int) bool
}

// referenceSize is the size of the mailbox that the references are for.
const referenceSize = 20_000

func allFetched(a *tally, n int) bool      { return a.lines["FETCH"] == n }
func thousandFetched(a *tally, _ int) bool { return a.lines["FETCH"] == 1000 }
func someFound(a *tally, n int) bool       { return a.numbers > 0 && a.numbers < n/4 }
func weekFound(a *tally, _ int) bool       { return a.numbers > 0 && a.numbers <= 7*24*12 } // One in five minutes.
func oneFound(a *tally, _ int) bool        { return a.numbers == 1 }
func mostFound(a *tally, n int) bool       { return a.numbers > n*9/10 && a.numbers <= n }
func sorted(a *tally, _ int) bool          { return a.lines["SORT"] > 0 }
func threaded(a *tally, _ int) bool        { return a.lines["THREAD"] == 1 }
func nothingTold(*tally, int) bool         { return true }

// rareText is in one message of the mix, in a header field; commonText in the body of nearly
// all.
var (
	rareText   = rareWord(7)
	commonText = "thursday"
)

// rareWord returns the part of the Message-ID of a message of the mix that no other has.
func rareWord(n int) string {
	_, after, _ := strings.Cut(mix(n).text, "Message-ID: <"+serial+".")
	word, _, _ := strings.Cut(after, ".")
	return word
}

// readCommands returns the commands, in the order in which a client may send them.
func readCommands() []readCommand {
	return []readCommand{
		{"Select", "SELECT INBOX", "", 0, 200 * time.Microsecond, func(a *tally, _ int) bool { return a.lines["EXISTS"] == 1 }},
		{"FetchFlags", "FETCH 1:* (FLAGS)", "", 0, 10 * time.Millisecond, allFetched},
		{"FetchSizeDate", "UID FETCH 1:* (RFC822.SIZE INTERNALDATE)", "", 0, 0, allFetched},
		{"FetchEnvelopeBodystructure", "FETCH 1:* (ENVELOPE BODYSTRUCTURE)", "", 0, 140 * time.Millisecond, allFetched},
		{"FetchEnvelope", "FETCH 1:* (ENVELOPE)", "", 0, 0, allFetched},
		{"FetchBodystructure", "FETCH 1:* (BODYSTRUCTURE)", "", 0, 0, allFetched},
		{"FetchHeader1000", "FETCH 1:1000 (BODY.PEEK[HEADER])", "", 0, 0, thousandFetched},
		{"FetchBody1000", "FETCH 1:1000 (BODY.PEEK[])", "", 0, 0, thousandFetched},
		{"FetchText1000", "FETCH 1:1000 (BODY.PEEK[1])", "", 0, 0, thousandFetched},
		{"Status", "STATUS Copies (MESSAGES UNSEEN UIDNEXT)", "", 0, 0, func(a *tally, _ int) bool { return a.lines["STATUS"] == 1 }},
		{"List", `LIST "" *`, "", 0, 0, func(a *tally, _ int) bool { return a.lines["LIST"] > 1 }},
		{"FetchHeaderFields", "FETCH 1:* (BODY.PEEK[HEADER.FIELDS (DATE FROM TO SUBJECT)])", "", 0, 55 * time.Millisecond, allFetched},
		{"SearchUnseen", "SEARCH UNSEEN", "", 0, 200 * time.Microsecond, func(a *tally, n int) bool { return a.numbers == n/unreadEach }},
		{"SearchSubject", `SEARCH SUBJECT "part 123"`, "", 0, 40 * time.Millisecond, someFound},
		{"SearchFrom", `SEARCH FROM "sender29"`, "", 0, 0, someFound},
		{"SearchSince", "SEARCH SINCE 15-Nov-2023 BEFORE 22-Nov-2023", "", 0, 0, weekFound},
		{"SearchSentSince", "SEARCH SENTSINCE 15-Nov-2023 SENTBEFORE 22-Nov-2023", "", 0, 0, weekFound},
		{"SearchLarger", "SEARCH LARGER 3800", "", 0, 0, func(a *tally, n int) bool { return a.numbers > 0 && a.numbers < n }},
		{"SearchHeader", `SEARCH HEADER Message-ID "` + rareText + `"`, "", 0, 0, oneFound},
		{"SortArrival", "SORT (ARRIVAL) UTF-8 ALL", "", 0, 0, sorted},
		{"SortDate", "SORT (REVERSE DATE) UTF-8 ALL", "", 0, 0, sorted},
		{"SortSubject", "SORT (SUBJECT) UTF-8 ALL", "", 0, 0, sorted},
		{"SortFrom", "SORT (FROM) UTF-8 ALL", "", 0, 0, sorted},
		{"SortSize", "SORT (SIZE) UTF-8 ALL", "", 0, 0, sorted},
		{"ThreadReferences", "THREAD REFERENCES UTF-8 ALL", "", 0, 0, threaded},
		{"ThreadSubject", "THREAD ORDEREDSUBJECT UTF-8 ALL", "", 0, 0, threaded},
		{"SearchTextRare", `SEARCH TEXT "` + rareText + `"`, "", 0, 0, oneFound},
		{"SearchTextCommon", `SEARCH TEXT "` + commonText + `"`, "", 0, 0, mostFound},
		{"SearchBodyNone", `SEARCH BODY "no message has this"`, "", 0, 0, func(a *tally, _ int) bool { return a.numbers == 0 }},
		{"Store1000", `STORE 1:1000 +FLAGS ($Forwarded)`, `STORE 1:1000 -FLAGS ($Forwarded)`, 20, 0, thousandFetched},
		{"Copy1000", "COPY 1:1000 Copies", "", 5, 0, nothingTold},
	}
}

// BenchmarkRead measures commands on mailboxes, read before and not.
func BenchmarkRead(b *testing.B) {
	f := theForm()
	for _, n := range f.sizes {
		b.Run(fmt.Sprintf("messages=%d", n), func(b *testing.B) { benchmarkReading(b, f, n) })
	}
}

func benchmarkReading(b *testing.B, f form, n int) {
	dir := filled(b, n)
	s := start(b, dir)
	c := dialIMAP(b, s.addrs["imap"])
	c.do(b, "CREATE Copies")
	verifyReading(b, c, n)
	warm := benchmarkWarm(b, "server=mox/cache=warm/", c)
	reportMemory(b, s, c, n)
	s.stop(b)

	columns := []string{"", "read before"}
	results := []map[string]time.Duration{warm}
	columns, results = append(columns, "new server"), append(results, measureCold(b, f.cold, dir, "new", func() {}))
	if f.drop && dropCaches() == nil {
		drop := func() { check(b, dropCaches()) }
		columns, results = append(columns, "nothing cached"), append(results, measureCold(b, 1, dir, "dropped", drop))
	}
	peer := startDovecot(b)
	if peer != nil {
		c := dialIMAP(b, peer.addr)
		fillMailbox(b, c, n)
		c.do(b, "CREATE Copies")
		verifyReading(b, c, n)
		columns, results = append(columns, "Dovecot, read before"), append(results, benchmarkWarm(b, "server=dovecot/cache=warm/", c))
		if f.drop && dropCaches() == nil {
			columns, results = append(columns, "Dovecot, nothing cached"), append(results, measureColdDovecot(b, peer))
		}
	}
	reportReading(n, columns, results, peer)
}

func reportReading(n int, columns []string, results []map[string]time.Duration, peer *dovecot) {
	if n == referenceSize {
		columns = append(columns, "Dovecot elsewhere")
	}
	tb := theReport.table(fmt.Sprintf("Commands on a mailbox of %d messages, ms", n), columns...)
	for _, cmd := range readCommands() {
		row := []any{cmd.text}
		for _, r := range results {
			row = append(row, r[cmd.name])
		}
		if n == referenceSize {
			if cmd.reference != 0 {
				row = append(row, cmd.reference)
			} else {
				row = append(row, "")
			}
		}
		tb.row(row...)
	}
	tb.note("New server: SELECT, or the command after SELECT, is the first after a login to a server just started.")
	if n == referenceSize {
		tb.note("Dovecot elsewhere: read before, on another machine of this class.")
	}
	if peer != nil {
		tb.note("%s", peer.note)
	}
}

// verifyReading runs each command once, twice if it can be undone, and verifies what it
// answers.
func verifyReading(b testing.TB, c *imapConn, n int) {
	b.Helper()
	for _, cmd := range readCommands() {
		for _, text := range []string{cmd.text, cmd.undo} {
			if text == "" {
				continue
			}
			if a := c.tally(b, text); !cmd.verify(a, n) {
				b.Fatalf("%s: responses %v, %d numbers found", text, a.lines, a.numbers)
			}
		}
	}
}

// benchmarkWarm measures each command on a mailbox that was read before, and returns
// medians by name.
func benchmarkWarm(b *testing.B, prefix string, c *imapConn) map[string]time.Duration {
	medians := map[string]time.Duration{}
	for _, cmd := range readCommands() {
		name := prefix + "cmd=" + cmd.name
		var times []time.Duration
		var size int64
		text, other := cmd.text, cmd.undo
		once := func() {
			begin := time.Now()
			size = c.do(b, text)
			times = append(times, time.Since(begin))
			if other != "" {
				text, other = other, text
			}
		}
		if cmd.times > 0 {
			for range cmd.times {
				once()
			}
			line(b, name, metric{"ns/op", float64(median(times).Nanoseconds())})
		} else {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					once()
				}
				b.SetBytes(size)
				b.ReportMetric(float64(median(times).Nanoseconds()), "ns/op")
			})
		}
		medians[cmd.name] = median(times)
	}
	return medians
}

// measureCold measures each command as the first of a server that was just started, a
// number of times, and returns medians.
func measureCold(b *testing.B, times int, dir, cache string, before func()) map[string]time.Duration {
	medians := map[string]time.Duration{}
	for _, cmd := range readCommands() {
		var l []time.Duration
		for i := range times {
			text := cmd.text
			if cmd.undo != "" && i%2 == 1 {
				text = cmd.undo
			}
			before()
			l = append(l, measureFirst(b, dir, text))
		}
		m := median(l)
		medians[cmd.name] = m
		line(b, "server=mox/cache="+cache+"/cmd="+cmd.name, metric{"ns/op", float64(m.Nanoseconds())})
	}
	return medians
}

// measureColdDovecot measures each command as the first of a connection, which has a process
// of its own, with an empty page cache.
func measureColdDovecot(b *testing.B, peer *dovecot) map[string]time.Duration {
	times := map[string]time.Duration{}
	for _, cmd := range readCommands() {
		check(b, dropCaches())
		times[cmd.name] = measureCommand(b, peer.addr, cmd.text)
		line(b, "server=dovecot/cache=dropped/cmd="+cmd.name, metric{"ns/op", float64(times[cmd.name].Nanoseconds())})
	}
	return times
}

// measureFirst measures one command of a new server.
func measureFirst(b *testing.B, dir, text string) time.Duration {
	s := start(b, dir)
	elapsed := measureCommand(b, s.addrs["imap"], text)
	s.stop(b)
	return elapsed
}

// measureCommand measures the first command of a connection, after SELECT.
func measureCommand(b *testing.B, addr, text string) time.Duration {
	c := dialIMAP(b, addr)
	if !strings.HasPrefix(text, "SELECT ") {
		c.do(b, "SELECT INBOX")
	}
	begin := time.Now()
	c.do(b, text)
	elapsed := time.Since(begin)
	c.do(b, "LOGOUT")
	return elapsed
}

// reportMemory reports what the server uses after all commands.
func reportMemory(b *testing.B, s *server, c *imapConn, n int) {
	b.Helper()
	most := float64(s.resident(b).most)
	m := settle(b, s, c)
	tb := theReport.table(fmt.Sprintf("Memory of the server after commands on a mailbox of %d messages, MiB", n),
		"heap in use", "resident", "of which mapped files", "most resident")
	mib := func(v float64) string { return number(v / (1 << 20)) }
	tb.row(mib(m.heap), mib(m.resident), mib(m.files), mib(most))
	tb.note("Mapped files are the database: the system drops them when it needs memory.")
	line(b, "memory", metric{"heap-B", m.heap}, metric{"resident-B", m.resident}, metric{"mapped-B", m.files}, metric{"most-resident-B", most})
}
