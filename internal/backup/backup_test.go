package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"mox/internal/safefile"
	"mox/store"
)

// dataDir makes a data directory with two accounts of some messages, and a key.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ann", "bob"} {
		a, err := st.Ensure(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			add(t, a, fmt.Sprintf("%s-%d", name, i))
		}
		a.Release()
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "srs.key"), []byte("secret"), 0640); err != nil {
		t.Fatal(err)
	}
	return dir
}

func add(t *testing.T, a *store.Account, id string) {
	t.Helper()
	spool := safefile.NewSpool(safefile.SpoolOptions{Dir: t.TempDir()})
	if _, err := fmt.Fprintf(spool, "Subject: about %s\r\nMessage-ID: <%s@test>\r\n\r\ntext\r\n", id, id); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Append(t.Context(), store.NewMessage{Mailbox: "Inbox", Spool: spool, Prefix: []byte("Received: x\r\n"), Keywords: []string{"work"}}); err != nil {
		t.Fatal(err)
	}
	if err := spool.Close(); err != nil {
		t.Fatal(err)
	}
}

// withAccount calls fn with an account of a data directory.
func withAccount(t *testing.T, dir, name string, fn func(a *store.Account)) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	a, err := st.Account(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	fn(a)
	a.Release()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

// runBackup makes a backup, one minute after the last.
func runBackup(t *testing.T, o PlaceOptions, dir string, n int) (Result, error) {
	t.Helper()
	src, err := Stopped(dir)
	if err != nil {
		t.Fatal(err)
	}
	return runSource(t, o, src, n)
}

func runSource(t *testing.T, o PlaceOptions, src Source, n int) (res Result, rerr error) {
	t.Helper()
	o.Write, o.Create = true, true
	p, err := OpenPlace(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { rerr = errors.Join(rerr, p.Close()) }()
	return Run(t.Context(), p, Options{Source: src, Now: func() time.Time { return time.Date(2026, 11, 21, 12, n, 0, 0, time.UTC) }})
}

func snapshotOf(t *testing.T, o PlaceOptions, name string) *Snapshot {
	t.Helper()
	p, err := OpenPlace(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	s, err := p.Snapshot(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// verifyProblems returns what is wrong with a snapshot.
func verifyProblems(t *testing.T, s *Snapshot) []string {
	t.Helper()
	v, err := s.Verify(t.Context(), VerifyOptions{TempDir: t.TempDir(), Databases: func(ctx context.Context, dir string) ([]string, error) {
		r, err := store.Verify(ctx, dir, store.VerifyOptions{SkipFiles: true})
		var l []string
		for _, p := range r.Problems {
			l = append(l, p.String())
		}
		return l, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	return v.Problems
}

// kinds are places of each kind.
func kinds(t *testing.T) map[string]PlaceOptions {
	t.Helper()
	k, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]PlaceOptions{
		"tree":      {Location: filepath.Join(t.TempDir(), "dst")},
		"encrypted": {Location: filepath.Join(t.TempDir(), "dst"), Recipients: []age.Recipient{k.Recipient()}, Identities: []age.Identity{k}},
	}
}

func TestSecondBackupCopiesOnlyWhatIsNewAndBothRestore(t *testing.T) {
	t.Parallel()
	for kind, o := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := dataDir(t)
			first, err := runBackup(t, o, dir, 0)
			if err != nil || first.Accounts != 2 || first.Files != 13 || first.Copied != 13 {
				t.Fatalf("first: %+v, %v", first, err)
			}
			withAccount(t, dir, "bob", func(a *store.Account) { add(t, a, "new") })
			second, err := runBackup(t, o, dir, 1)
			if err != nil || second.Files != 14 || second.Copied > 5 { // Databases, the message, and the key.
				t.Fatalf("second: %+v, %v", second, err)
			}
			for name, want := range map[string]int{first.Name: 5, second.Name: 6} {
				s := snapshotOf(t, o, name)
				if l := verifyProblems(t, s); len(l) > 0 {
					t.Errorf("%s: %v", name, l)
				}
				to := filepath.Join(t.TempDir(), "data")
				if _, err := s.Restore(t.Context(), RestoreOptions{DataDir: to}); err != nil {
					t.Fatalf("restore: %v", err)
				}
				if r, err := store.Verify(t.Context(), to, store.VerifyOptions{}); err != nil || len(r.Problems) > 0 || r.Messages != int64(5+want) {
					t.Errorf("restored %s: %+v, %v", name, r, err)
				}
				if info, err := os.Stat(filepath.Join(to, "srs.key")); err != nil || info.Mode() != 0640 {
					t.Errorf("key: %v, %v", info, err)
				}
				if _, err := s.Restore(t.Context(), RestoreOptions{DataDir: to}); err == nil {
					t.Errorf("restored over something")
				}
			}
		})
	}
}

func TestWhatIsDamagedIsFoundAndNotRestored(t *testing.T) {
	t.Parallel()
	for kind, o := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			if _, err := runBackup(t, o, dataDir(t), 0); err != nil {
				t.Fatal(err)
			}
			var files []string
			err := filepath.WalkDir(o.Location, func(file string, d os.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() && !slices.Contains([]string{markerName, safefile.LockName}, d.Name()) && !strings.HasPrefix(d.Name(), "2026") {
					files = append(files, file)
				}
				return err
			})
			if err != nil || len(files) < 10 {
				t.Fatalf("%v, %v", files, err)
			}
			for _, file := range files {
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				broken := bytes.Clone(data)
				broken[len(broken)/2] ^= 1
				for _, b := range [][]byte{broken, data[:len(data)-1], nil} {
					if err := errors.Join(os.Remove(file), os.WriteFile(file, b, 0600)); err != nil {
						t.Fatal(err)
					}
					if damaged(t, o) {
						continue
					}
					t.Errorf("%s: damage was not found", file)
				}
				if err := os.WriteFile(file, data, 0600); err != nil {
					t.Fatal(err)
				}
			}
			if damaged(t, o) {
				t.Errorf("found damage where there is none any more")
			}
		})
	}
}

// damaged reports whether a place has a snapshot that cannot be restored, or of which
// something else is damaged.
func damaged(t *testing.T, o PlaceOptions) bool {
	p, err := OpenPlace(t.Context(), o)
	if err != nil {
		return true
	}
	defer p.Close()
	s, err := p.Snapshot(t.Context(), "latest")
	if err != nil {
		return true
	}
	_, err = s.Restore(t.Context(), RestoreOptions{DataDir: filepath.Join(t.TempDir(), "data")})
	return err != nil || s.repo.check(t.Context(), s.Name) != nil
}

func TestMissingMessageFailsTheBackupAndLeavesTheRest(t *testing.T) {
	t.Parallel()
	for kind, o := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := dataDir(t)
			files, err := filepath.Glob(filepath.Join(dir, "accounts/ann/msg/a/*"))
			if err != nil || len(files) == 0 {
				t.Fatal(err)
			}
			if err := errors.Join(os.Remove(files[0]), os.Truncate(files[1], 3), os.WriteFile(filepath.Join(dir, "accounts/bob/strange.db"), nil, 0600)); err != nil {
				t.Fatal(err)
			}
			res, err := runBackup(t, o, dir, 0)
			if !errors.Is(err, ErrFailures) || res.Failed != 3 || res.Files != 11 {
				t.Fatalf("%+v, %v", res, err)
			}
			if l := verifyProblems(t, snapshotOf(t, o, "")); len(l) < 2 {
				t.Errorf("verification found %v", l)
			}
		})
	}
}

func TestInterruptedBackupIsUsedByTheNext(t *testing.T) {
	t.Parallel()
	for kind, o := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := dataDir(t)
			src, err := Stopped(dir)
			if err != nil {
				t.Fatal(err)
			}
			account, failure := src.Account, errors.New("test")
			src.Account = func(ctx context.Context, name, path string) error {
				if name == "bob" {
					return failure
				}
				return account(ctx, name, path)
			}
			if _, err := runSource(t, o, src, 0); !errors.Is(err, failure) {
				t.Fatalf("got error %v", err)
			}
			p, err := OpenPlace(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if l, err := p.Snapshots(t.Context()); err != nil || len(l) != 1 || l[0].Complete {
				t.Fatalf("after interruption: %+v, %v", l, err)
			}
			if _, err := p.Snapshot(t.Context(), ""); !errors.Is(err, ErrNoSnapshot) {
				t.Errorf("got error %v", err)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			res, err := runBackup(t, o, dir, 1)
			if err != nil || res.Files-res.Copied < 5 {
				t.Fatalf("%+v, %v: the messages of ann were copied again", res, err)
			}
			if l := verifyProblems(t, snapshotOf(t, o, "")); len(l) > 0 {
				t.Error(l)
			}
		})
	}
}

func TestMessagesAreRestoredOnce(t *testing.T) {
	t.Parallel()
	for kind, o := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := dataDir(t)
			if _, err := runBackup(t, o, dir, 0); err != nil {
				t.Fatal(err)
			}
			s := snapshotOf(t, o, "")
			if l, err := s.Accounts(t.Context()); err != nil || !slices.Equal(l, []string{"ann", "bob"}) {
				t.Errorf("accounts %v, %v", l, err)
			}
			withAccount(t, dir, "ann", func(a *store.Account) {
				for i, tc := range []struct {
					f    Filter
					into string
					want MessagesRestored
				}{
					{Filter{MessageID: "<BOB-1@test>"}, "New", MessagesRestored{1, 0}},
					{Filter{Subject: "ABOUT bob-"}, "New", MessagesRestored{4, 1}},
					{Filter{Subject: "nothing"}, "New", MessagesRestored{}},
					{Filter{Since: time.Now().Add(time.Hour)}, "New", MessagesRestored{}},
					{Filter{Mailbox: "Inbox", Before: time.Now().Add(time.Hour)}, "Inbox", MessagesRestored{5, 0}},
					{Filter{IDs: []int64{2}}, "Other", MessagesRestored{1, 0}},
				} {
					im := NewImporter(a, t.TempDir())
					got, err := s.RestoreMessages(t.Context(), "bob", t.TempDir(), tc.f, func(string) string { return tc.into }, im)
					if err != nil || got != tc.want {
						t.Errorf("%d: got %+v, %v", i, got, err)
					}
				}
				mb, ok := a.Tree().ByName("New")
				if !ok || mb.Messages != 5 || !slices.Equal(mb.Keywords, []string{"work"}) {
					t.Errorf("mailbox %+v", mb)
				}
				if l, err := a.Verify(t.Context()); err != nil || len(l) > 0 {
					t.Errorf("%v, %v", l, err)
				}
			})
			if _, err := s.Mailboxes(t.Context(), "carl", t.TempDir()); !errors.Is(err, ErrNoAccount) {
				t.Errorf("got error %v", err)
			}
		})
	}
}

func TestRestoredAccountHasNewUIDValidity(t *testing.T) {
	t.Parallel()
	o := kinds(t)["tree"]
	dir := dataDir(t)
	if _, err := runBackup(t, o, dir, 0); err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(dir, "tmp", "restored")
	if err := snapshotOf(t, o, "").RestoreAccount(t.Context(), "bob", tmp, false); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Adopt("bob", tmp); !errors.Is(err, os.ErrExist) {
		t.Errorf("adopting a name that is there: %v", err)
	}
	if err := st.Adopt("carl", tmp); err != nil {
		t.Fatal(err)
	}
	seen := map[uint32]bool{}
	for _, name := range []string{"bob", "carl"} {
		a, err := st.Account(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Release()
		mb, _ := a.Tree().ByName("Inbox")
		if mb.Messages != 5 || seen[mb.UIDValidity] {
			t.Errorf("%s: %+v", name, mb)
		}
		seen[mb.UIDValidity] = true
		add(t, a, "more")
		if l, err := a.Verify(t.Context()); err != nil || len(l) > 0 {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
}

func TestManifestThatIsCutOrChangedIsRefused(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	w, err := newManifestWriter(&buf, Header{Version: manifestVersion, Name: "20261121T120000Z"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"data/queue/index.db", "data/queue/msg/a/2", "data/queue/msg/a/10", "data/accounts/a/index.db", "data/accounts/a/msg/b/9000", "data/acme/x", "data/auth.db", "config/mox.conf"} {
		if err := w.add(Entry{Path: p, Size: 1, SHA256: zeroHash}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.add(Entry{Path: "data/auth.db"}); err == nil {
		t.Errorf("files out of order were taken")
	}
	if _, err := w.finish(Footer{}); err != nil {
		t.Fatal(err)
	}
	read := func(data []byte) (n int, err error) {
		r, err := newManifestReader(bytes.NewReader(data))
		for err == nil {
			if _, err = r.next(); err == nil {
				n++
			}
		}
		return n, err
	}
	if n, err := read(buf.Bytes()); n != 8 || !errors.Is(err, io.EOF) {
		t.Fatalf("got %d files, %v", n, err)
	}
	for i := range buf.Len() {
		if _, err := read(buf.Bytes()[:i]); errors.Is(err, io.EOF) || err == nil {
			t.Errorf("cut at %d: got error %v", i, err)
		}
	}
	for _, p := range []string{"/etc/passwd", "data/../x", "other/x", "data", "data//x", `data/a\b`, ""} {
		if err := (Entry{Path: p, SHA256: zeroHash}).check(); !errors.Is(err, ErrDamaged) {
			t.Errorf("path %q: got error %v", p, err)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte("{\"moxbackup\":1,\"name\":\"x\"}\n{\"path\":\"data/a\",\"size\":1,\"sha256\":\"" + zeroHash + "\"}\n{\"end\":true,\"files\":1,\"size\":1}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := newManifestReader(bytes.NewReader(data))
		for err == nil {
			var e Entry
			if e, err = r.next(); err == nil && !filepath.IsLocal(filepath.FromSlash(e.Path)) {
				t.Errorf("path %q leads elsewhere", e.Path)
			}
		}
	})
}

func TestPruneKeepsWhatItIsAskedFor(t *testing.T) {
	t.Parallel()
	day := func(d, h, failed int) Info {
		at := time.Date(2026, 11, d, h, 0, 0, 0, time.UTC)
		return Info{Name: at.Format(nameFormat), Started: at, Complete: true, Footer: Footer{Failed: failed}}
	}
	l := []Info{day(1, 1, 0), day(1, 2, 0), day(2, 1, 0), day(9, 1, 0), day(10, 1, 0), day(10, 2, 1), {Name: "20261110T030000Z"}}
	for _, tc := range []struct {
		k    Keep
		gone []int
	}{
		{Keep{Last: 1}, []int{0, 1, 2, 3}}, // The last one with all its files stays too.
		{Keep{Last: 10}, nil},
		{Keep{Daily: 2}, []int{0, 1, 2}},
		{Keep{Daily: 3}, []int{0, 1}},
		{Keep{Weekly: 2}, []int{0, 1, 3}},
		{Keep{Monthly: 5}, []int{0, 1, 2, 3}},
		{Keep{Last: 3, Daily: 4}, []int{0}},
	} {
		var want []string
		for _, i := range tc.gone {
			want = append(want, l[i].Name)
		}
		if got := tc.k.surplus(l); !slices.Equal(got, want) {
			t.Errorf("%+v: got %v, expected %v", tc.k, got, want)
		}
	}
}

func TestPruneLeavesOtherSnapshotsWhole(t *testing.T) {
	t.Parallel()
	for kind, o := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := dataDir(t)
			for i := range 3 {
				withAccount(t, dir, "bob", func(a *store.Account) { add(t, a, fmt.Sprint("more-", i)) })
				if _, err := runBackup(t, o, dir, i); err != nil {
					t.Fatal(err)
				}
			}
			// Objects are of yesterday.
			err := filepath.WalkDir(o.Location, func(file string, d os.DirEntry, err error) error {
				if err == nil && kind != "tree" && d.Type().IsRegular() {
					old := time.Now().Add(-2 * graceTime)
					err = os.Chtimes(file, old, old)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			w := o
			w.Write = true
			p, err := OpenPlace(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Prune(t.Context(), p, PruneOptions{}); !errors.Is(err, ErrKeep) {
				t.Errorf("got error %v", err)
			}
			gone, err := Prune(t.Context(), p, PruneOptions{Keep: Keep{Last: 1}})
			if err = errors.Join(err, p.Close()); err != nil || len(gone) != 2 {
				t.Fatalf("%v, %v", gone, err)
			}
			if l := verifyProblems(t, snapshotOf(t, o, "")); len(l) > 0 {
				t.Error(l)
			}
			if kind != "tree" {
				files, err := filepath.Glob(filepath.Join(o.Location, "objects", "*", "*"))
				if err != nil || len(files) > 20 { // 13 messages, 2 databases, a key, the manifest, its names.
					t.Errorf("%d objects are left, %v", len(files), err)
				}
			}
		})
	}
}

// A backup that is killed when it has begun to make a directory one for backups leaves a
// file there, with which the next one could not begin.
func TestPlaceThatWasNotFinishedIsMadeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left := filepath.Join(dir, "."+markerName+".123.tmp")
	if err := os.WriteFile(left, []byte("{"), 0600); err != nil {
		t.Fatal(err)
	}
	p, err := OpenPlace(t.Context(), PlaceOptions{Location: dir, Write: true, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(left); err == nil || !IsPlace(dir) {
		t.Errorf("left %v, place %v", err, IsPlace(dir))
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestPlacesAreNotMistaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := OpenPlace(t.Context(), PlaceOptions{Location: dir}); !errors.Is(err, ErrNoBackup) {
		t.Errorf("empty directory: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "photo"), nil, 0600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPlace(t.Context(), PlaceOptions{Location: dir, Write: true, Create: true}); err == nil {
		t.Errorf("a directory with other files was taken")
	}
	all := kinds(t)
	for _, o := range all {
		if _, err := runBackup(t, o, dataDir(t), 0); err != nil {
			t.Fatal(err)
		}
	}
	o := all["tree"]
	o.Recipients = all["encrypted"].Recipients
	if _, err := OpenPlace(t.Context(), o); !errors.Is(err, ErrEncryption) {
		t.Errorf("encryption where there is none: %v", err)
	}
	o = all["encrypted"]
	o.Recipients, o.Identities = nil, nil
	if _, err := runBackup(t, o, dataDir(t), 1); !errors.Is(err, ErrEncryption) {
		t.Errorf("backup without recipient: %v", err)
	}
	for _, location := range []string{"s3:bucket", "s3:ftp://x/y", "s3:https://host", "s3:https://u:p@host/b"} {
		if _, err := OpenPlace(t.Context(), PlaceOptions{Location: location}); err == nil {
			t.Errorf("%s was taken", location)
		}
	}
}
