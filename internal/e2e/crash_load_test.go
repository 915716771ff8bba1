package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"mox/imap"
	"mox/imapclient"
	"mox/smtpclient"
)

// crashFlags are flags that are set and cleared.
var crashFlags = []string{`\Answered`, `\Flagged`, `\Seen`, "$Forwarded", "work"}

// crashMessage returns a message with an id, of some 100 to some 100,000 octets.
func crashMessage(rnd *rand.Rand, id string) string {
	n := 1 + rnd.IntN(5)
	if rnd.IntN(20) == 0 {
		n = 2000
	}
	return "From: <sender@remote.example>\r\nSubject: crash\r\nMessage-ID: <" + id + "@crash>\r\n\r\n" + strings.Repeat("A line of text of "+id+".\r\n", n)
}

var crashID = regexp.MustCompile(`(?m)^Message-ID: <(\S+)@crash>\r$`)

// crashIDOf returns the id of a message.
func crashIDOf(content string) string {
	m := crashID.FindStringSubmatch(content)
	if m == nil {
		return "without id"
	}
	return m[1]
}

// sortFlags returns flags as in a place.
func sortFlags(flags []string) string {
	l := slices.Clone(flags)
	slices.Sort(l)
	return strings.Join(l, " ")
}

// withNotJunk returns the flags of a message that was moved to a mailbox of a worker,
// which its name says is not for junk.
func withNotJunk(flags string) string {
	l := slices.DeleteFunc(strings.Fields(flags), func(f string) bool { return f == "$NotJunk" })
	return sortFlags(append(l, "$NotJunk"))
}

// A deliverer delivers messages to the inbox.
type deliverer struct {
	m    *model
	c    *smtpclient.Client
	name string
	rnd  *rand.Rand
}

// run delivers until the server is gone, and returns what should not have happened.
func (d *deliverer) run(ctx context.Context) error {
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s-%d", d.name, i)
		content := crashMessage(d.rnd, id)
		d.m.add(id, content, true)
		op := d.m.begin([]string{id}, func(place) place { return place{mailbox: "INBOX"} })
		if err := send(ctx, d.c, user, content); err != nil {
			var serr *smtpclient.Error
			if errors.As(err, &serr) && serr.Code != 0 {
				return fmt.Errorf("delivery of %s: %w", id, err)
			}
			return nil
		}
		d.m.done(op, nil)
	}
}

// A worker changes messages in mailboxes of its own, of which one can be the inbox.
type worker struct {
	m        *model
	c        *imapclient.Client
	name     string
	boxes    [2]string
	selected string
	rnd      *rand.Rand
	n        int
	shown    uint32 // Highest UID of the inbox that was shown.
}

// run works until the server is gone, and returns what should not have happened.
func (w *worker) run(ctx context.Context) error {
	for {
		err := w.step(ctx)
		var refused *imap.Error
		var wrong wrongError
		switch {
		case errors.As(err, &refused) || errors.As(err, &wrong):
			return fmt.Errorf("%s: %w", w.name, err)
		case err != nil:
			return nil // The connection is gone.
		}
	}
}

// wrongError is about what the server says.
type wrongError struct{ error }

func (w *worker) step(ctx context.Context) error {
	box := w.boxes[w.rnd.IntN(2)]
	if err := w.sel(ctx, box); err != nil {
		return err
	}
	if box == "INBOX" {
		if err := w.look(ctx); err != nil {
			return err
		}
	}
	switch k := w.rnd.IntN(10); {
	case k < 4 && box != "INBOX":
		return w.append(ctx, box)
	case k < 7:
		return w.store(ctx, box)
	case k < 9:
		return w.move(ctx, box)
	default:
		return w.expunge(ctx, box)
	}
}

func (w *worker) sel(ctx context.Context, box string) error {
	if w.selected == box {
		return nil
	}
	_, err := w.c.Select(ctx, box, imapclient.SelectOptions{})
	w.selected = box
	return err
}

// some returns some messages of a mailbox, with their UIDs.
func (w *worker) some(box string) ([]string, imap.Ranges) {
	l := w.m.in(box)
	if len(l) == 0 {
		return nil, nil
	}
	i := w.rnd.IntN(len(l))
	l = l[i:min(len(l), i+1+w.rnd.IntN(4))]
	var uids imap.Ranges
	for _, id := range l {
		uids.Add(w.m.uid(id))
	}
	return l, uids
}

// look looks for messages that were delivered.
func (w *worker) look(ctx context.Context) error {
	var uids imap.Ranges
	uids.AddRange(w.shown+1, 1<<32-1)
	items := []imap.FetchItem{{Attr: imap.FetchUID}, {Attr: imap.FetchFlags}, {Attr: imap.FetchBodySection, Peek: true}}
	l, _, err := w.c.Fetch(ctx, imapclient.UID, uids.NumSet(), items, imapclient.FetchOptions{})
	if err != nil {
		return err
	}
	for _, msg := range l {
		if msg.UID <= w.shown || len(msg.Sections) == 0 {
			continue
		}
		if err := w.m.saw(crashIDOf(string(msg.Sections[0].Data)), place{"INBOX", msg.UID, sortFlags(msg.Flags)}); err != nil {
			return wrongError{err}
		}
		w.shown = msg.UID
	}
	return nil
}

func (w *worker) append(ctx context.Context, box string) error {
	w.n++
	id := fmt.Sprintf("%s-%d", w.name, w.n)
	content := crashMessage(w.rnd, id)
	flags := w.flags()
	w.m.add(id, content, false)
	op := w.m.begin([]string{id}, func(place) place { return place{mailbox: box, flags: sortFlags(flags)} })
	a, _, err := w.c.Append(ctx, box, imapclient.Message{Flags: flags, Size: int64(len(content)), Data: strings.NewReader(content)})
	if err != nil {
		return err
	}
	uids := numbersOf(a.UIDs)
	if len(uids) != 1 {
		return wrongError{fmt.Errorf("APPENDUID %v", uids)}
	}
	w.m.done(op, map[string]uint32{id: uids[0]})
	return nil
}

func (w *worker) flags() []string {
	var l []string
	for _, f := range crashFlags {
		if w.rnd.IntN(3) == 0 {
			l = append(l, f)
		}
	}
	return l
}

func (w *worker) store(ctx context.Context, box string) error {
	ids, uids := w.some(box)
	if len(ids) == 0 {
		return nil
	}
	flags := w.flags()
	op := w.m.begin(ids, func(p place) place { p.flags = sortFlags(flags); return p })
	if _, _, err := w.c.Store(ctx, imapclient.UID, uids.NumSet(), imapclient.StoreSet, flags, imapclient.StoreOptions{Silent: w.rnd.IntN(2) == 0}); err != nil {
		return err
	}
	w.m.done(op, nil)
	return nil
}

func (w *worker) move(ctx context.Context, box string) error {
	to := w.boxes[0]
	if to == box {
		to = w.boxes[1]
	}
	ids, uids := w.some(box)
	if len(ids) == 0 || to == "INBOX" { // What is shown there is taken to be new.
		return nil
	}
	op := w.m.begin(ids, func(p place) place { p.mailbox, p.uid, p.flags = to, 0, withNotJunk(p.flags); return p })
	copied, _, err := w.c.Move(ctx, imapclient.UID, uids.NumSet(), to)
	if err != nil {
		return err
	}
	from, now := numbersOf(copied.Source), numbersOf(copied.UIDs)
	if len(from) != len(ids) || len(now) != len(ids) {
		return wrongError{fmt.Errorf("COPYUID %v %v after move of %v", from, now, uids)}
	}
	moved := map[string]uint32{}
	for i, id := range ids {
		moved[id] = now[i]
	}
	w.m.done(op, moved)
	return nil
}

func (w *worker) expunge(ctx context.Context, box string) error {
	ids, uids := w.some(box)
	if len(ids) == 0 {
		return nil
	}
	op := w.m.begin(ids, func(p place) place { p.flags = `\Deleted`; return p })
	if _, _, err := w.c.Store(ctx, imapclient.UID, uids.NumSet(), imapclient.StoreSet, []string{`\Deleted`}, imapclient.StoreOptions{}); err != nil {
		return err
	}
	w.m.done(op, nil)
	op = w.m.begin(ids, func(place) place { return place{} })
	if _, err := w.c.UIDExpunge(ctx, uids.NumSet()); err != nil {
		return err
	}
	w.m.done(op, nil)
	return nil
}

// numbersOf returns the numbers of a set, ascending.
func numbersOf(s imap.NumSet) []uint32 {
	return slices.Collect(s.Resolve(1<<32 - 1).All())
}
