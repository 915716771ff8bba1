package bench

import (
	"flag"
	"fmt"
	"regexp"
	"slices"
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

	// verify returns whether an answer about n messages is complete.
	verify func(a *tally, n int) bool
}

func allFetched(a *tally, n int) bool      { return a.lines["FETCH"] == n }
func thousandFetched(a *tally, _ int) bool { return a.lines["FETCH"] == 1000 }
func someFound(a *tally, n int) bool       { return a.numbers > 0 && a.numbers < n/4 }
func weekFound(a *tally, _ int) bool       { return a.numbers > 0 && a.numbers <= 7*24*12 } // One in five minutes.
func oneFound(a *tally, _ int) bool        { return a.numbers == 1 }
func noneFound(a *tally, _ int) bool       { return a.numbers == 0 }
func mostFound(a *tally, n int) bool       { return a.numbers > n*9/10 && a.numbers <= n }
func sorted(a *tally, _ int) bool          { return a.lines["SORT"] > 0 }
func threaded(a *tally, _ int) bool        { return a.lines["THREAD"] == 1 }
func nothingTold(*tally, int) bool         { return true }

// rareText is in one message of the mix, in a header field; commonText in the body of nearly
// all.
var (
	rareText   = rareWord(7)
	commonText = "thursday"

	rareReceived = receivedID(7)
)

// rareWord returns the part of the Message-ID of a message of the mix that no other has.
func rareWord(n int) string {
	_, after, _ := strings.Cut(mix(n).text, "Message-ID: <"+serial+".")
	word, _, _ := strings.Cut(after, ".")
	return word
}

// receivedID returns the part of Received of a message of the mix that no other has.
func receivedID(n int) string {
	_, after, _ := strings.Cut(mix(n).text, "with ESMTPS id ")
	id, _, _ := strings.Cut(after, "\r")
	return id
}

// readCommands returns the commands, in the order in which a client may send them.
func readCommands() []readCommand {
	return []readCommand{
		{"Select", "SELECT INBOX", "", 0, func(a *tally, _ int) bool { return a.lines["EXISTS"] == 1 }},
		{"FetchFlags", "FETCH 1:* (FLAGS)", "", 0, allFetched},
		{"FetchSizeDate", "UID FETCH 1:* (RFC822.SIZE INTERNALDATE)", "", 0, allFetched},
		{"FetchEnvelopeBodystructure", "FETCH 1:* (ENVELOPE BODYSTRUCTURE)", "", 0, allFetched},
		{"FetchEnvelope", "FETCH 1:* (ENVELOPE)", "", 0, allFetched},
		{"FetchBodystructure", "FETCH 1:* (BODYSTRUCTURE)", "", 0, allFetched},
		{"FetchHeader1000", "FETCH 1:1000 (BODY.PEEK[HEADER])", "", 0, thousandFetched},
		{"FetchBody1000", "FETCH 1:1000 (BODY.PEEK[])", "", 0, thousandFetched},
		{"FetchText1000", "FETCH 1:1000 (BODY.PEEK[1])", "", 0, thousandFetched},
		{"Status", "STATUS Copies (MESSAGES UNSEEN UIDNEXT)", "", 0, func(a *tally, _ int) bool { return a.lines["STATUS"] == 1 }},
		{"StatusUnseen", "STATUS INBOX (MESSAGES UNSEEN UIDNEXT)", "", 0, func(a *tally, _ int) bool { return a.lines["STATUS"] == 1 }},
		{"List", `LIST "" *`, "", 0, func(a *tally, _ int) bool { return a.lines["LIST"] > 1 }},
		{"FetchHeaderFields", "FETCH 1:* (BODY.PEEK[HEADER.FIELDS (DATE FROM TO SUBJECT)])", "", 0, allFetched},
		{"SearchUnseen", "SEARCH UNSEEN", "", 0, func(a *tally, n int) bool { return a.numbers == n/unreadEach }},
		{"CountUnseen", "SEARCH RETURN (COUNT) UNSEEN", "", 0, func(a *tally, _ int) bool { return a.lines["ESEARCH"] == 1 }},
		{"SearchSubject", `SEARCH SUBJECT "part 123"`, "", 0, someFound},
		{"SearchFrom", `SEARCH FROM "sender29"`, "", 0, someFound},
		{"SearchSince", "SEARCH SINCE 15-Nov-2023 BEFORE 22-Nov-2023", "", 0, weekFound},
		{"SearchSentSince", "SEARCH SENTSINCE 15-Nov-2023 SENTBEFORE 22-Nov-2023", "", 0, weekFound},
		{"SearchLarger", "SEARCH LARGER 3800", "", 0, func(a *tally, n int) bool { return a.numbers > 0 && a.numbers < n }},
		{"SearchHeader", `SEARCH HEADER Message-ID "` + rareText + `"`, "", 0, oneFound},
		{"SearchRareField", `SEARCH HEADER Received "` + rareReceived + `"`, "", 0, oneFound},
		{"SearchRareFieldAll", `SEARCH HEADER Received "mx.mox.example"`, "", 0, mostFound},
		{"SearchNoField", `SEARCH HEADER X-Spam-Flag "yes"`, "", 0, noneFound},
		{"SortArrival", "SORT (ARRIVAL) UTF-8 ALL", "", 0, sorted},
		{"SortDate", "SORT (REVERSE DATE) UTF-8 ALL", "", 0, sorted},
		{"SortSubject", "SORT (SUBJECT) UTF-8 ALL", "", 0, sorted},
		{"SortFrom", "SORT (FROM) UTF-8 ALL", "", 0, sorted},
		{"SortSize", "SORT (SIZE) UTF-8 ALL", "", 0, sorted},
		{"SortSubjectFromDate", "SORT (SUBJECT FROM REVERSE DATE) UTF-8 ALL", "", 0, sorted},
		{"ThreadReferences", "THREAD REFERENCES UTF-8 ALL", "", 0, threaded},
		{"ThreadSubject", "THREAD ORDEREDSUBJECT UTF-8 ALL", "", 0, threaded},
		{"SearchTextRare", `SEARCH TEXT "` + rareText + `"`, "", 0, oneFound},
		{"SearchTextCommon", `SEARCH TEXT "` + commonText + `"`, "", 0, mostFound},
		{"SearchBodyNone", `SEARCH BODY "no message has this"`, "", 0, noneFound},
		{"Store1000", `STORE 1:1000 +FLAGS ($Forwarded)`, `STORE 1:1000 -FLAGS ($Forwarded)`, 20, thousandFetched},
		{"Copy1000", "COPY 1:1000 Copies", "", 5, nothingTold},
	}
}

// commandNames is which commands are measured.
var commandNames = flag.String("commands", "", "measure only commands of BenchmarkRead with a name that matches this expression")

// letSleep is whether processors may sleep before first commands.
var letSleep = flag.Bool("sleep", false, "let processors sleep before first commands in BenchmarkRead")

// stayAwake keeps processors from sleeping until the end of the benchmark, if it may, and
// returns what to say about it. After a time without work, waking one takes 20 to 100
// microseconds in a virtual machine, for the server and for the client, and short commands take
// less. It is not done for commands that follow each other: the system then has the server and
// the client on one processor in one run, and on two in another.
func stayAwake(b *testing.B) string {
	b.Helper()
	if *letSleep {
		return "Processors slept before first commands."
	}
	done, err := keepAwake()
	if err != nil {
		return fmt.Sprintf("Processors slept before first commands (%v).", err)
	}
	b.Cleanup(done)
	return "Processors were kept from sleeping before first commands."
}

// wantedCommands returns the commands that are measured.
func wantedCommands(b *testing.B) []readCommand {
	b.Helper()
	re, err := regexp.Compile(*commandNames)
	check(b, err)
	return slices.DeleteFunc(readCommands(), func(c readCommand) bool { return !re.MatchString(c.name) })
}

// BenchmarkRead measures commands on mailboxes, read before and not, with Dovecot doing the
// same in turn.
func BenchmarkRead(b *testing.B) {
	f := theForm()
	for _, n := range f.sizes {
		b.Run(fmt.Sprintf("messages=%d", n), func(b *testing.B) { benchmarkReading(b, f, n) })
	}
}

// A reader is a server that is read from, by a client for each command or by one for all.
type reader struct {
	name  string
	addr  string
	first func(b *testing.B, text string) time.Duration // As the first command.
	conn  *imapConn
}

// readings has medians by server, state of caches, and command.
type readings map[[3]string]time.Duration

// The states of caches.
const (
	cacheWarm    = "warm"
	cacheNew     = "new"
	cacheDropped = "dropped"
)

func benchmarkReading(b *testing.B, f form, n int) {
	commands := wantedCommands(b)
	dir := filled(b, n)
	s := start(b, dir)
	readers := []*reader{{name: "mox", addr: s.addrs["imap"], conn: dialAlone(b, s.addrs["imap"]), first: func(b *testing.B, text string) time.Duration {
		s := start(b, dir)
		defer s.stop(b)
		return measureCommand(b, s.addrs["imap"], text)
	}}}
	peer := startDovecotFilled(b, n)
	if peer != nil {
		readers = append(readers, &reader{name: "dovecot", addr: peer.addr, conn: dialAlone(b, peer.addr), first: func(b *testing.B, text string) time.Duration {
			return measureCommand(b, peer.addr, text)
		}})
	}
	for _, r := range readers {
		r.conn.do(b, "CREATE Copies")
		verifyReading(b, r.conn, n)
	}
	results := readings{}
	for _, cmd := range commands {
		most := cmd.times
		if most == 0 {
			most = 100
		}
		if cmd.undo == "" { // What is kept when it is asked for again was asked for once so far.
			for _, r := range readers {
				r.conn.do(b, cmd.text)
			}
		}
		results.measure(b, readers, cmd, cacheWarm, most, f.slice, func(r *reader, text string) time.Duration {
			begin := time.Now()
			r.conn.do(b, text)
			return time.Since(begin)
		}, func() {
			for _, r := range readers {
				r.conn.do(b, "LOGOUT")
				r.conn = dialAlone(b, r.addr)
				for _, text := range []string{"SELECT INBOX", cmd.text, cmd.text} {
					r.conn.do(b, text)
				}
			}
		})
	}
	reportMemory(b, s, readers[0].conn, n)
	s.stop(b)
	for _, r := range readers[1:] {
		r.conn.do(b, "LOGOUT") // What a process has mapped stays in the page cache.
	}
	awake := stayAwake(b)
	for _, cmd := range commands {
		results.measure(b, readers, cmd, cacheNew, f.cold, f.slice, func(r *reader, text string) time.Duration { return r.first(b, text) }, nil)
	}
	dropped := f.drop && dropCaches() == nil
	for _, cmd := range commands {
		if !dropped {
			break
		}
		results.measure(b, readers, cmd, cacheDropped, 1, f.slice, func(r *reader, text string) time.Duration {
			check(b, dropCaches())
			return r.first(b, text)
		}, nil)
	}
	readReport{n: n, commands: commands, results: results, peer: peer, dropped: dropped, awake: awake}.table()
}

// Commands that take less than short are measured shortTimes as often, each time by connections
// of their own: most of what they take is for waking processes, on one processor or on two, which
// differs more than what the servers do. On which is settled for a connection, or for seconds.
const (
	short      = time.Millisecond
	shortTimes = 20
)

// measure measures a command on all servers in turn, a number of times or until they have
// taken so long together. If it is measured more often because it is short, again makes other
// connections each time, unless it is nil.
func (l readings) measure(b *testing.B, readers []*reader, cmd readCommand, cache string, times int, slice time.Duration, once func(r *reader, text string) time.Duration, again func()) {
	b.Helper()
	all := make([][]time.Duration, len(readers))
	var spent time.Duration
	if cmd.undo != "" {
		times += times % 2
	}
	// What was done is undone in the end, so that it is done anew the next time.
	limit := times
	for i := 0; i < limit && (spent < slice || cmd.undo != "" && i%2 == 1); i++ {
		if i > 0 && i%times == 0 && again != nil {
			again()
		}
		text := cmd.text
		if cmd.undo != "" && i%2 == 1 {
			text = cmd.undo
		}
		for j, r := range readers {
			elapsed := once(r, text)
			spent += elapsed
			all[j] = append(all[j], elapsed)
		}
		if i+1 == times && !slices.ContainsFunc(all, func(l []time.Duration) bool { return median(l) >= short }) {
			limit *= shortTimes
		}
	}
	for j, r := range readers {
		m := median(all[j])
		l[[3]string{r.name, cache, cmd.name}] = m
		line(b, "server="+r.name+"/cache="+cache+"/cmd="+cmd.name, metric{"ns/op", float64(m.Nanoseconds())})
	}
}

// A readReport is what a benchmark of reading has found out.
type readReport struct {
	n        int // Messages.
	commands []readCommand
	results  readings
	peer     *dovecot // Nil without Dovecot.
	dropped  bool     // Caches could be dropped.
	awake    string   // What to say about processors.
}

func (r readReport) table() {
	caches := []string{cacheWarm, cacheNew}
	if r.dropped {
		caches = append(caches, cacheDropped)
	}
	titles := map[string]string{cacheWarm: "", cacheNew: ", new", cacheDropped: ", nothing cached"}
	columns := []string{""}
	for _, cache := range caches {
		columns = append(columns, "mox"+titles[cache])
		if r.peer != nil {
			columns = append(columns, "Dovecot"+titles[cache], "times")
		}
	}
	tb := theReport.table(fmt.Sprintf("Commands on a mailbox of %d messages, ms, and how many times faster mox is", r.n), columns...)
	behind := 0
	for _, cmd := range r.commands {
		row := []any{cmd.text}
		for _, cache := range caches {
			ours := r.results[[3]string{"mox", cache, cmd.name}]
			row = append(row, ours)
			if r.peer == nil {
				continue
			}
			theirs := r.results[[3]string{"dovecot", cache, cmd.name}]
			if theirs < ours {
				behind++
			}
			row = append(row, theirs, theirs.Seconds()/ours.Seconds())
		}
		tb.row(row...)
	}
	tb.note("The first columns: the mailbox was read before, by the same connection; of short commands, by %d connections one after the other.", shortTimes)
	tb.note("New: the first command after LOGIN and SELECT, of a mox that was just started, and of a new connection to Dovecot, which has a process of")
	tb.note("its own. Nothing cached: the same, after the page cache was emptied.")
	tb.note("%s", r.awake)
	if r.peer != nil {
		tb.note("mox is behind in %d of %d comparisons. %s", behind, len(caches)*len(r.commands), r.peer.note)
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

// measureCommand measures the first command of a connection, after SELECT.
func measureCommand(b *testing.B, addr, text string) time.Duration {
	c := dialAlone(b, addr)
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
