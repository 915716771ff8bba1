package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/imap"
	"mox/internal/safefile"
	"mox/store"
)

var ctx = context.Background()

func tcheck(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A world is a store with an account, which is verified at the end.
type world struct {
	*Transfers
	t     testing.TB
	st    *store.Store
	a     *store.Account
	quota int64
}

func newWorld(t testing.TB) *world {
	w := &world{t: t}
	dir := t.TempDir()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	var err error
	w.st, err = store.Open(ctx, store.Options{Dir: dir, Log: log, UndeleteWindow: time.Hour, UndeleteBytes: 1 << 30, Quota: func(string) int64 { return w.quota }})
	tcheck(t, err)
	w.a, err = w.st.Ensure(ctx, "ann")
	tcheck(t, err)
	w.Transfers = New(Options{TempDir: w.st.TempDir(), Log: log})
	t.Cleanup(func() {
		w.a.Release()
		tcheck(t, w.st.Close())
		rep, err := store.Verify(ctx, dir, store.VerifyOptions{Log: log})
		tcheck(t, err)
		for _, p := range rep.Problems {
			t.Errorf("verify: %v", p)
		}
	})
	return w
}

// content returns all messages of an account: mailbox, flags, date and text.
func content(t testing.TB, a *store.Account) []string {
	t.Helper()
	var l []string
	for _, mb := range a.Tree().Mailboxes() {
		ix, err := a.Index(ctx, mb.ID)
		tcheck(t, err)
		for _, it := range ix.Range(0, ix.Len()) {
			c, err := a.OpenContent(ctx, it.ContentID)
			tcheck(t, err)
			var b bytes.Buffer
			_, err = io.Copy(&b, io.NewSectionReader(c, 0, c.Size()))
			tcheck(t, errors.Join(err, c.Close()))
			set := imap.FlagSet{Flags: it.Flags, Keywords: it.Keywords()}
			l = append(l, fmt.Sprintf("%s [%s] %d %q", mb.Name, set, it.ReceivedUnix(), b.String()))
		}
	}
	slices.Sort(l)
	return l
}

func (w *world) read(path, mailbox string) State {
	w.t.Helper()
	src, err := Open(path, "", nil)
	tcheck(w.t, err)
	im, err := w.Import(ctx, w.a, ImportOptions{Mailbox: mailbox, Source: path})
	tcheck(w.t, err)
	defer im.Close()
	st, err := im.Read(ctx, src)
	tcheck(w.t, errors.Join(err, src.Close()))
	return st
}

func write(t testing.TB, dir string, files map[string]string) string {
	t.Helper()
	for name, data := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		tcheck(t, os.MkdirAll(filepath.Dir(p), 0700))
		tcheck(t, os.WriteFile(p, []byte(data), 0600))
	}
	return dir
}

func wantContent(t testing.TB, a *store.Account, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := content(t, a); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestMboxFilesOfAllKinds(t *testing.T) {
	t.Parallel()
	const date = "Mon Nov 16 10:11:12 2026"
	const unix = 1794823872
	for _, tc := range []struct{ name, mbox, want string }{
		{"a final line without an end keeps its last character", "From a@b " + date + "\nSubject: x\n\nbody", `[] 1794823872 "Subject: x\r\n\r\nbody"`},
		{"quoted From lines lose one bracket", "From a@b " + date + "\n\n>From x\n>>From y\n> From z\n\n", `[] 1794823872 "\r\n>From"`},
		{"flags", "From a@b " + date + "\nStatus: RO\nX-Status: AF\nX-Keywords: forwarded, $Junk,Work\nSubject: x\n\nb\n\n", `[\Seen \Answered \Flagged $Forwarded $Junk work] 1794823872 "Subject: x\r\n\r\nb\r\n"`},
		{"keywords with spaces between them can have commas", "From a@b " + date + "\nX-Keywords: a,b c\n\nb\n", `[a,b c] 1794823872 "\r\nb\r\n"`},
		{"a Content-Length that is right is used", "From a@b " + date + "\nContent-Length: 9\n\nFrom x\nb\n\nFrom a@b " + date + "\n\ny\n", `[] 1794823872 "Content-Length: 9\r\n\r\nFrom x\r\nb\r\n"`},
		{"CRLF line ends", "From a@b " + date + "\r\nSubject: x\r\n\r\nb\r\n\r\nFrom c " + date + "\r\n\r\ny\r\n", `[] 1794823872 "Subject: x\r\n\r\nb\r\n"`},
		{"a From_ line with a zone", "From a b Mon Nov 16 12:11:12 +0200 2026\n\nb\n", `[] 1794823872 "\r\nb\r\n"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			it, err := newMbox(strings.NewReader(tc.mbox), "").Next(&b)
			tcheck(t, err)
			spool := safefile.NewSpool(safefile.SpoolOptions{Dir: t.TempDir(), CRLF: true})
			_, err = io.WriteString(spool, b.String())
			tcheck(t, err)
			text, _ := spool.Bytes()
			got := fmt.Sprintf("[%s] %d %q", it.Flags, it.Received.Unix(), text)
			if tc.name == "quoted From lines lose one bracket" {
				tc.want = fmt.Sprintf("[] %d %q", unix, "\r\nFrom x\r\n>From y\r\n> From z\r\n")
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
	if _, err := newMbox(strings.NewReader("Subject: x\n\n"), "").Next(io.Discard); !errors.Is(err, ErrMbox) {
		t.Errorf("what is no mbox file: %v", err)
	}
}

func TestMaildirsWithFoldersAndKeywords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := write(t, t.TempDir(), map[string]string{
		"cur/1000000000.a.host:2,FSab":       "Subject: one\n\nx",
		"new/1000000001.b.host":              "Subject: two\n\n",
		"tmp/1000000002.c.host":              "Subject: not complete\n\n",
		"dovecot-keywords":                   "0 $Forwarded\n1 Work\n",
		".Lists.G&APY-lang/cur/1000000003.d": "Subject: three\n\n",
		"Archive/2019/cur/1000000004.e!2,RP": "Subject: four\n\n",
		"dovecot.index":                      "what others keep there",
	})
	st := w.read(dir, "Inbox")
	if st.Stored != 4 {
		t.Errorf("state %+v", st)
	}
	wantContent(t, w.a,
		`Inbox [\Seen \Flagged $Forwarded work] 1000000000 "Subject: one\r\n\r\nx"`,
		`Inbox [] 1000000001 "Subject: two\r\n\r\n"`,
		`Lists/Gölang [] 1000000003 "Subject: three\r\n\r\n"`,
		`Archive/2019 [\Answered $Forwarded] 1000000004 "Subject: four\r\n\r\n"`)
}

// filled makes mail with all that can be lost.
func (w *world) filled(n int) {
	w.t.Helper()
	boxes := []string{"Inbox", "Archive", "Archive/2020/.x", "_odd/cur", "Große/x.mbox", "Leer"}
	for _, name := range boxes[2:] {
		tcheck(w.t, w.a.Update(ctx, func(tx *store.Tx) error { _, err := tx.CreateMailbox(name, 0); return err }))
	}
	for i := range n {
		s := safefile.NewSpool(safefile.SpoolOptions{Dir: w.st.TempDir()})
		_, err := fmt.Fprintf(s, "Subject: %d\r\nX-Long: %s\r\n\r\nFrom here\r\n>From there\r\n\r\n.\r\n", i, strings.Repeat("x", i*1000))
		tcheck(w.t, err)
		kw := []string{fmt.Sprintf("k%02d", i), "with,comma"}
		_, err = w.a.Append(ctx, store.NewMessage{Mailbox: boxes[i%5], Spool: s, Prefix: []byte("X-Ours: y\r\n"), Flags: store.Flags(i) & imap.FlagsAll, Keywords: kw[:i%3], Received: time.Unix(1e9+int64(i), 0)})
		tcheck(w.t, errors.Join(err, s.Close()))
	}
}

func TestExportsComeBackWithAllFlagsAndKeywords(t *testing.T) {
	t.Parallel()
	for _, format := range []string{FormatMbox, FormatMaildir} {
		for _, ext := range []string{"", ".zip", ".tgz"} {
			t.Run(format+ext, func(t *testing.T) {
				t.Parallel()
				a, b := newWorld(t), newWorld(t)
				a.filled(300)
				dst := filepath.Join(t.TempDir(), "export"+ext)
				n, err := a.ExportTo(ctx, a.a, dst, format)
				tcheck(t, err)
				if n != 300 {
					t.Errorf("%d messages exported", n)
				}
				if _, err := a.ExportTo(ctx, a.a, dst, format); !errors.Is(err, os.ErrExist) {
					t.Errorf("export to what exists: %v", err)
				}
				b.read(dst, "Inbox")
				wantContent(t, b.a, content(t, a.a)...)
			})
		}
	}
}

func TestNamesOfMaildirs(t *testing.T) {
	t.Parallel()
	for mailbox, want := range map[string]string{
		"Inbox": "Inbox", "a/b": "a/b", "a/../b": "a/_../b", "cur": "_cur", "a/new": "a/_new", "_cur": "__cur", ".x": "_.x",
	} {
		s := &filesSource{}
		if got := exportName(mailbox); got != want {
			t.Errorf("%s: got %s, expected %s", mailbox, got, want)
		} else if back := s.mailbox(got); back != mailbox {
			t.Errorf("%s: came back as %s", mailbox, back)
		}
	}
}

func mboxOf(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "From a@b Mon Nov 16 10:11:12 2026\nSubject: %d\n\nbody\n\n", i)
	}
	return b.String()
}

// TestImportsGoOnWhereTheyWere interrupts an import into a new mailbox and into the Inbox.
func TestImportsGoOnWhereTheyWere(t *testing.T) {
	t.Parallel()
	for _, mailbox := range []string{"New/Box", "Inbox"} {
		for _, abort := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,abort=%v", mailbox, abort), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				s := safefile.NewSpool(safefile.SpoolOptions{Dir: w.st.TempDir()})
				_, err := io.WriteString(s, "Subject: before\r\n\r\n")
				tcheck(t, err)
				_, err = w.a.Append(ctx, store.NewMessage{Mailbox: "Inbox", Spool: s})
				tcheck(t, errors.Join(err, s.Close()))
				before := content(t, w.a)
				boxes := len(w.a.Tree().Mailboxes())

				const n = 3*batchMessages + 7
				var sent bytes.Buffer
				tcheck(t, Send(&sent, newMbox(strings.NewReader(mboxOf(n)), ""), w.st.TempDir(), func(Item, int64) {}))
				im, err := w.Import(ctx, w.a, ImportOptions{Mailbox: mailbox, Source: "x"})
				tcheck(t, err)
				_, err = im.Receive(ctx, bytes.NewReader(sent.Bytes()[:sent.Len()*4/5]))
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("stream that ends: %v", err)
				}
				if _, err := w.Import(ctx, w.a, ImportOptions{ID: im.State().ID}); !errors.Is(err, ErrRunning) {
					t.Errorf("going on with what runs: %v", err)
				}
				im.Close()
				l, err := w.Imports(ctx, w.a)
				tcheck(t, err)
				if len(l) != 1 || l[0].Done != 2*batchMessages {
					t.Fatalf("imports %+v", l)
				}
				if mailbox == "New/Box" && len(w.a.Tree().Mailboxes()) != boxes {
					t.Error("there is a new mailbox")
				}
				if abort {
					_, err := w.Abort(ctx, w.a, l[0].ID)
					tcheck(t, err)
					wantContent(t, w.a, before...)
					if w.a.Tree().Messages() != 1 {
						t.Errorf("%d messages", w.a.Tree().Messages())
					}
				} else {
					w.resume(l[0], n)
					if got := content(t, w.a); len(got) != n+1 {
						t.Errorf("%d messages", len(got))
					}
				}
				if l, err := w.Imports(ctx, w.a); err != nil || len(l) != 0 {
					t.Errorf("imports %+v, %v", l, err)
				}
			})
		}
	}
}

// TestImportsThatDoNotGoOnEnd has imports of different age, into a new mailbox and into one
// that is there.
func TestImportsThatDoNotGoOnEnd(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		mailbox             string
		age                 time.Duration
		running, aborting   bool
		wantImports, wantIn int // In the inbox.
	}{
		{"New", Lifetime - time.Hour, false, false, 1, 0},
		{"New", Lifetime + time.Hour, false, false, 0, 0},
		{"New", Lifetime + time.Hour, true, false, 1, 0},
		{"Inbox", Lifetime - time.Hour, false, false, 1, batchMessages},
		{"Inbox", Lifetime + time.Hour, false, false, 0, batchMessages},
		{"Inbox", time.Hour, false, true, 0, 0}, // Somebody wanted it, and it was interrupted.
	} {
		t.Run(fmt.Sprintf("%+v", tc), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var sent bytes.Buffer
			tcheck(t, Send(&sent, newMbox(strings.NewReader(mboxOf(batchMessages+50)), ""), w.st.TempDir(), func(Item, int64) {}))
			im, err := w.Import(ctx, w.a, ImportOptions{Mailbox: tc.mailbox})
			tcheck(t, err)
			_, err = im.Receive(ctx, bytes.NewReader(sent.Bytes()[:sent.Len()-1000]))
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("stream that ends: %v", err)
			}
			if tc.running {
				defer im.Close()
			} else {
				im.Close()
			}
			im.j.Updated, im.j.Aborting = time.Now().Add(-tc.age), tc.aborting
			tcheck(t, w.a.Update(ctx, im.j.write))
			tcheck(t, w.Expire(ctx, w.a))
			l, err := w.Imports(ctx, w.a)
			tcheck(t, err)
			if n := len(content(t, w.a)); len(l) != tc.wantImports || n != tc.wantIn {
				t.Errorf("%d imports, %d messages", len(l), n)
			}
			if len(l) == 0 && int(w.a.Tree().Messages()) != tc.wantIn {
				t.Errorf("%d messages, with those that are hidden", w.a.Tree().Messages())
			}
		})
	}
}

// resume goes on with an import, first with something else.
func (w *world) resume(st State, n int) {
	w.t.Helper()
	im, err := w.Import(ctx, w.a, ImportOptions{ID: st.ID})
	tcheck(w.t, err)
	other := strings.Replace(mboxOf(n), "body", "Body", 1)
	if _, err := im.Read(ctx, newMbox(strings.NewReader(other), "")); !errors.Is(err, ErrOtherSource) {
		w.t.Errorf("going on with another source: %v", err)
	}
	im.Close()
	im, err = w.Import(ctx, w.a, ImportOptions{ID: st.ID})
	tcheck(w.t, err)
	defer im.Close()
	got, err := im.Read(ctx, newMbox(strings.NewReader(mboxOf(n)), ""))
	tcheck(w.t, err)
	if got.Stored != n {
		w.t.Errorf("state %+v", got)
	}
}

func TestAMailboxThatWasMadeMeanwhileStaysAsItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	im, err := w.Import(ctx, w.a, ImportOptions{Mailbox: "X"})
	tcheck(t, err)
	defer im.Close()
	first := true
	_, err = im.run(ctx, func() (*loaded, error) {
		if !first {
			tcheck(t, w.a.Update(ctx, func(tx *store.Tx) error { _, err := tx.CreateMailbox("X", 0); return err }))
			return nil, io.EOF
		}
		first = false
		im.j.Boxes = nil
		l, err := load(newMbox(strings.NewReader(mboxOf(1)), ""), w.st.TempDir())
		if err == nil {
			_, err = im.box(ctx, &im.j, "")
		}
		return l, err
	})
	tcheck(t, err)
	if mb, ok := w.a.Tree().ByName("X"); !ok || mb.Messages != 0 {
		t.Errorf("mailbox %+v", mb)
	}
	if mb, ok := w.a.Tree().ByName("X (import " + im.State().ID + ")"); !ok || mb.Messages != 1 {
		t.Errorf("imported mailbox %+v", mb)
	}
}

func TestImportsStopAtTheQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.quota = 1000
	im, err := w.Import(ctx, w.a, ImportOptions{Mailbox: "X"})
	tcheck(t, err)
	_, err = im.Read(ctx, newMbox(strings.NewReader(mboxOf(200)), ""))
	im.Close()
	if !errors.Is(err, store.ErrOverQuota) {
		t.Errorf("error %v", err)
	}
	_, err = w.Abort(ctx, w.a, im.State().ID)
	tcheck(t, err)
}

func TestArchivesThatLeadOutOfThemselvesOrExplodeAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../x", "/etc/passwd", "a/../../b", `..\x`} {
		if _, err := entryName(name); !errors.Is(err, ErrArchive) {
			t.Errorf("%s: %v", name, err)
		}
	}
	left := newExpansion(1)
	_, err := io.Copy(io.Discard, expansion{zeros{}, left})
	if !errors.Is(err, ErrArchive) {
		t.Errorf("explosion: %v", err)
	}
	secret := write(t, t.TempDir(), map[string]string{"m": "Subject: secret\n\n"})
	dir := write(t, t.TempDir(), map[string]string{"cur/1": "Subject: x\n\n"})
	tcheck(t, os.Symlink(filepath.Join(secret, "m"), filepath.Join(dir, "cur", "2")))
	tcheck(t, os.Symlink(secret, filepath.Join(dir, "new")))
	w := newWorld(t)
	if st := w.read(dir, "Inbox"); st.Stored != 1 {
		t.Errorf("links were followed: %+v", st)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func FuzzMbox(f *testing.F) {
	f.Add([]byte(mboxOf(2)))
	f.Add([]byte("From x\nContent-Length: 3\nStatus: RO\n\n>From\n\nFrom y\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := newMbox(bytes.NewReader(b), "")
		for {
			var msg bytes.Buffer
			it, err := m.Next(&msg)
			if err != nil {
				return
			}
			// What is written again is read as the same.
			var out, again bytes.Buffer
			tcheck(t, writeMbox(&out, it, &msg))
			text := msg.String()
			it2, err := newMbox(&out, "").Next(&again)
			if err != nil {
				t.Fatalf("what was written cannot be read: %v", err)
			}
			if it2.Flags.String() != it.Flags.String() {
				t.Fatalf("flags %s, were %s, of %q", it2.Flags, it.Flags, text)
			}
		}
	})
}

func FuzzReceive(f *testing.F) {
	var b bytes.Buffer
	tcheck(f, Send(&b, newMbox(strings.NewReader(mboxOf(2)), ""), f.TempDir(), func(Item, int64) {}))
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		for {
			l, err := receive(r, t.TempDir())
			if err != nil {
				return
			}
			tcheck(t, l.close())
		}
	})
}
