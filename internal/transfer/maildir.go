package transfer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"mox/imap"
)

const (
	// maxLetters is how many keywords have a letter in names of files.
	maxLetters   = 26
	keywordsName = "dovecot-keywords" // Lines "0 keyword" for the letter a, and so on.
	// flagsName is a file with a line for each message that has keywords without a letter:
	// its name, and all flags and keywords as IMAP has them.
	flagsName = "flags.tsv"
	// maxFlagsFile is the size of such a file.
	maxFlagsFile = 64 << 20
)

// letters are the flags in names of files, in the order of ASCII.
var letters = []struct {
	flag   imap.Flags
	letter byte
}{{imap.FlagDraft, 'D'}, {imap.FlagFlagged, 'F'}, {imap.FlagForwarded, 'P'}, {imap.FlagAnswered, 'R'}, {imap.FlagSeen, 'S'}, {imap.FlagDeleted, 'T'}}

// Open returns the messages of a file or directory: an mbox file, a directory with maildirs
// or mbox files in it, or a zip, tar or tgz file of that. Mailboxes are named by their paths; a
// prefix of paths can be left away. "-" is standard input, with an mbox file.
func Open(name, prefix string, stdin io.Reader) (Source, error) {
	if name == "-" {
		return newMbox(stdin, ""), nil
	}
	begin, err := openFiles(name)
	if err != nil {
		return nil, err
	}
	if begin == nil {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		return closing{newMbox(f, ""), f}, nil
	}
	s := &filesSource{prefix: prefix, keywords: map[string][]string{}, flags: map[string]imap.FlagSet{}}
	if err := s.collect(begin); err != nil {
		return nil, err
	}
	s.files, err = begin()
	return s, err
}

type closing struct {
	Source
	c io.Closer
}

func (c closing) Close() error { return errors.Join(c.Source.Close(), c.c.Close()) }

// filesSource reads maildirs and mbox files from a directory or an archive.
type filesSource struct {
	files    files
	prefix   string
	keywords map[string][]string     // By directory of a maildir.
	flags    map[string]imap.FlagSet // By path of a message.
	mbox     *mboxReader             // That is being read.
}

// collect reads what the names of files depend on, which can come after them.
func (s *filesSource) collect(begin func() (files, error)) (rerr error) {
	l, err := begin()
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, l.close()) }()
	for {
		f, err := l.next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		switch path.Base(f.name) {
		case keywordsName:
			err = s.readKeywords(path.Dir(f.name), f.r)
		case flagsName:
			err = s.readFlags(path.Dir(f.name), f.r)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
}

func (s *filesSource) readKeywords(dir string, r io.Reader) error {
	if len(s.keywords) >= maxMailboxes {
		return fmt.Errorf("%w: more than %d maildirs", ErrArchive, maxMailboxes)
	}
	l := make([]string, maxLetters)
	sc := bufio.NewScanner(io.LimitReader(r, maxKeywordsFile))
	for sc.Scan() {
		num, name, ok := strings.Cut(strings.TrimSpace(sc.Text()), " ")
		if i, err := strconv.Atoi(num); ok && err == nil && i >= 0 && i < len(l) {
			l[i] = strings.TrimSpace(name)
		}
	}
	s.keywords[dir] = l
	return sc.Err()
}

func (s *filesSource) readFlags(dir string, r io.Reader) error {
	sc := bufio.NewScanner(io.LimitReader(r, maxFlagsFile))
	for sc.Scan() {
		name, text, ok := strings.Cut(sc.Text(), "\t")
		if !ok {
			continue // Another file of that name.
		}
		var set imap.FlagSet
		for _, f := range strings.Fields(text) {
			addFlag(&set, f)
		}
		s.flags[path.Join(dir, "cur", name)] = set
	}
	return sc.Err()
}

// Next implements [Source].
func (s *filesSource) Next(w io.Writer) (Item, error) {
	for {
		if s.mbox != nil {
			it, err := s.mbox.Next(w)
			if !errors.Is(err, io.EOF) {
				return it, err
			}
			s.mbox = nil
		}
		f, err := s.files.next()
		if err != nil {
			return Item{}, err
		}
		if s.prefix != "" && !strings.HasPrefix(f.name+"/", strings.TrimSuffix(s.prefix, "/")+"/") {
			continue
		}
		dir := path.Dir(f.name)
		if sub := path.Base(dir); sub == "cur" || sub == "new" {
			it := s.maildirItem(path.Dir(dir), f)
			_, err := io.Copy(w, f.r)
			return it, err
		}
		r := bufio.NewReaderSize(f.r, 1<<20)
		if head, err := r.Peek(5); err == nil && bytes.Equal(head, []byte("From ")) {
			s.mbox = newMbox(r, s.mailbox(strings.TrimSuffix(f.name, ".mbox")))
		} else if ignoreEOF(err) != nil {
			return Item{}, err
		}
	}
}

func (s *filesSource) maildirItem(root string, f file) Item {
	it := Item{Mailbox: s.mailbox(root), Received: f.mod}
	base := path.Base(f.name)
	if n, err := strconv.ParseInt(base[:digits(base)], 10, 64); err == nil && n > 0 && n < 1<<33 {
		it.Received = time.Unix(n, 0).UTC()
	}
	if set, ok := s.flags[f.name]; ok {
		it.Flags = set
		return it
	}
	// Some file systems, and zip programs, have no colon in names.
	i := strings.LastIndex(base, "2,")
	if i < 1 || !strings.ContainsRune(":;!", rune(base[i-1])) {
		return it
	}
	for _, c := range []byte(base[i+2:]) {
		for _, l := range letters {
			if l.letter == c {
				it.Flags.Flags |= l.flag
			}
		}
		if k := int(c) - 'a'; k >= 0 && k < len(s.keywords[root]) && s.keywords[root][k] != "" {
			addFlag(&it.Flags, s.keywords[root][k])
		}
	}
	return it
}

func digits(s string) int {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return i
		}
	}
	return len(s)
}

// mailbox returns the name of a mailbox for a path: of directories, or, where one begins
// with a dot, in the way of Maildir++.
func (s *filesSource) mailbox(p string) string {
	p = strings.TrimPrefix(strings.TrimPrefix(p, strings.TrimSuffix(s.prefix, "/")), "/")
	var names []string
	for l := range strings.SplitSeq(p, "/") {
		switch {
		case l == "." || l == "":
		case strings.HasPrefix(l, "."):
			for n := range strings.SplitSeq(l[1:], ".") {
				if d, err := imap.DecodeUTF7(n); err == nil {
					n = d
				}
				names = append(names, n)
			}
		case strings.HasPrefix(l, "_") && reserved(l[1:]):
			names = append(names, l[1:])
		default:
			names = append(names, strings.TrimSuffix(l, ".sbd")) // Of Thunderbird.
		}
	}
	return strings.ToValidUTF8(strings.Join(names, "/"), "_")
}

// reserved reports whether a level of a mailbox name is not the name of its directory, which
// has an underscore before it.
func reserved(l string) bool {
	return l == "" || strings.HasPrefix(l, ".") || strings.HasPrefix(l, "_") || strings.HasSuffix(l, ".sbd") || strings.HasSuffix(l, ".mbox") ||
		slices.Contains([]string{"cur", "new", "tmp", keywordsName, flagsName}, l)
}

// Close implements [Source].
func (s *filesSource) Close() error { return s.files.close() }
